"""One connection to a relay: live subscriptions, and walks back through what it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import trio
from websockets.exceptions import ConnectionClosed

from ....errors import InvalidEvent
from ....nostr.filters import Filter
from ....runtime.logger import Log
from ...frames.frame_pump import FramePump
from ..state.filters_wanted import EVERYTHING, Values
from ..state.intake import OfferAnswer
from ..state.live_plan import LivePlan
from ..state.refusals import Meaning, meaning_of, refuses
from ..state.rejected_events import Settled
from ..state.relay_health import Ending, Trouble
from ..state.relay_limits import values_of
from ..state.shared import Common, Record
from ..state.walk_progress import FULL_EVERY_SECS, OVERLAP_SECS
from .auth_proof import Proof
from .dialling import ended
from .history import Walk, in_batches
from .listening import MAX_RETRY_SECS, RETRY_SECS, Listening, Live
from .misbehaviour import Wrong
from .read_pace import ReadPace
from .reconciler import Reconciler
from .relay_connection import Line
from .relay_messages import (
    Challenge,
    Closed,
    EndOfStored,
    Message,
    OtherMessage,
    Reconciled,
    Sent,
    Taken,
    parse_relay_message,
)
from .walks import Walks

RENEW_SECS = 1.0
# What is not listened to is here within a quarter of an hour (B 10.5).
POLL_SECS = 600.0
MAX_MALFORMED_IN_A_ROW = 100
RECENT_EVENTS = 500


class Session:
    """Follows one relay until it closes the connection, or has done too much wrong.

    Args:
      socket: a connection that is open.
      record: of this relay; outlives the session.
      common: what all sessions work with.
      log: a logger that knows the relay.
    """

    def __init__(
        self,
        socket: FramePump,
        record: Record,
        common: Common,
        log: Log,
    ) -> None:
        self._line = line = Line(socket, record, common, log, ReadPace())
        self._common = common
        self._progress = record.progress
        self._proof = Proof(line)
        self._reconciler = Reconciler(line, self._proof)
        self._plans = LivePlan(self._values[0]), LivePlan(self._values[1])
        self._listening = Listening(line, self._proof, self._plans)
        self._walks = Walks(line, self._reconciler, self._proof, self._catch_up, self._make_room)
        self._caught_up = False
        self._full_began: float | None = None
        self._asked: dict[str, int] = {}
        self._malformed_in_a_row = 0
        self._recent = Settled(RECENT_EVENTS)
        self._nursery: trio.Nursery | None = None

    async def run(self) -> Ending:
        """Subscribe at once, walk back, stay; returns why the connection is over.

        Cancellation leaves the connection to its owner; events that were taken are offered.
        """
        clock = self._common.clock
        started = clock.now()
        since = self._progress.since(started)
        self._full_began = started if since is None else None
        try:
            with self._line.scope:
                await self._follow(since)
        finally:
            self._nursery = None
            if self._caught_up:
                self._progress.synced_until = self._walks.behind_since or clock.now()
            if self._walks.fetching:
                self._progress.begin_anew()
        return self._line.ending

    @property
    def worked(self) -> bool:
        """Whether the relay answered a question of history to its end."""
        return self._walks.answered

    @property
    def polled(self) -> int:
        """How many values the relay is asked for only now and then."""
        asked = (f for filters in self._listening.polled() for f in filters)
        return sum(len(values_of(f)) for f in asked if {*f.tags} & {"a", "e"})

    def fetch(self, ids: Iterable[str]) -> None:
        """Fetch what has these ids, now or with all else over the next connection."""
        if self._nursery is not None:
            self._walks.begin_all(self._nursery, in_batches([*ids]))
        else:
            self._progress.begin_anew()

    def ask(self, conditions: Iterable[Filter]) -> None:
        """Ask for all of something once, where there is a connection; beside what is followed."""
        if self._nursery is not None:
            self._walks.begin_all(self._nursery, [Walk(each) for each in conditions])

    def begin_anew(self) -> None:
        """Look at all of history again, now or over the next connection."""
        if self._nursery is not None:
            self._walk_all(self._nursery)
        else:
            self._progress.begin_anew()

    async def _follow(self, since: int | None) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._read)
            if self._common.proves_first and not await self._proof.gain(0):
                self._line.end(Trouble.REFUSED, self._proof.why_not or "it does not ask for AUTH")
                return
            # What is published meanwhile comes by one or the other, if listening comes first.
            await self._listening.everything()
            known = {v.letters: self._progress.walked.get(v.letters, 0) for v in self._values}
            if since is not None:
                await self._listen_for_all()
            # What was published late has an old date: where negentropy is spoken, all is looked at.
            self._walks.begin(nursery, EVERYTHING, since, whole=True)
            if since is not None:
                for values in self._values:
                    past = values.between(0, known[values.letters])
                    self._walks.begin_slowly(nursery, past, since, whole=True)
                self._asked |= known
            nursery.start_soon(self._walk_daily, nursery)
            nursery.start_soon(self._poll, nursery)
            await self._keep_asking(nursery)

    async def _poll(self, nursery: trio.Nursery) -> None:
        """Ask now and then for what the relay does not tell us at once (B 10.5)."""
        asked_at = self._common.clock.now()
        while True:
            await trio.sleep(POLL_SECS)
            await self._listening.adjust()
            since, asked_at = max(0, int(asked_at) - OVERLAP_SECS), self._common.clock.now()
            self._walks.begin_slowly(nursery, self._listening.polled(), since)
            self._tell_operator()

    def _tell_operator(self) -> None:
        """Say once what the relay does not let us follow; the status says it all the time."""
        limits = self._line.record.limits
        if limits.operator_knows or not (what := limits.not_followed(self.polled)):
            return
        limits.operator_knows = True
        self._line.log.warning(
            "a relay does not let us follow all: ask its operator for more, or name further relays "
            "in announcements",
            not_followed="; ".join(what),
        )

    async def _make_room(self) -> bool:
        """The relay says that there are too many subscriptions; whether there are fewer now."""
        stand = self._listening.standing + self._walks.standing
        fewer = self._line.record.limits.too_many_open(stand)
        await self._listening.adjust()
        return fewer

    async def _walk_daily(self, nursery: trio.Nursery) -> None:
        """Look at all of history again: what is new there is old by its date, or was refused once.

        A refusal for want of room, say, is not remembered and may be taken back by now.
        """
        while True:
            await trio.sleep(FULL_EVERY_SECS)
            self._walk_all(nursery)

    def _walk_all(self, nursery: trio.Nursery) -> None:
        self._full_began = self._common.clock.now()
        self._walks.begin(nursery, EVERYTHING, None)
        for values in self._values:
            past = values.between(0, self._asked.get(values.letters, 0))
            self._walks.begin_slowly(nursery, past, None)

    def _catch_up(self) -> None:
        self._caught_up = True
        if self._full_began is not None:
            self._progress.full_at, self._full_began = self._full_began, None
        self._progress.walked |= self._asked

    @property
    def _values(self) -> tuple[Values, Values]:
        return self._common.wanted.coordinates, self._common.wanted.ids

    async def _keep_asking(self, nursery: trio.Nursery) -> None:
        """Renew by-reference filters while what is wanted grows (B 10.2)."""
        wanted = self._common.wanted
        for values in self._values:
            self._walks.begin_slowly(nursery, await self._new(values), None)
        while True:
            for values in self._values:
                for filters in await self._new(values):
                    self._walks.begin(nursery, filters, None)
            await wanted.wait_beyond(*(self._asked.get(v.letters, 0) for v in self._values))
            await trio.sleep(RENEW_SECS)

    async def _new(self, values: Values) -> Iterator[tuple[Filter, ...]]:
        """Listen for new values beside the old ones; what is to be walked at once for them."""
        asked, end = self._asked.get(values.letters, 0), values.end
        plan = next(each for each in self._plans if each.values is values)
        plan.wanted = end
        await self._listening.adjust()
        self._asked[values.letters] = end
        return values.between(asked, end)

    async def _listen_for_all(self) -> None:
        for plan in self._plans:
            plan.wanted = plan.values.end
        await self._listening.adjust()

    async def _reopen(self, live: Live, reason: str) -> None:
        """Open again what the relay closed after it had stood, and fill the gap."""
        since = max(0, int(self._common.clock.now()) - OVERLAP_SECS)
        wants_proof = meaning_of(reason) is Meaning.PROOF
        if not wants_proof or not await self._proof.gain(live.given):
            why = (self._proof.why_not if wants_proof else "") or reason or "no reason"
            self._line.complain(Trouble.REFUSED, f"subscription closed: {why}")
            await trio.sleep(live.retry_secs)
            live.retry_secs = min(2 * live.retry_secs, MAX_RETRY_SECS)
        live.reopening = False
        if self._listening.get(live.piece.name) is live and self._nursery is not None:
            await self._listening.reopen(live)
            self._walks.begin(self._nursery, live.piece.filters, since)

    async def _read(self) -> None:
        pace = self._line.pace
        try:
            while self._malformed_in_a_row <= MAX_MALFORMED_IN_A_ROW:
                _, raw = await self._line.socket.receive()
                with pace.held_up():
                    await pace.message()
                    await self._heard(raw)
            self._line.end(Trouble.NO_RELAY, "it speaks no NIP-01")
        except ConnectionClosed as error:
            ending = ended(error)
            self._line.end(ending.trouble, ending.reason)

    async def _heard(self, raw: bytes) -> None:
        try:
            message = parse_relay_message(raw)
        except InvalidEvent:
            self._malformed_in_a_row += 1
            self._line.wrong(Wrong.NOISE)
            return
        self._malformed_in_a_row = 0
        if isinstance(message, Sent):
            await self._sent(message)
        elif not self._understood(message):
            self._line.wrong(Wrong.NOISE)

    def _understood(self, message: Message) -> bool:
        """Do what a message that brings no event says; False when it belongs to nothing."""
        match message:
            case EndOfStored(name):
                return self._ended(name)
            case Closed(name, reason):
                return self._closed(name, reason)
            case Reconciled():
                return self._reconciler.heard(message)
            case Challenge(text):
                self._proof.challenged(text)
            case Taken():
                return self._proof.heard(message)
            case OtherMessage(name, text):
                self._line.log.debug("relay says", name=name, text=text)
                self._reconciler.refused(text)
                if name == "NOTICE":
                    self._noticed(text)
        return False

    def _ended(self, name: str) -> bool:
        if self._walks.has(name):
            self._walks.ended(name)
            return True
        live = self._listening.get(name)
        if live is None or live.answered:
            return False
        live.answered = True
        live.settled.set()
        return True

    def _noticed(self, text: str) -> None:
        """A NOTICE belongs to nothing by name; it may refuse what was not answered yet."""
        if self._nursery is None or not refuses(text):
            return
        meaning = meaning_of(text)
        at_once = meaning in (Meaning.PLACES, Meaning.RATE)
        asked = self._listening.noticed(text)
        asked |= self._walks.noticed(self._nursery, text, at_once=at_once)
        if meaning is Meaning.RATE:
            self._line.limited(text)
        elif meaning is Meaning.PLACES and not asked:
            # Some answer what is stored, and say behind it that nothing more will come.
            self._listening.last_is_dead()
            self._nursery.start_soon(self._make_room)

    async def _sent(self, message: Sent) -> None:
        """Take what was asked for; all else that a relay sends is dropped."""
        name, event = message.subscription, message.event
        live = self._listening.get(name)
        if self._walks.has(name):
            asked = self._walks.came(name, event)
        else:
            asked = live is not None and any(f.matches(event) for f in live.piece.filters)
        if not asked:
            self._line.wrong(Wrong.UNASKED)
            return
        if event in self._recent:
            self._line.wrong(Wrong.REPEATED)
        else:
            self._recent.add(event)
            self._line.patience.good += 1
        self._line.record.health.came(self._common.clock.now())
        await self._common.take(event, self._judged)

    def _judged(self, answer: OfferAnswer) -> None:
        """The engine's word on an event that this relay brought first."""
        self._line.record.health.judged(accepted=answer.accepted)
        if answer.forged:
            self._line.wrong(Wrong.FORGED)

    def _closed(self, name: str, reason: str) -> bool:
        if self._walks.has(name):
            self._walks.closed(name, reason)
            return True
        live = self._listening.get(name)
        if live is None:
            return self._reconciler.heard(Reconciled(name, None, reason))
        if not live.settled.is_set():
            live.fail(reason or "closed")
            return True
        if live.reopening or live.failure is not None or self._nursery is None:
            return False
        live.reopening, live.answered = True, False
        if trio.current_time() - live.opened_at >= MAX_RETRY_SECS:
            live.retry_secs = RETRY_SECS
        self._line.log.info("subscription closed by the relay", error=reason)
        self._nursery.start_soon(self._reopen, live, reason)
        return True
