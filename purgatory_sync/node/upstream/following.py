"""Relays that are followed, one task each: connect, subscribe, back off (P10, B 10.2)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import attrs
import structlog
import trio
from websockets.exceptions import WebSocketException

from ...errors import AttemptFailed, ConfigurationError, InvalidUrl
from ...nostr import kinds
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...policy.lacking import brings
from ...runtime.clock import WallClock
from ...runtime.gate import Gate
from ...runtime.transport import default_tls_context
from ...settings import Settings
from ...urls import RELAY_SCHEMES, parse_web_url
from .intake import Intake, Offer
from .progress import Progress
from .reconciler import Local, Shared
from .roster import Roster
from .session import Session
from .wanted import Wanted, in_batches
from .wire import dial

RECONCILE_SECS = 1.0
STEADY_SECS = 60.0

EXPECTED = (AttemptFailed, OSError, WebSocketException, trio.BrokenResourceError)

log = structlog.get_logger()


@attrs.frozen
class RelayStatistics:
    """How it stands with one relay.

    Attributes:
      received: events that matched what was asked for, over all connections.
      failures: connections that did not last, in a row.
      retry_in_secs: seconds until the next try; None while connected or connecting.
      error: why the last connection ended, or empty.
    """

    url: str
    connected: bool
    received: int
    failures: int
    retry_in_secs: float | None
    error: str


@attrs.define(eq=False)
class _Relay:
    url: str
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    progress: Progress = attrs.field(factory=Progress)
    session: Session | None = None
    received: int = 0
    failures: int = 0
    retry_at: float | None = None
    error: str = ""

    def statistics(self, now: float) -> RelayStatistics:
        session = self.session
        return RelayStatistics(
            url=self.url,
            connected=session is not None,
            received=self.received + (session.received if session else 0),
            failures=self.failures,
            retry_in_secs=None if self.retry_at is None else max(0.0, self.retry_at - now),
            error=self.error,
        )


class Upstream:
    """Follows relays; what they send is offered with origin `sync`.

    Args:
      settings: which relay to start from, who we are, how to back off.
      gate: opens every connection.
      offer: the engine's; its answers have `accepted`, `message` and `lacks`.
      clock: Unix seconds; the system's when absent.
      tls: for wss; the usual context, made at the first need, when absent.
      local: what is here; when given, only what is lacking is fetched from relays that offer
        negentropy (NIP-77), unless the settings say otherwise.

    Raises:
      ConfigurationError: the bootstrap relay's URL is none.
    """

    def __init__(
        self,
        settings: Settings,
        gate: Gate,
        offer: Offer,
        *,
        clock: WallClock | None = None,
        tls: Callable[[], ssl.SSLContext] = default_tls_context,
        local: Local | None = None,
    ) -> None:
        self._settings = settings.sync
        self._gate = gate
        self._given_clock = clock
        self._make_tls = tls
        self._shared: Shared | None = None
        if local is not None and not self._settings.disable_negentropy:
            self._shared = Shared(local)
        self._roster = Roster(dict.fromkeys((settings.service, settings.bind_address)))
        self._wanted = Wanted()
        self._intake = Intake(offer, self._ask_again)
        self._relays: dict[str, _Relay] = {}
        self._changed = trio.Event()
        if self._settings.bootstrap_relay_url:
            self.follow([bootstrap_url(self._settings.bootstrap_relay_url)])

    def follow(self, urls: Iterable[str]) -> None:
        """Follow these relays whatever announcements say; ourselves and non-relays are skipped."""
        self._roster.follow(urls)
        self._changed.set()

    def announced(self, event: Event) -> None:
        """An announcement is held or served (call it for those of earlier days before `run`).

        Its relays are followed, what refers to it is asked for, and what was refused for lack of
        it is judged again (B 2.8).
        """
        if self._roster.announced(event):
            self._changed.set()
        self._wanted.announced(event)
        self._intake.brought(brings(event, served=False))

    def served(self, event: Event) -> None:
        """An event is served now: what refers to it is asked for, and judged again (B 2.8)."""
        if event.kind == kinds.ANNOUNCEMENT:
            self.announced(event)
        self._wanted.served(event)
        self._intake.brought(brings(event, served=True))

    def withdrawn(self, event: Event) -> None:
        """An announcement is neither held nor served any more: nobody follows its relays for it."""
        if self._roster.withdrawn(event):
            self._changed.set()

    def judge_again(self, identifier: str) -> None:
        """Offer again what was refused for lack of an announcement of this identifier (B 2.8)."""
        self._intake.brought([f"d:{identifier}"])

    def statistics(self) -> tuple[RelayStatistics, ...]:
        """The relays that are followed, in the order in which they were begun."""
        now = trio.current_time()
        return tuple(relay.statistics(now) for relay in self._relays.values())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled; relays come and go with announcements."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._intake.run)
            task_status.started()
            while True:
                self._changed = trio.Event()
                self._reconcile(nursery)
                await self._changed.wait()
                # A bootstrap names many relays at once.
                await trio.sleep(RECONCILE_SECS)

    def _reconcile(self, nursery: trio.Nursery) -> None:
        chosen = self._roster.chosen()
        for url in [url for url in self._relays if url not in chosen]:
            self._relays.pop(url).scope.cancel()
        for url in chosen:
            if url not in self._relays:
                relay = self._relays[url] = _Relay(url)
                nursery.start_soon(self._stay, relay)

    async def _stay(self, relay: _Relay) -> None:
        with relay.scope:
            while True:
                started = trio.current_time()
                relay.retry_at = None
                relay.error = await self._one_session(relay)
                steady = trio.current_time() - started >= STEADY_SECS
                relay.failures = 1 if steady else relay.failures + 1
                delay = self._backoff(relay.failures)
                log.info("relay lost", url=relay.url, error=relay.error, next_backoff_secs=delay)
                relay.retry_at = trio.current_time() + delay
                await trio.sleep(delay)

    def _backoff(self, failures: int) -> float:
        base = self._settings.base_backoff_secs * 2.0 ** min(failures - 1, 32)
        return min(base, self._settings.max_backoff_secs)

    async def _one_session(self, relay: _Relay) -> str:
        """Connect and stay as long as it lasts; returns why it ended.

        Whatever a relay does to its own connection must not touch the others.
        """
        url = parse_web_url(relay.url, RELAY_SCHEMES)
        try:
            async with dial(url, self._gate, self._tls) as socket:
                log.info("relay connected", url=relay.url)
                session = Session(
                    socket,
                    self._wanted,
                    self._intake.take,
                    relay.progress,
                    self._clock,
                    log.bind(url=relay.url),
                    self._shared,
                )
                relay.session = session
                try:
                    await session.run()
                finally:
                    relay.session = None
                    relay.received += session.received
                return session.ended
        except EXPECTED as error:
            return str(error)[:300] or type(error).__name__
        except Exception as error:
            log.exception("relay session failed", url=relay.url)
            return type(error).__name__

    def _ask_again(self, keys: Sequence[str]) -> None:
        """Ask every relay for what was refused here and has left memory (B 10.2)."""
        identifiers = [key.removeprefix("d:") for key in keys if key.startswith("d:")]
        both = frozenset({kinds.ANNOUNCEMENT, kinds.STATE})
        for batch in in_batches(identifiers):
            condition = Filter(kinds=both, tags={"d": frozenset(batch)})
            for relay in self._relays.values():
                if relay.session is not None:
                    relay.session.ask(condition)

    @cached_property
    def _clock(self) -> WallClock:
        return self._given_clock or WallClock.from_system()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._make_tls()


def bootstrap_url(text: str) -> str:
    """The relay that NGIT_SYNC_BOOTSTRAP_RELAY_URL names; without a scheme `wss://` is meant.

    Raises:
      ConfigurationError: it is no URL of a relay.
    """
    try:
        return parse_web_url(text if "://" in text else f"wss://{text}", RELAY_SCHEMES).text
    except InvalidUrl as error:
        raise ConfigurationError(
            f"NGIT_SYNC_BOOTSTRAP_RELAY_URL: {error}; a relay is named like wss://relay.example"
        ) from error
