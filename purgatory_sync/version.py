"""The version, in the one place that everybody may import."""

__version__ = "0.1.0"
PROGRAM = "purgatory-sync"
