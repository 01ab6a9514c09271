"""One trial, and the row of what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from purgatory_sync.testing.nostr_client import RelayFailed

from .table import Row
from .world import Failed

_TRIAL_SECS: Final = 240
Trial = Callable[[], Awaitable[None]]


async def row_of(software: str, part: str, tried: str, trial: Trial) -> Row:
    """Run a trial; what fails in it, or takes more than 4 minutes, is the row's result."""
    result = f"did not end within {_TRIAL_SECS} s"
    with trio.move_on_after(_TRIAL_SECS):
        try:
            await trial()
            result = "works"
        except (Failed, RelayFailed) as error:
            result = f"fails: {error}"
    return Row(software, part, tried, result)
