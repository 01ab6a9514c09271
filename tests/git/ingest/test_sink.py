from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio

from purgatory_sync.errors import (
    BadPack,
    DiskFull,
    LocalFailure,
    NotClosed,
    TooLarge,
)
from purgatory_sync.git.disk.object_reader import StoredObjects
from purgatory_sync.git.ingest.connectivity import complete_oids
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.git.pack.index import PackIndexReader
from purgatory_sync.settings import MIB, HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..local_repos import git
from ..packs import (
    PackBuilder,
    blob,
    commit,
    copying_delta,
    delta,
    history,
    make_repository,
    name_of,
    oid_of,
    tag,
    tree,
    with_trailer,
    write_loose,
)
from .judges import Way


async def test_proven_objects_join(way: Way) -> None:
    objects = history(3)
    tip = objects[-1]
    async with await way.prove(encode_pack(objects), tip, blob(b"not here")) as quarantined:
        assert quarantined.obtained == {oid_of(tip)}
        assert quarantined.objects == 9
        assert quarantined.pack_bytes == len(encode_pack(objects))
        assert complete_oids(way.repository, [oid_of(tip)]) == set()
        await quarantined.join()
        await quarantined.join()
    assert complete_oids(way.repository, [oid_of(tip)]) == {oid_of(tip)}
    assert way.leftovers() == []
    assert len(os.listdir(way.repository / "objects" / "pack")) == 2


async def test_what_is_not_joined_is_removed(way: Way) -> None:
    objects = history(1)
    async with await way.prove(encode_pack(objects), objects[-1]) as quarantined:
        pass
    with pytest.raises(LocalFailure, match="discarded"):
        await quarantined.join()
    await quarantined.discard()
    assert way.leftovers() == []
    assert os.listdir(way.repository / "objects" / "pack") == []


async def test_an_increment_leans_on_what_is_here(way: Way) -> None:
    objects = history(2)
    write_loose(way.repository, objects[:3])
    quarantined = await way.prove(encode_pack(objects[3:]), objects[-1])
    await quarantined.join()
    assert complete_oids(way.repository, [oid_of(objects[-1])]) == {oid_of(objects[-1])}


async def test_a_thin_pack_is_completed(way: Way, tmp_path: Path) -> None:
    objects = history(2)
    old, new = objects[0], objects[3]
    write_loose(way.repository, objects[:3])
    pack = PackBuilder()
    pack.ref_delta(name_of(old), delta(old.data, new.data))
    pack.add(objects[4])
    pack.add(objects[5])
    quarantined = await way.prove(pack.build(), objects[-1])
    assert quarantined.objects == 3
    await quarantined.join()
    (index,) = (way.repository / "objects" / "pack").glob("*.idx")
    other = make_repository(tmp_path / "other.git")
    for file in (index, index.with_suffix(".pack")):
        shutil.copy(file, other / "objects" / "pack")
    with StoredObjects(other) as stored:
        assert stored.read(name_of(new), 1000) == new
        assert stored.read(name_of(old), 1000) == old


async def test_a_base_that_comes_after_its_delta_and_is_here_too_is_kept_once(way: Way) -> None:
    first, second, third = blob(b"one\n" * 30), blob(b"two\n" * 30), blob(b"three\n" * 30)
    write_loose(way.repository, [first, second])
    pack = PackBuilder()
    pack.ref_delta(name_of(second), delta(second.data, third.data))
    pack.ref_delta(name_of(first), delta(first.data, second.data))
    if way.settings.ingest == "git":
        with pytest.raises(BadPack, match="duplicate base"):
            await way.prove(pack.build(), third)
        return
    quarantined = await way.prove(pack.build(), third)
    await quarantined.join()
    with StoredObjects(way.repository) as stored:
        assert stored.read(name_of(third), 1000) == third
    (index,) = (way.repository / "objects" / "pack").glob("*.idx")
    assert int.from_bytes(index.with_suffix(".pack").read_bytes()[8:12], "big") == 3


