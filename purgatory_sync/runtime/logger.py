"""Log lines with fields, through the standard library's logging: silent until it is set up.

Loggers are named like the module that logs, below `purgatory_sync`. Each record has two attributes
of its own: `event` (what happened, the same text each time) and `fields` (a dict of the rest);
its message is both as one line.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, final

ROOT: Final = "purgatory_sync"

# Without a handler, Python would write warnings to stderr.
logging.getLogger(ROOT).addHandler(logging.NullHandler())


@final
class Log:
    """A logger that takes what happened, and fields by name; `bind` makes one that has some."""

    __slots__ = ("_bound", "_logger")

    def __init__(self, logger: logging.Logger, bound: Mapping[str, object]) -> None:
        self._logger = logger
        self._bound = bound

    def bind(self, **fields: object) -> Log:
        """The same logger with these fields in each line."""
        return Log(self._logger, {**self._bound, **fields})

    def debug(self, event: str, /, **fields: object) -> None:
        """What helps to find a bug."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """What happens in normal operation."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """What works, but wants a look."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """What did not work."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """An error with the traceback of the exception that is handled."""
        self._write(logging.ERROR, event, fields, exc_info=True)

    def _write(
        self, level: int, event: str, fields: dict[str, object], *, exc_info: bool = False
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        every = {**self._bound, **fields}
        extra = {"event": event, "fields": every}
        line = _Line(event, every)
        self._logger.log(level, line, extra=extra, exc_info=exc_info, stacklevel=3)


def get_logger(name: str) -> Log:
    """The logger of a module, which passes its `__name__`."""
    return Log(logging.getLogger(name), {})


def event_of(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """What happened and the fields of a record; of another library's, its message and logger."""
    if isinstance(record.msg, _Line):
        return record.__dict__["event"], dict(record.__dict__["fields"])
    return record.getMessage(), {"logger": record.name}


class _Line:
    """A message that becomes text only where a handler writes it."""

    __slots__ = ("_event", "_fields")

    def __init__(self, event: str, fields: Mapping[str, object]) -> None:
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        return " ".join(
            (self._event, *(f"{name}={value!r}" for name, value in self._fields.items()))
        )
