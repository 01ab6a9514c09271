"""The folder of all repositories: whose it is, what its disk can do, what was found in it."""
