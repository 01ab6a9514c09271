"""What an attempt is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs

from ...urls import WebUrl
from ..disk.haves import Haves
from ..ingest.quarantine import Quarantined
from ..ingest.sink import PackSink

Keep = Callable[[Quarantined], Awaitable[None]]
Run = Callable[..., Awaitable[Any]]


@attrs.frozen
class Wish:
    """What an attempt is for.

    Attributes:
      url: the repository's URL, judged.
      wanted: object names, 40 hex digits, at least one.
      repository: that shall have them.
      haves: what is here already.
      open_sink: opens the place for a pack.
      run: does blocking work beside the event loop: a function and its arguments.
      ours: our own host[:port], to which no redirect is followed.
      keep: takes a proven pack that holds nothing that is wanted; else it is discarded.
    """

    url: WebUrl
    wanted: tuple[str, ...]
    repository: Path
    haves: Haves
    open_sink: Callable[[], PackSink]
    run: Run
    ours: str | None = None
    keep: Keep | None = None
