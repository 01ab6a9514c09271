"""Who sent an HTTP request, by a signed event in its header (NIP-98)."""
