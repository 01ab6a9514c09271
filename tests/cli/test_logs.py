"""Lines for terminals and for machines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from purgatory_sync.cli.output.logs import configure_logging
from purgatory_sync.runtime.logger import ROOT, get_logger

LOG = get_logger(f"{ROOT}.somewhere")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(ROOT).setLevel(logging.NOTSET)


def test_json_without_a_terminal() -> None:
    out = io.StringIO()
    configure_logging("info", out)
    LOG.info("released", identifier="x", missing=0)
    entry = json.loads(out.getvalue())
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {"event": "released", "level": "info", "identifier": "x", "missing": 0}


def test_level() -> None:
    out = io.StringIO()
    configure_logging("warning", out)
    LOG.info("no")
    LOG.warning("yes")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["yes"]


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", ["info", "warning"]), ("info", ["warning"]), ("error", [])],
)
def test_libraries_are_one_step_quieter(level: str, heard: list[str]) -> None:
    out = io.StringIO()
    configure_logging(level, out)  # type: ignore[arg-type]
    library = logging.getLogger("some.library")
    for name in ("debug", "info", "warning"):
        getattr(library, name)("%s said", name)
    entries = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [entry["level"] for entry in entries] == heard
    assert all(entry["event"] == f"{entry['level']} said" for entry in entries)
    assert all(entry["logger"] == "some.library" for entry in entries)


def test_exceptions_have_their_traceback() -> None:
    out = io.StringIO()
    configure_logging("info", out)
    for log in (LOG, logging.getLogger("library")):
        try:
            raise RuntimeError("why")
        except RuntimeError:
            log.exception("failed")
    for line in out.getvalue().splitlines():
        assert "RuntimeError: why" in json.loads(line)["exception"]


def test_strangers_cannot_command_the_terminal() -> None:
    out = Terminal()
    configure_logging("info", out)
    LOG.info("a\x1b[2Jb", url="http://x/\x1b]0;owned\x07\u202e")
    shown = out.getvalue()
    assert "\x1b[2J" not in shown
    assert "\x1b]0" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "a\\x1b[2Jb" in shown


class Full(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_that_cannot_be_written_stop_no_task(terminal: bool) -> None:
    configure_logging("info", Full(terminal))
    LOG.warning("lost")
    closed = io.StringIO()
    configure_logging("info", closed)
    closed.close()
    LOG.warning("lost too")


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()])
def test_tracebacks_show_no_values(out: io.StringIO) -> None:
    configure_logging("info", out)
    key = "nsec1" + "q" * 3
    try:
        raise RuntimeError(f"a bug with {len(key)} characters")
    except RuntimeError:
        LOG.exception("failed")
    assert "a bug with 8 characters" in out.getvalue()
    assert key not in out.getvalue()
