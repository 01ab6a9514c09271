"""Log lines: text on a terminal, JSON otherwise; what libraries log comes the same way."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import Processor

from ...runtime.logger import ROOT, event_of

Level = Literal["debug", "info", "warning", "error"]


def configure_logging(level: Level, stream: TextIO | None = None) -> None:
    """Set up logging for the whole process, and structlog, which renders the lines.

    Args:
      level: the least important lines that are written. Libraries are one step quieter: at
        `info` they are heard from `warning` on, at `debug` from `info` on.
      stream: where lines go; standard error when None.
    """
    out = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=_processors(out.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Forgiving(out))),
        cache_logger_on_first_use=False,
    )
    quieter = logging.INFO if threshold == logging.DEBUG else max(threshold, logging.WARNING)
    logging.basicConfig(handlers=[_ToStructlog()], level=quieter, force=True)
    logging.getLogger(ROOT).setLevel(threshold)


class _Forgiving:
    """A full disk or a reader that left costs lines, and nothing that wanted to say something."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _processors(terminal: bool) -> list[Processor]:
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
    ]
    if terminal:
        return [
            *common,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            _without_controls,
            # Others would print local variables, and with them the key of the service.
            structlog.dev.ConsoleRenderer(
                sort_keys=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    return [
        *common,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def _without_controls(
    _logger: Any, _method: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What strangers send must not command the operator's terminal."""
    for key, value in entry.items():
        if isinstance(value, str) and not value.isprintable():
            entry[key] = "".join(char if char.isprintable() else repr(char)[1:-1] for char in value)
    return entry


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event, fields = event_of(record)
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, event, **fields)
