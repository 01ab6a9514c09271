"""One terminal, offline: a real node hunts real git data, and nobody's word is lost on the way."""
