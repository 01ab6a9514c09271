"""What commands print: words for people, progress on a terminal, log lines."""
