"""Lines with fields through the standard library's logging, and silence before that is set up."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from purgatory_sync.runtime.logger import ROOT, get_logger
from purgatory_sync.testing.log_capture import capture_logs

LOG = get_logger(f"{ROOT}.room.module")


class Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[list[logging.LogRecord]]:
    logger, handler = logging.getLogger(ROOT), Keep()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_a_record_has_the_event_its_fields_and_both_as_a_line(
    kept: list[logging.LogRecord],
) -> None:
    LOG.bind(url="wss://x").warning("100 % lost", name="a b", event=1)
    (record,) = kept
    assert record.__dict__["event"] == "100 % lost"
    assert record.__dict__["fields"] == {"url": "wss://x", "name": "a b", "event": 1}
    assert record.getMessage() == "100 % lost url='wss://x' name='a b' event=1"
    assert (record.name, record.levelno) == (f"{ROOT}.room.module", logging.WARNING)
    assert record.funcName == "test_a_record_has_the_event_its_fields_and_both_as_a_line"


def test_a_bound_logger_leaves_the_first_as_it_was(kept: list[logging.LogRecord]) -> None:
    LOG.bind(a=1).bind(b=2, a=3).info("one")
    LOG.info("two")
    assert [record.__dict__["fields"] for record in kept] == [{"a": 3, "b": 2}, {}]


def test_levels_below_that_of_the_logger_are_not_made(kept: list[logging.LogRecord]) -> None:
    LOG.debug("no")
    LOG.error("yes")
    assert [record.__dict__["event"] for record in kept] == ["yes"]


def test_an_exception_comes_with_its_traceback(kept: list[logging.LogRecord]) -> None:
    try:
        raise RuntimeError("why")
    except RuntimeError:
        LOG.exception("failed", tries=1)
    (record,) = kept
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "why"


def test_captured_lines_go_nowhere_else_and_later_ones_do(kept: list[logging.LogRecord]) -> None:
    with capture_logs() as logs:
        LOG.debug("seen", url="x")
        try:
            raise RuntimeError
        except RuntimeError:
            LOG.exception("failed")
    LOG.info("after")
    assert logs == [
        {"event": "seen", "log_level": "debug", "url": "x"},
        {"event": "failed", "log_level": "error", "exc_info": True},
    ]
    assert [record.__dict__["event"] for record in kept] == ["after"]


PROGRAM = """
import logging, sys
from purgatory_sync.runtime.logger import get_logger
log = get_logger("purgatory_sync.somewhere")
log.error("lost", path="x")
try:
    raise RuntimeError
except RuntimeError:
    log.exception("failed")
if sys.argv[1:]:
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO)
    log.info("heard", path="x")
"""


@pytest.mark.parametrize(
    ("arguments", "heard"), [([], ""), (["set up"], "purgatory_sync.somewhere: heard path='x'\n")]
)
def test_nothing_is_written_before_logging_is_set_up(arguments: list[str], heard: str) -> None:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", heard)
