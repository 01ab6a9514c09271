"""Giants at work hold up no small pack: neither for places in threads nor for children (N3)."""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from purgatory_sync.errors import TooLarge
from purgatory_sync.git.disk import layout
from purgatory_sync.git.ingest import large_pack
from purgatory_sync.git.ingest import sink as sink_module
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.git.pack.scan import PackScanner
from purgatory_sync.settings import MIB, HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..packs import blob, history, make_repository, tree
from .judges import in_this_process

GIANTS = 5

# Works on packs of some size for ever, on small ones as git does.
GIT = """#!/bin/sh
[ "$GIT_DIR" ] || exec {git} "$@"
head -c 1100000 > "$GIT_OBJECT_DIRECTORY/in"
if [ $(wc -c < "$GIT_OBJECT_DIRECTORY/in") -ge 1100000 ]; then
    echo >> "$GIT_DIR/giants"
    cat > /dev/null
    sleep 1000
fi
exec {git} "$@" < "$GIT_OBJECT_DIRECTORY/in"
"""

SMALL = history(2)
# A file name that git judges better than we do.
UNSURE = [blob(b"[submodule]"), tree((b"100644", b".gitmodules", blob(b"[submodule]")))]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(GIT.format(git=shutil.which("git")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return make_repository(tmp_path / "r.git")


@pytest.mark.real
@pytest.mark.parametrize(
    ("way", "objects"),
    [("auto", SMALL), ("auto", UNSURE), ("git", SMALL)],
    ids=["small", "unsure", "git judges all"],
)
async def test_n3_giants_hold_up_no_small_pack(
    repository: Path, tmp_path: Path, way: str, objects: list[GitObject]
) -> None:
    ingest = Ingest(HuntSettings(min_free_bytes=0, ingest=way), tmp_path / "tmp")  # type: ignore[arg-type]

    async def prove(objects: list[GitObject]) -> None:
        async with ingest.open_sink(repository) as sink:
            await sink.write(encode_pack(objects))
            async with await sink.prove([]) as proven:
                await proven.join()

    def at_work() -> bool:
        return ingest.large_limiter.available_tokens == 0 and (repository / "giants").exists()

    async with trio.open_nursery() as nursery:
        for _ in range(GIANTS):
            nursery.start_soon(prove, [blob(os.urandom(2 * MIB))])
        with trio.fail_after(20):
            while not at_work():  # noqa: ASYNC110 - other processes make it true
                await trio.sleep(0.01)
        with trio.fail_after(20):
            await prove(objects)
        nursery.cancel_scope.cancel()
    assert os.listdir(ingest.tmp) == []


async def test_n3_a_bomb_gives_its_place_to_others_again_and_again(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of a mebibyte can inflate to 256 MiB, which takes a second."""
    inflated = [0]
    feed = PackScanner.feed

    def noted(self: PackScanner, data: bytes) -> bytes:
        try:
            return feed(self, data)
        finally:
            inflated.append(self._inflated)

    monkeypatch.setattr(PackScanner, "feed", noted)
    bomb = encode_pack([blob(b"%d" % number + bytes(8 * MIB)) for number in range(4)])
    settings = HuntSettings(
        min_free_bytes=0, ingest="dulwich", max_inflated_bytes=24 * MIB, max_inflated_ratio=1
    )
    async with Ingest(settings, tmp_path / "tmp").open_sink(repository) as sink:
        await sink.write(bomb)
        with pytest.raises(TooLarge):
            await sink.prove([])
    assert max(b - a for a, b in pairwise(inflated)) < 20 * MIB
    assert inflated[-1] > 24 * MIB


async def test_n3_a_giant_is_on_disk_before_it_joins(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joining takes a place of the small ones, and the identifier's lock: nothing slow is left."""
    synced: list[str] = []
    real = layout.fsync_file

    def noted(path: Path) -> None:
        synced.append(path.suffix)
        real(path)

    monkeypatch.setattr(sink_module, "fsync_file", noted)
    monkeypatch.setattr(large_pack, "index_with_dulwich", in_this_process)
    settings = HuntSettings(min_free_bytes=0, ingest="dulwich")
    async with Ingest(settings, tmp_path / "tmp").open_sink(repository) as sink:
        await sink.write(encode_pack([blob(os.urandom(2 * MIB))]))
        async with await sink.prove([]) as proven:
            assert sorted(synced) == [".idx", ".pack"]
            await proven.join()
