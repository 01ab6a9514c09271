"""Commands for the machines of clients, where no node runs."""