@pytest.mark.parametrize("missing", [0, 1, 2], ids=["blob", "tree", "parent"])
async def test_a_hole_is_refused(way: Way, missing: int) -> None:
    objects = history(2)
    tip = objects[-1]
    del objects[missing]
    with pytest.raises(NotClosed):
        await way.prove(encode_pack(objects), tip)
    assert way.leftovers() == []


async def test_a_tag_of_nothing_is_refused(way: Way) -> None:
    label = tag(history(1)[-1])
    with pytest.raises(NotClosed):
        await way.prove(encode_pack([label]), label)


async def test_submodules_need_not_be_here(way: Way) -> None:
    root = tree((b"160000", b"module", b"\x11" * 20))
    tip = commit(root)
    quarantined = await way.prove(encode_pack([root, tip]), tip)
    assert quarantined.obtained == {oid_of(tip)}


@pytest.mark.parametrize("stored", [False, True])
async def test_a_link_to_another_type_is_refused(way: Way, stored: bool) -> None:
    content = blob(b"no tree")
    tip = commit(GitObject(2, b""))
    wrong = GitObject(1, tip.data.replace(oid_of(tree()).encode(), oid_of(content).encode()))
    if stored:
        write_loose(way.repository, [content])
    with pytest.raises(BadPack) as caught:
        await way.prove(encode_pack([wrong] if stored else [content, wrong]), wrong)
    assert type(caught.value) is BadPack


async def test_one_object_as_two_types_is_refused(way: Way) -> None:
    content = blob(b"x")
    root = tree((b"100644", b"a", content), (b"40000", b"b", content))
    with pytest.raises(BadPack):
        await way.prove(encode_pack([content, root]), root)


@pytest.mark.parametrize("size", [1, 2 * MIB])
async def test_b_8_4_an_object_twice_is_taken_once(way: Way, size: int) -> None:
    """As git takes it, and without a second copy."""
    content = blob(os.urandom(size))
    objects = history(2)
    pack = encode_pack([objects[0], content, *objects, content])
    async with await way.prove(pack, content, objects[-1]) as proven:
        assert proven.obtained == {oid_of(content), oid_of(objects[-1])}
        await proven.join()
    (index,) = way.repository.glob("objects/pack/*.idx")
    assert PackIndexReader(index).count == len(objects) + 1
    if shutil.which("git"):
        git(way.repository, "fsck", "--strict", "--full")
    assert way.leftovers() == []


async def test_a_doubled_object_does_not_hide_what_is_refused(way: Way) -> None:
    content = blob(b"x" * 100)
    root = tree((b"100644", b"..", content))
    with pytest.raises(BadPack):
        await way.prove(encode_pack([content, root, content, root]), root)
    assert way.leftovers() == []


async def test_other_bytes_under_a_known_name_are_refused(way: Way) -> None:
    content = blob(b"the real one")
    write_loose(way.repository, [blob(b"the fake one")], name_of(content))
    with pytest.raises(BadPack):
        await way.prove(encode_pack([content]), content)


async def test_an_object_that_is_here_may_come_again(way: Way) -> None:
    objects = history(1)
    write_loose(way.repository, objects)
    quarantined = await way.prove(encode_pack(objects), objects[-1])
    await quarantined.join()


async def test_an_empty_pack_is_fine_where_nothing_is_missing(way: Way) -> None:
    here = blob(b"x")
    with pytest.raises(BadPack, match="empty"):
        await way.prove(encode_pack([]), here)
    write_loose(way.repository, [here])
    quarantined = await way.prove(encode_pack([]), here)
    await quarantined.join()
    assert quarantined.objects == 0
    assert quarantined.obtained == {oid_of(here)}
    assert os.listdir(way.repository / "objects" / "pack") == []


async def test_an_empty_pack_is_fine_when_other_things_were_asked_for(way: Way) -> None:
    here = blob(b"x")
    write_loose(way.repository, [here])
    async with Ingest(way.settings, way.tmp).open_sink(way.repository) as sink:
        await sink.write(encode_pack([]))
        assert (await sink.prove(["12" * 20], asked=[oid_of(here)])).obtained == set()
        with pytest.raises(BadPack, match="empty"):
            await sink.prove([oid_of(here)], asked=["12" * 20])


