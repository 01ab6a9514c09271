"""Who rules each repository, which state, and which refs are not as that state says (B 3.7, 9)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from ...errors import RepositoryError
from ...git.disk.alignment import ALIGNED
from ...git.disk.repository import is_repository, list_refs
from ...nostr.authority.repository_data import RepositoryData
from ...nostr.authority.who_rules import by_lists_alone, who_rules
from ...nostr.keys import encode_npub
from ...nostr.state import State
from ...policy.rules.position_words import why_no_authority
from ...release.commit import Core
from ...release.lagging import hosted_owners

MOVES_SHOWN = 100


@attrs.frozen
class RulingState:
    """The served state that rules a repository; `created_at` in Unix seconds."""

    event_id: str
    npub: str
    created_at: int


@attrs.frozen
class RefMove:
    """A ref that is not what the ruling state says; None: it is not there."""

    ref: str
    now: str | None
    then: str | None


@attrs.frozen
class RepositoryAuthority:
    """One repository; all keys as npub.

    Attributes:
      standing: of its announcement: `served`, `held` or `soft-expired`.
      lead, maintainers, moderators, invited, left, forwarded_to: `WhoRules`.
      no_authority: why no key rules and what to publish against it, or None.
      ruled_by: the state that rules its refs, or None.
      lost: who had authority in former versions (listed one way) and has none.
      moves: refs that the next alignment changes, at most 100; an upgrade moves some back.
      moves_total: how many there are.
    """

    npub: str
    identifier: str
    standing: str
    lead: str | None
    maintainers: tuple[str, ...]
    moderators: tuple[str, ...]
    invited: Mapping[str, str]
    left: tuple[str, ...]
    forwarded_to: str | None
    no_authority: str | None
    ruled_by: RulingState | None
    lost: tuple[str, ...]
    moves: tuple[RefMove, ...]
    moves_total: int


async def report_authority(core: Core, name: str = "") -> tuple[RepositoryAuthority, ...]:
    """Report on every repository on the disk that is announced, by owner and identifier.

    Args:
      name: only those of this identifier, or the one `npub1…/identifier`; empty: all.

    Raises:
      RepositoryError: the folder, or a repository, cannot be read.
      StoreError: the store cannot be asked.
    """
    repositories = core.repositories
    try:
        named = await repositories.run(repositories.all_named)
    except OSError as error:
        raise RepositoryError(f"{repositories.git_data} cannot be read: {error}") from error
    found = []
    for owner, identifier in named:
        if name in ("", identifier, f"{encode_npub(owner)}/{identifier}"):
            data = await core.index.data(identifier)
            if owner in data.known:
                found.append(await _report(core, owner, data))
    return tuple(found)


async def _report(core: Core, owner: str, data: RepositoryData) -> RepositoryAuthority:
    rules = who_rules(owner, data)
    state = (await core.index.ruling_states(data.identifier)).get(owner)
    path = core.repositories.path(owner, data.identifier)
    moves = await core.repositories.run(ref_moves, path, state)
    lost = by_lists_alone(owner, data).difference(rules.maintainers)
    return RepositoryAuthority(
        npub=encode_npub(owner),
        identifier=data.identifier,
        standing=data.known[owner].standing.value,
        lead=rules.lead and encode_npub(rules.lead),
        maintainers=tuple(map(encode_npub, rules.maintainers)),
        moderators=tuple(map(encode_npub, rules.moderators)),
        invited={encode_npub(key): encode_npub(by) for key, by in rules.invited.items()},
        left=tuple(map(encode_npub, rules.left)),
        forwarded_to=rules.forwarded_to and encode_npub(rules.forwarded_to),
        no_authority=why_no_authority(owner, data),
        ruled_by=_ruling(state),
        lost=tuple(map(encode_npub, sorted(lost))),
        moves=moves[:MOVES_SHOWN],
        moves_total=len(moves),
    )


def _ruling(state: State | None) -> RulingState | None:
    if state is None:
        return None
    return RulingState(state.event.id, encode_npub(state.author), state.event.created_at)


@attrs.frozen
class GoingBack:
    """A repository whose refs follow a state that does not rule it any more.

    Attributes:
      owner, signer: hex keys; who signed that newer state is no member of the owner's set.
      ruling: the older state that rules.
      moves: what its alignment changes.
    """

    owner: str
    signer: str
    ruling: State
    moves: tuple[RefMove, ...]


async def refs_that_go_back(core: Core, identifier: str) -> tuple[GoingBack, ...]:
    """The hosted repositories that the next alignment takes back to an older state.

    Raises:
      RepositoryError, StoreError: a repository or the store cannot be read.
    """
    states = await core.index.served_states(identifier)
    ruled = await core.index.ruling_states(identifier)
    found = []
    for owner in await hosted_owners(core, identifier):
        path = core.repositories.path(owner, identifier)
        ruling = ruled.get(owner)
        moves = await core.repositories.run(ref_moves, path, ruling)
        if ruling is None or not moves:
            continue
        for state in states:
            # Newer than what rules: who signed it is no member.
            newer = state.event.order > ruling.event.order
            if newer and not await core.repositories.run(ref_moves, path, state):
                found.append(GoingBack(owner, state.author, ruling, moves))
                break
    return tuple(found)


def ref_moves(path: Path, state: State | None) -> tuple[RefMove, ...]:
    """The heads and tags of a repository that are not as a state says, in their order.

    Raises:
      RepositoryError: the repository cannot be read.
    """
    if state is None or state.unsatisfiable or not is_repository(path):
        return ()
    now = {name: oid for name, oid in list_refs(path).items() if name.startswith(ALIGNED)}
    return tuple(
        RefMove(name, now.get(name), state.refs.get(name))
        for name in sorted({*now, *state.refs})
        if now.get(name) != state.refs.get(name)
    )
