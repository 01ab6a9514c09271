"""Relays that are followed, one task each: connect, subscribe, back off (P10, B 10.2)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import attrs
import trio
from websockets.exceptions import WebSocketException

from ...engine.private_peers import PrivatePeers
from ...errors import AttemptFailed, ConfigurationError, InvalidUrl, NotThePeer, PrivateService
from ...nostr import kinds
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.keys import SecretKey
from ...policy.curation import is_blacklisted
from ...policy.rules.hosting import coordinate_of, hosts
from ...policy.rules.lacking import brings
from ...runtime.bounded import Bounded
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...runtime.net.gate import Gate
from ...runtime.net.transport import default_tls_context
from ...settings import CurationSettings, Settings
from ...urls import RELAY_SCHEMES, WebUrl, parse_web_url
from .connection.dialling import Dialler
from .connection.document import learn_limits
from .connection.session import Session
from .state.filters_wanted import Wanted
from .state.intake import Intake, Offer
from .state.relay_health import Ending, RelayStatus, Trouble
from .state.roster import Roster
from .state.shared import Common, Local, Record, Shared
from .state.walk_progress import FULL_EVERY_SECS

RECONCILE_SECS = 1.0
STEADY_SECS = 60.0
# A relay that lies is not asked again at once, however long it was connected.
MISBEHAVED_SECS = 600.0
# So many are remembered after the last announcement of them: they may be named again.
MAX_LEFT = 1_000

EXPECTED = (AttemptFailed, OSError, WebSocketException, trio.BrokenResourceError)

log = get_logger(__name__)


@attrs.define(eq=False)
class _Relay:
    record: Record
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    session: Session | None = None
    worked: bool = False


class Upstream:
    """Follows relays; what they send is offered with origin `sync`.

    Args:
      settings: which relay to start from, who we are, how to back off.
      gate: opens every connection.
      offer: the engine's; its answers have `accepted`, `message` and `lacks`.
      clock: Unix seconds; the system's when absent.
      tls: for wss; the usual context, made at the first need, when absent.
      lists: what the operator takes, at the moment of the call; that of the settings when absent.
      peers: those of a private service, the only relays that it follows; None for a public one.
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
        lists: Callable[[], CurationSettings] | None = None,
        peers: PrivatePeers | None = None,
    ) -> None:
        lists = lists or (lambda: settings.curation)
        self._settings = settings.sync
        self._gate = gate
        self._given_clock = clock
        self._make_tls = tls
        self._key: SecretKey | None = None
        self._roster = Roster(
            dict.fromkeys((settings.service, f"{settings.bind_address}{settings.base}")),
            hosts=lambda each: hosts(each, settings.service, lists()),
            blocked=lambda each: is_blacklisted(coordinate_of(each), lists()),
            only_pinned=peers is not None,
        )
        self._peers = peers
        self._wanted = Wanted()
        self._intake = Intake(offer, self._ask_again)
        self._shared: Shared | None = None
        if local is not None and not self._settings.disable_negentropy:
            self._shared = Shared(local, self._intake.knows)
        self._relays: dict[str, _Relay] = {}
        self._left: Bounded[str, Record] = Bounded(MAX_LEFT)
        self._changed = trio.Event()
        self._dialler = Dialler(gate)
        if peers is not None:
            self.follow(each.relay for each in peers.peers)
        if self._settings.bootstrap_relay_url:
            self.follow([bootstrap_url(self._settings.bootstrap_relay_url)])

    def follow(self, urls: Iterable[str]) -> None:
        """Follow these relays besides announced ones; ourselves and non-relays are skipped."""
        self._roster.follow(urls)
        self._changed.set()

    def announced(self, event: Event) -> None:
        """An announcement is held or served (call it for those of earlier days before `run`).

        Its relays are followed, what refers to it is asked for, and what was refused for lack of
        it is judged again (B 2.8).
        """
        if self._roster.announced(event):
            self._changed.set()
        self._wanted.came(event)
        self._intake.brought(brings(event, served=False))

    def held(self, event: Event) -> None:
        """An event began to wait: its author may delete it elsewhere meanwhile (B 5)."""
        if event.kind == kinds.ANNOUNCEMENT:
            self.announced(event)
        else:
            self._wanted.came(event)

    def served(self, event: Event) -> None:
        """An event is served now: what refers to it is asked for, and judged again (B 2.8)."""
        self.held(event)
        self._intake.brought(brings(event, served=True))

    def withdrawn(self, event_ids: Iterable[str]) -> None:
        """Events are neither held nor served any more.

        Relays are not followed for them any more, nor asked for what refers to them.
        """
        gone = tuple(event_ids)
        unlisted, unwanted = self._roster.withdrawn(gone), self._wanted.withdrawn(gone)
        if unlisted or unwanted:
            self._changed.set()

    def begin_anew(self) -> None:
        """Look again at all that relays have: what was refused may be taken now (B 5.5)."""
        self._intake.forget()
        for relay in self._relays.values():
            if relay.session is not None:
                relay.session.begin_anew()
            else:
                relay.record.progress.begin_anew()
        for record in self._left.values():
            record.progress.begin_anew()

    def judged_anew(self, event: Event) -> None:
        """Judge by the lists of this moment whether an announcement's relays are followed."""
        if self._roster.judged_anew(event):
            self._changed.set()

    def looks(self) -> tuple[RelayStatus, ...]:
        """The relays that are followed, in the order in which they were begun."""
        looks = []
        for url, relay in self._relays.items():
            pinned, owners = self._roster.named(url)
            limits, health = relay.record.limits, relay.record.health
            polled = relay.session.polled if relay.session is not None else 0
            not_followed = limits.not_followed(polled)
            looks.append(health.look(url, pinned=pinned, owners=owners, not_followed=not_followed))
        return tuple(looks)

    @property
    def urls(self) -> tuple[str, ...]:
        """The relays that are followed now."""
        return tuple(self._relays)

    def ask(self, conditions: Sequence[Filter]) -> None:
        """Ask all relays that are connected for something, once."""
        for relay in self._relays.values():
            if relay.session is not None:
                relay.session.ask(conditions)

    def common_of_visits(self) -> Common:
        """What sessions with strangers' relays work with: nothing is followed, no key is shown."""
        return attrs.evolve(self._common, wanted=Wanted(), key=None)

    @property
    def judged(self) -> Mapping[str, int]:
        """How many events of relays were judged since the start: `taken` and `refused`."""
        return self._intake.judged

    async def run(
        self,
        key: SecretKey | None = None,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Follow until cancelled; relays come and go with announcements.

        Args:
          key: tells relays who we are that want to know (NIP-42); without one no relay is told.
        """
        self._key = key
        if self._peers is not None and key is not None:
            self._peers.use_key(key)
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
        self._wanted.forget()
        chosen = self._roster.chosen()
        for url in [url for url in self._relays if url not in chosen]:
            self._leave(self._relays.pop(url))
        for url in chosen:
            if url not in self._relays:
                record = self._left.pop(url) or Record(url)
                relay = self._relays[url] = _Relay(record)
                nursery.start_soon(self._stay, relay)

    def _leave(self, relay: _Relay) -> None:
        """End a connection that is wanted no more; its record stays, so that its backoff holds."""
        relay.scope.cancel()
        relay.record.health.left(self._clock.now() + self._settings.base_backoff_secs)
        self._left.put(relay.record.url, relay.record)

    async def _stay(self, relay: _Relay) -> None:
        health, url = relay.record.health, relay.record.url
        with relay.scope:
            wait = (health.retry_at or 0.0) - self._clock.now()
            # However late that is by a clock that was set back since.
            await trio.sleep(min(max(0.0, wait), self._settings.max_backoff_secs))
            while True:
                started = trio.current_time()
                health.retry_at = None
                ending = await self._one_session(relay)
                # Only good work counts: who refuses all that is asked may stand for hours.
                steady = relay.worked and trio.current_time() - started >= STEADY_SECS
                lied = ending.trouble is Trouble.MISBEHAVED
                health.failures = 1 if steady and not lied else health.failures + 1
                delay = self._backoff(health.failures, lied=lied)
                if ending.trouble is Trouble.PRIVATE:
                    delay = FULL_EVERY_SECS
                log.info("relay lost", url=url, error=ending.reason, next_backoff_secs=delay)
                health.retry_at = self._clock.now() + delay
                await trio.sleep(delay)

    def _backoff(self, failures: int, *, lied: bool) -> float:
        delay = self._settings.base_backoff_secs * 2.0 ** min(failures - 1, 32)
        if lied:
            delay = max(delay, MISBEHAVED_SECS)
        return min(delay, self._settings.max_backoff_secs)

    async def _one_session(self, relay: _Relay) -> Ending:
        """Connect and stay as long as it lasts; returns why it ended.

        What a relay does to its own connection must not touch the others.
        """
        health, url = relay.record.health, parse_web_url(relay.record.url, RELAY_SCHEMES)
        ending = None
        try:
            await self._judge_first(relay, url)
            async with self._dialler.dial(url, self._tls) as socket:
                log.info("relay connected", url=url.text)
                health.connected(self._clock.now())
                bound, now = log.bind(url=url.text), self._clock.now()
                await learn_limits(relay.record.limits, url, self._gate, self._tls, now, bound)
                relay.session = Session(socket, relay.record, self._common, bound)
                relay.worked = False
                ending = await relay.session.run()
                relay.worked = relay.session.worked
        except EXPECTED as error:
            # A relay that was left may not even close the connection in time.
            ending = ending or Ending.of(error)
        except Exception as error:
            log.exception("relay session failed", url=url.text)
            ending = Ending(Trouble.LOCAL, type(error).__name__)
        finally:
            relay.session = None
        health.lost(ending, self._clock.now())
        return ending

    async def _judge_first(self, relay: _Relay, url: WebUrl) -> None:
        """Look at what a relay says of itself before its first socket (B 16.11, 16.12).

        Raises:
          PrivateService: it is private, and we are not; or we are, and it is not the peer that the
            operator named.
        """
        limits, log_of = relay.record.limits, log.bind(url=url.text)
        peer = self._peers.of_relay(relay.record.url) if self._peers is not None else None
        if peer is None and self._roster.named(relay.record.url)[0]:
            return
        if peer is not None:
            limits.asked_document_at = None
        async with self._dialler.turn():
            await learn_limits(limits, url, self._gate, self._tls, self._clock.now(), log_of)
        if peer is None or self._peers is None:
            if limits.is_private:
                raise PrivateService("it is a private service (GRASP-08): only its peers follow it")
            return
        confirmed = limits.is_private and limits.pubkey == peer.pubkey
        self._peers.confirm(peer, confirmed=confirmed)
        if not confirmed:
            raise NotThePeer("its NIP-11 does not list GRASP-08 with the key of NGIT_PRIVATE_PEERS")

    def _ask_again(self, ids: Sequence[str]) -> None:
        """Ask every relay for what was refused here and is known by id only (B 10.2).

        Those that are away are asked for all of history when they come back.
        """
        for relay in self._relays.values():
            if relay.session is not None:
                relay.session.fetch(ids)
            else:
                relay.record.progress.begin_anew()
        for record in self._left.values():
            record.progress.begin_anew()

    @cached_property
    def _common(self) -> Common:
        private = self._peers is not None
        return Common(
            self._wanted, self._intake.take, self._clock, self._shared, self._key, private
        )

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
