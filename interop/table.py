"""What was tried, as rows of one table in docs/compatibility.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

BEGIN: Final = "<!-- written by `make interop`: begin -->"
END: Final = "<!-- written by `make interop`: end -->"
_WORDS: Final = 160


@attrs.frozen
class Row:
    """One piece of software in one part, and what came of it."""

    software: str
    part: str
    tried: str
    result: str

    @property
    def works(self) -> bool:
        """Whether it did all that was tried."""
        return self.result == "works"


def written(document: str, rows: Sequence[Row], day: str) -> str:
    """The document with these rows between its markers; the rest stays as it is.

    Raises:
      ValueError: the document does not have both markers, each once.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document needs the lines {BEGIN} and {END}, each once")
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [f"Last run: {day}.", "", "| software | as | what was tried | result |"]
    lines += ["| --- | --- | --- | --- |", *map(_line, rows)]
    return "\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"])


def write(path: Path, rows: Sequence[Row], day: str) -> None:
    """Put the rows into the document on disk."""
    path.write_text(written(path.read_text(encoding="utf-8"), rows, day), encoding="utf-8")


def _line(row: Row) -> str:
    return "| " + " | ".join(map(_cell, attrs.astuple(row))) + " |"


def _cell(text: str) -> str:
    """One line of a table's cell: no bar ends it, and no report of an error fills the page."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= _WORDS else f"{line[: _WORDS - 1]}…"
