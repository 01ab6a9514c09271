"""Live subscriptions of one connection: what is newest, within what the relay allows (B 10.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import attrs
import trio

from ....nostr.filters import Filter
from ..state.filters_wanted import EVERYTHING
from ..state.live_plan import LivePlan, Piece, newest_of_all
from ..state.refusals import Meaning, meaning_of
from ..state.relay_health import Trouble
from ..state.relay_limits import RelayLimits, shape_of
from .auth_proof import Proof
from .relay_connection import Line
from .relay_messages import close, request

# Not longer: some relays never say EOSE where nothing is stored.
ANSWER_SECS: Final = 5.0
RETRY_SECS, MAX_RETRY_SECS = 60.0, 3600.0


@attrs.define(eq=False)
class Live:
    """A subscription that is open, or was asked for.

    Attributes:
      given: how many proofs the relay had taken when it was asked for.
      answered: EOSE came.
      failure: why the relay does not serve it.
    """

    piece: Piece
    given: int
    opened_at: float
    answered: bool = False
    failure: str | None = None
    settled: trio.Event = attrs.field(factory=trio.Event)
    retry_secs: float = RETRY_SECS
    reopening: bool = False

    @property
    def filters(self) -> tuple[Filter, ...]:
        """What is asked for: of what the relay has only the newest, a walk brings the rest."""
        return tuple(attrs.evolve(each, limit=1) for each in self.piece.filters)

    def fail(self, reason: str) -> None:
        """The relay does not serve it."""
        if not self.settled.is_set():
            self.failure = reason
            self.settled.set()


class Listening:
    """Opens and closes live subscriptions.

    Args:
      plans: of what is asked for by reference.
    """

    def __init__(self, line: Line, proof: Proof, plans: tuple[LivePlan, ...]) -> None:
        self._line = line
        self._limits: RelayLimits = line.record.limits
        self._proof = proof
        self._plans = plans
        self._live: dict[str, Live] = {}
        self._changing = trio.Lock()
        self._patience_secs = ANSWER_SECS

    def get(self, name: str) -> Live | None:
        """The subscription of this name."""
        return self._live.get(name)

    @property
    def standing(self) -> int:
        """How many stand."""
        return sum(live.answered for live in self._live.values())

    def noticed(self, text: str) -> bool:
        """A NOTICE may refuse what was not answered; whether there is anything."""
        waiting = [live for live in self._live.values() if not live.settled.is_set()]
        for live in waiting:
            live.fail(text)
        return bool(waiting)

    def last_is_dead(self) -> None:
        """The subscription that was opened last brings nothing: it is to be opened again."""
        if self._live:
            self._live.popitem()

    async def everything(self) -> None:
        """Listen to what is asked for independent of what is here."""
        await self._change(self._of_everything, closing=False)

    async def adjust(self) -> None:
        """Listen to what is newest, within what the relay allows, and to no more."""
        await self._change(self._wanted, closing=True)

    def polled(self) -> Iterator[tuple[Filter, ...]]:
        """What is not listened to."""
        stands = {name for name, live in self._live.items() if live.answered}
        pieces = (*self._of_everything(), *newest_of_all(self._plans, self._limits))
        return (piece.filters for piece in pieces if piece.name not in stands)

    async def reopen(self, live: Live) -> None:
        """Ask again for what the relay had closed."""
        live.given, live.answered, live.failure = self._proof.given, False, None
        live.opened_at, live.settled = trio.current_time(), trio.Event()
        await self._line.send(request(live.piece.name, live.filters))

    def _of_everything(self) -> list[Piece]:
        fitting = [each for one in EVERYTHING for each in self._limits.form("kinds").fit(one)]
        if self._limits.filters >= len(fitting):
            pieces = [Piece("live", tuple(fitting), len(fitting))]
        else:
            pieces = [Piece(f"live{n}", (each,), 1) for n, each in enumerate(fitting)]
        return pieces

    def _wanted(self) -> list[Piece]:
        of_everything = self._of_everything()
        for plan in self._plans:
            plan.grow(self._limits)
        pieces = filter(self._may_listen, newest_of_all(self._plans, self._limits))
        room = max(0, self._limits.live - len(of_everything))
        of_everything = [*filter(self._may_listen, of_everything)]
        return [*of_everything, *islice(pieces, room)]

    def _may_listen(self, piece: Piece) -> bool:
        now = self._line.common.clock.now()
        return not self._limits.refuses_live(_shapes(piece), now)

    async def _change(self, wanted_now: Callable[[], list[Piece]], *, closing: bool) -> None:
        async with self._changing:
            while True:
                wanted = {piece.name: piece for piece in wanted_now()}
                if closing:
                    await self._close_all_but(wanted)
                new = (p for p in wanted.values() if self._may_open(p))
                if (piece := next(new, None)) is None:
                    return
                await self._open(piece)

    def _may_open(self, piece: Piece) -> bool:
        live = self._live.get(piece.name)
        listens = live is not None and live.piece.filters == piece.filters
        return not listens and self._may_listen(piece)

    async def _close_all_but(self, wanted: dict[str, Piece]) -> None:
        for name in [name for name in self._live if name not in wanted]:
            del self._live[name]
            await self._line.send(close(name))

    async def _open(self, piece: Piece) -> None:
        await self._line.turn()
        self._live.pop(piece.name, None)
        live = Live(piece, self._proof.given, trio.current_time())
        self._live[piece.name] = live
        await self._line.send(request(piece.name, live.filters))
        await self._wait_for(live)
        if not live.settled.is_set() and self.standing:
            live.fail("not answered")
        self._patience_secs = ANSWER_SECS if live.settled.is_set() else 0.0
        if live.failure is not None:
            del self._live[piece.name]
            await self._refused(live, live.failure)
        elif live.answered:
            self._limits.answered()

    async def _wait_for(self, live: Live) -> None:
        """Until the relay answers or has had its time; we ourselves may be slow to read."""
        pace = self._line.pace
        until = pace.reading_time() + self._patience_secs
        while (left := until - pace.reading_time()) > 0 and not live.settled.is_set():
            with trio.move_on_after(left):
                await live.settled.wait()

    async def _refused(self, live: Live, reason: str) -> None:
        """Find another way to listen, or leave it to walks for a day."""
        meaning = meaning_of(reason)
        self._line.log.info("subscription refused by the relay", error=reason)
        if meaning is Meaning.PROOF:
            if await self._proof.gain(live.given):
                return
            reason = self._proof.why_not or reason
        elif meaning is Meaning.RATE:
            return self._line.limited(f"subscription closed: {reason}")
        elif meaning is Meaning.PLACES or self._same_stands(live.piece):
            if self._limits.too_many_open(self.standing):
                return
        elif len(live.piece.filters) > 1:
            self._limits.filters = 1
            return
        else:
            (condition,) = live.piece.filters
            form = self._limits.form(shape_of(condition))
            if form.refused(condition, reason, wants_kinds=meaning is Meaning.KINDS):
                return
        self._line.complain(Trouble.REFUSED, f"subscription closed: {reason}")
        self._limits.refuse_live(_shapes(live.piece), self._line.common.clock.now())

    def _same_stands(self, piece: Piece) -> bool:
        """Whether it was not the form that was refused: another one like it stands."""
        return any(
            live.answered
            and _shapes(live.piece) == _shapes(piece)
            and live.piece.values >= piece.values
            for live in self._live.values()
        )


def _shapes(piece: Piece) -> str:
    if not piece.filters[0].tags:
        return piece.name
    return "".join(sorted({shape_of(each) for each in piece.filters}))
