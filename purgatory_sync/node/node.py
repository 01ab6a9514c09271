"""The standalone node: engine, listener and upstream relays in one, until a signal ends it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from ..engine import PurgatorySync, open_engine
from ..engine.lists.list_keeper import ListKeeper
from ..errors import ConfigurationError, PurgatorySyncError
from ..nostr.event import Event
from ..nostr.filters import Filter
from ..runtime.clock import WallClock
from ..runtime.logger import get_logger
from ..settings import CurationSettings, Settings
from ..store.memory import MemoryStore
from ..store.protocol import Change, Store
from ..urls import split_address
from .composition import described, make_services
from .event_listeners import EventListeners
from .front import Front
from .http.blocked_clients import BlockedClients
from .http.listener import Listener
from .identity.service_identity import ServiceIdentity
from .importing.importer import Importer
from .operator.control import control
from .operator.health import Checks, NodeHealth
from .operator.host_metrics import LoopLag
from .outboxes.outbox_keeper import Outboxes
from .private.doors import make_doors
from .process.ending import SignalEnding
from .process.heap import give_back_memory, spare_the_collector
from .process.open_files import allow_connections
from .process.service_key import Found, service_key
from .process.service_manager import ServiceManager
from .relay.subscriptions import Subscriptions
from .relays import Relays
from .upstream.bridge import Following

_EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to

_NO_ID: Final = "0" * 64

log = get_logger(__name__)


async def run_node(
    settings: Settings,
    *,
    new_identity: bool = False,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a whole node until SIGTERM or SIGINT; returns when it has ended soundly.

    The first signal stops accepting, lets connections end within shutdown_grace_secs and then
    cancels what is under way; a second one cancels at once. What was answered OK is on disk at
    any time (N1), so that a thread which does not end is left behind by leaving the
    process with exit code 1.

    Args:
      new_identity: the store may be given another key than the one that it knows.
      task_status: reports the port once the node listens, after the engine has restored what
        was held (B 9).

    Raises:
      ConfigurationError: it cannot start like this; the sentence says what to do.
      PurgatorySyncError: it had to end (the store failed).

    Cancellation ends it like a second signal. To be run in the main thread.
    """
    failures: list[PurgatorySyncError] = []
    try:
        with (
            trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
            trio.open_signal_receiver(signal.SIGHUP) as reloads,
        ):
            async with trio.open_nursery() as watch:
                how = _How(NodeHealth(), ServiceManager(os.environ), reloads)
                ending = SignalEnding(how.stopping)
                watch.start_soon(ending.obey, signals, settings.listener)
                with ending.work:
                    await _work(settings, how, ending.stop, new_identity, task_status)
                watch.cancel_scope.cancel()
    except* PurgatorySyncError as group:
        failures += _errors_in(group)
    if failures:
        raise next((e for e in failures if isinstance(e, ConfigurationError)), failures[0])


@attrs.frozen
class _How:
    """Who is told how the node is: clients that ask, and systemd.

    Attributes:
      reloads: yields at each SIGHUP.
    """

    health: NodeHealth
    manager: ServiceManager
    reloads: AsyncIterator[int]

    def begin(self, stage: str) -> None:
        """The start does this now."""
        self.health.stage = stage
        self.manager.status(stage)

    def stopping(self) -> None:
        """A signal ends it."""
        self.health.stopping = True
        self.manager.stopping()


async def _work(
    settings: Settings,
    how: _How,
    stop: trio.Event,
    new_identity: bool,
    task_status: trio.TaskStatus[int],
) -> None:
    _make_usable(settings.git_data_path)
    most = allow_connections(settings.listener.max_connections)
    settings = attrs.evolve(
        settings, listener=attrs.evolve(settings.listener, max_connections=most)
    )
    spare_the_collector()
    front = Front(how.health)
    blocked = BlockedClients(settings.curation.blocked_addresses)
    async with trio.open_nursery() as nursery:
        most = settings.relay.max_message_bytes
        public = Listener(
            front.answer,
            front.serve,
            settings.listener,
            most,
            is_open=front.is_open,
            blocked=blocked,
            base=settings.base,
        )
        port = _Port(public, stop)
        bound = await nursery.start(port.serve, settings.bind_address)
        if settings.metrics_bind_address is not None:
            operators = Listener(
                front.answer_operator, front.serve, settings.listener, most, is_open=_never
            )
            await nursery.start(_Port(operators, stop).serve, settings.metrics_bind_address)
        nursery.start_soon(how.health.watch)
        nursery.start_soon(how.manager.keep_alive)
        async with _serving(settings, how, front, blocked, new_identity):
            task_status.started(bound)
            await port.ended.wait()
        nursery.cancel_scope.cancel()
    log.info("stopped")


async def _never() -> bool:
    return False


