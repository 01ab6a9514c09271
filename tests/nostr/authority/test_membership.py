from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.nostr.authority.membership import Membership
from purgatory_sync.nostr.authority.paths import PathProblem
from purgatory_sync.nostr.roles import Roles

from .authority_cases import CASES, Case, event, expected, key, letters, membership, tag
from .large_graphs import GRAPH_BUILDERS, Builder, Numbered, counting, leads, number, steps, sybils

LETTERS = "ABCDEF"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_b_3_7_the_table(case: Case) -> None:
    sets = membership(case.tags)
    for owner, members in expected(case).items():
        assert letters(sets.members(key(owner))) == members, owner


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_b_3_7_who_authorises_is_the_other_way_round(case: Case) -> None:
    agree(membership(case.tags))


@pytest.mark.parametrize(
    ("tags", "problem", "at"),
    [
        ("B: -", PathProblem.UNKNOWN, "A"),
        ("A: m A 10 20", PathProblem.INACTIVE, "A"),
        ("A: M A, o A 1 defer", PathProblem.INACTIVE, "A"),
        ("A: M B | B: M B, m B 1 defer", PathProblem.INACTIVE, "B"),
        ("A: M B, m A", PathProblem.LEAD_UNKNOWN, "B"),
        ("A: M B, m A | B: m B", PathProblem.NO_LEAD, "B"),
        ("A: M B, m A | B: -", PathProblem.NO_LEAD, "B"),
        ("A: M B, M C", PathProblem.TWO_LEADS, "A"),
        ("A: M B | B: M B, M C", PathProblem.TWO_LEADS, "B"),
        ("A: M B | B: M A", PathProblem.CIRCLE, "A"),
        ("A: M B | B: M C | C: M D | D: M C", PathProblem.CIRCLE, "C"),
        ("held A: m A 1 2, M L | L: M L", PathProblem.FORWARDED, "L"),
    ],
)
def test_b_3_7_why_no_key_has_authority(tags: str, problem: PathProblem, at: str) -> None:
    path = membership(tags).why_no_authority(key("A"))
    assert path is not None
    assert (path.problem, letters([path.at])) == (problem, at)


def test_there_is_no_reason_where_a_key_has_authority() -> None:
    assert membership("A: M A").why_no_authority(key("A")) is None


@pytest.mark.parametrize(
    ("tags", "moderators"),
    [
        ("A: M A, o O | O: M A, o O", "O"),
        ("A: M A, o O | O: M A", "nobody"),
        ("A: M A, o O | O: o O", "nobody"),
        ("A: M A, o O | O: M A, o O 1 2", "nobody"),
        ("A: M A, o O | O: M A, o O 5 defer, o O 5", "nobody"),
        ("A: M A | O: M A, o O", "nobody"),
        ("A: M A, o O, o P | O: M A, o O | P: o O, o P", "O P"),
        ("A: M A, o O, o P | P: M A, o P | O: o P, o O", "O P"),
        ("A: M A, o O | O: M A, o O, o P | P: o O, o P", "O"),
        ("A: M A, m B | B: M A, m B, o O | O: m B, o O", "O"),
        ("A: M A, m O, o O | O: M A, m O, o O", "nobody"),
    ],
)
def test_b_3_7_moderators_are_made_by_members_and_accept(tags: str, moderators: str) -> None:
    sets = membership(tags)
    assert letters(sets.moderators(key("A"))) == moderators
    assert "O" not in letters(sets.members(key("A"))) or "m O" in tags


@pytest.mark.parametrize(
    ("tags", "seen"),
    [
        ("A: -", "A"),
        ("A: mt B", "A B"),
        ("A: mt B | B: mt A C", "A B C"),
        ("A: mt B | B: mt C", "A B"),
        ("A: M B, m C", "A B C"),
        ("A: M B | B: M C", "A B C"),
        ("A: M B | B: M C, m D, m E 1 2", "A B C"),
        ("A: M B | B: M B, m D, o O", "A B D O"),
        ("A: M A, o O", "A O"),
        ("A: M B | B: M A", "A B"),
        ("B: mt A", "A"),
        ("A: M B, M C | B: M D", "A B C"),
    ],
)
def test_b_3_7_whose_announcements_matter(tags: str, seen: str) -> None:
    assert letters(membership(tags).seen(key("A"))) == seen


TAGS = st.tuples(
    st.sampled_from(["M", "m", "m", "o", "mt"]),
    st.sampled_from(LETTERS),
    st.sampled_from(["", "", "", " 1", " 1 2", " 1 defer", " 3", " x"]),
).map(lambda parts: f"{parts[0]} {parts[1]}{parts[2] if parts[0] != 'mt' else ''}")
GRAPHS = st.dictionaries(
    st.sampled_from(LETTERS), st.tuples(st.lists(TAGS, max_size=4), st.booleans())
)
Graph = Mapping[str, tuple[list[str], bool]]


def read(graph: Graph) -> Membership:
    roles = {key(each): Roles.of(event(each, map(tag, tags))) for each, (tags, _) in graph.items()}
    return Membership(roles, {key(each) for each, (_, served) in graph.items() if served})


@given(GRAPHS)
@settings(max_examples=400, deadline=None)
def test_b_3_7_two_signatures_stand_behind_every_member(graph: Graph) -> None:
    sets = read(graph)
    for owner in map(key, LETTERS):
        members = sets.members(owner)
        if not members:
            assert sets.why_no_authority(owner) is not None
            continue
        way = sets.paths.way(owner)
        root = way[-1]
        for one, following in pairwise(way):
            assert sets.roles[one].leads == (following,)
        assert sets.roles[root].may
        assert root in members
        assert owner in members or owner in sets.served
        for member in members - {root}:
            assert sets.roles[member].may
            assert members & sets.roles[member].names
            assert any(member in sets.roles[other].names for other in members)


