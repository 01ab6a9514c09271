"""A git server in memory whose answers a test writes, and the client that talks to it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import h11
import trio
import trio.testing
from dulwich.object_format import SHA1
from dulwich.objects import ShaFile
from dulwich.pack import write_pack_objects

from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.protocol.pktline import pkt_line
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings

RESULT = "application/x-git-upload-pack-result"
ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
SERVICE = pkt_line(b"# service=git-upload-pack\n") + b"0000"
V2 = SERVICE + pkt_line(b"version 2\n") + pkt_line(b"ls-refs\n") + pkt_line(b"fetch\n") + b"0000"


@attrs.frozen
class Seen:
    """A request as it arrived."""

    method: str
    host: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_v2(self) -> bool:
        return self.headers.get("git-protocol") == "version=2"

    @property
    def wants(self) -> list[str]:
        lines = self.body.split(b"want ")[1:]
        return [line[:40].decode() for line in lines]


@attrs.frozen
class Reply:
    """What is answered; `then` is what happens when it is sent: next, hang, cut.

    `raw` and the pieces after it go out as they are, without our HTTP.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = RESULT
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Iterable[bytes] = ()
    secs_between: float = 0.0
    then: str = "next"
    raw: bytes | None = None


Answer = Callable[[Seen], Reply]
HANG = Reply(raw=b"", then="hang")


@attrs.define
class Observed:
    """An observer that writes down what it is told."""

    log: list[str] = attrs.field(factory=list)
    places: bool = True
    pack_bytes: int = 0

    def contacted(self) -> None:
        self.log.append("contacted")

    def answered(self) -> None:
        self.log.append("answered")

    def received(self, pack_bytes: int) -> None:
        self.pack_bytes += pack_bytes

    def body_ended(self) -> None:
        self.log.append("body ended")

    def redirected(self, domain: str) -> bool:
        self.log.append(f"redirected {domain}")
        return self.places


class World:
    """Servers in memory behind public addresses; every connection and request is noted."""

    def __init__(self, nursery: trio.Nursery, tmp: Path, settings: HuntSettings) -> None:
        self.answer: Answer = lambda seen: Reply(status=404)
        self.seen: list[Seen] = []
        self.connections = 0
        self.contacted: list[str] = []
        self.names: dict[str, list[list[str]]] = {}  # answers of the resolver, one after another
        self.mute = False
        self.open = 0
        self.tmp = tmp
        self._nursery = nursery
        gate = Gate(resolve=self._resolve, connect=self._connect)
        self.client = GitClient(settings, gate, tmp, ours="ours.example")

    @property
    def asked(self) -> list[str]:
        return [f"{seen.method} {seen.host}{seen.target.partition('?')[0]}" for seen in self.seen]

    def left_behind(self) -> list[Path]:
        return list(self.tmp.iterdir()) if self.tmp.exists() else []

    async def _resolve(self, host: str) -> list[str]:
        if answers := self.names.get(host):
            return answers.pop(0) if len(answers) > 1 else answers[0]
        return ["127.0.0.1"] if host.startswith("inside") else ["8.8.8.8"]

    async def _connect(self, address: str, port: int) -> trio.abc.HalfCloseableStream:
        self.connections += 1
        self.contacted.append(f"{address}:{port}")
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.open += 1
        try:
            if self.mute:
                await trio.sleep_forever()
            connection = h11.Connection(h11.SERVER)
            while (seen := await _receive(connection, stream)) is not None:
                self.seen.append(seen)
                if not await _send(connection, stream, self.answer(seen)):
                    break
                connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except h11.RemoteProtocolError:
            pass  # TLS, which is not spoken here
        finally:
            self.open -= 1
            with trio.CancelScope(shield=True):
                await stream.aclose()


@asynccontextmanager
async def world(tmp: Path, settings: HuntSettings | None = None) -> AsyncIterator[World]:
    """A world whose blocking work takes no virtual time."""
    with blocking_in_place():
        async with trio.open_nursery() as nursery:
            made = World(nursery, tmp, settings or HuntSettings(min_free_bytes=0))
            async with made.client:
                yield made
            nursery.cancel_scope.cancel()


async def _receive(connection: h11.Connection, stream: trio.abc.HalfCloseableStream) -> Seen | None:
    request, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            headers = {name.decode(): value.decode() for name, value in request.headers}
            target = request.target.decode()
            return Seen(request.method.decode(), headers["host"], target, headers, body)
        else:
            return None


async def _send(
    connection: h11.Connection, stream: trio.abc.HalfCloseableStream, reply: Reply
) -> bool:
    for piece in _bytes_of(connection, reply):
        if piece:
            await stream.send_all(piece)
        await trio.sleep(reply.secs_between)
    if reply.then == "hang":
        await stream.receive_some(1)
    return reply.then == "next" and reply.raw is None


def _bytes_of(connection: h11.Connection, reply: Reply) -> Iterator[bytes]:
    if reply.raw is not None:
        yield reply.raw
        yield from reply.pieces
        return
    named = [("content-type", reply.content_type), *reply.headers]
    headers = [(name.encode(), value.encode("latin-1")) for name, value in named]
    yield connection.send(h11.Response(status_code=reply.status, headers=headers)) or b""
    for piece in reply.pieces or [reply.body]:
        yield connection.send(h11.Data(data=piece)) or b""
    if reply.then == "next":
        yield connection.send(h11.EndOfMessage()) or b""


def pack_of(objects: Iterable[ShaFile]) -> bytes:
    """The objects as a pack."""
    file = io.BytesIO()
    found = list(objects)
    write_pack_objects(file, found, SHA1)
    return file.getvalue()


def v2_pack(pack: bytes) -> Reply:
    return Reply(pkt_line(b"packfile\n") + pkt_line(b"\x02working\n") + bands(pack))


def v0_pack(pack: bytes) -> Reply:
    return Reply(pkt_line(b"NAK\n") + bands(pack))


def bands(pack: bytes) -> bytes:
    pieces = [pack[start : start + 1000] for start in range(0, len(pack), 1000)]
    return b"".join(pkt_line(b"\x01" + piece) for piece in pieces) + b"0000"


def err(words: str) -> Reply:
    return Reply(pkt_line(b"ERR " + words.encode()))


def refs_v2(refs: dict[str, str]) -> Reply:
    lines = [pkt_line(f"{oid} {name}\n".encode()) for name, oid in refs.items()]
    return Reply(b"".join(lines) + b"0000")


def refs_v0(
    refs: dict[str, str], capabilities: str = "side-band-64k ofs-delta", version: bytes = b""
) -> Reply:
    lines = [f"{oid} {name}" for name, oid in (refs or {"capabilities^{}": "0" * 40}).items()]
    lines[0] += f"\0{capabilities}"
    body = version + b"".join(pkt_line(line.encode() + b"\n") for line in lines)
    return Reply(SERVICE + body + b"0000", content_type=ADVERTISEMENT)


def refs_v1(refs: dict[str, str]) -> Reply:
    return refs_v0(refs, version=pkt_line(b"version 1\n"))


def info_v2() -> Reply:
    return Reply(V2, content_type=ADVERTISEMENT)


def redirect(location: str, status: int = 301) -> Reply:
    return Reply(status=status, headers=(("location", location),), content_type="text/html")


@contextmanager
def seconds(expected: float) -> Iterator[None]:
    """The block takes exactly so many seconds of virtual time."""
    start = trio.current_time()
    yield
    assert trio.current_time() - start == expected
