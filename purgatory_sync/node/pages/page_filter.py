"""The filter of the status page: a query of its URL to a choice of held events (B 10.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, quote

import attrs

from ...engine.status.held_events import UNASKED, Choice
from ...errors import InvalidEvent, ResultClass
from ...nostr.address import check_identifier

REPOSITORY: Final = "repository"
RESULT: Final = "result"
# What the gate refused is not told of, here neither.
RESULTS: Final = (
    *(each.value for each in ResultClass if each is not ResultClass.FORBIDDEN),
    UNASKED,
)
MOST_FIELDS: Final = 20
_SHOWN: Final = 60
_SUFFIX: Final = ".git"
_UNREADABLE: Final = (
    "The filter in this address cannot be read: fill in the form, which writes the address."
)


@attrs.frozen
class PageFilter:
    """What a visitor asks for.

    Attributes:
      repository: an identifier, with or without `.git`; empty: any.
      result: a class of results, or `UNASKED`; empty: any.
      problem: why nothing is looked for, as a sentence; None where all is well.
    """

    repository: str = ""
    result: str = ""
    problem: str | None = None

    def __bool__(self) -> bool:
        return bool(self.repository or self.result)

    def choice(self, is_told: Callable[[str], bool]) -> Choice:
        """The held events that it asks for."""
        names = dict.fromkeys((self.repository, self.repository.removesuffix(_SUFFIX)))
        return Choice(tuple(filter(None, names)), self.result or None, is_told)

    def query(self, **other: str) -> str:
        """It as the query of a link, `?` included, with some of it changed; empty for no filter."""
        fields = {REPOSITORY: self.repository, RESULT: self.result, **other}
        pairs = [f"{name}={quote(value, safe='')}" for name, value in fields.items() if value]
        return "?" + "&".join(pairs) if pairs else ""


def filter_of(query: str) -> PageFilter:
    """Read the query of a request, without `?`; fields of other names are passed over."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        return PageFilter(problem=_UNREADABLE)
    given = [(name, value.strip()) for name, value in pairs if name in (REPOSITORY, RESULT)]
    fields = dict(given)
    if len(fields) < len(given):
        return PageFilter(problem=_UNREADABLE)
    found = PageFilter(fields.get(REPOSITORY, ""), fields.get(RESULT, ""))
    problem = _problem_of(found)
    return found if problem is None else PageFilter(problem=problem)


def _problem_of(wanted: PageFilter) -> str | None:
    if wanted.result and wanted.result not in RESULTS:
        return f"There is no result “{_cut(wanted.result)}”: choose one of the list."
    if wanted.repository:
        try:
            check_identifier(wanted.repository)
        except InvalidEvent as error:
            return (
                f"“{_cut(wanted.repository)}” cannot be a repository: {error}. Give its identifier "
                "alone, which is the last part of its address."
            )
    return None


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
