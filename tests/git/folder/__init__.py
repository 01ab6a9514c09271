"""The git folder: its owner, its disk, what is found in it."""
