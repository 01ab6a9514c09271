"""Repositories that are files on a web server, over real sockets and real git (B 8.3)."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
import trio

from purgatory_sync.errors import (
    AttemptFailed,
    BadPack,
    NotClosed,
    NotGit,
    ObjectsRefused,
    ResultClass,
    TooLarge,
)
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.dumb import dumb_fetch, dumb_files
from purgatory_sync.git.dumb.dumb_files import loose_path
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.ingest.quarantine import Quarantined
from purgatory_sync.git.pack.format import PackEntry
from purgatory_sync.git.pack.index import PackIndexReader, encode_index
from purgatory_sync.git.pack.object_links import tree_entries
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..local_repos import add_loose, add_pack, git, history, new_repository
from ..packs import blob, commit, oid_of, tree, write_loose

pytestmark = pytest.mark.real

STEPS = history(4)
MAIN = "refs/heads/main"
NOWHERE = "12" * 20


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files and nothing else, as a static host or cgit serves them."""

    asked: ClassVar[list[str]]
    compresses = False

    def do_GET(self) -> None:
        self.asked.append(self.path.partition(".git/")[2])
        if self.compresses:
            path = Path(self.translate_path(self.path))
            if path.is_file():
                body = gzip.compress(path.read_bytes())
                self.send_response(200)
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@attrs.frozen
class Place:
    there: Path
    here: Path
    url: str
    client: GitClient
    asked: list[str]
    handler: type[Handler]

    def shows(self, oid: str) -> None:
        update_refs(self.there, {MAIN: oid})
        git(self.there, "update-server-info")

    async def fetch(self, *oids: str) -> frozenset[str]:
        async with await self.client.fetch_oids(self.here, self.url, oids) as proven:
            await proven.join()
            return proven.obtained

    async def fails(self, *oids: str) -> AttemptFailed:
        with pytest.raises(AttemptFailed) as caught:
            await self.fetch(*oids)
        return caught.value


async def loopback(host: str) -> list[str]:
    return [host]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[int, type[Handler]]]:
    root = tmp_path / "root"

    class Here(Handler):
        asked: ClassVar[list[str]] = []  # of this server alone

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Here, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], Here
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def place(tmp_path: Path, serving: tuple[int, type[Handler]]) -> AsyncIterator[Place]:
    port, handler = serving
    there, here = new_repository(tmp_path / "root", "r"), new_repository(tmp_path / "here", "h")
    gate = Gate((ip_network("127.0.0.0/8"),), resolve=loopback)
    url = f"http://127.0.0.1:{port}/npub/r.git"
    async with GitClient(HuntSettings(min_free_bytes=0), gate, tmp_path / "tmp") as client:
        yield Place(there, here, url, client, handler.asked, handler)


def loosely(there: Path) -> None:
    for step in STEPS:
        add_loose(there, step.objects)


def packed(there: Path) -> None:
    add_pack(there, [item for step in STEPS for item in step.objects])


def mixed(there: Path) -> None:
    """Two packs of pushes, newer objects loose."""
    add_pack(there, STEPS[0].objects)
    add_pack(there, [*STEPS[1].objects, *STEPS[2].objects])
    add_loose(there, STEPS[3].objects)


def twice(there: Path) -> None:
    """Objects in two packs."""
    add_pack(there, [*STEPS[0].objects, *STEPS[1].objects])
    add_pack(there, [item for step in STEPS for item in step.objects])


@pytest.mark.parametrize("fill", [loosely, packed, mixed, twice])
@pytest.mark.parametrize("compresses", [False, True])
async def test_b_8_3_files_are_fetched_as_one_pack(
    fill: Callable[[Path], None], compresses: bool, place: Place
) -> None:
    fill(place.there)
    place.shows(STEPS[3].oid)
    place.handler.compresses = compresses
    assert await place.fetch(STEPS[3].oid, NOWHERE) == {STEPS[3].oid}
    git(place.here, "fsck", "--full", "--strict")
    assert git(place.here, "rev-list", "--count", STEPS[3].oid).strip() == "4"
    assert place.asked[0] == "info/refs?service=git-upload-pack"


