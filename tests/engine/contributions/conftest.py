"""What the tests of contributions take."""

from __future__ import annotations

import pytest

from ...world import World
from .support import Contributing, contributing


@pytest.fixture
def here(world: World) -> Contributing:
    return contributing(world)
