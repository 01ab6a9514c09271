"""Whether all that is stored is whole and true, and what repairs it."""
