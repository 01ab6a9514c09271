"""Few packs instead of many, and removal of unreachable objects."""
