"""The standalone node: engine, listener and upstream relays in one, until a signal ends it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from ..engine import open_engine
from ..errors import ConfigurationError, PurgatorySyncError
from ..nostr.event import Event
from ..runtime.logger import get_logger
from ..settings import Settings
from ..store.memory import MemoryStore
from ..urls import split_address
from .composition import make_listener
from .event_listeners import EventListeners
from .operator.control import control
from .process.heap import give_back_memory, spare_the_collector
from .process.open_files import allow_connections
from .process.service_key import Found, service_key
from .relay.subscriptions import Subscriptions
from .upstream.bridge import Following

# Of the 10 s that a stop may take: what the engine has after the connections' grace, and what a
# cancelled task has that waits for a thread.
_ENGINE_STOP_SECS: Final = 2.0
_LAST_SECS: Final = 1.5
_EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to

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
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as watch:
                stop, work = trio.Event(), trio.CancelScope()
                grace = settings.listener.shutdown_grace_secs + _ENGINE_STOP_SECS
                watch.start_soon(_obey, signals, stop, work, grace)
                with work:
                    await _work(settings, stop, new_identity, task_status)
                watch.cancel_scope.cancel()
    except* PurgatorySyncError as group:
        failures += _errors_in(group)
    if failures:
        raise next((e for e in failures if isinstance(e, ConfigurationError)), failures[0])


async def _obey(
    signals: AsyncIterator[int], stop: trio.Event, work: trio.CancelScope, grace_secs: float
) -> None:
    """Stop at the first signal, cancel at the second or after the grace, then leave."""
    number = await anext(signals)
    log.info("stopping", signal=signal.Signals(number).name)
    stop.set()
    with trio.move_on_after(grace_secs):
        await anext(signals)
    work.cancel()
    await trio.sleep(_LAST_SECS)
    log.error("a thread does not end: leaving it behind")
    os._exit(1)


async def _work(
    settings: Settings, stop: trio.Event, new_identity: bool, task_status: trio.TaskStatus[int]
) -> None:
    _make_usable(settings.git_data_path)
    most = allow_connections(settings.listener.max_connections)
    settings = attrs.evolve(
        settings, listener=attrs.evolve(settings.listener, max_connections=most)
    )
    spare_the_collector()
    heard, subscriptions, keys = EventListeners(), Subscriptions(), list[Found]()

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
    ) as engine:
        following = Following(settings, engine)
        heard.add(following)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(following.run, keys[0].key)
            nursery.start_soon(give_back_memory)
            listener = make_listener(settings, engine, following, subscriptions, keys[0].key.pubkey)
            async with (
                control(settings, engine.explainer, engine.caretaker, following.relays),
                trio.open_nursery() as front,
            ):
                host, port = split_address(settings.bind_address)
                bound = await front.start(partial(listener.serve, host, port, stop))
                _say_where(settings, host, keys[0])
                task_status.started(bound)
            nursery.cancel_scope.cancel()
    log.info("stopped")


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


def _say_where(settings: Settings, host: str, key: Found) -> None:
    log.info("listening", address=settings.bind_address, domain=settings.service)
    log.info("known by its key", npub=key.key.npub, source=key.source)
    if settings.domain is None and host in _EVERY_ADDRESS:
        log.warning("set NGIT_DOMAIN: nobody can reach this service by the address it listens on")
    if shutil.which("git") is None:
        log.warning("git is not installed: nothing can be cloned from here")


def _errors_in(group: BaseExceptionGroup[PurgatorySyncError]) -> Iterator[PurgatorySyncError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _errors_in(error)
        else:
            yield error
