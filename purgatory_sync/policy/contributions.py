"""What may be pushed below `/prs/`, and how much: two budgets, kept apart (GRASP-06; B 12).

The key in a path proves nothing, for every client may push there. So what no signed event names
counts for the client's address, and only what one names counts for its author.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from ..errors import OverBudget, PushRefused
from ..nostr.address import RepositoryId
from ..nostr.keys import encode_npub
from ..nostr.pull_request import PullRequest
from ..settings import CurationSettings, PrsSettings, PurgatorySettings
from .rules.hosting import names

_NOSTR_REF = re.compile(r"refs/nostr/([0-9a-f]{64})")
_ONLY = "only pull requests are taken here: push to refs/nostr/<event id>"
_LATER = "come again later, when their events came or their time is over"


@attrs.frozen
class PrsUse:
    """What is used of the budgets.

    Attributes:
      bytes, bytes_of_author: of what signed events name: in all, and of the path's key.
      repositories: of the key, that some event of it names.
      refs: of the path, that events name.
      unclaimed_bytes, unclaimed_bytes_of_address: of what no event names yet: in all, and of the
        client's address; with what pushes that are going on have sent.
      unclaimed, unclaimed_here: refs that wait for their events: in all, and below the path.
    """

    bytes: int = 0
    bytes_of_author: int = 0
    repositories: int = 0
    refs: int = 0
    unclaimed_bytes: int = 0
    unclaimed_bytes_of_address: int = 0
    unclaimed: int = 0
    unclaimed_here: int = 0


@attrs.frozen
class ContributionKnown:
    """Everything that the judgement depends on besides the push.

    Attributes:
      target: what the path names.
      service: our host[:port][/base].
      refs: what is there now: ref → OID.
      events: of each event id that a pushed ref names and that is served or held: the pull request,
        or None when the event is of another kind.
      ended: ids among them that must not come any more (deleted by their author).
      now: Unix seconds.
    """

    target: RepositoryId
    service: str
    use: PrsUse
    now: float
    refs: Mapping[str, str] = attrs.field(factory=dict)
    events: Mapping[str, PullRequest | None] = attrs.field(factory=dict)
    ended: frozenset[str] = frozenset()


@attrs.frozen
class ContributionVerdict:
    """The refs that a push makes, with their OIDs.

    Attributes:
      claimed: those that a signed event names.
      unclaimed: those whose event has not come.
    """

    claimed: Mapping[str, str] = attrs.field(factory=dict)
    unclaimed: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def refs(self) -> dict[str, str]:
        """All of them."""
        return {**self.claimed, **self.unclaimed}


def judge_contribution(
    changes: Mapping[str, str | None],
    known: ContributionKnown,
    settings: PrsSettings,
    waiting: PurgatorySettings,
    lists: CurationSettings,
) -> ContributionVerdict:
    """Judge a push below `/prs/` (B 12.4); what it says of old values does not matter.

    Args:
      changes: ref → the OID that it shall name, None to delete it.
      waiting: how many may wait for their events.

    Raises:
      PushRefused: nothing of it may be done (a push is all or nothing).
    """
    _judge_lists(known.target, settings, lists)
    claimed, unclaimed = dict[str, str](), dict[str, str]()
    for name, new in changes.items():
        if not (match := _NOSTR_REF.fullmatch(name)):
            raise PushRefused(f"{name}: {_ONLY}")
        if new is None:
            raise PushRefused(f"{name} cannot be deleted by a push: delete its event")
        if known.refs.get(name) == new:
            continue
        if match[1] in known.events:
            if (why := _why_not(known.events[match[1]], new, known)) is not None:
                raise PushRefused(f"{name}: {why}")
            claimed[name] = new
        else:
            _judge_unknown(name, match[1], known, lists)
            unclaimed[name] = new
    verdict = ContributionVerdict(claimed, unclaimed)
    _judge_counts(verdict, known.use, settings, waiting)
    require_room(known.use, settings, 0, unclaimed=bool(unclaimed), idle=not verdict.refs)
    return verdict


def _judge_lists(target: RepositoryId, settings: PrsSettings, lists: CurationSettings) -> None:
    npub = encode_npub(target.owner)
    if npub in lists.event_blacklist:
        raise PushRefused("pull requests of this author are not taken here: use another server")
    if not may_contribute(target.owner, settings):
        raise PushRefused("only authors whom the operator named may contribute here: ask him")


def may_contribute(author: str, settings: PrsSettings) -> bool:
    """Whether the operator takes pull requests of a key below `/prs/` (NGIT_GRASP06_WHITELIST)."""
    return not settings.whitelist or encode_npub(author) in settings.whitelist


def is_let_in(
    pr: PullRequest, service: str, settings: PrsSettings, lists: CurationSettings
) -> bool:
    """Whether a pull request stays although no announcement here admits it (B 12.3)."""
    if not settings.enabled or not may_contribute(pr.event.pubkey, settings):
        return False
    allowed = lists.repository_whitelist
    if allowed and not any(names(allowed, each) for each in pr.repositories):
        return False
    return bool(pr.contributed(service))


def _judge_unknown(
    name: str, event_id: str, known: ContributionKnown, lists: CurationSettings
) -> None:
    if event_id in known.ended:
        raise PushRefused(f"{name}: its author deleted the event")
    if name in known.refs:
        raise PushRefused(f"{name} was pushed before with another commit and cannot be changed")
    if known.target.identifier in lists.repository_blacklist:
        raise PushRefused("pull requests for this repository are not taken here")


def _why_not(pr: PullRequest | None, new: str, known: ContributionKnown) -> str | None:
    """Which of the four conditions a known event does not meet, in words; None: it meets all."""
    if pr is None:
        return "that event is no pull request"
    if pr.event.expires_at is not None and pr.event.expires_at <= known.now:
        return "that pull request has expired"
    return unmet(pr, new, known.target, known.service)


def unmet(pr: PullRequest, oid: str, target: RepositoryId, service: str | None) -> str | None:
    """Which of the conditions of B 12.4 keeps a ref from being the event's; None: none does.

    Args:
      service: our host[:port][/base]; None: what `clone` says is not looked at.
    """
    if pr.event.pubkey != target.owner:
        return "the event is signed by another key than the path names"
    if target.identifier not in pr.identifiers:
        return "no a tag of the event names a repository with the identifier of the path"
    if service is not None and target not in pr.contributed(service):
        return "no clone tag of the event names this path"
    return None if pr.commit == oid else "the event names another commit (its c tag)"


def _judge_counts(
    verdict: ContributionVerdict,
    use: PrsUse,
    settings: PrsSettings,
    waiting: PurgatorySettings,
) -> None:
    most = waiting.max_placeholders_per_repository
    new = len(verdict.unclaimed)
    if new and (use.unclaimed_here + new > most or use.unclaimed + new > waiting.max_events):
        raise OverBudget(
            f"{use.unclaimed_here} refs wait for their events here, {most} may:"
            " publish the event first"
        )
    if verdict.claimed and (full := why_no_more(use, settings, len(verdict.claimed))) is not None:
        raise OverBudget(full)


def why_no_more(use: PrsUse, settings: PrsSettings, refs: int) -> str | None:
    """Which limit of an author's repositories and refs is reached, in words; None: none is."""
    if not use.refs and use.repositories >= settings.max_repositories_per_author:
        return (
            f"{use.repositories} repositories of this author are here, as many as may be"
            f" ({settings.max_repositories_per_author}): delete pull requests that are done"
        )
    if use.refs + refs > settings.max_refs_per_repository:
        return (
            f"{use.refs} pull requests are in this repository,"
            f" {settings.max_refs_per_repository} may be: delete some that are done"
        )
    return None


