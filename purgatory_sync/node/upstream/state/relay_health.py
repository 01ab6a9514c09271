"""The health of one relay: with reasons for the operator, as a coarse class in public."""

from __future__ import annotations

import enum
from typing import Final, Literal

import attrs
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ....errors import AttemptFailed, PrivateService, ResultClass

MAX_REASON_CHARS: Final = 300
_RATE_LIMITED: Final = (429, 503)


class Trouble(enum.StrEnum):
    """What is wrong with a relay, coarsely: what the outside may see (B 10.3)."""

    FORBIDDEN = "forbidden"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    CLOSED = "closed"
    NO_RELAY = "no_relay"
    MISBEHAVED = "misbehaved"
    LOCAL = "local"
    PRIVATE = "private"


_OF_RESULT: Final = {
    ResultClass.FORBIDDEN: Trouble.FORBIDDEN,
    ResultClass.TIMEOUT: Trouble.TIMEOUT,
    ResultClass.RATE_LIMITED: Trouble.RATE_LIMITED,
    ResultClass.REFUSED: Trouble.REFUSED,
    ResultClass.NOT_GIT: Trouble.NO_RELAY,
    ResultClass.LOCAL: Trouble.LOCAL,
}


@attrs.frozen
class Ending:
    """Why something with a relay did not go on.

    Attributes:
      reason: a sentence for the operator; it may hold a stranger's words.
    """

    trouble: Trouble
    reason: str

    @classmethod
    def of(cls, error: Exception) -> Ending:
        """What an exception of the gate, TLS or websockets means."""
        return cls(_trouble_of(error), str(error)[:MAX_REASON_CHARS] or type(error).__name__)


def _trouble_of(error: Exception) -> Trouble:
    if isinstance(error, PrivateService):
        return Trouble.PRIVATE
    if isinstance(error, AttemptFailed):
        return _OF_RESULT.get(error.result, Trouble.UNREACHABLE)
    if isinstance(error, InvalidStatus):
        limited = error.response.status_code in _RATE_LIMITED
        return Trouble.RATE_LIMITED if limited else Trouble.REFUSED
    if isinstance(error, ConnectionClosed):
        return Trouble.CLOSED
    if isinstance(error, WebSocketException):
        return Trouble.NO_RELAY
    return Trouble.TIMEOUT if isinstance(error, TimeoutError) else Trouble.UNREACHABLE


@attrs.frozen
class RelayStatus:
    """One relay that is followed, with every reason; times in Unix seconds.

    Attributes:
      found: who named it: the operator, announcements, or participants (only visited, B 15).
      owners: how many owners' announcements name it.
      connected_since: None while it is not connected.
      retry_at: when it is tried again; None while connected or connecting.
      failures: connections that did not last, in a row.
      last_event_at: when the last event came that was asked for.
      received: events that were asked for and came, over all connections.
      accepted, refused: what became of those that no other relay had brought before.
      history: how it is asked for what it has; None before that is known.
      trouble, reason, trouble_at: what went wrong last since it was last connected, or is wrong
        with this connection; None, empty and None where nothing is.
      not_followed: what it does not let us follow, or only now and then (B 10.5), in words without
        its reasons.
      never_shown: the gate refused it, and it was not connected since, or it is not known yet
        whether the gate will: not public (B 10.3).
    """

    url: str
    found: Literal["operator", "announcement", "outbox"]
    owners: int
    connected_since: float | None
    retry_at: float | None
    failures: int
    last_event_at: float | None
    received: int
    accepted: int
    refused: int
    history: Literal["negentropy", "req"] | None
    trouble: Trouble | None
    reason: str
    trouble_at: float | None
    never_shown: bool
    not_followed: tuple[str, ...] = ()

    @property
    def connected(self) -> bool:
        """Whether it is connected now."""
        return self.connected_since is not None


@attrs.define(eq=False)
class Health:
    """What is noted of one relay; times in Unix seconds, the meaning as in `RelayStatus`."""

    connected_since: float | None = None
    retry_at: float | None = None
    failures: int = 0
    last_event_at: float | None = None
    received: int = 0
    accepted: int = 0
    refused: int = 0
    history: Literal["negentropy", "req"] | None = None
    ending: Ending | None = None
    trouble_at: float | None = None
    _known: bool = attrs.field(default=False, init=False)
    _barred: bool = attrs.field(default=False, init=False)

    def connected(self, now: float) -> None:
        """A connection stands."""
        self.connected_since, self.retry_at = now, None
        self.ending, self.trouble_at = None, None
        self._known, self._barred = True, False

    def came(self, now: float) -> None:
        """An event that was asked for came."""
        self.received += 1
        self.last_event_at = now

    def judged(self, *, accepted: bool) -> None:
        """An event that it brought first was judged."""
        if accepted:
            self.accepted += 1
        else:
            self.refused += 1

    def complain(self, ending: Ending, now: float) -> None:
        """Something went wrong; the connection may stand all the same."""
        self.ending, self.trouble_at = ending, now

    def lost(self, ending: Ending, now: float) -> None:
        """There is no connection, or none any more."""
        self.complain(ending, now)
        if ending.trouble is Trouble.FORBIDDEN:
            # Until it is connected: that its name fails to resolve meanwhile is no news either.
            self._barred = True
        else:
            self._known = True
        self.connected_since = None

    def left(self, until: float) -> None:
        """It is wanted no more; if it is wanted again, it is not tried before this time."""
        if self.connected_since is not None or self.retry_at is None:
            self.connected_since, self.retry_at = None, until

    def look(
        self, url: str, *, pinned: bool, owners: int, not_followed: tuple[str, ...] = ()
    ) -> RelayStatus:
        """The relay at this moment."""
        return RelayStatus(
            url=url,
            found="operator" if pinned else "announcement",
            owners=owners,
            connected_since=self.connected_since,
            retry_at=self.retry_at,
            failures=self.failures,
            last_event_at=self.last_event_at,
            received=self.received,
            accepted=self.accepted,
            refused=self.refused,
            history=self.history,
            trouble=self.ending.trouble if self.ending else None,
            reason=self.ending.reason if self.ending else "",
            trouble_at=self.trouble_at,
            never_shown=self._barred or not self._known,
            not_followed=not_followed,
        )
