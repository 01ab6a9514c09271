"""The engine: what an embedder opens; puts the rooms together."""

from .engine import PurgatorySync as PurgatorySync
