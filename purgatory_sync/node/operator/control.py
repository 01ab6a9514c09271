"""The operator's door: a Unix socket in the data folder, one JSON document a line (N6).

A request is `{"do": "status"}` or `{"do": "list"}`, or `{"do": …, "name": …}` with `why`, `fate`,
`hunt`, `remove`, `authority`, `backup`, `import`, `purge` or `entries`, or
`{"do": "verify", "names": […]}`, or `{"do": "export", "name": …, "folder": …}`, or
`{"do": "list-add", "name": …, "names": […]}` (`list-remove`); the answer `{"result": …}` or
`{"error": "a sentence"}`, with `bad_request` where the request is at fault. How far a
long one is comes in lines before it: `{"progress": "a sentence"}`. All reasons are told: a user who
may open the socket may read the data beside it.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import attrs
import msgspec
import trio

from ...engine.keeping.keepers import Keepers
from ...engine.lists.list_keeper import ListKeeper
from ...engine.status.explainer import Explainer
from ...errors import ConfigurationError, PurgatorySyncError
from ...runtime.logger import get_logger
from ...settings import Settings
from ..upstream.state.relay_health import RelayStatus
from .node_status import NodeStatus

Relays = Callable[[], tuple[RelayStatus, ...]]
TakeIn = Callable[[str, Callable[[str], None]], Awaitable[Any]]

SOCKET: Final = "control.sock"
MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 16
TELL_SECS: Final = 1.0
_MODE: Final = 0o600

log = get_logger(__name__)


@attrs.frozen
class Question:
    """One line of a client.

    `name` is an identifier or an event id (`fate`: an event id only, `remove`: npub/identifier,
    `authority`: either, or empty, `backup`: the path of a folder, `import`: that of a folder or
    file, or a URL). `names` are those of
    repositories (`verify`; none: all), `repair` says whether to repair them; `execute` whether to
    do it (`purge`, of a repository, an npub or an event id), `at_once` whether repositories are
    deleted now; `deleted` asks for those that were (`list`), `prs` for those below
    `/prs/` (`list`, `purge`). `entries`, `list-add` and
    `list-remove` have the name of a list (`entries`: or none, for all), its entries in `names`,
    and why they are added in `reason`. `export` has a repository's name, the path of a folder in
    `folder`, and in `bundle` whether a git bundle is wanted.
    """

    do: Literal[
        "status",
        "why",
        "fate",
        "hunt",
        "list",
        "remove",
        "authority",
        "backup",
        "export",
        "import",
        "purge",
        "verify",
        "entries",
        "list-add",
        "list-remove",
    ]
    name: str = ""
    names: tuple[str, ...] = ()
    repair: bool = False
    execute: bool = False
    at_once: bool = False
    deleted: bool = False
    prs: bool = False
    reason: str = ""
    folder: str = ""
    bundle: bool = False


def _no_relays() -> tuple[RelayStatus, ...]:
    return ()


async def _take_in_nothing(named: str, tell: Callable[[str], None]) -> Any:
    raise ConfigurationError(f"nothing imports {named} here")


@attrs.frozen
class _Desk:
    """Who knows the answers."""

    explainer: Explainer
    keepers: Keepers
    relays: Relays
    take_in: TakeIn


@asynccontextmanager
async def control(
    settings: Settings,
    explainer: Explainer,
    keepers: Keepers,
    relays: Relays = _no_relays,
    take_in: TakeIn = _take_in_nothing,
) -> AsyncIterator[None]:
    """Answer on the socket while the block runs; to be used while the engine holds the folder.

    Args:
      relays: how it stands with each relay that is followed, at this moment.
      take_in: imports what a path or URL names.

    Without a data folder (the memory back end) there is no socket; where none can be made the
    node runs all the same. The socket is gone afterwards, however the block ends.
    """
    listener = _listen(settings) if settings.database_backend != "memory" else None
    if listener is None:
        yield
        return
    ours = os.stat(_path(settings))
    try:
        async with trio.open_nursery() as nursery:
            desk = _Desk(explainer, keepers, relays, take_in)
            handler = partial(_serve, desk, trio.CapacityLimiter(MAX_CONNECTIONS))
            nursery.start_soon(trio.serve_listeners, handler, [listener])
            yield
            nursery.cancel_scope.cancel()
    finally:
        listener.socket.close()
        _remove(_path(settings), ours)


def _path(settings: Settings) -> Path:
    return settings.relay_data_path / SOCKET


def _listen(settings: Settings) -> trio.SocketListener | None:
    path = _path(settings)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        # Before it has a name, so that no other user may open it at any moment (Linux does so).
        os.fchmod(made.fileno(), _MODE)
        made.bind(str(path))
        path.chmod(_MODE)
        made.listen(MAX_CONNECTIONS)
        made.setblocking(False)
    except OSError as error:
        made.close()
        log.warning("no control socket", path=str(path), error=error.strerror or str(error))
        return None
    return trio.SocketListener(trio.socket.from_stdlib_socket(made))


def _clear(path: Path) -> None:
    """Remove what a crash left: the engine holds the folder, so no node answers there."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(0, "something that is no socket has its name")
        path.unlink()
    except FileNotFoundError:
        pass


