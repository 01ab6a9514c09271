"""What a verification says: findings, how many things were looked at, and what could not be."""

from __future__ import annotations

from typing import Literal

import attrs

from ...urls import PRS

What = Literal["refs", "missing", "damaged", "absent", "event", "store"]

REMEDIES: dict[What, str] = {
    "refs": "`verify --repair` sets the refs to what the ruling state says",
    "missing": "`verify --repair` asks the other repositories here and the clone URLs for it",
    "damaged": (
        "stop the node, move the damaged file away, and let `verify --repair` fetch what it held,"
        " or restore a backup"
    ),
    "absent": "`verify --repair` makes it anew and fetches what its state names",
    "event": "restore a backup, or purge it: relays that are followed send it anew",
    "store": "stop the node and restore a backup, or move the store away and start with a new one",
}


_BELOW_PRS = (
    "nothing is repaired below /prs/: `purge --prs` takes it out, and its contributor pushes it"
    " again"
)


@attrs.frozen
class Flaw:
    """One thing that is not as it should be.

    Attributes:
      where: `npub1…/identifier`, with `prs/` before it what is below `/prs/`; the id of an event;
        or `store`.
      what: `refs`: a ref is not as the ruling state, or its pull request, says; `missing`: an
        object that is named is not here; `damaged`: it cannot be read; `absent`: a repository that
        is served is not on the disk; `event`: an id or a signature does not hold; `store`: the
        database is damaged.
      detail: a sentence.
      repaired: whether it is as it should be now.
    """

    where: str
    what: What
    detail: str
    repaired: bool = False

    @property
    def remedy(self) -> str:
        """What the operator can do."""
        return _BELOW_PRS if self.where.startswith(f"{PRS}/") else REMEDIES[self.what]


@attrs.frozen
class Verified:
    """What a verification found.

    Attributes:
      begun, ended: Unix seconds.
      repositories, events: how many were looked at.
      findings: at most 1,000.
      found: how many there are in all, repaired ones too.
      left: how many of them are not repaired.
      not_looked: sentences about what could not be looked at.
    """

    begun: float
    ended: float
    repositories: int
    events: int
    findings: tuple[Flaw, ...] = ()
    found: int = 0
    left: int = 0
    not_looked: tuple[str, ...] = ()