async def test_b_8_3_what_is_here_is_not_fetched_again(place: Place) -> None:
    for step in STEPS[:3]:
        add_loose(place.there, step.objects)
    place.shows(STEPS[2].oid)
    await place.fetch(STEPS[2].oid)
    before = len(place.asked)
    add_loose(place.there, STEPS[3].objects)
    place.shows(STEPS[3].oid)
    await place.fetch(STEPS[3].oid)
    assert place.asked[before:] == [
        "info/refs?service=git-upload-pack",
        "objects/info/packs",
        *(loose_path(oid.id.decode()) for oid in reversed(STEPS[3].objects)),
    ]


async def test_b_8_3_a_pack_that_is_here_is_not_fetched_again(place: Place) -> None:
    packed(place.there)
    place.shows(STEPS[3].oid)
    await place.fetch(STEPS[3].oid)
    (new,) = history(1, "new")
    add_pack(place.there, new.objects)
    place.shows(new.oid)
    before = len(place.asked)
    await place.fetch(new.oid)
    assert len([path for path in place.asked[before:] if path.endswith(".pack")]) == 1


async def test_b_8_3_what_is_nowhere_is_a_refusal(place: Place) -> None:
    packed(place.there)
    place.shows(STEPS[3].oid)
    error = await place.fails(NOWHERE)
    assert isinstance(error, ObjectsRefused)
    assert error.result is ResultClass.NOTHING
    assert not any(path.endswith(".pack") for path in place.asked)


async def test_b_8_3_an_index_that_names_what_its_pack_lacks_is_a_refusal(place: Place) -> None:
    """What is whole of it is kept by the caller, and noted as left over; nothing else joins."""
    packed(place.there)
    place.shows(STEPS[3].oid)
    (path,) = (place.there / "objects/pack").glob("*.idx")
    index = PackIndexReader(path)
    names = list(index.names())
    entries = [PackEntry(n, 0, index.offset(at)) for at, n in enumerate(names)]
    entries[0] = entries[0]._replace(name=bytes.fromhex(NOWHERE))
    path.chmod(0o600)
    path.write_bytes(encode_index(entries, path.with_suffix(".pack").read_bytes()[-20:]))
    kept: list[frozenset[str]] = []

    async def keep(proven: Quarantined) -> None:
        kept.append(proven.obtained)
        await proven.discard()

    with pytest.raises(ObjectsRefused):
        await place.client.fetch_oids(place.here, place.url, [NOWHERE], keep=keep)
    assert kept == [frozenset()]
    before = len(place.asked)
    assert "was not repeated" in str(await place.fails(NOWHERE))
    assert place.asked[before:] == ["info/refs?service=git-upload-pack"]


async def test_n5_history_with_holes_does_not_join(place: Place) -> None:
    add_loose(place.there, STEPS[3].objects)
    place.shows(STEPS[3].oid)
    assert "lack the object" in str(await place.fails(STEPS[3].oid))
    add_pack(place.there, STEPS[2].objects)
    git(place.there, "update-server-info")
    assert isinstance(await place.fails(STEPS[3].oid), NotClosed)


async def test_a_file_that_is_another_object_is_refused(place: Place) -> None:
    loosely(place.there)
    place.shows(STEPS[3].oid)
    folder = place.there
    wrong, right = STEPS[3].blob.id.decode(), STEPS[2].blob.id.decode()
    (folder / loose_path(wrong)).unlink()
    (folder / loose_path(wrong)).write_bytes((folder / loose_path(right)).read_bytes())
    error = await place.fails(STEPS[3].oid)
    assert isinstance(error, BadPack)
    assert "holds another object" in str(error)


