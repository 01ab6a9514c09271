"""Cases of B 2-5 that need store, purgatory and repositories together."""

from __future__ import annotations

import pytest

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.rules.lacking import brings
from purgatory_sync.purgatory.entries import HeldAnnouncement, Origin
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, World

OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
MAIN = "refs/heads/main"


async def serve(world: World, author: Author = OWNER, created_at: int = NOW - 50) -> Event:
    """Announce and give the data of a state, so that both are served; returns the announcement."""
    announcement = await world.announce(author)
    steps = history(1, author.npub)
    world.give(author, steps)
    state = events.state(author, "repo", {MAIN: steps[0].oid}, created_at=created_at)
    assert (await world.offer(state)).outcome is Outcome.SERVED
    return announcement


async def test_b_2_2_b_a_co_maintainer_is_served_at_once_and_has_no_repository(
    world: World,
) -> None:
    await world.announce(OWNER, maintainers=[MAINTAINER])
    event = await world.announce(MAINTAINER, listed=False)
    assert event.id in await world.served()
    assert not is_repository(world.path(MAINTAINER))


async def test_b_2_3_served_without_a_repository_and_listed_now_is_filled_and_served(
    world: World,
) -> None:
    await world.announce(OWNER, maintainers=[MAINTAINER])
    unlisted = await world.announce(MAINTAINER, maintainers=[OWNER], listed=False)
    steps = history(1)
    world.give(OWNER, steps)
    state = events.state(MAINTAINER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60)
    assert (await world.offer(state)).outcome is Outcome.SERVED
    listed = await world.announce(MAINTAINER, maintainers=[OWNER], created_at=NOW - 40)
    assert world.refs(MAINTAINER) == {MAIN: steps[0].oid}
    assert listed.id in await world.served()
    assert unlisted.id not in await world.served()


async def test_b_2_3_without_data_the_listed_one_is_held_and_the_served_one_stays(
    world: World,
) -> None:
    await world.announce(OWNER, maintainers=[MAINTAINER])
    unlisted = await world.announce(MAINTAINER, listed=False)
    listed = await world.announce(MAINTAINER, created_at=NOW - 40)
    assert is_repository(world.path(MAINTAINER))
    assert listed.id in await world.held()
    assert unlisted.id in await world.served()


async def test_b_2_2_delisting_ends_the_served_one_keeps_its_repository_and_bars_replays(
    world: World,
) -> None:
    announcement = await serve(world)
    away = events.announcement(
        OWNER, "repo", clone=["https://x.example/r"], relays=["wss://x.example"], created_at=NOW
    )
    assert (await world.offer(away)).outcome is Outcome.REFUSED
    assert announcement.id not in await world.served()
    assert is_repository(world.path(OWNER))
    answer = await world.offer(announcement, Origin.SYNC)
    assert (answer.outcome, answer.message) == (Outcome.REFUSED, "invalid: deleted by its author")


async def test_b_2_7_a_replacement_revives_what_expired_softly(world: World) -> None:
    first = await world.announce(OWNER)
    held = world.purgatory.get(first.id)
    assert isinstance(held, HeldAnnouncement)
    world.purgatory.soft_expire(held, NOW)
    world.repositories.remove(OWNER.pubkey, "repo")
    second = await world.announce(OWNER, created_at=NOW - 10)
    assert await world.held() == {second.id}
    assert is_repository(world.path(OWNER))
    revived = world.purgatory.get(second.id)
    assert isinstance(revived, HeldAnnouncement)
    assert revived.soft_expired_at is None


@pytest.mark.parametrize("tag", ["a", "A", "q"])
async def test_b_2_8_what_refers_to_a_repository_is_admitted_when_it_is_served(
    world: World, tag: str
) -> None:
    note = STRANGER.sign(1111, "", [(tag, str(OWNER.coordinate("repo")))], NOW)
    refused = await world.offer(note, Origin.SYNC)
    assert (refused.outcome, refused.message) == (
        Outcome.REFUSED,
        "invalid: must reference an accepted repository or event",
    )
    announcement = await serve(world)
    assert set(refused.lacks) & set(brings(announcement, served=True))
    assert (await world.offer(note, Origin.SYNC)).outcome is Outcome.SERVED


@pytest.mark.parametrize("tag", ["e", "E", "q"])
async def test_b_2_8_what_a_served_event_refers_to_is_admitted_afterwards(
    world: World, tag: str
) -> None:
    lonely = STRANGER.sign(1, "hello", [], NOW)
    refused = await world.offer(lonely, Origin.SYNC)
    assert refused.outcome is Outcome.REFUSED
    await serve(world)
    tags = [("a", str(OWNER.coordinate("repo"))), (tag, lonely.id)]
    quoting = OWNER.sign(1111, "see", tags, NOW)
    assert (await world.offer(quoting)).outcome is Outcome.SERVED
    assert set(refused.lacks) & set(brings(quoting, served=True))
    assert (await world.offer(lonely, Origin.SYNC)).outcome is Outcome.SERVED


