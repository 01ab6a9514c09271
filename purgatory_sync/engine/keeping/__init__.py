"""What an operator keeps: backups, and what is brought back from them."""
