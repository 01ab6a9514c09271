"""What the operator takes, by author and by repository; blacklists win (B 2.2 a, 5.1)."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..nostr import kinds
from ..nostr.address import RepositoryId
from ..nostr.announcement import Announcement
from ..nostr.authority.repository_data import RepositoryData
from ..nostr.event import Event
from ..nostr.keys import encode_npub
from ..nostr.parsed import Parsed
from ..nostr.pull_request import PullRequest
from ..nostr.state import State
from ..settings import CurationSettings
from .kinds.announcements import is_named
from .rules.hosting import NO_LISTS, coordinate_of, hosts, names, wants
from .rules.known_facts import Known
from .rules.lacking import lacks_announcement
from .rules.verdict import Action, Verdict, refuse

BLOCKED_AUTHOR = "blocked: events of this author are not taken here: use another relay"
BANNED = "blocked: this event is not taken here: the operator refused it"
BLOCKED_REPOSITORY = "blocked: this repository is not taken here: list another service"
MEMBERS_ONLY = "restricted: a private service takes announcements of its members only"
NOT_NAMED = "blocked: only repositories that the operator named are taken here: ask the operator"


def judge_event(event: Event, lists: CurationSettings) -> Verdict | None:
    """Refuse what the lists refuse by author, kind and id alone; else None.

    That is every event of a blacklisted author, banned ids, and on a private service the
    announcement of one who is no member: it decides what is hosted, and who is asked (B 16.7).
    """
    if _is_blocked(event.pubkey, lists):
        return refuse(BLOCKED_AUTHOR)
    announces = lists.private_mode and event.kind == kinds.ANNOUNCEMENT
    if announces and encode_npub(event.pubkey) not in lists.private_members:
        return refuse(MEMBERS_ONLY)
    return refuse(BANNED) if event.id in lists.banned_events else None


def judge_repositories(parsed: Parsed, known: Known, lists: CurationSettings) -> Verdict | None:
    """Judge an announcement, a state or a PR by the repositories that it concerns (B 3.6).

    Args:
      known: only `data` and `service` are looked at.

    Returns a verdict where the lists decide: a refusal, or that the announcement of one
    who is named for another owner is served without a repository (B 2.2 b). None: the event is
    judged as if there were no lists.
    """
    if lists == NO_LISTS:
        return None
    if isinstance(parsed, Announcement):
        return _judge_announcement(parsed, known, lists)
    if isinstance(parsed, State):
        return _judge_state(parsed, known, lists)
    return _judge_pr(parsed, known, lists) if isinstance(parsed, PullRequest) else None


def _judge_announcement(
    announcement: Announcement, known: Known, lists: CurationSettings
) -> Verdict | None:
    if is_blacklisted(coordinate_of(announcement), lists):
        return refuse(BLOCKED_REPOSITORY)
    if is_taken(announcement, lists) or not hosts(announcement, known.service, lists):
        return None
    data = known.data.get(announcement.identifier)
    owners = (
        [o for o, each in data.known.items() if is_taken(each.announcement, lists)] if data else []
    )
    if data is None or not is_named(data, announcement.owner, owners):
        return refuse(NOT_NAMED, lacks_announcement(announcement.identifier))
    held = known.held_announcement
    verdict = Verdict(Action.SERVE)
    return attrs.evolve(verdict, evicts=(held.id,)) if held is not None else verdict


def _judge_state(state: State, known: Known, lists: CurationSettings) -> Verdict | None:
    data = known.data.get(state.identifier)
    concerned = _announced(data, data.owners_authorising(state.author)) if data is not None else []
    named = [RepositoryId(state.author, state.identifier)]
    return _judge_concerned(concerned, named, lists)


def _judge_pr(pr: PullRequest, known: Known, lists: CurationSettings) -> Verdict | None:
    concerned = [
        each
        for identifier in pr.identifiers
        if (data := known.data.get(identifier)) is not None
        for each in _announced(data, data.owners_of_pr(pr))
    ]
    return _judge_concerned(concerned, pr.repositories, lists)


def _announced(data: RepositoryData, owners: Iterable[str]) -> list[Announcement]:
    """The announcements of the owners who have repositories here; of all, where none has."""
    known = [data.known[owner] for owner in owners]
    return [each.announcement for each in known if each.is_hosted] or [
        each.announcement for each in known
    ]


def _judge_concerned(
    concerned: Iterable[Announcement], named: Iterable[RepositoryId], lists: CurationSettings
) -> Verdict | None:
    """Refuse what concerns only repositories that are not taken.

    What lacks its announcement is refused only when each repository that it names is blacklisted:
    its author may turn out to be the co-maintainer of one that is taken.
    """
    concerned, named = list(concerned), list(named)
    identifiers = [*(each.identifier for each in concerned), *(each.identifier for each in named)]
    lacks = lacks_announcement(*dict.fromkeys(identifiers))
    if not concerned:
        blacklisted = bool(named) and all(is_blacklisted(each, lists) for each in named)
        return refuse(BLOCKED_REPOSITORY, lacks) if blacklisted else None
    if any(is_taken(each, lists) for each in concerned):
        return None
    blacklisted = all(is_blacklisted(coordinate_of(each), lists) for each in concerned)
    return refuse(BLOCKED_REPOSITORY if blacklisted else NOT_NAMED, lacks)


def is_taken(announcement: Announcement, lists: CurationSettings) -> bool:
    """Whether the operator takes the repository, wherever it is listed (B 5.1, GRASP-05)."""
    repository = coordinate_of(announcement)
    if is_blacklisted(repository, lists):
        return False
    if wants(announcement, lists):
        return True
    named = not lists.repository_whitelist or names(lists.repository_whitelist, repository)
    return named and not lists.only_copies


def is_blacklisted(repository: RepositoryId, lists: CurationSettings) -> bool:
    """Whether the operator's blacklists name a repository or its owner (B 5.1)."""
    return _is_blocked(repository.owner, lists) or names(lists.repository_blacklist, repository)


def _is_blocked(author: str, lists: CurationSettings) -> bool:
    return bool(lists.event_blacklist) and encode_npub(author) in lists.event_blacklist
