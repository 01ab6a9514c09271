"""Packs and objects as bytes: format, scan, unpacking, indexes, what objects name, quick checks."""
