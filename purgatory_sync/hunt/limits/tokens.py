"""The token bucket of one domain: each token comes back 60 s after its request went out (B 8.2).

A bucket that refills continuously would let a server see 60 starts within 60 seconds; this one
lets it see 30, because a token's time begins when the server has seen the request for certain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

import attrs

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


@attrs.define(eq=False)
class TokenBucket:
    """So many tokens; pure in `now`, which never runs backwards (seconds of Trio's clock)."""

    size: int
    window_secs: float = WINDOW_SECS
    _unclocked: dict[Token, None] = attrs.field(factory=dict)
    _returning: deque[float] = attrs.field(factory=deque)
    _last_back: float = -inf

    def available(self, now: float) -> int:
        """How many tokens can be taken."""
        returning = self._returning
        while returning and returning[0] <= now:
            returning.popleft()
        return max(0, self.size - len(self._unclocked) - len(returning))

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
            self._last_back = now + self.window_secs
            self._returning.append(self._last_back)

    def give_back(self, token: Token) -> None:
        """No connection was begun: the token is available at once. Too late once its clock runs."""
        if not token.clocked:
            token.clocked = True
            del self._unclocked[token]

    def next_return(self, now: float) -> float:
        """When the next token becomes available: `now` if one is, infinite if no clock runs."""
        if self.available(now):
            return now
        excess = len(self._unclocked) + len(self._returning) - self.size
        return self._returning[excess] if excess < len(self._returning) else inf

    def all_back_at(self) -> float:
        """When the last token came or will come back; infinite while one has no clock."""
        return inf if self._unclocked else self._last_back

    def starts(self, now: float) -> tuple[float, ...]:
        """From when each outstanding token is counted, oldest first; what a restart must know."""
        self.available(now)
        clocked = (at - self.window_secs for at in self._returning)
        return tuple(sorted((*clocked, *(token.taken_at for token in self._unclocked))))

    def restore(self, starts: Iterable[float], now: float) -> None:
        """Count starts of an earlier run, given in this run's time; old ones are left out."""
        back = (start + self.window_secs for start in starts)
        self._returning = deque(sorted((*self._returning, *(at for at in back if at > now))))
        if self._returning:
            self._last_back = self._returning[-1]
