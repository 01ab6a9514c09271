"""The relay: NIP-01, 42, 45, 70 and 77 over one WebSocket, in front of what keeps events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import ceil
from typing import Protocol

import trio
from websockets.frames import CloseCode

from ...errors import InvalidEvent, TooMuchWork
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.reconciliation.inventory import Inventory
from ...runtime.blocking import blocking
from ...runtime.logger import get_logger
from ...runtime.sliding_window import SlidingWindow
from ...settings import RelaySettings
from ..http.server_stream import Gone
from . import client_messages
from .client_auth import Identity
from .client_messages import (
    Authenticate,
    Count,
    EndReconciling,
    InvalidMessage,
    Message,
    Publish,
    Reconcile,
    Req,
)
from .negentropy_sessions import ClientReconciling, Reconciling
from .outbox import Outbox
from .subscriptions import ID_BYTES, Subscription, Subscriptions

# A client that sends nothing but nonsense is closed after so many messages in a row.
MAX_INVALID_IN_A_ROW = 100
# Stored events are read so many at once, as many as make about so many bytes.
FIRST_PAGE_EVENTS, MAX_PAGE_EVENTS, PAGE_BYTES = 8, 500, 1 << 20
# Longer ones take tens of milliseconds: the loop must not wait for them.
MAX_CHARS_IN_LOOP = 64 * 1024
# What is being sent when a client turns out to be too slow has so long to get through.
LAST_WORDS_SECS = 2.0
RATE_SECS = 60.0
PROTECTED = "blocked: protected events are not taken here: send it without the tag, or elsewhere"
NOT_ASKED = "invalid: this relay does not ask for AUTH here"
LOOK_UP_FAILED = "error: the relay failed to look this up: ask again later"

log = get_logger(__name__)


class Backend(Protocol):
    """What judges and keeps events."""

    async def offer(self, event: Event) -> tuple[bool, str]:
        """Judge an event, its id and signature too; both values go into OK."""

    # What takes too much work to look up ends with TooMuchWork.

    async def find(self, filters: Sequence[Filter], limit: int) -> Sequence[str]:
        """Ids of served events that match any filter, newest first; at most `limit` for each."""

    async def count(self, filters: Sequence[Filter]) -> int:
        """How many served events match any filter; `limit` is ignored."""

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        """What `find` yields for a filter, as reconciling needs it (NIP-77)."""

    async def load(self, ids: Sequence[str]) -> Sequence[Event]:
        """The served events with these ids, newest first; what is not served any more is absent."""


class Door(Protocol):
    """What keeps one client out until it has proven who it is; it answers what comes before."""

    @property
    def identity(self) -> Identity:
        """The client's challenge, and what it has proven."""

    @property
    def is_open(self) -> bool:
        """Whether the client may be served, at this moment."""

    @property
    def over(self) -> str:
        """Why the client has to leave; empty while it need not."""

    def greeting(self) -> bytes:
        """The first message to the client."""

    def answer(self, raw: str | bytes) -> bytes:
        """What a client hears that is not let in."""

    async def wait_over(self) -> None:
        """Return when the client has to leave."""


class RelaySocket(Protocol):
    """What the relay needs of a WebSocket; receive and send raise Gone when it is closed."""

    async def receive(self) -> str | bytes: ...

    async def send(self, *messages: bytes) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...

    async def wait_closed(self) -> None:
        """Return when it is closed, although messages may be left to receive."""


class Relay:
    """Serves any number of clients.

    Args:
      backend: judges what is published, answers queries.
      subscriptions: its `broadcast` is called with each event that becomes served.
      settings: limits of one connection.
      identify: makes each client's identity; without it protected events are refused (NIP-70).
      doors: makes the door of a client by its address, for as long as it is here; without it
        every client is served.
    """

    def __init__(
        self,
        backend: Backend,
        subscriptions: Subscriptions,
        settings: RelaySettings,
        identify: Callable[[], Identity] | None = None,
        doors: Callable[[str], AbstractContextManager[Door]] | None = None,
    ) -> None:
        self._backend = backend
        self._subscriptions = subscriptions
        self._settings = settings
        self._identify = identify
        self._doors = doors
        self._reconciling = Reconciling(backend.inventory)
        self._parsing = trio.CapacityLimiter(1)

    async def serve(self, socket: RelaySocket, peer: str = "") -> None:
        """Talk to one client until it leaves or is closed.

        Args:
          peer: the client's address, for its door.

        Cancelled or ended in any way, none of its subscriptions and sessions is left.
        """
        if self._doors is None:
            await self._serve(socket, None)
            return
        with self._doors(peer) as door:
            await self._serve(socket, door)

    async def _serve(self, socket: RelaySocket, door: Door | None) -> None:
        reconciling = ClientReconciling(self._reconciling)
        client = _Client(
            self._backend, self._subscriptions, self._settings, reconciling, self._parsing
        )
        client.identity = self._identify() if self._identify else None
        try:
            async with trio.open_nursery() as nursery:
                if door is not None:
                    client.door, client.identity = door, door.identity
                    await client.outbox.put(door.greeting())
                    nursery.start_soon(_show_out, client, door)
                nursery.start_soon(_send_all, client, socket, nursery.cancel_scope)
                nursery.start_soon(_end_soon, client, nursery.cancel_scope)
                nursery.start_soon(_hang_up, client, socket)
                with client.listening:
                    while True:
                        await client.answer(await socket.receive())
        except* Gone:
            pass
        finally:
            client.leave()
            client.outbox.leave()
        if client.outbox.ended is not None:
            with trio.move_on_after(LAST_WORDS_SECS):
                await socket.close(CloseCode.POLICY_VIOLATION, client.outbox.ended)


