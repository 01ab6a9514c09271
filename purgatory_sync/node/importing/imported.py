"""What became of an import: frozen values for people and programs."""

from __future__ import annotations

import attrs


@attrs.frozen
class Refusal:
    """Events of one kind that were refused for one reason.

    Attributes:
      event_ids: at most 20 of them.
    """

    kind: int
    reason: str
    count: int
    event_ids: tuple[str, ...]


@attrs.frozen
class BrokenLine:
    """A line that is no event, by its number (from 1)."""

    line: int
    reason: str


@attrs.frozen
class GitData:
    """What was done with the objects that were given.

    Attributes:
      repository: the identifier.
      obtained: how many of the objects that events name were given and are here now.
      problem: why they were not taken, or None.
    """

    repository: str
    obtained: int
    problem: str | None = None


@attrs.frozen
class Imported:
    """All of it.

    Attributes:
      served: events that came and are served now.
      held: those that wait for git data.
      known: those that were here before, or older than what replaced them.
      gone: those that were taken and are not here any more: replaced or deleted by a later one.
      refused: how many are not here; `refusals` says why.
      broken_lines: how many lines are no events; `broken` has the first 1,000.
      git: of each identifier that was given git data.
      broken_off: why a relay could not be read to the end, or None.
    """

    source: str
    served: int
    held: int
    known: int
    gone: int
    refused: int
    refusals: tuple[Refusal, ...]
    broken_lines: int
    broken: tuple[BrokenLine, ...]
    git: tuple[GitData, ...] = ()
    broken_off: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing was refused."""
        problems = any(each.problem is not None for each in self.git)
        return not (self.refused or self.broken_lines or problems or self.broken_off)
