"""Telling one relay who we are, where it asks for that (NIP-42)."""

from __future__ import annotations

from typing import Final

import trio

from ....errors import InvalidEvent
from ....nostr.auth import auth_event
from ....nostr.event import Event
from ..state.relay_health import Trouble
from .relay_connection import Line
from .relay_messages import Taken, authenticate

REQUIRED: Final = "auth-required:"
CHALLENGE_SECS: Final = 5.0
ANSWER_SECS: Final = 10.0
MAX_PROOFS: Final = 5


class Proof:
    """Answers the relay's challenges over one connection, when it lets nothing through without.

    A proof is good for the URL that was dialled only, so that a relay cannot pass it on. At most
    five are given on one connection; a relay that wants more is left.

    Attributes:
      given: how many proofs the relay took.
      why_not: why it has not taken the last one, or empty.
    """

    def __init__(self, line: Line) -> None:
        self.given = 0
        self.why_not = ""
        self._line = line
        self._signed = 0
        self._challenge: str | None = None
        self._challenged = trio.Event()
        self._waiting_for: str | None = None
        self._taken: Taken | None = None
        self._answered = trio.Event()
        self._giving = trio.Lock()

    def challenged(self, challenge: str) -> None:
        """The relay says what is to be signed; only the last such word counts."""
        self._challenge = challenge
        self._challenged.set()

    def heard(self, taken: Taken) -> bool:
        """The relay says OK or not; whether it answers a proof."""
        if taken.event_id != self._waiting_for:
            return False
        self._taken = taken
        self._answered.set()
        return True

    async def gain(self, given: int) -> bool:
        """Say who we are, unless that was done since; True: what was refused may be asked again.

        Args:
          given: how many proofs the relay had taken when it was asked for what it refused.

        Cancelled, the relay may have been told.
        """
        async with self._giving:
            if self.given > given:
                return True
            challenge = await self._next_challenge()
            if challenge is None or self._line.common.key is None:
                return False
            if self._signed >= MAX_PROOFS:
                self._line.end(Trouble.MISBEHAVED, "it asks again and again who we are")
                return False
            return await self._give(challenge)

    async def _next_challenge(self) -> str | None:
        """One that was not answered yet; relays may send it after their refusal."""
        with trio.move_on_after(CHALLENGE_SECS):
            await self._challenged.wait()
        self._challenged = trio.Event()
        challenge, self._challenge = self._challenge, None
        return challenge

    async def _give(self, challenge: str) -> bool:
        line, key = self._line, self._line.common.key
        assert key is not None  # noqa: S101 - gain() looked
        try:
            event = auth_event(key, line.record.url, challenge, line.common.clock.now())
        except InvalidEvent as error:
            self.why_not = f"AUTH: {error}"
            return False
        self._signed += 1
        taken = await self._send(event)
        if taken is None or not taken.accepted:
            self.why_not = f"AUTH refused: {taken.text if taken else 'no answer'}"
            return False
        self.why_not = ""
        self.given += 1
        line.log.info("relay knows us")
        return True

    async def _send(self, event: Event) -> Taken | None:
        """Send a proof; what the relay says to it, or None."""
        self._waiting_for, self._answered, self._taken = event.id, trio.Event(), None
        await self._line.send(authenticate(event))
        with trio.move_on_after(ANSWER_SECS):
            await self._answered.wait()
        self._waiting_for = None
        return self._taken
