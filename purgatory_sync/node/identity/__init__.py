"""What the service says of itself as a Nostr user: kinds 0 and 10002 (B 13.16)."""
