"""Where events to import come from: a file with one a line, or a relay that is read once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Final, Protocol, TypeAlias

import attrs
import trio

from ...errors import ConfigurationError, InvalidEvent
from ...nostr.event import Event, decode_event
from ...nostr.filters import Filter
from ...runtime.blocking import blocking
from ...runtime.clock import WallClock
from ...runtime.net.gate import Gate
from ..upstream.one_reading import OneQuestion, read_once
from ..upstream.state.filters_wanted import Wanted
from ..upstream.state.intake import Judged
from ..upstream.state.shared import Common, Record
from .imported import BrokenLine

Take: TypeAlias = Callable[[Event], Awaitable[None]]
Kinds: TypeAlias = frozenset[int] | None

LINES_AT_ONCE: Final = 500
BYTES_AT_ONCE: Final = 8 << 20
MAX_LINE_BYTES: Final = 8 << 20
BROKEN_AT_MOST: Final = 1_000


class GivenEvents(Protocol):
    """Something that can be read several times."""

    async def read(self, kinds: Kinds, take: Take) -> None:
        """Hand on the events of these kinds (None: of all), in any order."""


@attrs.define
class EventFile:
    """A file with one event a line; empty lines are passed over.

    Attributes:
      broken: lines that are no events, the first 1,000; known once the file was read.
      broken_lines: how many there are.
    """

    path: Path
    broken: list[BrokenLine] = attrs.field(factory=list)
    broken_lines: int = 0
    _judged: bool = False
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))

    async def read(self, kinds: Kinds, take: Take) -> None:
        """See `GivenEvents`.

        Raises:
          ConfigurationError: the file cannot be read.
        """
        number = 0
        try:
            with await blocking(self._place, self.path.open, "rb") as file:
                while lines := await blocking(self._place, _read_some, file):
                    for event in await blocking(self._place, self._events, number, lines):
                        if kinds is None or event.kind in kinds:
                            await take(event)
                    number += len(lines)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error.strerror}") from error
        self._judged = True

    def _events(self, number: int, lines: list[bytes | None]) -> list[Event]:
        found = []
        for at, line in enumerate(lines, number + 1):
            try:
                if line is None:
                    raise InvalidEvent(f"this line has more than {MAX_LINE_BYTES} bytes")
                if line.strip():
                    found.append(decode_event(line))
            except InvalidEvent as error:
                self._note(at, str(error))
        return found

    def _note(self, line: int, reason: str) -> None:
        if self._judged:
            return
        self.broken_lines += 1
        if len(self.broken) < BROKEN_AT_MOST:
            self.broken.append(BrokenLine(line, reason))


def _read_some(file: IO[bytes]) -> list[bytes | None]:
    """The next lines, not many bytes at once, None for one that is too long; empty at the end."""
    lines: list[bytes | None] = []
    size = 0
    while len(lines) < LINES_AT_ONCE and size < BYTES_AT_ONCE:
        if not (line := file.readline(MAX_LINE_BYTES)):
            break
        size += len(line)
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            lines.append(None)
        else:
            lines.append(line)
    return lines


@attrs.frozen
class EventRelay:
    """A relay, asked page by page.

    Attributes:
      url: judged, ws or wss.
    """

    url: str
    gate: Gate
    clock: WallClock
    _record: Record = attrs.field(
        init=False, default=attrs.Factory(lambda self: Record(self.url), takes_self=True)
    )

    async def read(self, kinds: Kinds, take: Take) -> None:
        """See `GivenEvents`.

        Raises:
          RelayUnread: it is not reached, refuses or breaks off; what came was handed on.
        """

        async def hand_on(event: Event, _: Judged) -> None:
            await take(event)

        common = Common(Wanted(), hand_on, self.clock)
        await read_once(OneQuestion(Filter(kinds=kinds), True), self._record, common, self.gate)
