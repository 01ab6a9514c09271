"""Looking for participants' relay lists and profiles where they are known (NIP-65, B 15.6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs
import trio

from ...nostr import kinds
from ...nostr.filters import Filter
from ...runtime.logger import get_logger
from ..upstream.state.shared import Record
from .people import People
from .visiting import Visitor

PAUSE_SECS, IDLE_SECS = 5.0, 30.0
FIRST_REST_SECS, LAST_REST_SECS = 300.0, 3600.0
COMPLAIN_SECS: Final = 3600.0

log = get_logger(__name__)


@attrs.define(eq=False)
class _Index:
    record: Record
    failures: int = 0
    rests_until: float = 0.0


@attrs.frozen
class Sources:
    """Where lists are looked for, beside index relays.

    Attributes:
      visitor: makes the visits to index relays.
      places: how many connections there may be at once, of all visits.
      followed: asks the relays that are followed anyway.
      here: takes the lists of these authors that are served here.
    """

    visitor: Visitor
    places: trio.CapacityLimiter
    followed: Callable[[Sequence[Filter]], None]
    here: Callable[[frozenset[str]], Awaitable[None]]


class LookUps:
    """Asks index relays, batch by batch, one after the other.

    Args:
      urls: of index relays, as the operator names them; may be none.
      people: whose lists are looked for; what is found is told to them when it is served.
    """

    def __init__(self, urls: Sequence[str], people: People, sources: Sources) -> None:
        self._indexes = [_Index(Record(each)) for each in urls]
        self._people = people
        self._sources = sources
        self._complained_at: float | None = None

    async def run(self) -> None:
        """Look for lists until cancelled."""
        while True:
            keys = self._people.to_look_up(trio.current_time())
            if not keys:
                await trio.sleep(IDLE_SECS)
                continue
            try:
                await self._look_up(keys)
            except Exception:
                log.exception("a look-up crashed")
                self._people.looked_up(keys, trio.current_time(), answered=False)

    async def _look_up(self, keys: Sequence[str]) -> None:
        lacking = self._people.lacking(keys)
        await self._sources.here(lacking)
        found_here = lacking - self._people.lacking(lacking)
        self._people.looked_up(found_here, trio.current_time(), answered=False)
        asked = [key for key in keys if key not in found_here]
        if not asked:
            return await trio.lowlevel.checkpoint()
        wanted = Filter(kinds=kinds.USER_KINDS, authors=frozenset(asked))
        answered = await self._ask_all(wanted)
        await trio.sleep(PAUSE_SECS)  # what was found is judged by then
        left = self._people.looked_up(asked, trio.current_time(), answered=answered)
        if left:
            self._sources.followed([Filter(kinds=kinds.USER_KINDS, authors=frozenset(left))])

    async def _ask_all(self, wanted: Filter) -> bool:
        """Ask each index relay that does not rest; whether one of them answered to the end."""
        answered = False
        for index in self._indexes:
            if trio.current_time() < index.rests_until:
                continue
            async with self._sources.places:
                visited = await self._sources.visitor.visit(index.record, [(wanted, None)])
            if visited.complete and not index.record.limits.refused:
                answered, index.failures = True, 0
                continue
            rest = min(FIRST_REST_SECS * 2.0 ** min(index.failures, 16), LAST_REST_SECS)
            index.rests_until = trio.current_time() + rest
            index.failures += 1
        if self._indexes and not answered:
            self._complain()
        return answered

    def _complain(self) -> None:
        now = trio.current_time()
        if self._complained_at is None or now - self._complained_at >= COMPLAIN_SECS:
            self._complained_at = now
            log.warning(
                "no index relay answers: participants' relays are not found; look at "
                "NGIT_USER_INDEX_RELAYS",
                urls=" ".join(each.record.url for each in self._indexes),
            )
