"""What the engine does by itself: at a start, once a minute, in the background."""
