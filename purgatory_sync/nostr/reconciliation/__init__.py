"""Negentropy (NIP-77): which events only one side has."""
