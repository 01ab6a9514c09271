"""A real git server on a loopback address: `git http-backend` behind HTTP, with faults on demand.

    async with GitServer(folder) as server:
        server.fail("r.git", faults.stall(100))     # `faults` has the others
        ...                                         # fetch from server.url("r.git")

As a process: `python -m purgatory_sync.testing.git_server ROOT --bind 127.0.0.2:8000`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import attrs
import trio

from ..node.git_http.git_child import GitChild, git_child
from ..node.http.exchange import Exchange
from ..node.http.listener import Listener
from ..node.http.server_stream import Gone, Headers
from ..node.http.websocket import Socket
from ..settings import ListenerSettings
from .faults import Fault as Fault
from .misbehaving import Delivery
from .pack_tampering import refused_oid

PIECE_BYTES: Final = 65536
_MAX_HEAD_BYTES: Final = 16384


@attrs.define
class SeenRequest:
    """One request that the server saw; noted at its arrival, completed while it is answered.

    Attributes:
      time: seconds of Trio's clock at its arrival.
      bind: host:port that it arrived at.
      method: GET, POST, …
      path: with its query.
      git_protocol: the Git-Protocol header, or empty.
      status: of the answer; 0 when there was none, or none so far.
      secs: seconds until the answer was over; 0 so far.
    """

    time: float
    bind: str
    method: str
    path: str
    git_protocol: str
    status: int = 0
    secs: float = 0.0


class GitServer(AbstractAsyncContextManager["GitServer"]):
    """Serves the bare repositories below a folder, read-only, as git's own CGI program does.

    Use it as an async context manager, or `await nursery.start(server.serve)`.

    Args:
      root: the folder; `<root>/a/b.git` is served at `/a/b.git`.
      host: a loopback address.
      port: 0 takes a free one.
      protocol_v2: False for a server that knows protocol v0 only.
      config: git configuration of the server, such as `uploadpack.allowTipSHA1InWant`.
      on_request: called with each request when it is over.

    Attributes:
      port: the port that is listened on, once it is.
      requests: what was asked so far, in the order of arrival.
    """

    def __init__(
        self,
        root: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        protocol_v2: bool = True,
        config: Mapping[str, str] | None = None,
        on_request: Callable[[SeenRequest], None] | None = None,
    ) -> None:
        self.root = root.resolve()
        self.host = host
        self.port = port
        self.requests: list[SeenRequest] = []
        self._protocol_v2 = protocol_v2
        self._config = {"safe.directory": "*", **(config or {})}
        self._on_request = on_request
        self._faults: list[tuple[str, Fault, list[int]]] = []
        self._running: AbstractAsyncContextManager[None] | None = None

    def url(self, name: str) -> str:
        """The clone URL of a repository, by its path below the root."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/{name}"

    def fail(self, path_part: str, fault: Fault, *, times: int | None = None) -> None:
        """Misbehave for requests whose path and query contain a text; the latest fault wins.

        Args:
          path_part: such as `r.git`, `r.git/info/refs`, `upload-pack` (both requests have it).
          fault: see `faults`.
          times: for so many requests; for all when None.
        """
        if times is not None:
            fault = attrs.evolve(fault, times=times)
        self._faults.insert(0, (path_part, fault, [0]))

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; reports the port when it is listened on."""
        settings = ListenerSettings(max_connections=10_000, head_timeout_secs=300.0)
        listener = Listener(self._answer, _no_websocket, settings, max_message_bytes=1024)
        async with trio.open_nursery() as nursery:
            serve = partial(listener.serve, self.host, self.port, trio.Event())
            self.port = await nursery.start(serve)
            task_status.started(self.port)

    async def __aenter__(self) -> GitServer:
        self._running = self._in_background()
        await self._running.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._running is not None:
            await self._running.__aexit__(None, None, None)

    @asynccontextmanager
    async def _in_background(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.serve)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    async def _answer(self, exchange: Exchange) -> None:
        started = trio.current_time()
        fault = self._fault_for(exchange)
        request = SeenRequest(
            started,
            f"{self.host}:{self.port}",
            exchange.method,
            f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path,
            exchange.headers.get("git-protocol", ""),
        )
        self.requests.append(request)
        delivery = Delivery(exchange, fault, request)
        try:
            await self._answer_or_fail(exchange, fault, delivery)
        finally:
            request.secs = trio.current_time() - started
            if self._on_request is not None:
                self._on_request(request)

    def _fault_for(self, exchange: Exchange) -> Fault:
        target = f"{exchange.path}?{exchange.query}"
        for part, fault, used in self._faults:
            if part in target and (fault.times is None or used[0] < fault.times):
                used[0] += 1
                return fault
        return Fault()

    async def _answer_or_fail(self, exchange: Exchange, fault: Fault, delivery: Delivery) -> None:
        body = b""
        while piece := await exchange.read():
            body += piece
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave_when_gone, exchange)
            await trio.sleep(fault.delay_secs)
            if fault.hang:
                await trio.sleep_forever()
            elif fault.raw is None and (fault.status is None or fault.refusing):
                await self._run_git(exchange, body, fault, delivery)
            else:
                await delivery.replace()
            nursery.cancel_scope.cancel()

    async def _run_git(
        self, exchange: Exchange, body: bytes, fault: Fault, delivery: Delivery
    ) -> None:
        """Answer with what `git http-backend` says; it dies with the connection."""
        environment = self._environment(exchange, len(body))
        async with (
            git_child(["http-backend"], environment) as child,
            trio.open_nursery() as feeding,
        ):
            feeding.start_soon(_give, child, body)
            status, headers, rest = await _cgi_head(child)
            if fault.tamper is not None or fault.refusing:
                rest += await _all_of(child)
            oid = refused_oid(rest) if fault.refusing else None
            if oid is not None:
                await delivery.replace(oid)
                return
            await delivery.start(status, headers)
            await _relay(child, fault.tamper(rest) if fault.tamper else rest, delivery)

    def _environment(self, exchange: Exchange, body_bytes: int) -> dict[str, str]:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": exchange.method,
            "PATH_INFO": unquote(exchange.path),
            "QUERY_STRING": exchange.query,
            "CONTENT_TYPE": exchange.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(body_bytes),
            "REMOTE_ADDR": exchange.peer,
            "GIT_CONFIG_COUNT": str(len(self._config)),
        }
        for number, (key, value) in enumerate(self._config.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        if encoding := exchange.headers.get("content-encoding"):
            environment["HTTP_CONTENT_ENCODING"] = encoding
        protocol = exchange.headers.get("git-protocol")
        if protocol and self._protocol_v2:
            environment["GIT_PROTOCOL"] = protocol
        return environment


async def _no_websocket(socket: Socket) -> None:
    raise Gone("no WebSockets here")


async def _leave_when_gone(exchange: Exchange) -> None:
    await exchange.wait_gone()
    raise Gone("the client left")


async def _give(child: GitChild, body: bytes) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await child.stdin.send_all(body)
        await child.stdin.aclose()


async def _cgi_head(child: GitChild) -> tuple[int, Headers, bytes]:
    """The head of a CGI program's answer, and what already came of the body."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = bytes(await child.stdout.receive_some(PIECE_BYTES))
        if not piece or len(head) > _MAX_HEAD_BYTES:
            return 500, [], b""
        head += piece
    lines, _, body = head.partition(b"\r\n\r\n")
    status, headers = 200, []
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name, value.strip()))
    return status, headers, body