SOUND = encode_pack(history(1))


@pytest.mark.parametrize(
    "pack",
    [
        b"",
        b"<html>no pack here, only a page that says so</html>",
        with_trailer(b"PACK\0\0\0\3" + SOUND[8:-20]),
        SOUND[:-20] + bytes(32),
        SOUND[:-1] + bytes([SOUND[-1] ^ 1]),
        with_trailer(SOUND[:-20] + b"more"),
        with_trailer(SOUND[:-25]),
        with_trailer(SOUND[:11] + b"\x02" + SOUND[12:-20]),
        with_trailer(SOUND[:11] + b"\x04" + SOUND[12:-20]),
        PackBuilder().build(count=1),
    ],
    ids=[
        "nothing",
        "page",
        "version",
        "sha256",
        "trailer",
        "more",
        "cut",
        "fewer",
        "count",
        "none",
    ],
)
async def test_damage_is_refused(way: Way, pack: bytes) -> None:
    with pytest.raises(BadPack):
        await way.prove(pack, history(1)[-1])
    assert way.leftovers() == []


@pytest.mark.parametrize("declared", [8, 9 * MIB], ids=["lies", "says so"])
async def test_a_zlib_bomb_is_refused(way: Way, declared: int) -> None:
    pack = PackBuilder()
    pack.raw(3, declared, b"", bytes(9 * MIB))
    expected = BadPack if declared == 8 else TooLarge
    with pytest.raises(expected):
        await way.prove(pack.build(), blob(b""), max_object_bytes=8 * MIB)


async def test_objects_too_large_together_are_refused(way: Way) -> None:
    pack = PackBuilder()
    for i in range(5):
        pack.add(blob(bytes([i]) * MIB))
    with pytest.raises(TooLarge):
        await way.prove(pack.build(), blob(b""), max_inflated_bytes=4 * MIB, max_inflated_ratio=1)


async def test_a_delta_bomb_is_refused(way: Way) -> None:
    pack = PackBuilder()
    base = pack.add(blob(bytes(1 << 16)))
    pack.ofs_delta(base, copying_delta(1 << 16, 1 << 14))
    with pytest.raises(TooLarge):
        await way.prove(pack.build(), blob(b""))


async def test_deltas_too_large_together_are_refused(way: Way) -> None:
    pack = PackBuilder()
    base = pack.add(blob(bytes(1 << 16)))
    for times in range(10, 30):
        pack.ofs_delta(base, copying_delta(1 << 16, times))
    with pytest.raises(TooLarge):
        await way.prove(pack.build(), blob(b""), max_inflated_bytes=16 * MIB, max_inflated_ratio=1)


@pytest.mark.parametrize("by_name", [False, True])
async def test_a_long_chain_is_refused(way: Way, by_name: bool) -> None:
    pack = PackBuilder()
    content = b"0" * 20
    at = pack.add(blob(content))
    for i in range(12):
        new = b"%020d" % (i + 1)
        if by_name:
            at = pack.ref_delta(name_of(blob(content)), delta(content, new))
        else:
            at = pack.ofs_delta(at, delta(content, new))
        content = new
    with pytest.raises(TooLarge, match="chain"):
        await way.prove(pack.build(), blob(content), max_delta_depth=11)
    quarantined = await way.prove(pack.build(), blob(content), max_delta_depth=12)
    await quarantined.discard()


async def test_too_many_objects_are_refused_before_any_is_read(way: Way) -> None:
    with pytest.raises(TooLarge, match="3000000 objects"):
        await way.prove(PackBuilder().build(count=3_000_000), blob(b""))


@pytest.mark.parametrize("distance", [0, 1, 1 << 40])
async def test_a_delta_of_itself_is_refused(way: Way, distance: int) -> None:
    pack = PackBuilder()
    pack.add(blob(b"x" * 30))
    here = 12 + len(pack.build()) - 32
    pack.ofs_delta(here - distance, delta(b"x" * 30, b"y"))
    with pytest.raises(BadPack):
        await way.prove(pack.build(), blob(b"y"))