def _remove(path: Path, ours: os.stat_result) -> None:
    try:
        if os.path.samestat(path.lstat(), ours):
            path.unlink()
    except FileNotFoundError:
        pass


async def _serve(
    desk: _Desk,
    places: trio.CapacityLimiter,
    stream: trio.SocketStream,
) -> None:
    """Answer one client until it leaves; what it does wrong ends its connection only."""
    async with stream, places:
        rest = bytearray()
        try:
            while (line := await _line(stream, rest)) is not None:
                await stream.send_all(await _answer(desk, line, Progress(stream)) + b"\n")
        except trio.BrokenResourceError:
            pass


class Progress:
    """Tells a client how far its request is, at most once a second."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._said: str | None = None

    def tell(self, sentence: str) -> None:
        """So far it is; only the newest is sent."""
        self._said = sentence

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Send what is told while the block runs; a client that left is no error."""
        raised: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send)
            try:
                yield
            except Exception as error:
                raised = error
            nursery.cancel_scope.cancel()
        if raised is not None:
            raise raised

    async def _send(self) -> None:
        while True:
            await trio.sleep(TELL_SECS)
            said, self._said = self._said, None
            if said is not None:
                try:
                    await self._stream.send_all(msgspec.json.encode({"progress": said}) + b"\n")
                except trio.BrokenResourceError:
                    return


async def _line(stream: trio.SocketStream, rest: bytearray) -> bytes | None:
    while b"\n" not in rest:
        piece = await stream.receive_some(MAX_REQUEST_BYTES)
        if not piece or len(rest) + len(piece) > MAX_REQUEST_BYTES:
            return None
        rest += piece
    line, _, left = bytes(rest).partition(b"\n")
    rest[:] = left
    return line


async def _answer(desk: _Desk, line: bytes, progress: Progress) -> bytes:
    try:
        request = msgspec.json.decode(line, type=Question)
        async with progress.telling():
            result = await _do(desk, request, progress)
        return msgspec.json.encode({"result": result})
    except msgspec.MsgspecError as error:
        return msgspec.json.encode({"error": f"not understood: {error}"})
    except PurgatorySyncError as error:
        at_fault = {"bad_request": True} if isinstance(error, ConfigurationError) else {}
        return msgspec.json.encode({"error": str(error), **at_fault})
    except Exception:
        log.exception("control request crashed")
        return msgspec.json.encode({"error": "failed inside: the node's log says why"})


async def _do(desk: _Desk, request: Question, progress: Progress) -> Any:
    if request.do == "status":
        return NodeStatus.of(await desk.explainer.look(), desk.relays())
    if request.do == "why":
        return await desk.explainer.why(request.name)
    if request.do == "fate":
        return await desk.explainer.fate(request.name)
    if request.do == "list":
        if request.prs:
            return await desk.keepers.prs.listing()
        caretaker = desk.keepers.caretaker
        return await (caretaker.deleted() if request.deleted else caretaker.list())
    if request.do == "authority":
        return await desk.keepers.caretaker.authority(request.name)
    if request.do == "remove":
        removed = await desk.keepers.caretaker.remove(request.name)
        log.info("repository removed by hand", repository=request.name)
        return removed
    if request.do == "backup":
        return await desk.keepers.backup.make(Path(request.name), progress.tell)
    if request.do == "import":
        return await desk.take_in(request.name, progress.tell)
    if request.do == "export":
        return await desk.keepers.exporter.export(
            request.name, Path(request.folder), as_bundle=request.bundle, tell=progress.tell
        )
    if request.do == "purge" and request.prs:
        return await desk.keepers.prs.purge(request.name, execute=request.execute)
    if request.do == "purge":
        return await desk.keepers.purger.purge(
            request.name, execute=request.execute, at_once=request.at_once
        )
    if request.do in ("entries", "list-add", "list-remove"):
        return await _edit_list(desk.keepers.lists, request)
    if request.do == "verify":
        return await desk.keepers.verifier.verify(
            request.names, repair=request.repair, tell=progress.tell
        )
    hunted = await desk.explainer.hunt(request.name)
    if hunted is not None:
        log.info("hunt by hand", identifier=request.name, forgiven=len(hunted.forgiven))
    return hunted


async def _edit_list(lists: ListKeeper, request: Question) -> Any:
    if request.do == "entries":
        return lists.show(request.name)
    if request.do == "list-add":
        edited = await lists.add(request.name, request.names, request.reason)
    else:
        edited = await lists.remove(request.name, request.names)
    log.info("list changed by hand", do=request.do, list=request.name, entries=edited.changed)
    return edited
