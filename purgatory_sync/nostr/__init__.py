"""What a Nostr event is and says: ids, signatures, filters, NIP-19 keys and the NIP-34 models."""
