"""The operator's lists while the node runs: settings, files and what was added by hand (B 5.5)."""
