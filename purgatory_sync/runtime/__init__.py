"""What stands between us and the machine: blocking work, children, the clock, the gate."""
