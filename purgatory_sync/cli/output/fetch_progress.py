"""How a fetch by hand shows what it does: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TextIO

import trio
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

_LINE_SECS: Final = 5.0


class _Shown(Protocol):
    def phase(self, name: str) -> None: ...
    def bytes_and_objects(self, pack_bytes: int, objects: int | None) -> None: ...
    def note(self, line: str) -> None: ...


class FetchProgress:
    """Observes a fetch (a `git.observer.PackObserver`) and has it shown."""

    def __init__(self, shown: _Shown) -> None:
        self._shown = shown
        self._bytes = 0
        self._objects: int | None = None

    def phase(self, name: str) -> None:
        """Something else is done from now on."""
        self._shown.phase(name)

    def contacted(self) -> None:
        self.phase("connecting")

    def answered(self) -> None:
        self.phase("asking")

    def pack_begun(self, objects: int) -> None:
        self._objects = objects
        self.phase("receiving")
        self._shown.bytes_and_objects(self._bytes, objects)

    def received(self, pack_bytes: int) -> None:
        self._bytes += pack_bytes
        self._shown.bytes_and_objects(self._bytes, self._objects)

    def body_ended(self) -> None:
        self.phase("proving")

    def redirected(self, domain: str) -> bool:
        self._shown.note(f"redirected to {domain}")
        return True


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def phase(self, name: str) -> None:
        self._progress.update(self._task, description=name)

    def bytes_and_objects(self, pack_bytes: int, objects: int | None) -> None:
        count = "" if objects is None else f"{objects:,} objects"
        self._progress.update(self._task, completed=pack_bytes, objects=count)

    def note(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False)


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next_line = 0.0
        self._amount = ""

    def phase(self, name: str) -> None:
        amount = f" ({self._amount})" if self._amount and name == "proving" else ""
        self.note(f"{name}{amount}")
        self._next_line = trio.current_time() + _LINE_SECS

    def bytes_and_objects(self, pack_bytes: int, objects: int | None) -> None:
        count = "" if objects is None else f", {objects:,} objects"
        self._amount = f"{decimal(pack_bytes)}{count}"
        if trio.current_time() >= self._next_line:
            self.phase(f"receiving: {self._amount}")

    def note(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


@contextmanager
def progress_on(stream: TextIO) -> Iterator[FetchProgress]:
    """Show a fetch for the time of the block: as a bar that goes away, or as lines."""
    if not stream.isatty():
        yield FetchProgress(_Lines(stream))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[objects]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        task = progress.add_task("looking up", total=None, objects="")
        yield FetchProgress(_Bar(progress, task))
