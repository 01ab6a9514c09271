"""The tokens of one domain: each comes back 60 s after its request went out (B 8.2).

In any 60 seconds a server sees at most as many starts as there are tokens, because a token's time
begins when the server has seen the request for certain.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import attrs

from ...runtime.sliding_window import SlidingWindow

WINDOW_SECS = 60.0


@attrs.define(eq=False)
class Token:
    """One start; its clock runs from the answer's first byte, or from the attempt's end.

    Attributes:
      taken_at: Trio's time at which it was taken.
      clocked: whether its clock runs (or it has been given back).
    """

    taken_at: float
    clocked: bool = False


class TokenBucket:
    """So many tokens; pure in `now`, which never runs backwards (seconds of Trio's clock).

    Args:
      size: tokens in any window.
      window_secs: how long a token is away once its clock runs.
    """

    def __init__(self, size: int, window_secs: float = WINDOW_SECS) -> None:
        self._window_secs = window_secs
        self._window = SlidingWindow(size, window_secs)
        self._unclocked: dict[Token, None] = {}
        self._last_back = -inf

    def available(self, now: float) -> int:
        """How many tokens can be taken."""
        return self._window.room(now, len(self._unclocked))

    def take(self, now: float) -> Token:
        """Take one that is available; the caller has looked."""
        token = Token(now)
        self._unclocked[token] = None
        return token

    def start_clock(self, token: Token, now: float) -> None:
        """The server has seen the request: back in 60 s. Only the first call counts."""
        if not token.clocked:
            token.clocked = True
            del self._unclocked[token]
            self._window.count(now)
            self._last_back = now + self._window_secs

    def give_back(self, token: Token) -> None:
        """No connection was begun: the token is available at once. Too late once its clock runs."""
        if not token.clocked:
            token.clocked = True
            del self._unclocked[token]

    def next_return(self, now: float) -> float:
        """When the next token becomes available: `now` if one is, infinite if no clock runs."""
        return self._window.next_at(now, len(self._unclocked))

    def all_back_at(self) -> float:
        """When the last token came or will come back; infinite while one has no clock."""
        return inf if self._unclocked else self._last_back

    def starts(self, now: float) -> tuple[float, ...]:
        """From when each outstanding token is counted, oldest first; what a restart must know."""
        unclocked = (token.taken_at for token in self._unclocked)
        return tuple(sorted((*self._window.counted(now), *unclocked)))

    def restore(self, starts: Iterable[float], now: float) -> None:
        """Count starts of an earlier run, given in this run's time; old ones are left out."""
        self._window.restore(starts, now)
        if counted := self._window.counted(now):
            self._last_back = counted[-1] + self._window_secs
