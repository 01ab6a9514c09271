"""Pages for people, on the listener that serves git and the relay (B 6.4, N6)."""
