"""The status page and its JSON: written once for all who ask while a look is fresh (B 10.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import attrs
import msgspec

from ...engine.status.held_events import EVERYTHING, Choice
from ...engine.status.models import EngineStatus
from ...runtime.bounded import Bounded
from ...settings import Network
from ..upstream.state.relay_health import RelayStatus
from .page_filter import RESULTS, PageFilter
from .public import PublicStatus, is_told, public_status
from .rendering import Renderer

Look = Callable[[Choice], Awaitable[EngineStatus]]
Relays = Callable[[], Sequence[RelayStatus]]

MOST_BYTES: Final = 60_000
DOMAINS_BYTES: Final = 8_000
RELAYS_BYTES: Final = 10_000
FILTERS_KEPT: Final = 100
# The numbers of what is shown are longer once something is.
_MARGIN: Final = 200
_TITLE: Final = "What waits here, and why"


@attrs.frozen
class Written:
    """What is sent, as page and as JSON; `status` is HTTP's."""

    status: int
    page: bytes
    json: bytes


class StatusPage:
    """Writes what is asked for, each filter once while a look is fresh.

    Args:
      look: the engine at this moment, or some seconds ago; the same object while that is fresh.
      allow: the operator's exceptions of addresses that may be contacted.
      relays: those that are followed.
    """

    def __init__(
        self, renderer: Renderer, look: Look, allow: Sequence[Network], relays: Relays
    ) -> None:
        self._renderer = renderer
        self._look = look
        self._allow = tuple(allow)
        self._relays = relays
        self._of: EngineStatus | None = None
        self._kept: Bounded[PageFilter, Written] = Bounded(FILTERS_KEPT)

    async def written(self, wanted: PageFilter) -> Written:
        """The page of a filter; one that cannot be read gets a page that says why."""
        everything = await self._look(EVERYTHING)
        if self._of is not everything:
            self._of, self._kept = everything, Bounded(FILTERS_KEPT)
        if (written := self._kept.get(wanted)) is None:
            written = await self._write(everything, wanted)
            if self._of is everything:
                self._kept.put(wanted, written)
        return written

    async def _write(self, look: EngineStatus, wanted: PageFilter) -> Written:
        if wanted.problem is not None:
            look = attrs.evolve(look, events=(), events_total=0)
        elif wanted:
            look = await self._look(wanted.choice(partial(is_told, allow=self._allow)))
        public = public_status(look, self._allow, self._relays())
        page = write_page(self._renderer, public, wanted)
        if wanted.problem is not None:
            return Written(400, page, msgspec.json.encode({"error": wanted.problem}))
        return Written(200, page, msgspec.json.encode(public))


def write_page(renderer: Renderer, look: PublicStatus, wanted: PageFilter) -> bytes:
    """The status page, at most `MOST_BYTES`: held events have what the rest leaves."""
    fitting = partial(renderer.fitting, look=look, wanted=wanted)
    rows = {
        "domains": fitting("domain_row", look.domains, DOMAINS_BYTES),
        "relays": fitting("relay_row", look.relays, RELAYS_BYTES),
    }
    page = partial(renderer.render, "status", _TITLE, look=look, wanted=wanted, results=RESULTS)
    rest = page(**rows, cards=fitting("held_event", (), 0))
    room = MOST_BYTES - len(rest) - _MARGIN
    return page(**rows, cards=fitting("held_event", look.events, room))
