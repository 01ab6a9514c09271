"""A push from its commands to its release, and which pushes are in flight."""
