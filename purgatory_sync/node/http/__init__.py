"""HTTP/1.1 and WebSocket on one Trio port, within limits."""
