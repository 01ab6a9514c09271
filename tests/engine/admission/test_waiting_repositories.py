"""What concerns a repository that waits for its git data (B 5, 2.8)."""

from __future__ import annotations

from pathlib import Path

from purgatory_sync.policy.rules.references import UNREFERENCED, WAITS
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...world import NOW, World

OWNER, OTHER = Author.from_seed(1), Author.from_seed(2)


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
