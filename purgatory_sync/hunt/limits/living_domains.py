"""Which domains live: at most 4,096, the idlest makes room (B 8.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf

import attrs
import trio

from .domain_throttle import DomainThrottle

MAX_DOMAINS = 4096
IDLE_SECS = 600.0


@attrs.define(eq=False)
class LivingDomain:
    """A domain's limits with the doorbell of its task and the scope that ends it."""

    throttle: DomainThrottle
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _bell: trio.MemorySendChannel[None] = attrs.field(init=False)
    _door: trio.MemoryReceiveChannel[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bell, self._door = trio.open_memory_channel[None](1)

    def ring(self) -> None:
        """Wake the task; never blocks, and rings once however often it is called."""
        with suppress(trio.WouldBlock):
            self._bell.send_nowait(None)

    async def wait(self, until: float) -> None:
        """Wait for the bell, at most until then (Trio's time)."""
        with trio.move_on_at(until):
            await self._door.receive()

    def ends_at(self) -> float:
        """When it has had no queue, token out or rest for ten minutes."""
        return self.throttle.idle_since() + IDLE_SECS


@attrs.define(eq=False)
class Domains:
    """The living domains, by name.

    Attributes:
      make: makes a domain's throttle.
      on_birth: called with each new domain, to start its task.
    """

    make: Callable[[str, float], DomainThrottle]
    on_birth: Callable[[LivingDomain], None]
    _living: dict[str, LivingDomain] = attrs.field(factory=dict)
    _full_until: float = -inf

    def __iter__(self) -> Iterator[LivingDomain]:
        return iter(tuple(self._living.values()))

    def __len__(self) -> int:
        return len(self._living)

    def get(self, domain: str) -> LivingDomain | None:
        """The domain if it lives."""
        return self._living.get(domain)

    def get_or_add(self, domain: str) -> LivingDomain | None:
        """The domain, begun if need be; None when no more can live."""
        living = self._living.get(domain)
        if living is None and self.has_room():
            if len(self._living) >= MAX_DOMAINS:
                self.end(self._idlest())
            living = LivingDomain(self.make(domain, trio.current_time()))
            self._living[domain] = living
            self.on_birth(living)
        return living

    def has_room(self) -> bool:
        """Whether a domain never seen could live: some are missing, or one is idle."""
        if len(self._living) < MAX_DOMAINS:
            return True
        now = trio.current_time()
        if now < self._full_until:
            return False
        if self._idlest().throttle.idle_since() <= now:
            return True
        # Looking at all of them for every newcomer would cost more than the newcomer does.
        self._full_until = now + 1.0
        return False

    def end(self, living: LivingDomain) -> None:
        """Forget a domain and end its task."""
        self._living.pop(living.throttle.domain, None)
        living.scope.cancel()

    def _idlest(self) -> LivingDomain:
        return min(self._living.values(), key=lambda living: living.throttle.idle_since())
