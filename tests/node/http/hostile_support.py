"""A node as a process, sockets that misbehave, and what must hold after each of them."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs
from websockets.sync.client import connect

from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import LOOPBACK_ONLY, free_port

from ..git_http.git_support import ENVIRONMENT, git
from ..support import UPGRADE, text_frame

OWNER: Final = Author.from_seed(1)
DOMAIN: Final = "git.example"
REPOSITORY: Final = f"/{OWNER.npub}/repo.git"
BLOB_BYTES: Final = 8 << 20
LONG_EVENT_CHARS: Final = 100_000
# Short, so that the suite is; long enough for a healthy client of a busy machine.
PATIENCE_SECS: Final = 1.0
MAX_CONNECTIONS, MAX_PER_ADDRESS = 240, 180
MAX_MESSAGE_BYTES: Final = 256 * 1024
START_SECS, ANSWER_SECS, SETTLE_SECS = 60.0, 30.0, 10.0
MAX_GROWTH_MIB: Final = 48.0
INFO: Final = (
    b"GET /purgatory.json HTTP/1.1\r\nHost: a\r\nAccept: application/nostr+json\r\n"
    b"Connection: close\r\n\r\n"
)
_NARROW_BYTES: Final = 4096


@attrs.define
class Victim:
    """A node that runs in a folder, watched from outside.

    Attributes:
      pack: what its repository holds.
      patience_secs: how long it waits for heads, bodies and readers.
    """

    folder: Path
    port: int = attrs.field(factory=free_port)
    pack: bytes = b""
    patience_secs: float = PATIENCE_SECS
    _process: subprocess.Popen[bytes] | None = None
    _descriptors: int = 0
    _mib: float = 0.0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, warm it up and remember what it takes."""
        settings = {
            "NGIT_BIND_ADDRESS": f"127.0.0.1:{self.port}",
            "NGIT_DOMAIN": DOMAIN,
            **{
                f"NGIT_HTTP_{what}_TIMEOUT_SECS": str(self.patience_secs)
                for what in ("HEAD", "BODY", "SEND")
            },
            "NGIT_MAX_CONNECTIONS": str(MAX_CONNECTIONS),
            "NGIT_MAX_CONNECTIONS_PER_ADDRESS": str(MAX_PER_ADDRESS),
            "NGIT_RELAY_MAX_MESSAGE_BYTES": str(MAX_MESSAGE_BYTES),
            "NGIT_HUNT_MIN_FREE_BYTES": "0",
            "NGIT_SHUTDOWN_GRACE_SECS": "1",
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("NGIT_")}
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "purgatory_sync"],
                cwd=self.folder,
                env={**inherited, **LOOPBACK_ONLY, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._serves, self.said, START_SECS)
        except BaseException:
            self.kill()
            raise

    def _serves(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECS) as asking,
        ):
            asking.sendall(get("/readyz"))
            return read_to_end(asking).startswith(b"HTTP/1.1 200 ")
        return False

    def remember(self) -> None:
        """From now on it may take no more than now."""
        self.serves_others()
        wait_until(lambda: not self.git_children(), "the warm-up leaves a git child")
        time.sleep(0.2)
        self._descriptors, self._mib = self.descriptors(), self.resident_mib()

    def descriptors(self) -> int:
        """How many it has open beside those of the store, whose readers come as they are needed."""
        store, count = str(self.folder / "data" / "relay"), 0
        for number in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                count += not str(number.readlink()).startswith(store)
        return count

    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    def git_children(self) -> list[str]:
        """Command lines of gits that work in our folder, children of children too."""
        return [line for line in _working_in(str(self.folder)) if "git" in line.split("\0")[0]]

    def serves_others(self, source: str = "127.0.0.9") -> None:
        """A page, a subscription and a clone's first answer, for another client."""
        for request in (INFO, get(REPOSITORY + "/info/refs?service=git-upload-pack")):
            with self.dial(request, source=source) as other:
                assert read_to_end(other).startswith(b"HTTP/1.1 200 ")
        with self.upgraded(source=source) as other:
            other.sendall(text_frame(b'["REQ","healthy",{"kinds":[30618]}]'))
            assert b'["EOSE","healthy"]' in read_until(other, b"EOSE")

    def is_unharmed(self) -> None:
        """It serves others, and what it takes is what it took."""
        self.serves_others()
        wait_until(
            lambda: self.descriptors() <= self._descriptors and not self.git_children(),
            lambda: f"{self.descriptors()} descriptors, {self.git_children()}",
        )
        assert self.resident_mib() - self._mib < MAX_GROWTH_MIB
        assert "Traceback" not in self.said()

    def said(self) -> str:
        return (self.folder / "node.log").read_text()

    def dial(
        self, data: bytes = b"", *, source: str = "127.0.0.1", narrow: bool = False
    ) -> socket.socket:
        """A connection on which something was sent; a narrow one has no room for answers."""
        client = socket.socket()
        if narrow:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_BYTES)
        client.settimeout(ANSWER_SECS)
        client.bind((source, 0))
        client.connect(("127.0.0.1", self.port))
        client.sendall(data)
        return client

    def upgraded(
        self, *, source: str = "127.0.0.1", narrow: bool = False, deflate: bool = False
    ) -> socket.socket:
        """A connection after the WebSocket handshake; with deflate, frames may be compressed."""
        extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else b""
        request = UPGRADE[:-2] + extension + b"\r\n"
        client = self.dial(request, source=source, narrow=narrow)
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        return client

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, secs: float) -> int:
        """Its exit code, when it ends in time."""
        assert self._process is not None
        return self._process.wait(secs)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(5)


