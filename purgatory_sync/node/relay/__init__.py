"""The relay that clients see: NIP-01, 11, 42, 45, 70 and 77."""
