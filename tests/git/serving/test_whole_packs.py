from __future__ import annotations

import os
import shutil
from hashlib import sha1
from pathlib import Path
from random import Random

import pytest

from purgatory_sync.errors import BadPack
from purgatory_sync.git.protocol.pktline import FLUSH_BYTES, pkt_line
from purgatory_sync.git.serving import whole_packs
from purgatory_sync.git.serving.pack_reading import PIECE_BYTES, PackReading, in_packets
from purgatory_sync.git.serving.repository_view import PackAnswer, answer_fetch, current_view
from purgatory_sync.git.serving.upload_requests import BAND_1K, BAND_64K, FetchPack
from purgatory_sync.git.serving.whole_packs import Exact, exact_packs, packs_alone

from ..local_repos import (
    Step,
    add_loose,
    add_pack,
    history,
    new_repository,
    tag_of,
    write_loose_ref,
)
from .served import git, random_repository, tips

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is what it is compared to")


def clone(path: Path, wants: frozenset[bytes], band: int = 0, version: int = 0) -> bytes | None:
    """The whole answer to a clone; None where git must give it."""
    request = FetchPack(wants, frozenset(), version, band)
    answer = answer_fetch(path, current_view(path, None), request)
    return None if answer is None else whole(answer, band)


def whole(answer: PackAnswer, band: int) -> bytes:
    data = answer.beginning
    if answer.rest is not None:
        while piece := answer.rest.read():
            data += in_packets(piece, band)
        answer.rest.close()
        data += FLUSH_BYTES if band else b""
    return data


def pack_in(answer: bytes) -> bytes:
    """The pack of an answer without side-band, its checksum verified."""
    pack = answer.removeprefix(pkt_line(b"NAK\n"))
    assert sha1(pack[:-20], usedforsecurity=False).digest() == pack[-20:]
    return pack


def made(folder: Path, *packs: list[Step]) -> tuple[Path, frozenset[bytes]]:
    """A repository with these commits, each list in a pack; and what its one branch names."""
    path = new_repository(folder)
    for steps in packs:
        add_pack(path, [each for step in steps for each in step.objects])
    write_loose_ref(path, "refs/heads/main", packs[-1][-1].oid)
    return path, frozenset((packs[-1][-1].oid.encode(),))


