"""The old server's events: read in an order in which each finds what it refers to, and offered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import trio

from ...engine import PurgatorySync
from ...engine.admission.admission import Answer, Outcome
from ...nostr import kinds
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.keys import SecretKey
from ...policy.rules.lacking import brings
from ...runtime.clock import WallClock
from ..upstream.bridge import Here
from ..upstream.one_reading import OneQuestion, read_once
from ..upstream.state.filters_wanted import Wanted
from ..upstream.state.intake import Intake, Judged
from ..upstream.state.shared import Common, Record, Shared

# What takes away, then what later events need (B 2.8 judges the rest again when it came).
WITH_GIT: Final = (
    frozenset({kinds.DELETION, kinds.VANISH}),
    frozenset({kinds.ANNOUNCEMENT}),
    frozenset({kinds.STATE}),
    kinds.PR_KINDS,
)
ID_BATCH: Final = 500
TELL_EVERY: Final = 100


@attrs.frozen
class Fates:
    """Of the ids of one kind that the old server showed: where each is now."""

    served: frozenset[str]
    held: frozenset[str]
    refused: frozenset[str]
    superseded: frozenset[str]


class Heard:
    """Takes what the engine tells, from before it has begun to the end.

    Attributes:
      intake: judges again what was refused for lack of what came.
    """

    def __init__(self) -> None:
        self.intake: Intake | None = None

    def served(self, event: Event) -> None:
        """An event became served."""
        self._brought(event, served=True)

    def held(self, event: Event) -> None:
        """An event began to wait."""
        if event.kind == kinds.ANNOUNCEMENT:
            self._brought(event, served=False)

    def _brought(self, event: Event, *, served: bool) -> None:
        if self.intake is not None:
            self.intake.brought(brings(event, served=served))


class OldEvents:
    """Reads the old server and offers what it has, as sync does.

    Args:
      url: of its relay, judged.
      key: says who asks, where the old server wants to know.
      tell: told how far it is.

    Attributes:
      refused: by id, kind and reason of what was refused and not taken since.
    """

    def __init__(
        self,
        url: str,
        engine: PurgatorySync,
        heard: Heard,
        key: SecretKey,
        tell: Callable[[str], None],
    ) -> None:
        self.refused: dict[str, tuple[int, str]] = {}
        self._engine, self._tell = engine, tell
        self._record = Record(url)
        self._intake = heard.intake = Intake(self._offer, lambda _: None)
        shared = None
        if not engine.settings.sync.disable_negentropy:
            shared = Shared(Here(engine), self._intake.knows)
        clock = WallClock.from_system()
        self._common = Common(Wanted(), self._take, clock, shared, key)
        self._seen: defaultdict[int, set[str]] = defaultdict(set)
        self._came = 0
        self._doing = ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the offers until cancelled."""
        await self._intake.run(task_status=task_status)

    async def read(self, doing: str, condition: Filter, *, plain: bool = False) -> None:
        """Offer all that matches, each event once; returns when all is judged.

        Args:
          plain: what is here already comes too, and is counted.

        Raises:
          RelayUnread: the relay is not reached, refuses or breaks off; what came was offered.
        """
        self._came, self._doing = 0, doing
        self._tell(doing)
        try:
            question = OneQuestion(condition, plain)
            await read_once(question, self._record, self._common, self._engine.gate)
        finally:
            with trio.CancelScope(shield=True):
                await self._intake.settle()

    def begin_count(self) -> None:
        """From now on what comes is counted."""
        self._seen.clear()

    async def fates(self) -> Mapping[int, Fates]:
        """By kind, where the events are that came since `begin_count`."""
        return {kind: await self._fate(frozenset(ids)) for kind, ids in sorted(self._seen.items())}

    async def _fate(self, ids: frozenset[str]) -> Fates:
        served, rest = set[str](), sorted(ids)
        for start in range(0, len(rest), ID_BATCH):
            batch = frozenset(rest[start : start + ID_BATCH])
            served.update(await self._engine.store.find([Filter(ids=batch)], ID_BATCH))
        held = {each for each in ids - served if self._engine.purgatory.get(each) is not None}
        refused = (ids - served - held) & self.refused.keys()
        gone = ids - served - held - refused
        return Fates(frozenset(served), frozenset(held), frozenset(refused), gone)

    async def _take(self, event: Event, judged: Judged) -> None:
        self._came += 1
        if self._came % TELL_EVERY == 0:
            self._tell(f"{self._doing}: {self._came} events")
        self._seen[event.kind].add(event.id)
        await self._intake.take(event, judged)

    async def _offer(self, event: Event, origin: str) -> Answer:
        answer = await self._engine.offer(event, "sync")
        if answer.outcome is Outcome.REFUSED:
            self.refused[event.id] = (event.kind, answer.message)
        else:
            self.refused.pop(event.id, None)
        return answer
