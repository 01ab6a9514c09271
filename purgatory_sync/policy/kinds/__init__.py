"""The rules of each kind: announcements, states, pull requests, deletions."""
