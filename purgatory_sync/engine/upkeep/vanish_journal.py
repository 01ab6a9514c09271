"""Requests to vanish, kept beside the store too: an older store obeys them (B 5.2, 13.5)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import attrs
import trio

from ...errors import InvalidEvent, RepositoryError
from ...git.disk.layout import fsync_dir
from ...nostr import kinds
from ...nostr.event import Event, decode_event, encode_event
from ...nostr.filters import Filter
from ...release.index.repository_index import EVERYTHING
from ...runtime.blocking import blocking
from ...runtime.logger import get_logger
from ...store.protocol import Store

VANISH_FILE: Final = "vanish.jsonl"
# Before the file has grown by so much, older requests of a key stay in it.
MIN_COMPACT_BYTES: Final = 1 << 20
_MODE: Final = 0o600

log = get_logger(__name__)


@attrs.define(eq=False)
class VanishJournal:
    """The file of the requests that were obeyed here, one event a line; of each key the newest.

    Older ones of a key leave whenever the file has doubled: any key can send as many as it likes.

    Attributes:
      folder: NGIT_RELAY_DATA_PATH; None where nothing is on disk.
    """

    folder: Path | None
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    _grown: int = attrs.field(default=0, init=False)
    _compact_bytes: int = attrs.field(default=0, init=False)

    async def note(self, request: Event) -> None:
        """Append a request durably; what the disk refuses is logged, and done at the next start."""
        if self.folder is not None:
            try:
                await blocking(self._place, self._append, self.folder / VANISH_FILE, request)
            except (OSError, RepositoryError) as error:
                log.error("request to vanish not noted", error=str(error))

    def _append(self, path: Path, request: Event) -> None:
        self._grown += _append(path, [request])
        if self._grown >= max(MIN_COMPACT_BYTES, self._compact_bytes):
            self._grown = 0
            self._compact_bytes = _compact(path)

    async def catch_up(self, store: Store, offer: Callable[[Event], Awaitable[object]]) -> None:
        """Obey the requests that the store does not know, and note those that the file does not.

        Args:
          offer: judges an event as if it had just come.

        Raises:
          StoreError: the store cannot be asked.
          RepositoryError: the file is there and cannot be read: what it says may not be ignored.
        """
        if self.folder is None:
            return
        path = self.folder / VANISH_FILE
        noted = {each.id: each for each in await blocking(self._place, _read, path)}
        served = await store.query([Filter(kinds=frozenset((kinds.VANISH,)))], EVERYTHING)
        known = {each.id for each in served}
        for event_id, request in noted.items():
            if event_id not in known:
                log.info("obeying a request to vanish that the store does not know", id=event_id)
                await offer(request)
        lacking = [each for each in served if each.id not in noted]
        try:
            if lacking:
                await blocking(self._place, _append, path, lacking)
            if noted:
                await blocking(self._place, _compact, path)
        except OSError as error:
            log.error("requests to vanish not noted", error=str(error))


def _append(path: Path, requests: Iterable[Event]) -> int:
    """Append requests; the number of bytes."""
    is_new = not path.exists()
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with open(os.open(path, flags, _MODE), "r+b") as file:
        # A crash may have left half a line, which must not take the next one with it.
        size = file.seek(0, os.SEEK_END)
        whole = size == 0
        if size:
            file.seek(size - 1)
            whole = file.read(1) == b"\n"
        lines = b"".join(encode_event(each) + b"\n" for each in requests)
        file.write(lines if whole else b"\n" + lines)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        fsync_dir(path.parent)
    return len(lines)


def _compact(path: Path) -> int:
    """Keep the newest request of each key, and lines that are none; the bytes of what is left.

    It reads line by line: the file may be larger than memory. Raises OSError; nothing changed then.
    """
    newest: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if (request := _event_of(line)) is not None:
                kept = newest.get(request.pubkey, (-1, -1))
                newest[request.pubkey] = max(kept, (request.created_at, number))
    chosen = {number for _, number in newest.values()}
    part = path.with_name(f".{path.name}.part")
    flags = os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_CLOEXEC
    with path.open("rb") as file, open(os.open(part, flags, _MODE), "wb") as written:
        for number, line in enumerate(file):
            if number in chosen or _event_of(line) is None:
                written.write(line if line.endswith(b"\n") else line + b"\n")
        written.flush()
        os.fsync(written.fileno())
        size = written.tell()
    os.replace(part, path)
    fsync_dir(path.parent)
    return size


def _event_of(line: bytes) -> Event | None:
    try:
        return decode_event(line)
    except InvalidEvent:
        return None


def _read(path: Path) -> list[Event]:
    """The requests that the file has; lines that are none are logged.

    Raises:
      RepositoryError: it cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RepositoryError(
            f"{path} cannot be read ({error.strerror}): it says who asked to vanish; let the"
            " node's user read it"
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(decode_event(line))
            except InvalidEvent as error:
                log.warning("a line is no event", path=str(path), line=number, error=str(error))
    return found
