"""Bare repositories on disk: layout, refs, reading and linking of objects."""
