"""git's wire protocol as values and bytes: pkt-lines and receive-pack."""
