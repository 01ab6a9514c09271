"""What several tests of the engine take."""

from __future__ import annotations

import pytest

from purgatory_sync.engine.pushes.pushing import Pusher

from ..world import World
from .pushes.pushing_support import pusher_of


@pytest.fixture
def pusher(world: World) -> Pusher:
    return pusher_of(world)
