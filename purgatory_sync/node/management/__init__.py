"""The relay's management API: signed calls of the operator's keys (NIP-86, B 10.6)."""