async def test_deltas_of_each_other_are_refused(way: Way) -> None:
    pack = PackBuilder()
    pack.ref_delta(b"\x01" * 20, delta(b"x", b"y"))
    with pytest.raises(BadPack):
        await way.prove(pack.build(), blob(b"y"))


async def test_a_delta_that_lies_is_refused(way: Way) -> None:
    pack = PackBuilder()
    base = pack.add(blob(b"x" * 30))
    pack.ofs_delta(base, delta(b"x" * 30, b"y" * 9)[:-1])
    with pytest.raises(BadPack):
        await way.prove(pack.build(), blob(b"y"))


async def test_a_repository_that_is_gone_is_our_own_failure(way: Way) -> None:
    shutil.rmtree(way.repository)
    with pytest.raises(LocalFailure):
        await way.prove(SOUND, blob(b""))
    assert way.leftovers() == []


async def test_large_packs_wait_in_quarantine(way: Way) -> None:
    content = blob(os.urandom(5 * MIB // 4))
    pack = encode_pack([content, *history(2)])
    async with Ingest(way.settings, way.tmp).open_sink(way.repository) as sink:
        for at in range(0, len(pack), 300_000):
            await sink.write(pack[at : at + 300_000])
        (folder,) = way.leftovers()
        assert folder.startswith("pack-")
        quarantined = await sink.prove([oid_of(content)])
        assert quarantined.obtained == {oid_of(content)}
        await sink.aclose()
        await quarantined.join()
    assert way.leftovers() == []
    with StoredObjects(way.repository) as stored:
        assert stored.read(name_of(content), 4 * MIB) == content


async def test_a_closed_sink_leaves_nothing(way: Way) -> None:
    sink = Ingest(way.settings, way.tmp).open_sink(way.repository)
    await sink.write(encode_pack([blob(os.urandom(2 * MIB))]))
    assert len(way.leftovers()) == 1
    with trio.CancelScope() as scope:
        scope.cancel()
        await sink.aclose()
    await sink.aclose()
    assert way.leftovers() == []


async def test_what_is_no_pack_ends_before_all_of_it_came(way: Way) -> None:
    async with Ingest(way.settings, way.tmp).open_sink(way.repository) as sink:
        with pytest.raises(BadPack):
            await sink.write(os.urandom(2 * MIB))
    assert way.leftovers() == []


@pytest.mark.parametrize("count", [2, 1001])
async def test_a_pack_is_handed_on_as_soon_as_it_says_that_it_is_large(
    tmp_path: Path, count: int
) -> None:
    place = Way(
        HuntSettings(min_free_bytes=0, ingest="dulwich"),
        make_repository(tmp_path / "r.git"),
        tmp_path / "tmp",
    )
    pack = PackBuilder()
    pack.add(blob(os.urandom(300 * 1024)))
    async with Ingest(place.settings, place.tmp).open_sink(place.repository) as sink:
        await sink.write(pack.build(count=count)[:-20])
        assert bool(place.leftovers()) is (count > 1000)
    assert place.leftovers() == []


async def test_a_pack_beyond_the_limit_is_refused(way: Way) -> None:
    settings = attrs.evolve(way.settings, max_pack_bytes=100)
    async with Ingest(settings, way.tmp).open_sink(way.repository) as sink:
        await sink.write(b"PACK\0\0\0\2" + bytes(92))
        with pytest.raises(TooLarge, match="NGIT_HUNT_MAX_PACK_BYTES"):
            await sink.write(b"x")


async def test_nothing_begins_on_a_full_disk(way: Way) -> None:
    settings = attrs.evolve(way.settings, min_free_bytes=1 << 60)
    with pytest.raises(DiskFull, match="NGIT_HUNT_MIN_FREE_BYTES"):
        Ingest(settings, way.tmp).open_sink(way.repository)
    assert way.leftovers() == []


class Disk:
    """A disk whose free space falls at a moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self.full_at: int | None = None
        self._real = os.statvfs
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def _statvfs(self, path: Any) -> Any:
        self.looks += 1
        full = self.full_at is not None and self.looks >= self.full_at
        return SimpleNamespace(f_bavail=0 if full else 1 << 40, f_frsize=1)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def test_it_ends_when_the_disk_fills_up(way: Way, disk: Disk) -> None:
    way = attrs.evolve(way, settings=attrs.evolve(way.settings, min_free_bytes=1))
    content = blob(os.urandom(2 * MIB))
    pack = encode_pack([content])
    refused = 0
    while True:
        disk.looks, disk.full_at = 0, refused + 3  # two at the opening
        async with Ingest(way.settings, way.tmp).open_sink(way.repository) as sink:
            try:
                for at in range(0, len(pack), MIB // 2):
                    await sink.write(pack[at : at + MIB // 2])
                await (await sink.prove([oid_of(content)])).discard()
            except DiskFull:
                refused += 1
        assert way.leftovers() == []
        if disk.looks < disk.full_at:
            break
    # At each piece, and before the judgement; more while that goes on.
    assert refused >= 4


SLOW_GIT = """#!/bin/sh
cat > /dev/null
echo > "$GIT_DIR/resolving"
sleep 1000
"""


@pytest.mark.real
async def test_it_ends_when_the_disk_fills_up_while_git_works(
    small: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk
) -> None:
    put_on_path(tmp_path, monkeypatch, SLOW_GIT)
    way = attrs.evolve(small, settings=HuntSettings(min_free_bytes=1, ingest="git"))

    async def fill_up() -> None:
        await until((way.repository / "resolving").exists)
        disk.full_at = 0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_up)
        with trio.fail_after(10), pytest.raises(DiskFull):
            await way.prove(SOUND, history(1)[-1])
    assert way.leftovers() == []


async def test_wants_that_are_no_sha1_names_are_never_obtained(way: Way) -> None:
    async with Ingest(way.settings, way.tmp).open_sink(way.repository) as sink:
        await sink.write(SOUND)
        quarantined = await sink.prove(["x", "a" * 64])
    assert quarantined.obtained == set()
    await quarantined.discard()


@pytest.fixture
def small(tmp_path: Path) -> Way:
    return Way(
        HuntSettings(min_free_bytes=0), make_repository(tmp_path / "r.git"), tmp_path / "tmp"
    )


@pytest.mark.real
async def test_what_joined_pleases_git(way: Way) -> None:
    objects = [*history(3), tag(history(3)[-1])]
    quarantined = await way.prove(encode_pack(objects), objects[-1])
    await quarantined.join()
    refs = way.repository / "refs" / "tags"
    refs.mkdir(parents=True)
    (refs / "v1").write_text(oid_of(objects[-1]) + "\n")
    said = await trio.run_process(
        ["git", "fsck", "--full", "--strict", "--no-dangling"],
        cwd=way.repository,
        capture_stdout=True,
        capture_stderr=True,
    )
    assert said.stdout == b""
    assert [line for line in said.stderr.splitlines() if not line.startswith(b"notice")] == []


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await trio.sleep(0.005)


def put_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Something else where git is looked for."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    # Asked what it knows, before there is a repository, it ends at once.
    fake.write_text(script.replace("\n", '\n[ "$GIT_DIR" ] || exit 0\n', 1))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)


FAKE_GIT = """#!/bin/sh
sleep 1000 &
echo $! > "$GIT_DIR/sleeper"
wait
"""


@pytest.mark.real
async def test_cancelling_ends_git_and_all_that_it_started(
    small: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(tmp_path, monkeypatch, FAKE_GIT)
    settings = attrs.evolve(small.settings, ingest="git")
    sleeper = small.repository / "sleeper"
    with trio.CancelScope() as scope:
        async with (
            Ingest(settings, small.tmp).open_sink(small.repository) as sink,
            trio.open_nursery() as nursery,
        ):
            await sink.write(SOUND)
            nursery.start_soon(sink.prove, [])
            await until(lambda: sleeper.exists() and sleeper.read_text().endswith("\n"))
            scope.cancel()
    assert scope.cancelled_caught
    assert small.leftovers() == []
    pid = int(sleeper.read_text())
    await until(lambda: not runs(pid))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
