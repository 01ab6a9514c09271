"""What the operator asks: control socket, status, metrics."""
