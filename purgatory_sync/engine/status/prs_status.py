"""What an operator, and a visitor, is told of what is below `/prs/` (B 12.10)."""

from __future__ import annotations

from urllib.parse import quote

import attrs

from ...nostr.address import RepositoryId
from ...nostr.keys import encode_npub
from ...nostr.pull_request import PullRequest
from ...policy.contributions import unmet, why_full, why_no_more
from ...policy.push import NOSTR
from ...purgatory.entries import HeldEvent, HeldPr
from ...purgatory.uploads import Uploads
from ...records import Upload
from ...release.index.prs_folder import PrsFolder
from ...urls import PRS
from .models import Fate, PathStatus

PATHS_SHOWN = 10
REQUESTS_SHOWN = 100
REPOSITORIES_SHOWN = 5


@attrs.frozen
class ContributedRequest:
    """A pull request of a repository below `/prs/`.

    Attributes:
      kind: of its event.
      repositories: some of those that it is for, as `npub/identifier`.
      repositories_total: how many there are: an event has room for hundreds.
      is_served: whether its event is served.
    """

    event_id: str
    kind: int
    repositories: tuple[str, ...]
    repositories_total: int
    is_served: bool

    @classmethod
    def of(cls, pr: PullRequest, *, is_served: bool) -> ContributedRequest:
        """What is told of a pull request."""
        some = pr.repositories[:REPOSITORIES_SHOWN]
        names = tuple(f"{encode_npub(each.owner)}/{each.identifier}" for each in some)
        return cls(pr.event.id, pr.event.kind, names, len(pr.repositories), is_served)


@attrs.frozen
class ContributedRepository:
    """A repository below `/prs/`, as its page shows it.

    Attributes:
      requests: the newest of its pull requests whose events are known.
      requests_total: how many there are.
      waiting: refs whose events have not come.
    """

    owner: str
    identifier: str
    requests: tuple[ContributedRequest, ...]
    requests_total: int
    waiting: int


def path_of(target: RepositoryId) -> str:
    """The path of a repository below the service."""
    name = quote(target.identifier, safe="")
    return f"/{PRS}/{encode_npub(target.owner)}/{name}.git"


def paths_of(held: HeldEvent, prs: PrsFolder | None, uploads: Uploads) -> tuple[PathStatus, ...]:
    """Each path that a held pull request names, and which condition it does not meet."""
    if prs is None or not isinstance(held, HeldPr):
        return ()
    named = held.pr.below_prs(prs.service)[:PATHS_SHOWN]
    return tuple(PathStatus(path_of(each), _says(held, each, prs, uploads)) for each in named)


def _says(held: HeldPr, target: RepositoryId, prs: PrsFolder, uploads: Uploads) -> str:
    pr, use = held.pr, prs.use(uploads, target)
    why = unmet(pr, pr.commit, target, prs.service)
    why = why or why_no_more(use, prs.settings, 1)
    why = why or why_full(use, prs.settings, 0, unclaimed=False)
    if why is not None:
        return f"cannot be pushed there: {why}"
    return f"waits for a push of {pr.commit} to {NOSTR}{held.event_id}"


def fate_of_upload(row: Upload, secs: float) -> Fate:
    """What is known of an event of which only the commit came.

    Args:
      secs: how long it waits.
    """
    path = path_of(RepositoryId(row.owner, row.identifier))
    told = f"{row.oid} was pushed to {path} ({row.size} bytes); its event has not come"
    return Fate(row.event_id, "pushed", row.at, row.at + secs, told)
