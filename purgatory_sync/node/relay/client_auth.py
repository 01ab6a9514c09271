"""Who a client has proven to be (NIP-42), and what it may therefore publish (NIP-70).

A client is asked only when an event needs it: many clients know nothing of AUTH.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from ...nostr.auth import check_auth
from ...nostr.event import Event

# A client that speaks for many has many keys; each costs memory for as long as it is connected.
MAX_KEYS: Final = 100

AUTH_REQUIRED: Final = (
    "auth-required: a protected event is taken from its author: answer AUTH and send it again"
)
OTHERS: Final = (
    "restricted: a protected event is taken from its author only, and you have proven to be another"
)
TOO_MANY: Final = "rate-limited: too many keys on one connection: open another one"


class Identity:
    """One connection's challenge and the keys that answered it.

    Args:
      service: our host[:port], as clients name it in AUTH.
      now: Unix seconds.
      admits: why a key may not be used here, or empty; all may when absent.

    Attributes:
      proven: the keys that answered.
    """

    def __init__(
        self,
        service: str,
        now: Callable[[], float],
        admits: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._service = service
        self._now = now
        self._admits = admits
        self.proven: set[str] = set()
        self.challenge = secrets.token_hex(16)

    def prove(self, event: Event) -> str:
        """Take an answer to AUTH; empty, or why the key may not be used here.

        Raises:
          InvalidEvent: it proves nothing, with the reason.
        """
        if len(self.proven) >= MAX_KEYS and event.pubkey not in self.proven:
            return TOO_MANY
        check_auth(event, self._service, self.challenge, self._now())
        if why := self._admits(event.pubkey):
            return why
        self.proven.add(event.pubkey)
        return ""

    def refusal(self, event: Event) -> str:
        """Why a protected event is not taken from this client; empty when it is."""
        if event.pubkey in self.proven:
            return ""
        return OTHERS if self.proven else AUTH_REQUIRED
