"""Events and git data from elsewhere: judged as by sync, in their order, proven (B 13.14)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.node.importing import given_events
from purgatory_sync.node.importing.given_events import (
    BYTES_AT_ONCE,
    MAX_LINE_BYTES,
    _read_some,
)
from purgatory_sync.node.importing.imported import Imported
from purgatory_sync.node.importing.importer import Importer
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.settings import HuntSettings, Settings, SyncSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.relay_server import RelayServer

from ...engine.pushes.pushing_support import pack_of
from ...git.local_repos import history

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("git") is None, reason="git writes exports"),
]
ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
MAIN = "refs/heads/main"
STEPS = history(2)
MINE = RepositoryId(ALICE.pubkey, "r")
TIME = events.SOME_TIME


@asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[PurgatorySync]:
    settings = Settings(
        domain="git.example",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0, allow_addresses=(IPv4Network("127.0.0.0/8"),)),
        sync=SyncSettings(default_delay_secs=3600, immediate_delay_ms=3_600_000),
    )
    with trio.fail_after(60):
        async with open_engine(settings) as engine:
            yield engine


def announcement(author: Author = ALICE, name: str = "r") -> Event:
    clone = [f"https://git.example/{author.npub}/{name}.git"]
    return events.announcement(author, name, clone=clone, relays=["wss://git.example"])


def state() -> Event:
    return events.state(ALICE, "r", {MAIN: STEPS[1].oid})


def issue() -> Event:
    return events.note(BOB, kind=1621, tags=[("a", str(MINE))], created_at=TIME + 10)


def reply(to: Event) -> Event:
    return events.note(ALICE, kind=1111, tags=[("E", to.id)], created_at=TIME + 20)


async def exported(folder: Path, *, as_bundle: bool = False) -> Path:
    """What another node, that serves the repository, exports."""
    async with engine_in(folder / "old") as engine:
        for event in (announcement(), state()):
            assert (await engine.offer(event, "user")).accepted

        async def body() -> AsyncIterator[bytes]:
            yield pack_of([item for step in STEPS for item in step.objects])

        await engine.push(MINE, {MAIN: STEPS[1].oid}, body())
        for event in (issue(), reply(issue())):
            assert (await engine.offer(event, "user")).accepted
        exporter = engine.keepers.exporter
        await exporter.export("r", folder / "out", as_bundle=as_bundle)
    return folder / "out"


def write(path: Path, *lines: Event | str) -> Path:
    texts = [each if isinstance(each, str) else encode_event(each).decode() for each in lines]
    path.write_text("".join(f"{each}\n" for each in texts))
    return path


async def take_in(engine: PurgatorySync, named: object) -> Imported:
    return await Importer(engine).take_in(str(named))


async def served(engine: PurgatorySync, *wanted: Event) -> list[bool]:
    found = await engine.store.served_ids([each.id for each in wanted])
    return [each.id in found for each in wanted]


def refs(folder: Path) -> dict[str, str]:
    return list_refs(folder / "git" / ALICE.npub / "r.git")


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> None:
    command = ["git", "-C", str(repository), *arguments]
    subprocess.run(command, input=stdin, check=True, capture_output=True)


def make_hole(bare: Path) -> None:
    """Let an object be missing that the branch reaches."""
    (pack,) = (bare / "objects/pack").glob("*.pack")
    content = pack.read_bytes()
    for each in (bare / "objects/pack").iterdir():
        each.unlink()
    git(bare, "unpack-objects", "-q", stdin=content)
    name = STEPS[0].blob.id.decode()
    (bare / "objects" / name[:2] / name[2:]).unlink()


@pytest.mark.parametrize("as_bundle", [False, True])
async def test_b_13_14_an_exported_folder_is_served_again_and_never_doubled(
    tmp_path: Path, as_bundle: bool
) -> None:
    out = await exported(tmp_path, as_bundle=as_bundle)
    async with engine_in(tmp_path / "new") as engine:
        first = await take_in(engine, out)
        assert attrs.astuple(first)[1:6] == (4, 0, 0, 0, 0)
        assert first.is_whole
        assert [(each.repository, each.obtained) for each in first.git] == [("r", 1)]
        assert all(await served(engine, announcement(), state(), issue(), reply(issue())))
        again = await take_in(engine, out)
        assert attrs.astuple(again)[1:6] == (0, 0, 4, 0, 0)
        assert (again.is_whole, again.git) == (True, ())
        assert os.listdir(tmp_path / "new/git/.tmp") == []
    assert refs(tmp_path / "new") == {MAIN: STEPS[1].oid}


async def test_b_13_14_what_takes_away_comes_first_and_replies_may_come_before(
    tmp_path: Path,
) -> None:
    out = await exported(tmp_path)
    gone = events.note(BOB, "gone", kind=1621, tags=[("a", str(MINE))], created_at=TIME + 5)
    deletion = events.note(BOB, kind=5, tags=[("e", gone.id)], created_at=TIME + 30)
    request, answer = issue(), reply(issue())
    write(out / "events.jsonl", answer, request, gone, state(), announcement(), deletion)
    async with engine_in(tmp_path / "new") as engine:
        imported = await take_in(engine, out)
        expected = [True, True, False, True, True]
        events_of_it = (answer, request, gone, state(), announcement())
        assert await served(engine, *events_of_it) == expected
        assert imported.refused == len(imported.refusals) == 1
        assert imported.refusals[0].event_ids == (gone.id,)
        assert not imported.is_whole


async def test_b_13_14_tombstones_that_are_here_win(tmp_path: Path) -> None:
    out = await exported(tmp_path)
    async with engine_in(tmp_path / "new") as engine:
        address = ("a", str(MINE))
        deletion = events.note(ALICE, kind=5, tags=[address], created_at=TIME + 30)
        assert (await engine.offer(announcement(), "user")).accepted
        assert (await engine.offer(deletion, "user")).accepted
        imported = await take_in(engine, out)
        assert imported.served == imported.held == 0
        assert not any(await served(engine, announcement(), state(), issue()))


async def test_b_13_14_broken_lines_and_forged_events_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_events, "LINES_AT_ONCE", 2)
    monkeypatch.setattr(given_events, "MAX_LINE_BYTES", 2_000)
    true = announcement(BOB, "s")
    other = events.note(BOB, "x" * 3_000)
    changed = encode_event(announcement()).decode().replace(":1", ":2", 1)
    file = write(tmp_path / "e.jsonl", "no", "", other, changed, true, '{"id": 1}')
    async with engine_in(tmp_path / "new") as engine:
        imported = await take_in(engine, file)
        assert [each.line for each in imported.broken] == [1, 3, 6]
        assert imported.broken[1].reason == "this line has more than 2000 bytes"
        assert (imported.broken_lines, imported.held, imported.refused) == (3, 1, 1)
        assert imported.refusals[0].reason.startswith("invalid: ")


async def test_b_13_14_git_data_with_holes_is_refused_and_nothing_joins(tmp_path: Path) -> None:
    out = await exported(tmp_path)
    make_hole(out / "repository.git")
    async with engine_in(tmp_path / "new") as engine:
        imported = await take_in(engine, out)
        problem = imported.git[0].problem or ""
        assert "could not be packed: " in problem
        assert "hint:" not in problem
        assert (imported.held > 0, imported.is_whole) == (True, False)
        assert not any(await served(engine, state()))
        assert os.listdir(tmp_path / "new/git/.tmp") == []
    assert refs(tmp_path / "new") == {}


async def test_b_13_14_nothing_of_a_strangers_folder_is_believed(tmp_path: Path) -> None:
    out = await exported(tmp_path)
    bare = out / "repository.git"
    (bare / "objects/info/alternates").write_text(f"{tmp_path}/old/git\n")
    async with engine_in(tmp_path / "new") as engine:
        borrowing = await take_in(engine, out)
        assert "borrows objects of other" in (borrowing.git[0].problem or "")
        (bare / "objects/info/alternates").unlink()
        (bare / "packed-refs").write_text(f"{'12' * 20} refs/heads/evil\n")
        (bare / "config").write_text('[core]\n\tbare = true\n[include]\n\tpath = "/nothing"\n')
        assert (await take_in(engine, out)).git[0].problem is None
    assert refs(tmp_path / "new") == {MAIN: STEPS[1].oid}


async def test_b_13_14_a_bundle_is_whole_or_refused(tmp_path: Path) -> None:
    out = await exported(tmp_path)
    bundle = out / "repository.bundle"
    git(out / "repository.git", "bundle", "create", str(bundle), MAIN, f"^{STEPS[0].oid}")
    shutil.rmtree(out / "repository.git")
    async with engine_in(tmp_path / "new") as engine:
        leaning = await take_in(engine, out)
        assert "leans on objects that are not in it" in (leaning.git[0].problem or "")
        write(bundle, "none")
        assert "is no git bundle" in ((await take_in(engine, out)).git[0].problem or "")
    assert refs(tmp_path / "new") == {}


async def given_by_relay(given: Iterable[Event], engine: PurgatorySync) -> Imported:
    relay = RelayServer()
    await relay.publish(given)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(relay.serve)
        imported = await take_in(engine, f"ws://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()
    return imported


async def test_b_13_14_a_relay_is_read_in_the_same_order(tmp_path: Path) -> None:
    async with engine_in(tmp_path / "new") as engine:
        given = [reply(issue()), issue(), state(), announcement()]
        imported = await given_by_relay(given, engine)
        assert (imported.held, imported.broken_off) == (2, None)
        assert (await given_by_relay(given, engine)).known == imported.held + imported.served
        silent = await take_in(engine, "ws://127.0.0.1:9")
        assert "127.0.0.1:9" in (silent.broken_off or "")
        assert not silent.is_whole


async def test_b_13_14_what_cannot_be_imported_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    async with engine_in(tmp_path / "new") as engine:
        for named, sentence in (
            (tmp_path / "pipe", "is neither a file nor a folder: write its events to a file"),
            ("/dev/zero", "is neither a file nor a folder"),
            (tmp_path / "nothing", "there is no .*: name a folder, a file, or a ws URL"),
            (tmp_path / "empty", "is no exported folder: it has no events.jsonl"),
            ("https://a.example", "is no relay: .*; write ws:// or wss://"),
            ("events.jsonl", "from the root on"),
        ):
            with pytest.raises(ConfigurationError, match=sentence):
                await take_in(engine, named)


def test_b_13_14_long_lines_are_read_a_few_at_once(tmp_path: Path) -> None:
    long = b" " * (MAX_LINE_BYTES // 2) + b"\n"
    (tmp_path / "events").write_bytes(long * 5 + b"\n" * 3)
    sizes = []
    with (tmp_path / "events").open("rb") as file:
        while lines := _read_some(file):
            sizes.append(sum(len(line or b"") for line in lines))
    assert len(sizes) == 3
    assert max(sizes) <= 2 * BYTES_AT_ONCE
    assert sum(sizes) == 5 * len(long) + 3
