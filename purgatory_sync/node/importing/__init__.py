"""Taking in events of a file, an exported folder or a relay, and the git data beside them."""
