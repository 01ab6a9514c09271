"""One visit to a relay that participants name: a few questions, within bounds, no subscription."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from ...runtime.logger import Log, get_logger
from ...runtime.net.gate import Gate
from ...settings import MIB
from ...urls import RELAY_SCHEMES, parse_web_url
from ..frames.frame_pump import FramePump
from ..upstream.connection.dialling import dial
from ..upstream.connection.document import learn_limits
from ..upstream.connection.history import Walk
from ..upstream.connection.relay_messages import Sent
from ..upstream.connection.session import Session
from ..upstream.state.intake import OfferAnswer
from ..upstream.state.relay_health import Ending, Trouble
from ..upstream.state.shared import Common, Record
from ..upstream.supervisor import EXPECTED
from .questions import Question

VISIT_SECS: Final = 60.0
EVENTS_OF_VISIT, KEPT_OF_VISIT = 5_000, 1_000
BYTES_OF_VISIT: Final = 16 * MIB

log = get_logger(__name__)


@attrs.frozen
class Visited:
    """How a visit ended.

    Attributes:
      complete: all questions were answered, or refused for good.
      full: it ended since it brought as much as one visit may.
      ending: why it is not complete; None where it is.
      connected: whether there was a connection at all.
    """

    complete: bool
    full: bool = False
    ending: Ending | None = None
    connected: bool = True


@attrs.frozen
class Visitor:
    """Makes visits.

    Attributes:
      tls: for wss; called at each visit.
      common: what sessions work with; it has no key, for an outbox is a stranger's (NIP-42).
      judged: is told of each event that a visit was the first to bring whether it was taken.
    """

    common: Callable[[], Common]
    gate: Gate
    tls: Callable[[], ssl.SSLContext]
    judged: Callable[[bool], None]

    async def visit(self, record: Record, questions: Sequence[Question]) -> Visited:
        """Connect, ask, hand on what comes, and leave within 60 s.

        Cancelled, the connection is closed; what came was offered.
        """
        url, bound = parse_web_url(record.url, RELAY_SCHEMES), log.bind(url=record.url)
        health, common = record.health, self.common()
        connected, session = False, None
        ending: Ending | None = None
        with trio.move_on_after(VISIT_SECS) as limit:
            try:
                tls, now = self.tls(), common.clock.now()
                await learn_limits(record.limits, url, self.gate, tls, now, bound)
                async with dial(url, self.gate, tls) as socket:
                    health.connected(common.clock.now())
                    connected = True
                    session = _Visit(socket, record, common, bound, self.judged)
                    ending = await session.visit(questions)
            except EXPECTED as error:
                ending = ending or Ending.of(error)
        if limit.cancelled_caught:
            ending = Ending(Trouble.TIMEOUT, f"a visit took more than {VISIT_SECS:g} s")
        if session is not None and session.complete:
            health.connected_since = None
            return Visited(complete=True)
        ending = ending or Ending(Trouble.CLOSED, "ended")
        full = session is not None and session.full
        if full:
            health.connected_since = None
        else:
            health.lost(ending, common.clock.now())
        return Visited(complete=False, full=full, ending=ending, connected=connected)


class _Visit(Session):
    """A session that follows nothing.

    Attributes:
      complete: whether all questions came to their end.
      full: whether it brought as much as one visit may.
    """

    def __init__(
        self,
        socket: FramePump,
        record: Record,
        common: Common,
        log: Log,
        judged: Callable[[bool], None],
    ) -> None:
        super().__init__(socket, record, common, log)
        self.complete = self.full = False
        self._questions: Sequence[Question] = ()
        self._tell = judged
        self._over = trio.Event()
        self._events = self._kept = self._bytes = 0

    async def visit(self, questions: Sequence[Question]) -> Ending:
        """Ask all of these; why the connection is over."""
        self._questions = questions
        return await self.run()

    async def _follow(self, since: int | None) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._read)
            self._walks.begin_all(nursery, [Walk(each, start) for each, start in self._questions])
            if self._questions:
                await self._over.wait()
            self.complete = True
            nursery.cancel_scope.cancel()

    def _catch_up(self) -> None:
        """No walk is left, or each that is left was refused."""
        self._over.set()

    async def _heard(self, raw: bytes) -> None:
        self._bytes += len(raw)
        if self._bytes > BYTES_OF_VISIT:
            return self._fill(f"{BYTES_OF_VISIT // MIB} MiB")
        await super()._heard(raw)

    async def _sent(self, message: Sent) -> None:
        self._events += 1
        if self._events > EVENTS_OF_VISIT:
            return self._fill(f"{EVENTS_OF_VISIT} events")
        await super()._sent(message)

    def _judged(self, answer: OfferAnswer) -> None:
        super()._judged(answer)
        self._tell(answer.accepted)
        self._kept += answer.accepted
        if self._kept >= KEPT_OF_VISIT:
            self._fill(f"{KEPT_OF_VISIT} events that are new here")

    def _fill(self, what: str) -> None:
        """It brought enough for once."""
        self.full = True
        self._line.end(Trouble.CLOSED, f"a visit brings at most {what}")