class _Port:
    """A listener, and the moment at which it has ended."""

    def __init__(self, listener: Listener, stop: trio.Event) -> None:
        self.ended = trio.Event()
        self._listener = listener
        self._stop = stop

    async def serve(
        self, address: str, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen there until the stop, and let connections end."""
        host, port = split_address(address)
        await self._listener.serve(host, port, self._stop, task_status=task_status)
        self.ended.set()


@asynccontextmanager
async def _serving(
    settings: Settings, how: _How, front: Front, blocked: BlockedClients, new_identity: bool
) -> AsyncIterator[None]:
    """Serve what is asked at the front while the block runs, from an engine of its own."""
    heard, subscriptions, keys = EventListeners(), Subscriptions(), list[Found]()
    lag = LoopLag()

    def notify(event: Event) -> None:
        subscriptions.broadcast(event)
        heard.served(event)

    def choose_key(known: str | None) -> str:
        keys.append(service_key(settings, os.environ, known, new_identity=new_identity))
        return keys[0].key.pubkey

    store = MemoryStore() if settings.database_backend == "memory" else None
    async with open_engine(
        settings,
        store=store,
        notify=notify,
        held=heard.held,
        gone=heard.gone,
        choose_key=choose_key,
        begins=how.begin,
    ) as engine:
        following = Following(settings, engine)
        heard.add(following)
        outboxes = _outboxes(settings, engine, following)
        if outboxes is not None:
            heard.add(outboxes)
        relays = Relays(following, outboxes)
        lists, pubkey = engine.keepers.lists, keys[0].key.pubkey
        peers = engine.peers.peers if engine.peers is not None else ()
        let_in = [pubkey, *(each.pubkey for each in peers)]
        doors = make_doors(settings, lambda: engine.lists, let_in, WallClock.from_system())
        if doors is not None:
            lists.at_once.append(doors.relay.look_again)

        def use_lists(before: CurationSettings, now: CurationSettings) -> None:
            blocked.block(now.blocked_addresses)
            following.lists_changed(before, now)

        blocked.block(engine.lists.blocked_addresses)
        lists.heard.append(use_lists)
        async with (
            trio.open_nursery() as nursery,
            control(
                *(settings, engine.explainer, engine.keepers, relays.looks),
                take_in=Importer(engine).take_in,
            ),
        ):
            nursery.start_soon(following.run, keys[0].key)
            if outboxes is not None:
                nursery.start_soon(outboxes.run)
            info = partial(described, settings, engine, keys[0].key.pubkey)
            identity = ServiceIdentity(engine, keys[0].key, info, WallClock.from_system())
            nursery.start_soon(identity.run)
            nursery.start_soon(_read_again, lists, how.reloads)
            nursery.start_soon(give_back_memory)
            nursery.start_soon(lag.watch)
            app, relay = make_services(
                *(settings, engine, relays, subscriptions, pubkey, lag),
                doors,
            )
            front.open(app, lambda socket: relay.serve(socket, socket.peer))
            how.health.checks = Checks(
                partial(_use_store, engine.store),
                settings.git_data_path,
                settings.hunt.min_free_bytes,
            )
            how.manager.ready()
            _say_where(settings, keys[0])
            yield
            nursery.cancel_scope.cancel()


def _outboxes(settings: Settings, engine: PurgatorySync, following: Following) -> Outboxes | None:
    """What visits participants' relays; None where the operator turned that off (GRASP-03)."""
    if not settings.follows_participants:
        return None
    return Outboxes(settings, engine.gate, following, lists=lambda: engine.lists)


async def _read_again(lists: ListKeeper, reloads: AsyncIterator[int]) -> None:
    """Read the lists' files at each SIGHUP; what comes while the node starts waits."""
    async for _ in reloads:
        await lists.reload()


async def _use_store(store: Store) -> None:
    """Read from the store, and let its writer take something up that changes nothing."""
    await store.find([Filter(ids=frozenset({_NO_ID}))], 1)
    await store.apply(Change())


def _make_usable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be used ({error.strerror or error}): make it a folder that this user"
            " may write to, or choose another NGIT_GIT_DATA_PATH"
        ) from error


def _say_where(settings: Settings, key: Found) -> None:
    log.info("listening", address=settings.bind_address, domain=settings.service)
    log.info("known by its key", npub=key.key.npub, source=key.source)
    if settings.domain is None and split_address(settings.bind_address)[0] in _EVERY_ADDRESS:
        log.warning("set NGIT_DOMAIN: clients cannot reach the address that this node listens on")
    if shutil.which("git") is None:
        log.warning("git is not installed: nothing can be cloned from here")


def _errors_in(group: BaseExceptionGroup[PurgatorySyncError]) -> Iterator[PurgatorySyncError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _errors_in(error)
        else:
            yield error
