"""The version and the program's name, in the one place that every room may import."""

__version__ = "0.2.0"
PROGRAM = "purgatory-sync"