async def test_b_2_8_states_prs_and_co_maintainers_that_came_first_are_taken_afterwards(
    world: World,
) -> None:
    first = [
        events.announcement(
            MAINTAINER,
            "repo",
            clone=["https://x.example/r"],
            relays=["wss://x.example"],
            maintainers=[OWNER],
        ),
        events.state(MAINTAINER, "repo", {MAIN: "1" * 40}, created_at=NOW),
        events.pull_request(STRANGER, [OWNER.coordinate("repo")], "2" * 40, created_at=NOW),
    ]
    refused = [await world.offer(each, Origin.SYNC) for each in first]
    assert {each.outcome for each in refused} == {Outcome.REFUSED}
    announcement = await world.announce(OWNER, maintainers=[MAINTAINER])
    brought = set(brings(announcement, served=False))
    assert all(set(each.lacks) & brought for each in refused)
    again = [(await world.offer(each, Origin.SYNC)).outcome for each in first]
    assert again == [Outcome.SERVED, Outcome.HELD, Outcome.HELD]


async def test_b_3_3_expired_before_comes_back_from_users_only(world: World) -> None:
    await world.announce(OWNER)
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    world.purgatory.expired.remember(state.id, NOW)
    answer = await world.offer(state, Origin.SYNC)
    assert answer.message == "invalid: previously expired from purgatory without git data"
    assert (await world.offer(state, Origin.USER)).outcome is Outcome.HELD


async def test_b_1_8_a_replaceable_event_has_one_version_for_every_d(world: World) -> None:
    newer = OWNER.sign(10317, "", [], NOW)
    assert (await world.offer(newer)).outcome is Outcome.SERVED
    older = OWNER.sign(10317, "", [("d", "x")], NOW - 10)
    assert (await world.offer(older)).message == "duplicate: a newer version is served"


async def test_b_4_1_a_pr_that_only_refers_to_something_served_is_held(world: World) -> None:
    await serve(world)
    issue = STRANGER.sign(1621, "bug", [("a", str(OWNER.coordinate("repo")))], NOW)
    assert (await world.offer(issue)).outcome is Outcome.SERVED
    elsewhere = STRANGER.coordinate("elsewhere")
    tags = [("c", "1" * 40), ("a", str(elsewhere)), ("e", issue.id)]
    request = STRANGER.sign(1618, "", tags, NOW)
    assert (await world.offer(request)).outcome is Outcome.HELD


async def test_b_4_1_a_pr_to_a_repository_that_is_not_here_may_refer_to_something_served(
    world: World,
) -> None:
    """Another owner's repository of the same name makes no difference."""
    await serve(world)
    issue = STRANGER.sign(1621, "bug", [("a", str(OWNER.coordinate("repo")))], NOW)
    assert (await world.offer(issue)).outcome is Outcome.SERVED
    tags = [("c", "1" * 40), ("a", str(STRANGER.coordinate("repo")))]
    for kind in (1618, 1619):
        lonely = STRANGER.sign(kind, "", tags, NOW)
        referring = STRANGER.sign(kind, "", [*tags, ("e", issue.id)], NOW)
        assert (await world.offer(lonely)).outcome is Outcome.REFUSED
        assert (await world.offer(referring)).outcome is Outcome.HELD


async def test_b_5_a_deletes_held_versions_up_to_the_request_with_their_repository(
    world: World,
) -> None:
    announcement = await world.announce(OWNER, created_at=NOW - 20)
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 20)
    later = events.state(OWNER, "repo", {MAIN: "2" * 40}, created_at=NOW)
    for each in (state, later):
        assert (await world.offer(each)).outcome is Outcome.HELD
    of_states = f"30618:{OWNER.pubkey}:repo"
    await world.offer(OWNER.sign(5, "", [("a", of_states)], NOW - 10))
    assert await world.held() == {announcement.id, later.id}
    await world.offer(OWNER.sign(5, "", [("a", str(OWNER.coordinate("repo")))], NOW - 10))
    assert await world.held() == {later.id}
    assert not is_repository(world.path(OWNER))


async def test_b_5_a_served_repository_that_is_deleted_stays_on_disk(world: World) -> None:
    announcement = await serve(world)
    request = OWNER.sign(5, "", [("a", str(OWNER.coordinate("repo")))], NOW)
    assert (await world.offer(request)).outcome is Outcome.SERVED
    assert announcement.id not in await world.served()
    assert request.id in await world.served()
    assert is_repository(world.path(OWNER))


async def test_b_5_a_request_of_another_key_ends_nothing_that_is_served(world: World) -> None:
    announcement = await serve(world)
    tags = [("a", str(OWNER.coordinate("repo"))), ("e", announcement.id)]
    assert (await world.offer(STRANGER.sign(5, "", tags, NOW))).outcome is Outcome.SERVED
    assert announcement.id in await world.served()


async def test_b_5_an_older_version_of_itself_anchors_nothing(world: World) -> None:
    await serve(world)
    tags = [("d", "page"), ("a", str(OWNER.coordinate("repo")))]
    older = STRANGER.sign(30818, "", tags, NOW - 1)
    assert (await world.offer(older)).outcome is Outcome.SERVED
    newer = STRANGER.sign(30818, "about something else", tags[:1], NOW)
    assert (
        await world.offer(newer)
    ).message == "invalid: must reference an accepted repository or event"
    assert older.id in await world.served()


async def test_b_5_what_its_author_wrote_of_that_kind_anchors_nothing(world: World) -> None:
    await serve(world)
    tags = [("d", "page"), ("a", str(OWNER.coordinate("repo")))]
    assert (await world.offer(STRANGER.sign(30818, "", tags, NOW - 1))).outcome is Outcome.SERVED
    nameless = STRANGER.sign(30818, "about something else", [], NOW)
    assert (
        await world.offer(nameless)
    ).message == "invalid: must reference an accepted repository or event"
