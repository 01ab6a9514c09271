from __future__ import annotations

import attrs

from purgatory_sync.hunt.limits.sources import domain_of, find_sources
from purgatory_sync.hunt.limits.sync_context import Need, Source
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.repository_data import KnownAnnouncement, RepositoryData

from ...purgatory.support import event

ALICE, BOB, CAROL, MALLORY = "a" * 64, "b" * 64, "c" * 64, "d" * 64


def known(owner: str, *clone: str, maintainers: tuple[str, ...] = ()) -> KnownAnnouncement:
    tags = (("d", "repo"), ("clone", *clone), ("maintainers", *maintainers))
    return KnownAnnouncement(Announcement.parse(event(30617, tags, owner)))


def data(*announcements: KnownAnnouncement) -> RepositoryData:
    return RepositoryData.of("repo", announcements)


def need(event_id: str, *oids: str, owners: tuple[str, ...] = (ALICE,)) -> Need:
    return Need(event_id, frozenset(oids), owners)


def urls(sources: tuple[Source, ...]) -> list[str]:
    return [source.url for source in sources]


def test_b_8_1_owners_first_then_the_members_of_their_sets() -> None:
    everything = data(
        known(ALICE, "https://a.example/1", "https://a.example/2", maintainers=(BOB, MALLORY)),
        known(BOB, "https://b.example/1", maintainers=(ALICE, CAROL)),
        known(CAROL, "https://c.example/1", "https://a.example/1", maintainers=(BOB,)),
        known(MALLORY, "https://invited.example/1"),
    )
    assert find_sources(everything, [need("e", "1")], {}, None) == (
        Source("https://a.example/1", "a.example", ALICE, frozenset("1"), frozenset("e")),
        Source("https://a.example/2", "a.example", ALICE, frozenset("1"), frozenset("e")),
        Source("https://b.example/1", "b.example", BOB, frozenset("1"), frozenset("e")),
        Source("https://c.example/1", "c.example", CAROL, frozenset("1"), frozenset("e")),
    )


def test_b_8_1_a_strangers_announcement_is_no_source() -> None:
    everything = data(known(ALICE, "https://a.example/1"), known(MALLORY, "https://evil.example/1"))
    assert urls(find_sources(everything, [need("e", "1")], {}, None)) == ["https://a.example/1"]


def test_b_8_1_a_prs_own_clone_values_serve_its_commit_only() -> None:
    everything = data(known(ALICE, "https://a.example/1"))
    needs = [need("state", "1", "2"), need("pr", "3")]
    sources = find_sources(everything, needs, {"pr": ("https://fork.example/1",)}, None)
    assert sources == (
        Source(
            "https://a.example/1", "a.example", ALICE, frozenset("123"), frozenset({"state", "pr"})
        ),
        Source("https://fork.example/1", "fork.example", None, frozenset("3"), frozenset({"pr"})),
    )


def test_b_8_1_a_clone_value_that_is_announced_too_is_the_announcements() -> None:
    everything = data(known(ALICE, "https://a.example/1"), known(BOB))
    needs = [need("pr", "3", owners=(BOB,)), need("state", "1", owners=(ALICE, BOB))]
    sources = find_sources(everything, needs, {"pr": ("https://a.example/1",)}, None)
    assert [(s.owner, s.oids) for s in sources] == [(ALICE, frozenset("13"))]


def test_b_8_8_events_without_a_repository_in_common_are_served_apart() -> None:
    mirror = "https://mirror.example/1"
    everything = data(known(ALICE, mirror), known(BOB, mirror))
    needs = [need("a1", "1"), need("b", "2", "1", owners=(BOB,)), need("a2", "3")]
    assert find_sources(everything, needs, {}, None) == (
        Source(mirror, "mirror.example", ALICE, frozenset("13"), frozenset({"a1", "a2"})),
        Source(mirror, "mirror.example", BOB, frozenset("12"), frozenset({"b"})),
    )


def test_b_8_8_what_has_no_repository_here_hides_nothing_that_has_one() -> None:
    mirror = "https://mirror.example/1"
    without = attrs.evolve(known(ALICE, mirror), has_repository=False)
    everything = data(without, known(BOB, mirror))
    needs = [need("a", "1"), need("b", "2", owners=(BOB,))]
    found = find_sources(everything, needs, {}, None)
    assert [(s.owner, s.event_ids) for s in found] == [(BOB, frozenset({"b"}))]
    assert urls(find_sources(everything, needs[:1], {}, None)) == [mirror]


def test_many_events_and_many_urls_cost_their_sum_not_their_product() -> None:
    everything = data(known(ALICE, *(f"https://h{i}.example/1" for i in range(50))))
    needs = [need(f"e{i}", str(i)) for i in range(100)]
    found = find_sources(everything, needs, {}, None)
    assert [len(each.oids) for each in found] == [100] * 50
    assert len({id(each.oids) for each in found}) == 1


def test_b_8_1_another_base_of_our_host_is_hunted() -> None:
    everything = data(known(ALICE, "https://us.example/us/n/r.git", "https://us.example/them/n/r"))
    found = find_sources(everything, [need("e", "1")], {}, "us.example/us")
    assert urls(found) == ["https://us.example/them/n/r"]


def test_b_8_1_our_own_host_and_port_is_never_hunted() -> None:
    everything = data(
        known(
            ALICE,
            "https://grasp.example/npub/repo.git",
            "https://grasp.example:8443/npub/repo.git",
            "https://grasp.example.evil/npub/repo.git",
            "http://GRASP.example:443/npub/repo.git",
        )
    )
    found = find_sources(everything, [need("e", "1")], {}, "grasp.example:443")
    assert urls(found) == [
        "https://grasp.example:8443/npub/repo.git",
        "https://grasp.example.evil/npub/repo.git",
    ]


def test_needs_with_nothing_missing_have_no_sources() -> None:
    assert find_sources(data(known(ALICE, "https://a.example/1")), [need("e")], {}, None) == ()


def test_a_pr_clone_value_without_host_is_skipped() -> None:
    assert find_sources(data(), [need("pr", "3")], {"pr": ("file:///etc",)}, None) == ()


def test_domain_is_the_host_without_port() -> None:
    assert domain_of("https://A.example:8443/x") == "a.example"
    assert domain_of("no url") is None
