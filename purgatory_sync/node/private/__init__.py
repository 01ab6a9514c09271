"""A private service: who its members are, and the two doors that let nobody else in."""