async def _all_of(child: GitChild) -> bytes:
    pieces = []
    while piece := bytes(await child.stdout.receive_some(PIECE_BYTES)):
        pieces.append(piece)
    return b"".join(pieces)


async def _relay(child: GitChild, piece: bytes, delivery: Delivery) -> None:
    """Hand git's answer on, as far as the fault lets it."""
    while True:
        await delivery.write(piece)
        piece = bytes(await child.stdout.receive_some(PIECE_BYTES))
        if not piece:
            break
    await delivery.end()


def _log_to(path: Path) -> Callable[[SeenRequest], None]:
    file = path.open("a", encoding="utf-8", buffering=1)

    def write(request: SeenRequest) -> None:
        wall = time.time() - (trio.current_time() - request.time)
        file.write(json.dumps({"wall": wall, **attrs.asdict(request)}) + "\n")

    return write


async def _serve_all(servers: Sequence[GitServer]) -> None:
    async with trio.open_nursery() as nursery:
        for server in servers:
            await nursery.start(server.serve)
        binds = " ".join(f"{server.host}:{server.port}" for server in servers)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as stopping:
            print(f"ready {binds}", flush=True)  # noqa: T201
            async for _ in stopping:
                break
        nursery.cancel_scope.cancel()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; prints `ready host:port …` when all ports are listened on."""
    parser = argparse.ArgumentParser(prog="python -m purgatory_sync.testing.git_server")
    parser.add_argument("root", type=Path, help="folder of bare repositories")
    parser.add_argument(
        "--bind", action="append", metavar="HOST:PORT", help="once for each address; port 0: any"
    )
    parser.add_argument("--log", type=Path, help="append a JSON line for each request")
    parser.add_argument("--v0", action="store_true", help="know protocol v0 only")
    options = parser.parse_args(arguments)
    on_request = _log_to(options.log) if options.log else None
    servers = []
    for bind in options.bind or ["127.0.0.1:0"]:
        host, _, port = bind.rpartition(":")
        servers.append(
            GitServer(
                options.root,
                host.strip("[]"),
                int(port),
                protocol_v2=not options.v0,
                on_request=on_request,
            )
        )
    trio.run(_serve_all, servers)


if __name__ == "__main__":
    main()
