"""The git folder has an owner: what this store did not make empty, no expiry removes (B 2.7, 9)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.upkeep.pairing import Pairing, Sides, judge
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.git.disk.repository import is_repository, list_refs
from purgatory_sync.git.folder.folder_owner import LOCK, OWNER, lock_git_folder
from purgatory_sync.release.index.repositories import MADE_MARKER
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import add_pack, history
from ..test_engine import MAIN, NOW, Home, announce, held, served
from ..test_engine import OWNER as ALICE

NAME, OTHER_NAME = "1" * 32, "2" * 32
(STEP,) = history(1)
STATE = events.state(ALICE, "repo", {MAIN: STEP.oid}, created_at=NOW - 50)
EXPIRES_SECS = 1900


@pytest.mark.parametrize(
    ("store", "folder", "is_new", "is_empty", "pairing"),
    [
        (None, None, True, True, Pairing.SAME),
        (None, None, True, False, Pairing.NEW_STORE),
        (None, NAME, True, False, Pairing.NEW_STORE),
        (NAME, OTHER_NAME, True, False, Pairing.NEW_STORE),
        (NAME, OTHER_NAME, True, True, Pairing.SAME),
        (NAME, NAME, False, False, Pairing.SAME),
        (NAME, NAME, True, False, Pairing.SAME),
        (NAME, NAME, False, True, Pairing.SAME),
        (None, None, False, False, Pairing.FIRST),
        (None, NAME, False, False, Pairing.OTHERS),
        (None, NAME, False, True, Pairing.OTHERS),
        (NAME, OTHER_NAME, False, False, Pairing.OTHERS),
        (NAME, None, False, False, Pairing.SAME),  # a crash came between the two ids
        (NAME, None, False, True, Pairing.EMPTY_FOLDER),
        (None, None, False, True, Pairing.EMPTY_FOLDER),
    ],
)
def test_b_9_what_store_and_folder_say_of_each_other(
    store: str | None, folder: str | None, is_new: bool, is_empty: bool, pairing: Pairing
) -> None:
    assert judge(Sides(store, folder, is_new, is_empty)) is pairing


async def refused(home: Home, sentence: str) -> None:
    """A start that fails with one sentence, and a typed error behind it."""
    with pytest.raises(ConfigurationError, match=sentence):
        async with home.running():
            pass


async def serve_one(home: Home) -> None:
    """Announce, bring data, release."""
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        add_pack(home.path(), STEP.objects)
        assert (await engine.offer(STATE, "user")).accepted
    assert STATE.id in await served(home)


async def test_b_2_7_a_new_store_never_deletes_what_it_finds(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    await serve_one(home)
    home.store = MemoryStore()
    with capture_logs() as logs:
        async with home.running() as engine:
            await engine.offer(announce(), "user")
            await trio.sleep(EXPIRES_SECS)
            assert list_refs(home.path()) == {MAIN: STEP.oid}
            assert await engine.hosted(ALICE.npub, "repo") is None
            # Its state comes at last: what is here is served again at once.
            assert (await engine.offer(STATE, "user")).outcome == "served"
            assert await engine.hosted(ALICE.npub, "repo") == home.path()
    (told,) = [each for each in logs if "the store is new" in each["event"]]
    assert told["repositories"] == 1
    assert {STATE.id, announce().id} <= await served(home)
    async with home.running():
        pass
    assert list_refs(home.path()) == {MAIN: STEP.oid}


async def test_b_2_7_what_was_made_empty_goes_as_before(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        assert (await home.store.load()).made != ()
        await trio.sleep(60)
    async with home.running():
        await trio.sleep(EXPIRES_SECS)
    assert not home.path().exists()
    assert (await home.store.load()).made == ()


async def test_b_2_7_another_repository_at_the_place_of_the_empty_one_stays(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        (home.path() / MADE_MARKER).unlink()  # an operator put another one there
        await trio.sleep(EXPIRES_SECS)
        assert is_repository(home.path())


async def test_b_2_7_a_store_older_than_its_git_folder_deletes_nothing_that_was_served(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        made = await home.store.load()
        add_pack(home.path(), STEP.objects)
        await engine.offer(STATE, "user")
    restored = MemoryStore()
    await restored.apply(Change(hold=made.held, made=made.made, git_folder=made.git_folder))
    home.store = restored
    with capture_logs() as logs:
        async with home.running():
            await trio.sleep(EXPIRES_SECS)
    assert list_refs(home.path()) == {MAIN: STEP.oid}
    assert not [each for each in logs if "the store is new" in each["event"]]


async def test_b_2_7_data_that_was_served_once_outlives_its_next_announcement(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    await serve_one(home)
    async with home.running() as engine:
        gone = events.deletion(ALICE, ids=[announce().id, STATE.id], created_at=NOW - 20)
        assert (await engine.offer(gone, "user")).accepted
        assert await engine.hosted(ALICE.npub, "repo") is None
        again = announce(created_at=NOW - 10)
        assert (await engine.offer(again, "user")).outcome == "held"
        await trio.sleep(EXPIRES_SECS)
        assert again.id in await held(home)
    assert list_refs(home.path()) == {MAIN: STEP.oid}


async def test_a_folder_of_the_version_before_starts_and_keeps_its_rights(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    empty = events.announcement(
        ALICE,
        "empty",
        clone=[f"https://grasp.example.com/{ALICE.npub}/empty.git"],
        relays=["wss://grasp.example.com"],
        created_at=NOW - 90,
    )
    async with home.running() as engine:
        await engine.offer(empty, "user")
    await serve_one(home)
    journal = await home.store.load()
    before = MemoryStore()  # without what that version did not write
    await before.apply(Change(hold=journal.held, save=[announce(), STATE]))
    home.store = before
    for path in (home.path(), home.path().with_name("empty.git")):
        (path / MADE_MARKER).unlink()
    for name in (OWNER, LOCK):
        (tmp_path / "git" / name).unlink()
    with capture_logs() as logs:
        async with home.running():
            assert home.path().with_name("empty.git").exists()
            await trio.sleep(EXPIRES_SECS)
    assert [each for each in logs if each["log_level"] == "warning"] == []
    assert not home.path().with_name("empty.git").exists()
    assert list_refs(home.path()) == {MAIN: STEP.oid}


async def test_b_9_a_folder_of_another_store_is_refused_and_left_as_it_is(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    one, two = Home(tmp_path / "one"), Home(tmp_path / "two")
    await serve_one(one)
    await serve_one(two)
    two.settings = one.settings
    before = (tmp_path / "one/git" / OWNER).read_bytes()
    await refused(two, r"NGIT_GIT_DATA_PATH.*belong to.*NGIT_RELAY_DATA_PATH")
    assert (tmp_path / "one/git" / OWNER).read_bytes() == before
    # The operator's word: from now on these two belong together.
    (tmp_path / "one/git" / OWNER).unlink()
    async with two.running():
        pass
    assert list_refs(one.path()) == {MAIN: STEP.oid}


@pytest.mark.parametrize("way", ["itself", "a link"])
async def test_b_9_a_second_node_on_one_git_folder_is_refused(
    tmp_path: Path, autojump_clock: MockClock, way: str
) -> None:
    one, two = Home(tmp_path / "one"), Home(tmp_path / "two")
    if way == "itself":
        two.settings = one.settings
    else:
        (tmp_path / "two").mkdir()
        os.symlink("../one/git", tmp_path / "two/git")
    async with one.running():
        await refused(two, "NGIT_GIT_DATA_PATH and NGIT_RELAY_DATA_PATH")
    async with two.running():
        pass


async def test_b_9_an_empty_folder_beside_served_events_is_told(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    await serve_one(home)
    shutil.rmtree(tmp_path / "git")
    with capture_logs() as logs:
        async with home.running():
            await trio.sleep(5)
    assert [each for each in logs if "the git folder is empty" in each["event"]]
    assert is_repository(home.path())


@pytest.mark.parametrize("content", [b"", b"\n", b"zz\n/relay\n", b"\xff" * 40])
async def test_a_damaged_owner_is_a_sentence(
    tmp_path: Path, autojump_clock: MockClock, content: bytes
) -> None:
    home = Home(tmp_path)
    await serve_one(home)
    (tmp_path / "git" / OWNER).write_bytes(content)
    await refused(home, r"\.owner is damaged.*remove that file")


async def test_b_9_a_crash_between_the_two_ids_is_healed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    await serve_one(home)
    name = (tmp_path / "git" / OWNER).read_bytes()
    (tmp_path / "git" / OWNER).unlink()
    with capture_logs() as logs:
        async with home.running():
            pass
    assert (tmp_path / "git" / OWNER).read_bytes() == name
    assert [each for each in logs if each["log_level"] == "warning"] == []


def test_a_file_in_the_folders_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "git").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="NGIT_GIT_DATA_PATH"):
        lock_git_folder(tmp_path / "git")