async def test_b_8_3_what_is_refused_is_not_fetched_again(place: Place) -> None:
    large = blob(b"x" * 1000)
    root = tree((b"100644", b"..", large))
    tip = commit(root)
    command = ["git", "-C", str(place.there), "index-pack", "--stdin"]
    await trio.run_process(command, stdin=encode_pack([large, root, tip]), capture_stdout=True)
    place.shows(oid_of(tip))
    assert isinstance(await place.fails(oid_of(tip)), BadPack)
    before = len(place.asked)
    assert "was not repeated" in str(await place.fails(oid_of(tip)))
    assert place.asked[before:] == ["info/refs?service=git-upload-pack"]


async def test_a_damaged_pack_is_refused(place: Place) -> None:
    packed(place.there)
    place.shows(STEPS[3].oid)
    (path,) = (place.there / "objects/pack").glob("*.pack")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    assert "came damaged" in str(await place.fails(STEPS[3].oid))


async def test_b_8_4_the_number_of_requests_is_bounded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    loosely(place.there)
    place.shows(STEPS[3].oid)
    monkeypatch.setattr(dumb_fetch, "MAX_LOOSE", 5)
    error = await place.fails(STEPS[3].oid)
    assert isinstance(error, TooLarge)
    assert "git gc" in str(error)
    assert len(place.asked) == 2 + 5
    monkeypatch.setattr(dumb_fetch, "MAX_PACKS", 1)
    add_pack(place.there, STEPS[0].objects)
    add_pack(place.there, STEPS[1].objects)
    git(place.there, "update-server-info")
    assert "2 packs without git-upload-pack" in str(await place.fails(STEPS[3].oid))


async def test_b_8_4_what_large_trees_name_is_bounded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    loosely(place.there)
    files = [blob(b"%d" % number) for number in range(40)]
    root = tree(*((b"100644", b"%02d" % at, each) for at, each in enumerate(files)))
    tip = commit(root)
    write_loose(place.there, [*files, root, tip])
    place.shows(oid_of(tip))
    monkeypatch.setattr(dumb_fetch, "MAX_NAMES", 41)
    error = await place.fails(oid_of(tip))
    assert isinstance(error, TooLarge)
    assert "more than 41 objects" in str(error)
    assert len(place.asked) == 2 + 2  # none of the files was asked for
    monkeypatch.setattr(dumb_fetch, "MAX_NAMES", 42)
    assert await place.fetch(oid_of(tip)) == {oid_of(tip)}


async def test_n7_neither_large_trees_nor_many_packs_hold_up_the_loop(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree of 64 MiB names two million objects, and each is looked for in 64 indexes."""
    mixed(place.there)
    place.shows(STEPS[3].oid)
    beside: list[bool] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            beside.append(threading.current_thread() is not threading.main_thread())
            return function(*args)

        return call

    monkeypatch.setattr(PackIndexReader, "position", noted(PackIndexReader.position))
    monkeypatch.setattr(dumb_files, "tree_entries", noted(tree_entries))
    assert await place.fetch(STEPS[3].oid) == {STEPS[3].oid}
    assert len(beside) > 2
    assert all(beside)


async def test_stock_git_takes_the_same_files(place: Place, tmp_path: Path) -> None:
    """What the tests serve is what git calls the dumb protocol."""
    mixed(place.there)
    place.shows(STEPS[3].oid)
    command = ["git", "clone", "--quiet", "--bare", place.url, str(tmp_path / "clone")]
    await trio.run_process(command, capture_stderr=True)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html>\n<p>no git", b"<p>" * 10_000, b"12" * 30, b"12" * 20 + b"\t"]
)
async def test_a_page_is_not_taken_for_files(content: bytes, place: Place) -> None:
    (place.there / "info").mkdir(exist_ok=True)
    (place.there / "info/refs").write_bytes(content)
    assert isinstance(await place.fails(STEPS[0].oid), NotGit)