def prepared(folder: Path) -> bytes:
    """Make a node's data: a repository with something large in it and a long event; its pack."""
    victim = Victim(folder)
    victim.start()
    try:
        base = f"http://127.0.0.1:{victim.port}{REPOSITORY}"
        tree = folder / "tree"
        git("init", "-q", "-b", "main", tree)
        (tree / "large").write_bytes(os.urandom(BLOB_BYTES))
        git("-C", tree, "add", "-A")
        git("-C", tree, "commit", "-q", "-m", "large")
        head = git("-C", tree, "rev-parse", "HEAD")
        now = int(time.time())
        with connect(f"ws://127.0.0.1:{victim.port}/", proxy=None) as relay:
            for event in (
                events.announcement(
                    OWNER,
                    "repo",
                    clone=[f"https://{DOMAIN}{REPOSITORY}"],
                    relays=[f"wss://{DOMAIN}"],
                    created_at=now - 2,
                ),
                events.state(OWNER, "repo", {"refs/heads/main": head}, created_at=now - 1),
                OWNER.sign(10317, "x" * LONG_EVENT_CHARS, [], now),
            ):
                _publish(relay, event)
        git("-C", tree, "push", "-q", base, "main")
        packed = subprocess.run(
            ["git", "-C", str(tree), "pack-objects", "--all", "--stdout", "-q"],
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, check=True,
        )  # fmt: skip
        return packed.stdout
    finally:
        victim.kill()


def _publish(relay: object, event: Event) -> None:
    relay.send('["EVENT",' + encode_event(event).decode() + "]")  # type: ignore[attr-defined]
    answer = relay.recv(ANSWER_SECS)  # type: ignore[attr-defined]
    assert '",true,"' in answer, answer


def _working_in(folder: str) -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (entry / "cmdline").read_text(errors="replace")
            where = str((entry / "cwd").readlink())
            if line and (folder in line or where.startswith(folder)):
                yield line


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()


def post(service: str, *headers: bytes) -> bytes:
    """The head of a POST to one of git's services, its blank line not included."""
    lines = [
        f"POST {REPOSITORY}/{service} HTTP/1.1".encode(),
        b"Host: a",
        f"Content-Type: application/x-{service}-request".encode(),
        *headers,
    ]
    return b"".join(line + b"\r\n" for line in lines)


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A frame as clients send it, masked with zeros, of any length."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + struct.pack("!H", size) if size < 65536 else _long(size)
    return bytes([first]) + length + bytes(4) + payload


def _long(size: int) -> bytes:
    return b"\xff" + struct.pack("!Q", size)


def read_to_end(client: socket.socket) -> bytes:
    """All that comes until the other side ends; it has ANSWER_SECS for each piece."""
    data = bytearray()
    with suppress(ConnectionError):
        while piece := client.recv(65536):
            data += piece
    return bytes(data)


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = client.recv(65536)
        assert piece, data
        data += piece
    return data


def flood(client: socket.socket, data: bytes, most_bytes: int) -> None:
    """Send on and on until it is not taken, the other side ends, or it is enough."""
    client.settimeout(0.2)
    with suppress(OSError):
        for _ in range(0, most_bytes, len(data)):
            client.sendall(data)
    client.settimeout(ANSWER_SECS)


def reset(client: socket.socket) -> None:
    """End a connection as a crash does, without a word."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def wait_until(holds: object, otherwise: object, secs: float = SETTLE_SECS) -> None:
    """Return when something holds; fail with a sentence when it does not in time."""
    until = time.monotonic() + secs
    while not holds():  # type: ignore[operator]
        if time.monotonic() > until:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.01)


@contextmanager
def running(victim: Victim) -> Iterator[Victim]:
    """Run a prepared node for a block."""
    victim.start()
    try:
        victim.remember()
        yield victim
    finally:
        victim.kill()
