"""Keeps the service's profile and relay list, and lets index relays know them (B 13.16)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from ...engine import PurgatorySync
from ...errors import PurgatorySyncError
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.keys import SecretKey
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...runtime.net.transport import default_tls_context
from ...urls import RELAY_SCHEMES, leads_to_service
from ..relay.nip11 import RelayInfo
from .drafts import Draft, drafts_of
from .index_visit import EXPECTED, VisitFailed, visit

FIRST_RETRY_SECS, MAX_RETRY_SECS = 60.0, 900.0
# Of what was signed in earlier years an index relay may still know some.
MOST_REMEMBERED: Final = 20

log = get_logger(__name__)


@attrs.define(eq=False)
class ServiceIdentity:
    """Makes the two events, or takes over what the key's owner published elsewhere.

    What it did not sign itself is never replaced: the operator may have another program for it.

    Attributes:
      info: what NIP-11 says, at the moment of the call.
      tls: for wss.
    """

    engine: PurgatorySync
    key: SecretKey
    info: Callable[[], RelayInfo]
    clock: WallClock
    tls: Callable[[], ssl.SSLContext] = default_tls_context
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def run(self) -> None:
        """Settle what is said, by what index relays know where the operator wants them asked.

        Returns when all of them know it, or at once where none is to be asked. Cancelled at any
        moment, the next start goes on.
        """
        settings = self.engine.settings
        if not settings.relay.publish_identity or not (relays := self._relays()):
            try:
                await self._settle([])
            except (VisitFailed, PurgatorySyncError) as error:
                log.warning("the service's own profile is not served", error=str(error))
            return
        async with trio.open_nursery() as nursery:
            for url in relays:
                nursery.start_soon(self._keep_telling, url)

    def _relays(self) -> list[str]:
        service = self.engine.settings.service
        listed = self.engine.settings.sync.user_index_relays
        return [url for url in listed if not leads_to_service(url, service, RELAY_SCHEMES)]

    async def _keep_telling(self, url: str) -> None:
        """Ask and tell one relay until it was told; it is asked again before each try."""
        delay = FIRST_RETRY_SECS
        while True:
            try:
                await self._tell(url)
                return
            except (*EXPECTED, PurgatorySyncError) as error:
                log.info(
                    "identity not published there yet",
                    url=url,
                    error=str(error) or type(error).__name__,
                    again_in_secs=delay,
                )
            except Exception:
                log.exception("publishing the identity crashed", url=url, again_in_secs=delay)
            await trio.sleep(delay)
            delay = min(2 * delay, MAX_RETRY_SECS)

    async def _tell(self, url: str) -> None:
        async with visit(url, self.engine.gate, self.tls) as there:
            found = await there.ask(self.key.pubkey)
            for event in await self._settle(found):
                made = self._made(event.kind)
                known = [each.id for each in found if each.kind == event.kind]
                if event.id in made and event.id not in known and set(known) <= set(made):
                    await there.tell(event)
                    log.info("identity published", url=url, kind=event.kind)

    async def _settle(self, found: Sequence[Event]) -> list[Event]:
        """The events that the service says of itself from now on; they are served here.

        Args:
          found: what an index relay knows of the key, verified; empty where none was asked.

        Raises:
          PurgatorySyncError: the store failed.
        """
        async with self._lock:
            settled = []
            for draft in drafts_of(self.info()):
                here = await self._served(draft.kind)
                known = [e for e in found if e.kind == draft.kind]
                event = await self._settle_kind(draft, here, known)
                settled += [event] if event is not None else []
        return settled

    async def _settle_kind(
        self, draft: Draft, here: Event | None, found: Sequence[Event]
    ) -> Event | None:
        known = [*found, *([here] if here is not None else [])]
        made = self._made(draft.kind)
        if foreign := [each for each in known if each.id not in made]:
            event = max(foreign, key=lambda each: each.order)
            if here is None or here.id != event.id:
                await self._take_over(event, here)
            if draft.is_said_by(event):  # of an earlier store of this very service
                await self._remember(draft.kind, event.id)
            return event
        newest = max(known, key=lambda each: each.order, default=None)
        if newest is None or not draft.is_said_by(newest):
            return await self._sign(draft, newest)
        if here is None or here.id != newest.id:
            await self._offer(newest)
        return newest

    async def _take_over(self, event: Event, here: Event | None) -> None:
        """Serve what was found, also where we signed something newer before we knew of it."""
        if here is not None and here.order > event.order:
            await self.engine.keepers.purger.purge(here.id, execute=True)
        await self._offer(event)
        log.info("identity taken over from an index relay", kind=event.kind, event_id=event.id)

    async def _sign(self, draft: Draft, before: Event | None) -> Event:
        at = int(self.clock.now())
        if before is not None:
            at = max(at, before.created_at + 1)
        event = self.key.sign(draft.kind, draft.content, draft.tags, at)
        await self._remember(draft.kind, event.id)
        await self._offer(event)
        log.info("identity signed", kind=event.kind, event_id=event.id)
        return event

    async def _offer(self, event: Event) -> None:
        answer = await self.engine.offer(event, "user")
        if not answer.accepted:
            raise VisitFailed(f"kind {event.kind} of our key is not served: {answer.message}")

    async def _served(self, kind: int) -> Event | None:
        condition = Filter(kinds=frozenset({kind}), authors=frozenset({self.key.pubkey}))
        found = await self.engine.query([condition], 1)
        return found[0] if found else None

    def _made(self, kind: int) -> list[str]:
        """The ids of the events of a kind that we signed, oldest first."""
        return (self.engine.keepers.lists.word(_word(kind)) or "").split()

    async def _remember(self, kind: int, event_id: str) -> None:
        """Before it is served: what is served and not remembered would count as another's."""
        ids = [*self._made(kind), event_id][-MOST_REMEMBERED:]
        await self.engine.keepers.lists.say(_word(kind), " ".join(ids))


def _word(kind: int) -> str:
    return f"identity-{kind}"
