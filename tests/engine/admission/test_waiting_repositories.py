"""What concerns a repository that waits for its git data (B 5, 2.8)."""

from __future__ import annotations

from pathlib import Path

from purgatory_sync.policy.rules.lacking import brings
from purgatory_sync.policy.rules.references import UNREFERENCED, WAITS
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...world import NOW, World

OWNER, OTHER, MEMBER = (Author.from_seed(n) for n in (1, 2, 3))


async def test_b_5_what_refers_to_something_held_is_told_to_come_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.announce(OWNER)
    at = OWNER.coordinate("repo")
    request = events.pull_request(OTHER, [at], "c" * 40, created_at=NOW - 5)
    assert (await world.offer(request)).accepted
    for tag in (("a", str(at)), ("A", str(at)), ("q", f"30618:{OWNER.pubkey}:repo")):
        said = await world.offer(OTHER.sign(1621, "", [tag], NOW))
        assert said.message == WAITS
        assert f"{tag[0].lower()}:{tag[1]}".replace("q:", "a:") in said.lacks
    comment = OTHER.sign(1111, "", [("E", request.id)], NOW)
    said = await world.offer(comment, Origin.SYNC)
    assert said.message == WAITS
    assert f"e:{request.id}" in said.lacks, "its release has it judged again (B 2.8)"
    nothing = OTHER.sign(1111, "", [("E", "e" * 64)], NOW)
    assert (await world.offer(nothing)).message == UNREFERENCED


async def test_b_5_what_names_a_member_only_waits_for_the_owner_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    event = await world.announce_group(OWNER, MEMBER)
    assert await world.held() == {event.id}, "the member's announcement is served already"
    at = str(MEMBER.coordinate("repo"))
    said = await world.offer(OTHER.sign(1621, "", [("a", at)], NOW), Origin.SYNC)
    assert said.message == WAITS
    assert set(said.lacks) >= {"d:repo", f"a:{at}"}
    assert set(said.lacks) & set(brings(event, served=True)), "judged again then (B 2.8)"
    stranger = OTHER.sign(1621, "", [("a", str(OTHER.coordinate("repo")))], NOW)
    assert (await world.offer(stranger)).message == UNREFERENCED