async def _send_all(client: _Client, socket: RelaySocket, scope: trio.CancelScope) -> None:
    outbox = client.outbox
    try:
        while messages := await outbox.take():
            if client.may_hear():
                await socket.send(*messages)
    except Gone:
        # The last published event is judged all the same, though its answer cannot be sent.
        while await outbox.take():
            pass
    scope.cancel()


async def _end_soon(client: _Client, scope: trio.CancelScope) -> None:
    await client.outbox.wait_ended()
    client.listening.cancel()
    client.leave()
    await trio.sleep(LAST_WORDS_SECS)
    scope.cancel()


async def _show_out(client: _Client, door: Door) -> None:
    """End a client that has to leave; who was let in hears nothing of what waits."""
    await door.wait_over()
    if client.served:
        client.outbox.end(door.over)
    else:
        client.outbox.finish(door.over)


async def _hang_up(client: _Client, socket: RelaySocket) -> None:
    await socket.wait_closed()
    client.hang_up()


class _Client:
    """One connection: its subscriptions and what waits to be sent."""

    def __init__(
        self,
        backend: Backend,
        subscriptions: Subscriptions,
        settings: RelaySettings,
        reconciling: ClientReconciling,
        parsing: trio.CapacityLimiter,
    ) -> None:
        self.listening = trio.CancelScope()
        self.outbox = Outbox(subscriptions.budget)
        self.identity: Identity | None = None
        self.door: Door | None = None
        self.served = False
        self._backend = backend
        self._hub = subscriptions
        self._settings = settings
        self._own: dict[str, Subscription] = {}
        self._reconciling = reconciling
        self._parsing = parsing
        self._asking = trio.CancelScope()
        self._gone = False
        self._invalid_in_a_row = 0
        most = settings.events_per_minute
        self._published = SlidingWindow(most, RATE_SECS) if most else None

    def leave(self) -> None:
        for subscription in self._own.values():
            self._hub.remove(subscription)
        self._own.clear()
        self._reconciling.leave()

    def hang_up(self) -> None:
        """Look up nothing more: no answer can be sent. What is published still counts."""
        self._gone = True
        self._asking.cancel()

    def may_hear(self) -> bool:
        """Whether what was made for it may be sent, at this moment (B 16.9)."""
        return self.door is None or not self.served or self.door.is_open

    async def answer(self, raw: str | bytes) -> None:
        """Answer one message; the next one waits, so a client is never served out of turn."""
        if self.door is not None:
            if not self.door.is_open:
                await self.outbox.put(self.door.answer(raw))
                return
            self.served = True
        try:
            message = await self._parse(raw)
        except InvalidMessage as error:
            self._invalid_in_a_row += 1
            if self._invalid_in_a_row >= MAX_INVALID_IN_A_ROW:
                self.outbox.end("too many malformed messages")
            # What is called closed is closed.
            self._unsubscribe(error.subscription)
            self._reconciling.close(error.reconciling)
            await self.outbox.put(client_messages.refusal(error))
            return
        # The answer may take as long as the client likes, and this may be long.
        del raw
        self._invalid_in_a_row = 0
        if isinstance(message, Publish):
            accepted, why = await self._publish(message.event)
            await self.outbox.put(client_messages.ok(message.event.id, accepted, why))
        elif isinstance(message, Authenticate):
            accepted, why = self._prove(message.event)
            await self.outbox.put(client_messages.ok(message.event.id, accepted, why))
        elif isinstance(message, (Req, Count, Reconcile)):
            await self._look_up(message)
        elif isinstance(message, EndReconciling):
            self._reconciling.close(message.name)
        else:
            self._unsubscribe(message.subscription)

    async def _parse(self, raw: str | bytes) -> Message:
        if len(raw) <= MAX_CHARS_IN_LOOP:
            return client_messages.parse_message(raw, self._settings.max_filters)
        return await blocking(
            self._parsing, client_messages.parse_message, raw, self._settings.max_filters
        )

    async def _look_up(self, question: Req | Count | Reconcile) -> None:
        with trio.CancelScope() as self._asking, self.outbox.keeping(question.size):
            if self._gone:
                return
            if isinstance(question, Req):
                await self._subscribe(question)
            elif isinstance(question, Count):
                await self._count(question)
            else:
                await self._reconcile(question)

    def _unsubscribe(self, name: str | None) -> None:
        if name is not None and (subscription := self._own.pop(name, None)):
            self._hub.remove(subscription)

    async def _refuse(self, name: str, error: Exception) -> None:
        """Say that a question has no answer; a subscription of that id is none any more."""
        self._unsubscribe(name)
        if isinstance(error, TooMuchWork):
            why = f"error: {error}"
        else:
            log.exception("query failed")
            why = LOOK_UP_FAILED
        await self.outbox.put(client_messages.closed(name, why))

    async def _publish(self, event: Event) -> tuple[bool, str]:
        if too_many := self._rate_limited():
            return False, too_many
        if event.is_protected and (why := await self._not_its_author(event)):
            return False, why
        try:
            return await self._backend.offer(event)
        except Exception:
            log.exception("event could not be judged", event_id=event.id)
            return False, "error: the relay failed to judge this event: send it again later"

    def _rate_limited(self) -> str:
        if self._published is None:
            return ""
        now = trio.current_time()
        if (due := self._published.next_at(now)) > now:
            most = self._settings.events_per_minute
            return f"rate-limited: at most {most} events a minute: wait {ceil(due - now)} s"
        self._published.count(now)
        return ""

    async def _not_its_author(self, event: Event) -> str:
        """Why a protected event is not taken from this client, who is asked who he is."""
        if self.identity is None:
            return PROTECTED
        if why := self.identity.refusal(event):
            await self.outbox.put(client_messages.auth(self.identity.challenge))
        return why

    def _prove(self, event: Event) -> tuple[bool, str]:
        if self.identity is None:
            return False, NOT_ASKED
        try:
            # A proof costs what an event costs.
            why = self._rate_limited() or self.identity.prove(event)
        except InvalidEvent as error:
            return False, f"invalid: {error}"
        return not why, why

    async def _subscribe(self, request: Req) -> None:
        name = request.subscription
        self._unsubscribe(name)
        if len(self._own) >= self._settings.max_subscriptions:
            most = self._settings.max_subscriptions
            why = f"rate-limited: at most {most} subscriptions a connection: close one first"
            await self.outbox.put(client_messages.closed(name, why))
            return
        subscription = self._own[name] = Subscription(
            name, request.filters, self.outbox, request.size
        )
        # Before the query, so that nothing which is served meanwhile is missed.
        self._hub.add(subscription)
        try:
            await self._send_stored(subscription)
        except Exception as error:
            await self._refuse(name, error)
            return
        await subscription.end_stored()
        self._hub.stored_sent(subscription)

    async def _count(self, asked: Count) -> None:
        try:
            number = await self._backend.count(asked.filters)
        except Exception as error:
            await self._refuse(asked.query, error)
            return
        await self.outbox.put(client_messages.count(asked.query, number))

    async def _reconcile(self, asked: Reconcile) -> None:
        if asked.condition is None:
            answer = await self._reconciling.advance(asked.name, asked.message)
        else:
            answer = await self._reconciling.open(asked.name, asked.condition, asked.message)
        await self.outbox.put(answer)

    async def _send_stored(self, subscription: Subscription) -> None:
        """A page at a time: what is stored for one REQ may be more than memory has."""
        ids = await self._backend.find(subscription.filters, self._settings.max_limit)
        subscription.keep(ID_BYTES * len(ids))
        start, count, sent_bytes = 0, FIRST_PAGE_EVENTS, 0
        while start < len(ids) and self.outbox.ended is None:
            page = ids[start : start + count]
            sent_bytes += await subscription.send_stored(await self._backend.load(page))
            start += len(page)
            count = max(1, min(MAX_PAGE_EVENTS, PAGE_BYTES * start // (sent_bytes + 1)))
