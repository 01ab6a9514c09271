"""Hold Nostr git events until their objects are proven to be on disk, and hunt for the objects."""

__version__ = "0.1.0"
