"""Requests to git servers; the head of every answer is judged."""
