"""A private service: who its members are, and the two doors that keep all others out."""