@given(GRAPHS)
@settings(max_examples=400, deadline=None)
def test_b_3_7_the_sets_are_what_the_rule_says_word_by_word(graph: Graph) -> None:
    sets = read(graph)
    for owner in map(key, LETTERS):
        assert sets.members(owner) == set_of(owner, sets.roles, frozenset(sets.served))
    agree(sets)


@given(GRAPHS, st.dictionaries(st.sampled_from(LETTERS), st.lists(TAGS, max_size=4)))
@settings(max_examples=400, deadline=None)
def test_b_3_7_who_is_not_seen_changes_nothing(graph: Graph, others: dict[str, list[str]]) -> None:
    before = read(graph)
    for owner in LETTERS:
        outside = {e: (t, True) for e, t in others.items() if key(e) not in before.seen(key(owner))}
        after = read({**graph, **outside})
        assert after.members(key(owner)) == before.members(key(owner))


@given(GRAPHS, st.permutations(LETTERS))
@settings(max_examples=200, deadline=None)
def test_b_3_7_no_order_changes_a_set(graph: Graph, order: list[str]) -> None:
    first, other = read(graph), read({each: graph[each] for each in order if each in graph})
    for asked in (sorted(order), order):
        for owner in map(key, asked):
            assert first.members(owner) == other.members(owner)
    agree(other)


@given(GRAPHS)
@settings(max_examples=200, deadline=None)
def test_b_3_7_an_owner_in_its_own_set_has_not_left(graph: Graph) -> None:
    sets = read(graph)
    for owner, roles in sets.roles.items():
        assert owner not in sets.members(owner) or roles.may


def agree(sets: Membership) -> None:
    """Both ways of asking for many owners at once give what the single questions do."""
    for author in map(key, "ABCDEFLOX"):
        assert sets.owners_authorising(author) == {
            o for o in sets.roles if author in sets.members(o)
        }
        assert sets.owners_seeing(author) == {o for o in sets.roles if author in sets.seen(o)}
    for some in ("BC", LETTERS):
        keys = [key(each) for each in some]
        having = {o for o in sets.roles if not sets.members(o).isdisjoint(keys)}
        assert sets.owners_authorising(*keys) == having
        assert sets.seen_by_any(keys) == frozenset().union(*map(sets.seen, keys))
        assert sets.members_of_any(keys) == frozenset().union(*map(sets.members, keys))
        assert sets.first_of(keys) == {
            o: next(k for k in keys if k in sets.members(o)) for o in having
        }


def set_of(owner: str, roles: Mapping[str, Roles], served: frozenset[str]) -> frozenset[str]:
    """The rule as it is written, in as many rounds as it takes."""
    at, met = owner, set[str]()
    while True:
        if at not in roles or at in met:
            return frozenset()
        leads, may = roles[at].leads, roles[at].may
        if len(leads) > 1 or (not leads and at != owner):
            return frozenset()
        if not leads or leads == (at,):
            if not may:
                return frozenset()
            break
        met.add(at)
        at = leads[0]
    members = {at}
    for _ in roles:
        members |= {
            key
            for key, its in roles.items()
            if its.may and its.names & members and any(key in roles[m].names for m in members)
        }
    return frozenset(members) if owner in members or owner in served else frozenset()


@pytest.mark.parametrize("build", GRAPH_BUILDERS)
def test_b_3_7_the_work_grows_with_the_names_and_no_faster(
    build: Builder,
) -> None:
    small, large = (steps_by_edge(build(size)) for size in (250, 1_500))
    assert max(small, large) <= 100
    assert large <= 1.3 * small


def steps_by_edge(graph: Numbered) -> float:
    """How many steps all that the engine asks of a graph takes, for each of its names."""
    roles = counting(graph)
    edges = len(roles) + sum(len(each.named) for each in dict.values(roles))
    keys = sorted(roles)
    roles.looks = 0
    with steps() as counted:
        sets = Membership(roles, frozenset(keys))
        sets.first_of(keys)
        sets.members_of_any(keys)
        sets.seen_by_any(keys)
        sets.owners_authorising(*keys)
        for author in (keys[0], keys[len(keys) // 2], keys[-1]):
            sets.members(author)
            sets.owners_authorising(author)
            sets.owners_seeing(author)
    return (roles.looks + counted[0]) / edges


@pytest.mark.parametrize("build", GRAPH_BUILDERS)
def test_b_3_7_groups_taken_over_at_once_are_what_the_rule_says(
    build: Builder,
) -> None:
    graph = counting(build(60))
    sets = Membership(graph, frozenset(graph))
    for owner in graph:
        assert sets.members(owner) == set_of(owner, graph, frozenset(graph))


def test_a_chain_of_10_000_leads_ends_at_the_last() -> None:
    graph = counting(leads(10_000))
    sets = Membership(graph, frozenset(graph))
    assert sets.paths.of(number(0)).root == number(9_999)
    assert sets.members(number(0)) == {number(9_999)}


def test_a_clique_of_strangers_costs_those_nothing_who_do_not_name_them() -> None:
    tags = sybils(2_000)
    tags[0] = [("maintainers", number(5_000))]
    tags[5_000] = [("maintainers", number(0))]
    graph = counting(tags)
    sets = Membership(graph, frozenset(graph))
    sets.owners_authorising(number(0))
    graph.looks = 0
    assert sets.owners_authorising(number(5_000)) == {number(0), number(5_000)}
    assert graph.looks < 30
