"""The engine: what an embedder opens; puts the rooms together."""

from .assembly import open_engine as open_engine
from .assembly import run_engine as run_engine
from .engine import PurgatorySync as PurgatorySync