def require_room(
    use: PrsUse, settings: PrsSettings, new: int, *, unclaimed: bool, idle: bool = False
) -> None:
    """Refuse a push where a budget of bytes is used up.

    Args:
      new: bytes that would be added; 0 before any came.
      unclaimed: whether some ref of the push waits for its event: then all counts as unclaimed.
      idle: whether it adds nothing at all.

    Raises:
      OverBudget: it names the limit and what is used.
    """
    if not idle and (full := why_full(use, settings, new, unclaimed=unclaimed)) is not None:
        raise OverBudget(full)


def why_full(use: PrsUse, settings: PrsSettings, new: int, *, unclaimed: bool) -> str | None:
    """Which budget of bytes is used up, in words; None: there is room. As `require_room`."""
    if unclaimed:
        limits = (
            ("by your address", use.unclaimed_bytes_of_address,
             settings.max_unclaimed_bytes_per_address, _LATER),
            ("in all", use.unclaimed_bytes, settings.max_unclaimed_bytes, _LATER),
        )  # fmt: skip
        what = "bytes that no published event names are here, pushed"
    else:
        remedy = "delete pull requests that are done, or push to another server"
        limits = (
            ("of this author", use.bytes_of_author, settings.max_bytes_per_author, remedy),
            ("of all authors", use.bytes, settings.max_bytes, remedy),
        )
        what = "bytes of pull requests are here,"
    for whose, used, most, remedy in limits:
        if used + max(new, 1) > most:
            more = f" and this would add {new}" if new else ""
            return f"{used} {what} {whose}{more}; {most} may be: {remedy}"
    return None
