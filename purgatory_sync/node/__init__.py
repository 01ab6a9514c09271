"""The standalone GRASP node: listener, relay, git over HTTP, upstream relays, pages, metrics."""
