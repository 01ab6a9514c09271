"""What goes looking: whom to ask for which objects, when, and how politely."""
