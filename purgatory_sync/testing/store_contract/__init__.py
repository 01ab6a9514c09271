"""What every `Store` must do, as tests that you run against yours.

A test module of yours imports all of them (`import *`) and has a fixture `store` that yields a new,
empty store and closes it; docs/api.md shows one. They need pytest and pytest-trio. Our SQLite and
memory stores run the same tests.
"""

from .journaling import *
from .saving import *
from .searching import *

__all__ = [name for name in globals() if name.startswith("test_")]
