"""Taking another server's place: its events, its git data and its key, while it still runs."""
