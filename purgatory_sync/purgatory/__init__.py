"""What waits: held events, the queue of identifiers to hunt for, and when waiting ends."""
