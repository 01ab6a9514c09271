"""What the engine shows of itself: held events with reasons, domains, counters."""
