"""What is remembered of upstream relays: health, roster, filters, rejected events."""
