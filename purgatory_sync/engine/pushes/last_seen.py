"""When each repository was pushed to, and hunted for, last (B 13.17)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

import attrs

from ...errors import ResultClass
from ...nostr.address import RepositoryId
from ...records import ServerNote
from ...runtime.bounded import Bounded

MOST: Final = 100_000
_PUSHED: Final = "pushed "
_HUNTED: Final = "hunted "


@attrs.frozen
class Seen:
    """What is known of one repository; all times in Unix seconds, None where it is not known.

    Attributes:
      result: the class of the last attempt at a git server for its identifier.
    """

    pushed_at: float | None = None
    hunted_at: float | None = None
    result: ResultClass | None = None


@attrs.frozen
class _Hunted:
    at: float
    result: ResultClass


@attrs.define(eq=False)
class LastSeen:
    """The last pushes by repository, the last attempts by identifier; the oldest are forgotten."""

    _pushed: Bounded[RepositoryId, float] = attrs.field(factory=lambda: Bounded(MOST))
    _hunted: Bounded[str, _Hunted] = attrs.field(factory=lambda: Bounded(MOST))
    _changed: dict[str, None] = attrs.field(factory=dict)

    def restore(self, notes: Iterable[ServerNote]) -> list[ServerNote]:
        """Take back what an earlier run noted; returns the other notes.

        What cannot be read is forgotten with the next change.
        """
        others, mine = list[ServerNote](), list[ServerNote]()
        for note in notes:
            (mine if note.key.startswith((_PUSHED, _HUNTED)) else others).append(note)
        for note in sorted(mine, key=lambda note: note.at):
            if not self._take_back(note):
                self._changed[note.key] = None
        return others

    def pushed(self, repository: RepositoryId, at: float) -> None:
        """A push changed it."""
        self._note(_pushed_key(repository), self._pushed.put(repository, at), _pushed_key)

    def hunted(self, identifier: str, at: float, result: ResultClass) -> None:
        """An attempt at a git server for it ended."""
        gone = self._hunted.put(identifier, _Hunted(at, result))
        self._note(f"{_HUNTED}{identifier}", gone, lambda each: f"{_HUNTED}{each}")

    def of(self, owner: str, identifier: str) -> Seen:
        """What is known of one repository; the owner's key in hex."""
        pushed = self._pushed.get(RepositoryId(owner, identifier))
        if (hunted := self._hunted.get(identifier)) is None:
            return Seen(pushed)
        return Seen(pushed, hunted.at, hunted.result)

    def keep_only(self, repositories: Collection[RepositoryId]) -> None:
        """Forget those that are not here any more."""
        identifiers = {each.identifier for each in repositories}
        for repository in [each for each in self._pushed if each not in repositories]:
            self._pushed.pop(repository)
            self._changed[_pushed_key(repository)] = None
        for identifier in [each for each in self._hunted if each not in identifiers]:
            self._hunted.pop(identifier)
            self._changed[f"{_HUNTED}{identifier}"] = None

    def take_changes(self) -> dict[str, str | None]:
        """What a restart must know and was not taken yet, by key; None: that is over."""
        taken, self._changed = self._changed, {}
        return {key: self._text(key) for key in taken}

    def give_back(self, changes: Iterable[str]) -> None:
        """These were not written: they are taken once more."""
        self._changed |= dict.fromkeys(changes)

    def _note(
        self, key: str, gone: Iterable[tuple[object, object]], name: Callable[..., str]
    ) -> None:
        self._changed[key] = None
        self._changed |= {name(each): None for each, _ in gone}

    def _text(self, key: str) -> str | None:
        if key.startswith(_HUNTED):
            hunted = self._hunted.get(key.removeprefix(_HUNTED))
            return None if hunted is None else f"{hunted.at} {hunted.result.value}"
        owner, _, identifier = key.removeprefix(_PUSHED).partition("/")
        at = self._pushed.get(RepositoryId(owner, identifier))
        return None if at is None else str(at)

    def _take_back(self, note: ServerNote) -> bool:
        at, _, result = note.text.partition(" ")
        try:
            if note.key.startswith(_HUNTED):
                hunted = _Hunted(float(at), ResultClass(result))
                self._hunted.put(note.key.removeprefix(_HUNTED), hunted)
            else:
                owner, _, identifier = note.key.removeprefix(_PUSHED).partition("/")
                self._pushed.put(RepositoryId(owner, identifier), float(at))
        except ValueError:
            return False
        return True


def _pushed_key(repository: RepositoryId) -> str:
    return f"{_PUSHED}{repository.owner}/{repository.identifier}"
