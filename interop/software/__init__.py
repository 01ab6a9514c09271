"""One module for each piece of software: what is installed, and the trials that it goes through."""