@needs_git
@pytest.mark.parametrize("seed", range(30))
def test_b_6_2_a_clone_gets_just_what_git_would_send(tmp_path: Path, seed: int) -> None:
    path, chance = random_repository(tmp_path / "r.git", seed), Random(seed)
    if chance.random() < 0.5:
        git("-C", path, "repack", "-a", "-d", "-q")
    everything = tips(path)
    for wants in (everything, frozenset(chance.sample(sorted(everything), 1))):
        needed = git(
            "-C", path, "rev-list", "--objects", "--no-object-names", "--stdin",
            stdin=b"\n".join(wants),
        ).split()  # fmt: skip
        held = git("-C", path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
        loose = bool(list((path / "objects").glob("??")))
        answer = clone(path, wants)
        assert (answer is not None) == (set(needed) == set(held.split()) and not loose)
        if answer is not None:
            copy = tmp_path / "copy.git"
            shutil.rmtree(copy, ignore_errors=True)
            git("init", "-q", "--bare", copy)
            git("-C", copy, "index-pack", "--stdin", "--strict", stdin=pack_in(answer))
            got = git("-C", copy, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
            assert sorted(got.split()) == sorted(needed)


@needs_git
def test_several_packs_are_sent_as_one(tmp_path: Path) -> None:
    steps = history(6)
    path, wants = made(tmp_path, steps[:2], steps[2:4], steps[4:])
    answer = clone(path, wants)
    assert answer is not None
    git("init", "-q", "--bare", tmp_path / "copy.git")
    git("-C", tmp_path / "copy.git", "index-pack", "--stdin", stdin=pack_in(answer))
    git("-C", tmp_path / "copy.git", "update-ref", "refs/heads/main", steps[-1].oid)
    git("-C", tmp_path / "copy.git", "fsck", "--full", "--strict")


def test_one_pack_is_sent_as_it_lies(tmp_path: Path) -> None:
    path, wants = made(tmp_path, history(3))
    (pack,) = (path / "objects/pack").glob("*.pack")
    assert pack_in(clone(path, wants) or b"") == pack.read_bytes()


def test_objects_that_lie_twice_are_left_to_git(tmp_path: Path) -> None:
    steps = history(4)
    path, wants = made(tmp_path, steps[:3], steps[2:])
    assert clone(path, wants) is None


def test_objects_that_are_not_asked_for_are_left_to_git(tmp_path: Path) -> None:
    steps = history(3)
    path, wants = made(tmp_path, steps)
    write_loose_ref(path, "refs/heads/main", steps[1].oid)
    assert clone(path, frozenset((steps[1].oid.encode(),))) is None
    assert clone(path, wants) is None  # and nobody gets what no ref names


def test_loose_objects_are_left_to_git(tmp_path: Path) -> None:
    steps = history(2)
    path, wants = made(tmp_path, steps)
    add_loose(path, [tag_of(steps[0].commit)])
    assert clone(path, wants) is None


def test_a_missing_object_is_left_to_git(tmp_path: Path) -> None:
    steps = history(3)
    path = new_repository(tmp_path)
    add_pack(path, [each for step in steps for each in step.objects if each is not steps[0].blob])
    write_loose_ref(path, "refs/heads/main", steps[-1].oid)
    assert clone(path, frozenset((steps[-1].oid.encode(),))) is None


def test_more_objects_are_left_to_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, wants = made(tmp_path, history(3))
    monkeypatch.setattr(whole_packs, "MOST_OBJECTS", 9)
    assert clone(path, wants) is not None
    monkeypatch.setattr(whole_packs, "MOST_OBJECTS", 8)
    assert clone(path, wants) is None


def test_a_pack_that_is_no_pack_is_left_to_git(tmp_path: Path) -> None:
    path, wants = made(tmp_path, history(3))
    (pack,) = (path / "objects/pack").glob("*.pack")
    os.chmod(pack, 0o600)
    content = pack.read_bytes()
    pack.write_bytes(b"what" + content[4:])
    assert clone(path, wants) is None
    pack.write_bytes(content[:8] + b"\0\0\0\1" + content[12:])
    assert clone(path, wants) is None


@pytest.mark.parametrize("name", ["pack-" + "1" * 40 + ".pack", "pack-" + "1" * 40 + ".promisor"])
def test_odd_packs_are_left_to_git(tmp_path: Path, name: str) -> None:
    path, _ = made(tmp_path, history(1))
    assert packs_alone(path) is not None
    (path / "objects/pack" / name).write_bytes(b"")
    assert packs_alone(path) is None


def test_nothing_is_left_of_what_a_repository_had(tmp_path: Path) -> None:
    assert packs_alone(new_repository(tmp_path)) is None
    path, wants = made(tmp_path / "other", history(2))
    packs = packs_alone(path) or ()
    assert exact_packs(path, packs, wants) == Exact(6, wants)
    for file in (path / "objects/pack").iterdir():
        file.unlink()
    assert exact_packs(path, packs, wants) is None
    with pytest.raises(OSError):
        PackReading(path, packs, 6)


def test_who_has_all_of_it_gets_an_empty_pack(tmp_path: Path) -> None:
    path, wants = made(tmp_path, history(2))
    request = FetchPack(wants, wants | {b"1" * 40}, 2, BAND_64K)
    answer = answer_fetch(path, current_view(path, None), request)
    assert answer is not None
    assert answer.rest is None
    pack = answer.beginning.removeprefix(pkt_line(b"packfile\n"))[5:-4]
    assert pack[:12] == b"PACK\0\0\0\2\0\0\0\0"
    assert pack[12:] == sha1(pack[:12], usedforsecurity=False).digest()
    some = FetchPack(wants, frozenset((b"1" * 40,)), 2, BAND_64K)
    assert answer_fetch(path, current_view(path, None), some) is None


@pytest.mark.parametrize("band", [BAND_1K, BAND_64K])
def test_packets_are_as_long_as_the_side_band_allows(tmp_path: Path, band: int) -> None:
    path, wants = made(tmp_path, history(30))
    raw, packets = clone(path, wants), clone(path, wants, band)
    assert raw is not None
    assert packets is not None
    assert packets.endswith(FLUSH_BYTES)
    rest, pack = packets.removeprefix(pkt_line(b"NAK\n")), b""
    while (length := int(rest[:4], 16)) > 0:
        assert length <= band + 5
        assert rest[4:5] == b"\1"
        pack += rest[5:length]
        rest = rest[length:]
    assert pack == pack_in(raw)


def test_a_large_pack_is_read_piece_by_piece_even_when_it_is_removed(tmp_path: Path) -> None:
    chance = Random(1)
    step = history(1, chance.randbytes(PIECE_BYTES).hex() * 2)[0]
    path, wants = made(tmp_path, [step])
    (pack,) = (path / "objects/pack").glob("*.pack")
    content = pack.read_bytes()
    assert len(content) > PIECE_BYTES
    view = current_view(path, None)
    answer = answer_fetch(path, view, FetchPack(wants, frozenset(), 0, 0))
    assert answer is not None
    assert answer.rest is not None
    assert len(answer.beginning) <= PIECE_BYTES + 100
    pack.unlink()
    assert pack_in(whole(answer, 0)) == content


def test_a_pack_that_becomes_shorter_ends_the_answer(tmp_path: Path) -> None:
    step = history(1, Random(2).randbytes(PIECE_BYTES).hex() * 2)[0]
    path, wants = made(tmp_path, [step])
    (pack,) = (path / "objects/pack").glob("*.pack")
    answer = answer_fetch(path, current_view(path, None), FetchPack(wants, frozenset(), 0, 0))
    assert answer is not None
    assert answer.rest is not None
    os.chmod(pack, 0o600)
    os.truncate(pack, PIECE_BYTES)
    with pytest.raises(BadPack):
        whole(answer, 0)
    answer.rest.close()


def test_only_what_nothing_else_reaches_must_be_asked_for(tmp_path: Path) -> None:
    steps = history(3)
    path, wants = made(tmp_path, steps)
    write_loose_ref(path, "refs/heads/old", steps[0].oid)
    assert clone(path, wants) is not None
    assert clone(path, wants | {steps[0].oid.encode()}) is not None
    assert clone(path, frozenset((steps[0].oid.encode(),))) is None


def test_b_6_2_a_pack_whose_trees_are_too_large_in_all_is_left_to_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deltas make a small pack of gigabytes of trees: all of these must not be read for a clone."""
    path, wants = made(tmp_path / "r.git", history(20))
    packs = packs_alone(path)
    assert packs is not None
    read = sum(
        len(each.as_raw_string()) for step in history(20) for each in (step.tree, step.commit)
    )
    monkeypatch.setattr(whole_packs, "MOST_BYTES_READ", read)
    assert exact_packs(path, packs, wants) is not None
    monkeypatch.setattr(whole_packs, "MOST_BYTES_READ", read - 1)
    assert exact_packs(path, packs, wants) is None
