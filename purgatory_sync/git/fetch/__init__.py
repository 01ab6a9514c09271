"""Fetching over HTTP: one conversation with one server, its requests and answers."""
