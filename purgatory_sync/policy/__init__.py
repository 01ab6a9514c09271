"""May this event stay: pure functions of (event, what is known, settings), verdicts with a text."""
