"""The hunt: which server to ask for which objects, when, and how politely."""
