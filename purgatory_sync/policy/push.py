"""Whether a push is taken: the signed events say what may be in a repository (B 4.3, 6.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from ..errors import PushRefused
from ..nostr.authority.repository_data import RepositoryData
from ..nostr.pull_request import PullRequest
from ..nostr.state import State
from .authority import newest_for
from .rules.position_words import why_no_authority, why_not

ALIGNED = ("refs/heads/", "refs/tags/")
NOSTR = "refs/nostr/"
NAMED_IN_REASON = 10

_NOSTR_REF = re.compile(r"refs/nostr/([0-9a-f]{64})")
_SHOWN_DIGITS = 10
_NO_STATE = (
    "no state event (kind 30618) of a maintainer waits for this push: publish the state first, "
    "then push what it names"
)
_PUSH_ALL = "push all refs of the state at once, they belong into one push"
_PUBLISH_FIRST = (
    "no newer one waits for this push: publish the new state (kind 30618) first, then push all "
    "refs that it changes, they belong into one push"
)
_NO_ROOM = "too many refs/nostr/<event id> wait for their events here: publish the event first"


@attrs.frozen
class PushKnown:
    """Everything that the judgement depends on besides the push.

    Attributes:
      owner: whose repository the URL names.
      data: the announcements of the identifier.
      refs: what the repository holds now: ref → OID.
      held: the states held under the identifier, of any author.
      served: the served states of the identifier, of any author.
      room: how many more placeholders may wait here.
      events: of each event id that a pushed `refs/nostr/<id>` names and that is known: the pull
        request, or None when the event is of another kind.
    """

    owner: str
    data: RepositoryData
    refs: Mapping[str, str] = attrs.field(factory=dict)
    held: tuple[State, ...] = ()
    served: tuple[State, ...] = ()
    events: Mapping[str, PullRequest | None] = attrs.field(factory=dict)
    room: int = 1_000


@attrs.frozen
class PushVerdict:
    """What an allowed push does.

    Attributes:
      state: the state that authorises its heads and tags; None when none of them changes.
      nostr: the `refs/nostr/*` that it makes or moves, with their OIDs.
      placeholders: the event ids among them whose event has not come yet.
      changes_nothing: what it asks for is so already; its pack is of no interest.
    """

    state: State | None = None
    nostr: Mapping[str, str] = attrs.field(factory=dict)
    placeholders: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether everything is as the push wants it."""
        return self.state is None and not self.nostr


def judge_push(changes: Mapping[str, str | None], known: PushKnown) -> PushVerdict:
    """Judge a push by its new values; what it says of old ones does not matter (B 6.5).

    Args:
      changes: ref → the OID that it shall name, None to delete it.

    Raises:
      PushRefused: nothing of it may be done (a push is all or nothing).
    """
    if other := [name for name in changes if not _may_be_pushed(name)]:
        raise PushRefused(
            f"{_listed(other)}: only branches, tags and refs/nostr/<event id> are pushed here"
        )
    nostr = {
        name: _judge_nostr(name, new, known)
        for name, new in changes.items()
        if name.startswith(NOSTR)
    }
    moved = {name: oid for name, oid in nostr.items() if known.refs.get(name) != oid}
    waiting = tuple(i for name in moved if (i := name.removeprefix(NOSTR)) not in known.events)
    if len(waiting) > max(known.room, 0):
        raise PushRefused(_NO_ROOM)
    aligned = {name: new for name, new in changes.items() if name not in nostr}
    return PushVerdict(_authorising(aligned, known), moved, waiting)


def event_ids_of(changes: Mapping[str, str | None]) -> tuple[str, ...]:
    """The ids of the events whose refs a push names."""
    return tuple(match[1] for name in changes if (match := _NOSTR_REF.fullmatch(name)))


def _may_be_pushed(name: str) -> bool:
    return name.startswith(ALIGNED) or _NOSTR_REF.fullmatch(name) is not None


def _judge_nostr(name: str, new: str | None, known: PushKnown) -> str:
    """B 4.3: the event's commit, or the first commit for an event that has not come yet."""
    event_id = name.removeprefix(NOSTR)
    if new is None:
        raise PushRefused(
            f"{name} cannot be deleted by a push; instead of --mirror: "
            "git push --prune URL '+refs/heads/*' '+refs/tags/*'"
        )
    if known.refs.get(name) == new:
        return new
    if event_id in known.events:
        pr = known.events[event_id]
        if pr is None or pr.commit != new:
            raise PushRefused(f"{name}: the event names another commit (its c tag)")
        if not known.data.addresses(pr, known.owner):
            raise PushRefused(f"{name}: that pull request addresses another repository")
    elif name in known.refs:
        raise PushRefused(f"{name} was pushed before with another commit and cannot be changed")
    return new


def _authorising(changes: Mapping[str, str | None], known: PushKnown) -> State | None:
    current = {name: oid for name, oid in known.refs.items() if name.startswith(ALIGNED)}
    after = {**current, **changes}
    result = {name: oid for name, oid in after.items() if oid is not None}
    if result == current:
        return None
    candidates = _candidates(known)
    for state in candidates:
        if state.refs == result:
            return state
    if (outside := _by_no_member(result, known)) is not None:
        raise PushRefused(outside)
    if not candidates:
        raise PushRefused(_NO_STATE)
    remedy = _PUSH_ALL if candidates[0].refs != current else _PUBLISH_FIRST
    raise PushRefused(f"{_what_differs(result, candidates[0])}; {remedy}")


def _candidates(known: PushKnown) -> list[State]:
    """The states that may rule the repository, the newest first.

    A held state that is older than the served one which rules here would move no ref (B 3.4), so
    it authorises nothing.
    """
    members = known.data.maintainer_set(known.owner)
    ruling = newest_for(known.owner, known.data, known.served)
    held = [
        state
        for state in known.held
        if state.author in members
        and not state.unsatisfiable
        and (ruling is None or state.event.order > ruling.event.order)
    ]
    held.sort(key=lambda state: state.event.order, reverse=True)
    return [*held, *([ruling] if ruling is not None and not ruling.unsatisfiable else [])]


def _by_no_member(result: Mapping[str, str], known: PushKnown) -> str | None:
    """What is missing where no key rules here, or where a key allows it that is no member."""
    if (no_authority := why_no_authority(known.owner, known.data)) is not None:
        return f"no key may push here: {no_authority}"
    members = known.data.maintainer_set(known.owner)
    others = [s for s in (*known.held, *known.served) if s.author not in members]
    for state in others:
        if state.refs == result:
            why = why_not(state.author, known.data, known.owner)
            return (
                f"the state that allows this is signed by no maintainer of this repository: {why}"
            )
    return None


def _what_differs(result: Mapping[str, str], state: State) -> str:
    """B 6.6: the refs that differ from the newest state, so that the client knows what to add."""
    lines = []
    for name in sorted({*result, *state.refs}):
        want, have = state.refs.get(name), result.get(name)
        if want is None:
            lines.append(f"{name} is not in the state")
        elif want != have:
            would = f"would be {have[:_SHOWN_DIGITS]}" if have else "is missing"
            lines.append(f"{name} {would}, the state says {want[:_SHOWN_DIGITS]}")
    return f"the repository would not be what the newest state event says: {_listed(lines)}"


def _listed(lines: list[str]) -> str:
    more = len(lines) - NAMED_IN_REASON
    return ", ".join(lines[:NAMED_IN_REASON]) + (f" and {more} more" if more > 0 else "")
