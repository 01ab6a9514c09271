"""Below `/prs/` two budgets are kept apart, and a refusal names limit and use (B 12.8)."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.errors import OverBudget, RepositoryError
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.policy.contributions import (
    ContributionKnown,
    PrsUse,
    judge_contribution,
    why_full,
    why_no_more,
)
from purgatory_sync.release.index.prs_folder import FOLDER_BYTES
from purgatory_sync.settings import CurationSettings, PrsSettings, PurgatorySettings

from ...git.local_repos import history
from ...world import NOW, SERVICE, World
from ..pushes.pushing_support import pack, pack_of, pieces
from .support import (
    ADDRESS,
    CONTRIBUTOR,
    HERE,
    OWNER,
    STRANGER,
    Contributing,
    contributing,
    request,
)

OTHER, THIRD = "5" * 64, "6" * 64
ELSEWHERE = "198.51.100.1"
HEADER = b"PACK\0\0\0\2\0\0\0\1"


async def test_b_12_8_what_a_stranger_pushed_counts_for_his_address_and_not_for_the_key(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await here.push(history(2), OTHER)
    use = here.prs.use(here.world.purgatory.uploads, HERE, ADDRESS)
    size = here.prs.size(HERE)
    assert size > FOLDER_BYTES
    assert (use.unclaimed_bytes, use.unclaimed_bytes_of_address) == (size, size)
    assert (use.bytes, use.bytes_of_author, use.repositories, use.refs) == (0, 0, 0, 0)
    use = here.prs.use(here.world.purgatory.uploads, HERE, ELSEWHERE)
    assert use.unclaimed_bytes_of_address == 0
    counts = here.prs.count(here.world.purgatory.uploads)
    assert attrs.astuple(counts) == (1, 0, 1, 0, size)


async def test_b_12_8_an_event_takes_what_waited_over_to_its_author(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    event = request(steps[-1].oid)
    await here.push(steps, event.id)
    await here.world.offer(event)
    use = here.prs.use(here.world.purgatory.uploads, HERE, ADDRESS)
    assert (use.unclaimed_bytes, use.unclaimed_bytes_of_address) == (0, 0)
    assert use.bytes == use.bytes_of_author == here.prs.size(HERE)


@pytest.mark.parametrize("what", ["max_unclaimed_bytes", "max_unclaimed_bytes_per_address"])
async def test_b_12_8_unclaimed_bytes_are_limited_by_address_and_in_all(
    world: World, autojump_clock: MockClock, what: str
) -> None:
    here = contributing(world, PrsSettings(**{what: FOLDER_BYTES + 4_000}))  # type: ignore[arg-type]
    await here.push(history(1), OTHER)
    target = RepositoryId(OWNER.pubkey, "repo")
    said = await here.refused(history(1, "more"), OTHER, target=target)  # type: ignore[arg-type]
    assert f"{here.prs.size(HERE)} bytes that no published event names are here" in said
    assert f"{FOLDER_BYTES + 4_000} may be: come again later" in said
    if what == "max_unclaimed_bytes_per_address":
        await here.push(history(1, "more"), OTHER, target, address=ELSEWHERE)
    await here.at(1200)
    await here.push(history(1, "more"), THIRD)


async def test_b_12_8_bytes_are_counted_as_they_come_with_those_of_other_pushes(
    world: World, autojump_clock: MockClock
) -> None:
    here = contributing(world, PrsSettings(max_unclaimed_bytes_per_address=100_000))
    go_on, came = trio.Event(), 0

    async def first() -> bytes:
        nonlocal came
        came += 1
        if came == 1:
            return HEADER + bytes(60_000)
        await go_on.wait()
        return b""

    async with trio.open_nursery() as nursery:

        async def push() -> None:
            assert "refused" in await here.refused([], OTHER, tip="1" * 40, read=first)  # type: ignore[arg-type]

        nursery.start_soon(push)
        await wait_all_tasks_blocked()
        second = pieces(HEADER + bytes(30_000), bytes(30_000))
        said = await here.refused([], THIRD, tip="1" * 40, read=second)  # type: ignore[arg-type]
        assert "by your address" in said
        go_on.set()
    await here.push(history(1), THIRD)


@pytest.mark.parametrize("claimed", [False, True])
async def test_b_12_8_two_pushes_that_end_at_once_do_not_take_the_same_room(
    world: World, autojump_clock: MockClock, claimed: bool
) -> None:
    room = FOLDER_BYTES + 4_000
    here = contributing(
        world, PrsSettings(max_unclaimed_bytes_per_address=room, max_bytes_per_author=room)
    )
    names, steps, refused = ("repo", "second"), history(1), 0
    events = [
        request(steps[0].oid, RepositoryId(OWNER.pubkey, name), at=NOW - 5 - n)
        for n, name in enumerate(names)
    ]
    ids = (OTHER, THIRD)
    if claimed:
        for event in events:
            assert (await world.offer(event)).accepted
        ids = (events[0].id, events[1].id)

    async def push(name: str, event_id: str) -> None:
        nonlocal refused
        try:
            await here.push(steps, event_id, RepositoryId(HERE.owner, name))
        except OverBudget:
            refused += 1

    async with trio.open_nursery() as nursery:
        for name, event_id in zip(names, ids, strict=True):
            nursery.start_soon(push, name, event_id)
    assert (refused, len(here.prs)) == (1, 1)
    assert here.tmp() == []


async def test_b_12_8_a_piece_costs_no_more_where_the_key_has_many_repositories(
    here: Contributing, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = history(2)
    await here.push(steps, OTHER)
    counted, use = 0, here.prs.use

    def count(*about: object) -> PrsUse:
        nonlocal counted
        counted += 1
        return use(*about)  # type: ignore[arg-type]

    monkeypatch.setattr(here.prs, "use", count)
    content, came = pack_of([each for step in steps for each in step.objects]), 0

    async def read() -> bytes:
        nonlocal came
        came += 1
        return content[came - 1 : came]

    await here.push(steps, THIRD, read=read)
    assert came == len(content) + 1 > 200
    assert counted < 10


async def test_b_12_8_what_changes_meanwhile_counts_for_the_next_piece(
    world: World, autojump_clock: MockClock
) -> None:
    here = contributing(world, PrsSettings(max_unclaimed_bytes=FOLDER_BYTES + 2_000))
    go_on, came = trio.Event(), 0

    async def slow() -> bytes:
        nonlocal came
        came += 1
        if came == 1:
            return HEADER
        await go_on.wait()
        return bytes(2_000) if came == 2 else b""

    async with trio.open_nursery() as nursery:

        async def push() -> None:
            said = await here.refused([], THIRD, tip="1" * 40, read=slow, address=ELSEWHERE)  # type: ignore[arg-type]
            assert "bytes that no published event names are here" in said

        nursery.start_soon(push)
        await wait_all_tasks_blocked()
        await here.push(history(1), OTHER)
        go_on.set()


async def test_b_12_8_what_was_linked_and_could_not_be_named_takes_no_room(
    here: Contributing, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.push(history(1), OTHER)
    before = here.prs.size(HERE), here.refs()

    def fail(*about: object) -> None:
        raise RepositoryError("the disk is full")

    monkeypatch.setattr(here.prs, "name", fail)
    await here.refused(history(9, "more"), THIRD)
    assert (here.prs.size(HERE), here.refs()) == before
    assert len((await here.world.store.load()).uploads) == 1


async def test_b_12_8_an_event_that_would_claim_more_is_rate_limited_and_what_waits_ends(
    world: World, autojump_clock: MockClock
) -> None:
    here = contributing(world, PrsSettings(max_bytes_per_author=FOLDER_BYTES + 2_000))
    first, second = history(1), history(1, "more")
    events = [request(steps[0].oid) for steps in (first, second)]
    await here.push(first, events[0].id)
    assert (await here.world.offer(events[0])).accepted
    await here.push(second, events[1].id)
    size = here.prs.size(HERE)
    assert size > FOLDER_BYTES
    big = request(history(40, "large")[-1].oid)
    await here.push(history(40, "large"), big.id)
    answer = await here.world.offer(big)
    assert answer.message.startswith("rate-limited: ")
    assert "of this author" in answer.message
    await here.at(1200)
    assert list(here.refs()) == [f"refs/nostr/{events[0].id}"]


async def test_b_12_8_a_pack_within_and_beyond_the_limit(
    world: World, autojump_clock: MockClock
) -> None:
    steps = history(20)
    size = len(pack_of([each for step in steps for each in step.objects]))
    here = contributing(world, PrsSettings(max_pack_bytes=size - 1))
    assert f"more than {size - 1} bytes" in await here.refused(steps, OTHER)
    assert here.files() == []
    here = contributing(world, PrsSettings(max_pack_bytes=size))
    await here.push(steps, OTHER)


def known(use: PrsUse) -> ContributionKnown:
    return ContributionKnown(HERE, SERVICE, use, 0.0)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (PrsUse(unclaimed_here=1_000), "1000 refs wait for their events here, 1000 may"),
        (PrsUse(unclaimed=100_000), "publish the event first"),
        (PrsUse(unclaimed_bytes=4 << 30), "pushed in all; 4294967296 may be"),
    ],
)
def test_b_12_8_what_waits_is_limited(use: PrsUse, words: str) -> None:
    settings, waiting, lists = PrsSettings(enabled=True), PurgatorySettings(), CurationSettings()
    changes = {f"refs/nostr/{OTHER}": "1" * 40}
    with pytest.raises(OverBudget, match=words):
        judge_contribution(changes, known(use), settings, waiting, lists)
    judge_contribution(changes, known(PrsUse(bytes=1 << 50)), settings, waiting, lists)


def test_b_12_8_what_events_name_is_limited_by_author() -> None:
    settings = PrsSettings()
    assert why_no_more(PrsUse(repositories=99), settings, 1) is None
    assert "100 repositories" in (why_no_more(PrsUse(repositories=100), settings, 1) or "")
    assert why_no_more(PrsUse(repositories=100, refs=1), settings, 1) is None
    assert "1000 may be" in (why_no_more(PrsUse(refs=1_000), settings, 1) or "")
    for use in (PrsUse(bytes_of_author=2 << 30), PrsUse(bytes=50 << 30)):
        assert "delete pull requests" in (why_full(use, settings, 0, unclaimed=False) or "")
        assert why_full(use, settings, 0, unclaimed=True) is None
    assert "would add 5" in (
        why_full(PrsUse(bytes=(50 << 30) - 4), settings, 5, unclaimed=False) or ""
    )
    assert CONTRIBUTOR.pubkey == HERE.owner


async def test_b_12_8_a_push_that_adds_nothing_does_not_count_for_the_key(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    await here.push(steps, OTHER)
    go_on, came = trio.Event(), 0

    async def again() -> bytes:
        nonlocal came
        came += 1
        if came == 1:
            return HEADER + bytes(60_000)
        await go_on.wait()
        return b""

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(here.push, steps, OTHER, read=again))
        await wait_all_tasks_blocked()
        assert not here.contributor.budgets.sent.total(unclaimed=False)
        assert not here.contributor.budgets.sent.total(unclaimed=True)
        go_on.set()


async def test_b_12_8_bytes_count_for_the_address_while_another_ref_needs_them(
    world: World, autojump_clock: MockClock
) -> None:
    here, steps = contributing(world), history(2)
    event = request(steps[-1].oid, author=STRANGER)
    changes = {f"refs/nostr/{each}": steps[-1].oid for each in sorted((event.id, OTHER))}
    await here.contributor.receive(HERE, changes, pack(steps), ADDRESS)
    size = here.prs.size(HERE)
    await here.world.announce(OWNER)
    await here.world.offer(event)  # its signer is not the key of the path: that ref ends
    assert list(here.refs()) == [f"refs/nostr/{OTHER}"]
    use = here.prs.use(here.world.purgatory.uploads, HERE, ADDRESS)
    assert (use.bytes, use.bytes_of_author) == (0, 0)
    assert use.unclaimed_bytes_of_address == here.prs.size(HERE) == size
    rows = (await here.world.store.load()).uploads
    assert [each.size for each in rows] == [size]
    again = await here.start_again()
    use = again.prs.use(here.world.purgatory.uploads, HERE, ADDRESS)
    assert use.unclaimed_bytes_of_address == size
