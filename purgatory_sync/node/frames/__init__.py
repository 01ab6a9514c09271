"""WebSocket connections over any stream, by the sans-I/O protocol of websockets."""
