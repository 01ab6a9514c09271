"""One connection to a relay: live subscriptions, and walks back through what it has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import attrs
import structlog
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection

from ...errors import InvalidEvent
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...runtime.clock import WallClock
from .history import Pages, Walk, in_batches
from .pace import Pace
from .progress import OVERLAP_SECS, Progress
from .reconciler import Reconciler, Shared
from .wanted import EVERYTHING, Values, Wanted
from .wire import Closed, EndOfStored, Reconciled, Sent, close, parse_relay_message, request

WALKS_AT_ONCE = 4
SILENCE_SECS = 30.0
RETRY_SECS, MAX_RETRY_SECS = 60.0, 3600.0
RENEW_SECS = 1.0
MAX_MALFORMED_IN_A_ROW = 100
# A relay that answers slower than the walks come; a new connection asks for all at once.
MAX_WALKS = 5_000


@attrs.define(eq=False)
class _Live:
    filters: tuple[Filter, ...]
    retry_secs: float = RETRY_SECS
    reopening: bool = False


@attrs.frozen
class _LastBatch:
    """The live subscription that grows: its number, and the positions of its values."""

    number: int
    start: int
    end: int


@attrs.define(eq=False)
class _Page:
    pages: Pages
    heard_at: float
    ended: trio.Event = attrs.field(factory=trio.Event)
    failure: str | None = None

    def fail(self, why: str) -> None:
        self.failure = why
        self.ended.set()


class Session:
    """Follows one relay until it closes the connection.

    Args:
      socket: a connection that is open.
      wanted: what by-reference filters carry; grows meanwhile.
      take: offers an event; may wait, and then nothing more is read.
      progress: of this relay.
      clock: Unix seconds, for `since`.
      log: a logger that knows the relay.
      shared: what is here; when given, history is reconciled with it where the relay offers that.
    """

    def __init__(
        self,
        socket: ClientConnection,
        wanted: Wanted,
        take: Callable[[Event], Awaitable[None]],
        progress: Progress,
        clock: WallClock,
        log: structlog.typing.FilteringBoundLogger,
        shared: Shared | None = None,
    ) -> None:
        self._socket = socket
        self._wanted = wanted
        self._take = take
        self._progress = progress
        self._clock = clock
        self._log = log
        self._pace = Pace()
        self._reconciler = Reconciler(shared, self._send, progress, self._pace, clock)
        self._open: dict[str, _Live | _Page] = {}
        self._number = 0
        self._walking = trio.CapacityLimiter(WALKS_AT_ONCE)
        self._walks_open = 0
        self._caught_up = False
        self._asked: dict[str, int] = {}
        self._live_batches: dict[str, _LastBatch] = {}
        self._malformed_in_a_row = 0
        self._nursery: trio.Nursery | None = None
        self.received = 0
        self.ended = "ended"

    async def run(self) -> None:
        """Subscribe at once, walk back, stay; returns when the connection is over.

        Cancellation leaves the connection to its owner; events that were taken are offered.
        """
        started = self._clock.now()
        since = self._progress.since(started)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._read)
                self._begin_walks(EVERYTHING, since)
                await self._subscribe("live", EVERYTHING)
                known = {v.letters: self._progress.walked.get(v.letters, 0) for v in self._values}
                if since is not None:
                    for values in self._values:
                        for filters in values.between(0, known[values.letters]):
                            self._begin_walks(filters, since)
                    self._asked |= known
                nursery.start_soon(self._keep_asking)
        finally:
            self._nursery = None
            if self._caught_up:
                self._progress.synced_until = self._clock.now()
                if since is None:
                    self._progress.full_at = started

    def ask(self, condition: Filter) -> None:
        """Walk through all that matches once more."""
        self._begin_walks((condition,), None)

    @property
    def _values(self) -> tuple[Values, Values]:
        return self._wanted.coordinates, self._wanted.roots

    async def _keep_asking(self) -> None:
        """Renew by-reference filters while what is wanted grows (B 10.2)."""
        while True:
            for values in self._values:
                await self._ask_for(values)
            await self._wanted.wait_beyond(*(self._asked.get(v.letters, 0) for v in self._values))
            await trio.sleep(RENEW_SECS)

    async def _ask_for(self, values: Values) -> None:
        """New values: through all of history, and from now on beside the old ones."""
        asked, end = self._asked.get(values.letters, 0), len(values)
        self._asked[values.letters] = end
        for filters in values.between(asked, end):
            self._begin_walks(filters, None)
        last = self._live_batches.get(values.letters, _LastBatch(0, 0, 0))
        if end == last.end:
            return
        for number, filters in enumerate(values.between(last.start, end), last.number):
            (batch,) = filters[0].tags.values()
            start = last.start if number == last.number else last.end
            last = _LastBatch(number, start, start + len(batch))
            self._live_batches[values.letters] = last
            await self._subscribe(f"{values.letters}{number}", filters)

    async def _subscribe(self, name: str, filters: tuple[Filter, ...]) -> None:
        """Live: of what the relay has only the newest is asked for, a walk brings the rest."""
        live = tuple(attrs.evolve(each, limit=1) for each in filters)
        self._open[name] = _Live(live)
        await self._send(request(name, live))

    async def _reopen(self, name: str, live: _Live) -> None:
        since = max(0, int(self._clock.now()) - OVERLAP_SECS)
        await trio.sleep(live.retry_secs)
        live.retry_secs = min(2 * live.retry_secs, MAX_RETRY_SECS)
        live.reopening = False
        if self._open.get(name) is live:
            await self._send(request(name, live.filters))
            self._begin_walks(live.filters, since)

    def _begin_walks(self, conditions: Iterable[Filter], since: int | None) -> None:
        if self._nursery is None:
            return
        for condition in conditions:
            if self._walks_open >= MAX_WALKS:
                self.ended = "too slow"
                self._nursery.cancel_scope.cancel()
                return
            self._walks_open += 1
            self._nursery.start_soon(self._walk, Walk(condition, since))

    async def _walk(self, walk: Walk) -> None:
        retry_secs = RETRY_SECS
        while True:
            async with self._walking:
                failure = await self._history(walk)
            if failure is None:
                break
            self._log.info("history cut short", error=failure)
            await trio.sleep(retry_secs)
            retry_secs = min(2 * retry_secs, MAX_RETRY_SECS)
        self._walks_open -= 1
        if self._walks_open == 0:
            self._caught_up = True
            self._progress.walked |= self._asked

    async def _history(self, walk: Walk) -> str | None:
        """Fetch what is lacking, or all; None at the end of history, else why it cannot go on."""
        lacking = await self._reconciler.lacking(walk.condition)
        if lacking is None:
            return await self._pages(walk)
        self._log.debug("history reconciled", lacking=len(lacking))
        for batch in in_batches(lacking):
            if (failure := await self._pages(batch)) is not None:
                return failure
        return None

    async def _pages(self, pages: Pages) -> str | None:
        """Ask for page after page; None at the end of them, else why it cannot go on."""
        while True:
            self._number += 1
            name = f"past{self._number}"
            page = self._open[name] = _Page(pages, self._pace.reading_time())
            try:
                await self._send(request(name, [pages.begin_page()]))
                await self._wait_for(page)
            finally:
                del self._open[name]
            await self._send(close(name))
            if page.failure is not None or not pages.page_ended():
                return page.failure

    async def _wait_for(self, page: _Page) -> None:
        """Until the page has ended; silence ends it too, but not while we ourselves are slow."""
        while (left := page.heard_at + SILENCE_SECS - self._pace.reading_time()) > 0:
            with trio.move_on_after(left):
                await page.ended.wait()
                return
        page.fail(f"silent for {SILENCE_SECS:g} s")

    async def _read(self) -> None:
        assert self._nursery is not None  # noqa: S101 - run() starts this task
        try:
            while self._malformed_in_a_row <= MAX_MALFORMED_IN_A_ROW:
                raw = await self._socket.recv(decode=False)
                with self._pace.held_up():
                    await self._pace.message()
                    await self._heard(raw)
            self.ended = "it speaks no NIP-01"
        except ConnectionClosed as error:
            self.ended = f"closed: {error}"
        self._nursery.cancel_scope.cancel()

    async def _heard(self, raw: bytes) -> None:
        try:
            message = parse_relay_message(raw)
        except InvalidEvent:
            self._malformed_in_a_row += 1
            return
        self._malformed_in_a_row = 0
        if isinstance(message, Sent):
            await self._sent(message)
        elif isinstance(message, EndOfStored):
            page = self._open.get(message.subscription)
            if isinstance(page, _Page):
                page.ended.set()
        elif isinstance(message, Closed):
            self._closed(message)
        elif isinstance(message, Reconciled):
            self._reconciler.heard(message)
        else:
            self._log.debug("relay says", name=message.name, text=message.text)
            self._reconciler.refused(message.text)

    async def _sent(self, message: Sent) -> None:
        """Take what was asked for; whatever else a relay sends is dropped."""
        opened, event = self._open.get(message.subscription), message.event
        if isinstance(opened, _Page):
            if not opened.pages.received(event):
                return
            opened.heard_at = self._pace.reading_time()
            if opened.pages.overfull:
                opened.fail("a page without end")
        elif opened is None or not any(each.matches(event) for each in opened.filters):
            return
        self.received += 1
        await self._take(event)

    def _closed(self, message: Closed) -> None:
        opened = self._open.get(message.subscription)
        self._reconciler.heard(Reconciled(message.subscription, None))
        if isinstance(opened, _Page):
            opened.fail(message.reason or "closed")
        elif opened is not None and not opened.reopening and self._nursery is not None:
            opened.reopening = True
            self._log.info("subscription closed by the relay", error=message.reason)
            self._nursery.start_soon(self._reopen, message.subscription, opened)

    async def _send(self, message: str) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed:
            # The reader notices too, and ends all tasks of the session.
            await trio.sleep_forever()
