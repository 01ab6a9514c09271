"""What was logged, as values that a test compares."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..runtime.logger import ROOT, event_of


class _Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.entries: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        event, fields = event_of(record)
        entry = {"event": event, "log_level": record.levelname.lower(), **fields}
        self.entries.append(entry | ({"exc_info": True} if record.exc_info else {}))


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Collect what the package logs, at any level; nothing goes to other handlers meanwhile.

    Yields a list that grows: a dict of the fields of each line, with `event`, `log_level`, and
    `exc_info` (True) where there is a traceback.
    """
    logger = logging.getLogger(ROOT)
    before = logger.handlers[:], logger.level, logger.propagate
    keep = _Keep()
    logger.handlers[:], logger.propagate = [keep], False
    logger.setLevel(logging.DEBUG)
    try:
        yield keep.entries
    finally:
        logger.handlers[:], level, logger.propagate = before
        logger.setLevel(level)
