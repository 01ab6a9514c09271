"""What became of an adoption: frozen values for people and programs."""

from __future__ import annotations

import attrs


@attrs.frozen
class AdoptedKind:
    """The events of one kind that the old server showed when all was read once more at the end.

    Attributes:
      there: how many it showed.
      served, held, refused: how many of them are served or held here, or were refused.
      superseded: taken and no longer here: replaced by a newer one, or deleted.
    """

    kind: int
    there: int
    served: int
    held: int
    refused: int
    superseded: int


@attrs.frozen
class NotTaken:
    """An event of the old server that is not served here.

    Attributes:
      reason: why it was refused, or what it waits for.
    """

    event_id: str
    kind: int
    reason: str


@attrs.frozen
class RefDifference:
    """A ref that is not here as it is there.

    Attributes:
      repository: npub1…/identifier.
      there, here: OIDs; None where there is no such ref.
      why: one sentence.
    """

    repository: str
    ref: str
    there: str | None
    here: str | None
    why: str


@attrs.frozen
class Adopted:
    """All of it.

    Attributes:
      key_there: the old server's key by its NIP-11 document (npub), None where it names none.
      key_here: this service's.
      refused: what was refused, each with the reason.
      held: what waits here for git data, each with what became of asking for it.
      repositories: how many were compared ref by ref.
      differences: refs that are not the same in both.
      not_compared: repositories whose refs the old server did not show, with the reason.
    """

    key_there: str | None
    key_here: str
    kinds: tuple[AdoptedKind, ...]
    refused: tuple[NotTaken, ...]
    held: tuple[NotTaken, ...]
    repositories: int
    differences: tuple[RefDifference, ...]
    not_compared: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything is here as it was there."""
        same_key = self.key_there in (None, self.key_here)
        return same_key and not (self.refused or self.held or self.differences or self.not_compared)
