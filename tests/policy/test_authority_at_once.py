"""What concerns many owners is asked once for all of them (B 3.7): counted steps, no stopwatch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from purgatory_sync.node.upstream.state.members_beside import MembersBeside
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.outsiders import Position, position_of
from purgatory_sync.nostr.authority.repository_data import KnownAnnouncement, RepositoryData
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.nostr.state import State
from purgatory_sync.policy.authority import Ruled, newest_for, rule_state, ruling_states

from ..nostr.authority.large_graphs import GRAPH_BUILDERS, Builder, Numbered, number, steps

OID = "1" * 40


def announced(graph: Numbered) -> RepositoryData:
    return RepositoryData.of(
        "repo",
        [
            KnownAnnouncement(Announcement.parse(event(30617, at, ("d", "repo"), *tags)))
            for at, tags in graph.items()
        ],
    )


def event(kind: int, at: int, *tags: tuple[str, ...], created_at: int = 1) -> Event:
    """One of the author of that number; its id tells kind, author and time apart."""
    event_id = f"{kind:08x}{created_at:08x}{at:048x}"
    return Event(event_id, number(at), created_at, kind, tags, "", "0")


def state(at: int, created_at: int) -> State:
    tags = (("d", "repo"), ("refs/heads/main", OID))
    return State.parse(event(30618, at, *tags, created_at=created_at))


def states(graph: Numbered) -> list[State]:
    """Of every fifth author; those with the higher numbers signed later."""
    return [state(at, at + 10) for at in graph if at % 5 == 0]


@pytest.mark.parametrize("build", GRAPH_BUILDERS)
def test_b_3_4_for_all_owners_at_once_it_is_the_same_state_as_for_each(build: Builder) -> None:
    graph = build(60)
    data, served = announced(graph), states(graph)
    for some in (served, served[:3], served[5:6], []):
        each = {owner: newest_for(owner, data, some) for owner in data.known}
        assert ruling_states(data, some) == {o: s for o, s in each.items() if s is not None}


@pytest.mark.parametrize("build", GRAPH_BUILDERS)
def test_b_7_2_a_state_goes_where_no_newer_one_rules(build: Builder) -> None:
    graph = build(60)
    data, served = announced(graph), states(graph)
    for at in graph:
        held = state(at, 30)
        ruling = rule_state(held, data, [s for s in served if s.author != held.author])
        newer = [s for s in served if s.event.order > held.event.order]
        newer = [s for s in newer if s.author != held.author]
        assert set(ruling.owners) == {
            owner
            for owner in data.known
            if held.author in data.maintainer_set(owner)
            and not any(s.author in data.maintainer_set(owner) for s in newer)
        }
        assert (ruling.outcome is Ruled.RELEASE) == bool(ruling.owners)


@pytest.mark.parametrize("build", GRAPH_BUILDERS)
def test_b_4_1_the_owners_of_a_pull_request_are_the_same_asked_either_way(build: Builder) -> None:
    data = announced(build(60))
    for some in ([3], [1, 20, 41], list(range(60))):
        pr = addressing(some)
        found = data.owners_of_pr(pr)
        assert found == tuple(owner for owner in data.known if data.addresses(pr, owner))


def addressing(some: list[int]) -> PullRequest:
    tags = [("a", f"30617:{number(at)}:repo") for at in some]
    return PullRequest.parse(event(1618, 0, ("c", OID), *tags))


def _ruled(data: RepositoryData, graph: Numbered) -> None:
    ruling_states(data, states(graph))


def _released(data: RepositoryData, graph: Numbered) -> None:
    rule_state(state(0, 5), data, states(graph))


def _addressed(data: RepositoryData, graph: Numbered) -> None:
    data.owners_of_pr(addressing(list(range(64))))


def _invited(data: RepositoryData, graph: Numbered) -> None:
    assert position_of("f" * 64, data.sets).position is Position.STRANGER


def _relays(data: RepositoryData, graph: Numbered) -> None:
    beside = MembersBeside(lambda each: int(each.owner, 16) % 3 == 0, lambda each: False)
    for known in data.known.values():
        beside.announced(known.announcement)
    beside.counting("repo")


@pytest.mark.parametrize("ask", [_ruled, _released, _addressed, _invited, _relays])
@pytest.mark.parametrize("build", GRAPH_BUILDERS)
def test_b_3_7_asking_for_all_owners_costs_no_more_than_their_names(
    ask: Callable[[RepositoryData, Numbered], None], build: Builder
) -> None:
    small, large = (cost(ask, build(size)) for size in (150, 900))
    assert max(small, large) <= 400
    assert large <= 1.4 * small


def cost(ask: Callable[[RepositoryData, Numbered], None], graph: Numbered) -> float:
    """Steps for each name that the announcements hold."""
    data = announced(graph)
    with steps() as counted:
        ask(data, graph)
    return counted[0] / (
        len(graph) + sum(len(known.announcement.roles.named) for known in data.known.values())
    )
