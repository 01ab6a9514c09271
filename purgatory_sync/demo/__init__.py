"""One terminal, offline: a real node hunts for real git data and loses no event on the way."""
