"""Every bad server of `faults` and `bombs`, met by hand: one sentence, code 1, nothing left."""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs
import pytest

from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.testing import faults
from purgatory_sync.testing.faults import Fault
from purgatory_sync.testing.pack_tampering import pkt
from purgatory_sync.testing.packs import encode_pack

from ..git.ingest.bombs import BOMBS
from ..git.ingest.test_sink_damage import of_sha256
from ..git.local_repos import git
from ..git.packs import PackBuilder, blob, commit, delta, history, tree
from .fetches import OIDS, STEPS, TIP, Scene

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("alone")]

ALL = [GitObject(item.type_num, item.as_raw_string()) for step in STEPS for item in step.objects]
INSIDE = "an address of the host is not public (NGIT_HUNT_ALLOW_ADDRESSES names exceptions): "
OID = "[0-9a-f]{40}"


@attrs.frozen
class Bad:
    """What the server does, what it is met with, and what the user is told (a whole sentence)."""

    fault: Callable[[], Fault]
    told: str
    flags: tuple[str, ...] = ()


def bad(fault: Fault, told: str, *flags: str) -> Bad:
    return Bad(lambda: fault, told, flags)


def instead(pack: Callable[[], bytes], told: str, *flags: str) -> Bad:
    """Another pack than the server's own."""
    return Bad(lambda: faults.with_pack(pack()), told, flags)


def beside(*objects: GitObject) -> Callable[[], bytes]:
    """All that was asked for, and more."""
    return lambda: encode_pack([*ALL, *objects])


def deltas() -> bytes:
    """All that was asked for, and an object made of another."""
    pack = PackBuilder()
    for item in ALL:
        pack.add(item)
    base = pack.add(blob(b"b" * 100))
    pack.ofs_delta(base, delta(b"b" * 100, b"c" * 90))
    return pack.build()


HEAD = b"HTTP/1.1 200 OK\r\n"
NOTHING = blob(b"")
TIME = {
    "hang": bad(faults.hang(), "no byte for 0.4 s"),
    "late": bad(faults.delay(5), "no byte for 0.4 s"),
    "drip": bad(faults.drip(1, every_secs=0.1), "not done within 1 s, and less than .* came"),
    "stall": bad(faults.stall(100), "no byte for 0.4 s"),
    "half a head": bad(faults.half_a_head(), "no byte for 0.4 s"),
    "half a packet": bad(faults.half_a_packet(), "no byte for 0.4 s"),
    "cut": bad(faults.cut(100), "the body ends early or is not HTTP"),
    "progress": bad(faults.endless_progress(), "a line that was not asked for: packfile"),
    "refs": bad(faults.endless_refs(), "more than 1000000 bytes of refs"),
    "not http": bad(faults.raw(b"SSH-2.0-x\r\n"), "the peer does not speak HTTP/1.1"),
}
ANSWERS = {
    "page": bad(faults.page(), "a page instead of git"),
    "type": bad(faults.content_type("text/plain"), "a page instead of git"),
    "401": bad(faults.status(401), "HTTP 401: the repository is not for us"),
    "404": bad(faults.status(404), "HTTP 404: the repository is not for us"),
    "429": bad(faults.status(429, retry_after="7"), "HTTP 429: the server wants 7 s of rest"),
    "503": bad(faults.status(503), "HTTP 503: the server wants 60 s of rest"),
    "500": bad(faults.status(500), "HTTP 500"),
    "loop": bad(faults.moved("/r.git"), "more than 5 redirects"),
    "login": bad(faults.redirect("/login"), "a redirect to a page instead of git"),
    "inside": bad(faults.moved("http://169.254.169.254/x"), re.escape(f"{INSIDE}169.254.169.254")),
    "steered": bad(faults.status(200, body=pkt(b"ERR not\x1bnow")), "the server refuses: not.now"),
}
TOO_BIG = "an object of 1073741824 bytes; 536870912 are allowed"
BOMB_TOLD = {
    "zlib": TOO_BIG,
    "zlib that lies": "an object is longer than the pack declares",
    "delta": TOO_BIG,
    "long delta": TOO_BIG,
    "doubling chain": TOO_BIG,
    "wide chain": "objects of more than [0-9]+ bytes in all",
    "a million empty blobs": "the pack holds the same objects twice, and twice again",
    "delta of itself": "a delta whose base does not come before it",
}
SIZE = {
    "head": bad(faults.raw(HEAD + b"x: " + b"y" * 99_000), "the answer's head is not HTTP/1.1"),
    "headers": bad(faults.raw(HEAD + b"x: y\r\n" * 30_000), "the answer's head is not HTTP/1.1"),
    "pack": bad(
        Fault(),
        "a pack of more than 100 bytes: raise NGIT_HUNT_MAX_PACK_BYTES .*",
        "--hunt-max-pack-bytes=100",
    ),
    "objects": bad(Fault(), "a pack of 9 objects; 2 are allowed", "--hunt-max-objects=2"),
    "object": bad(Fault(), "an object of 186 bytes; 10 are allowed", "--hunt-max-object-bytes=10"),
    "inflated": bad(
        Fault(),
        "more than 10 bytes to inflate",
        "--hunt-max-inflated-bytes=10",
        "--hunt-max-inflated-ratio=0",
    ),
    "depth": instead(deltas, "a chain of more than 0 deltas", "--hunt-max-delta-depth=0"),
    "disk": bad(Fault(), ".*NGIT_HUNT_MIN_FREE_BYTES.*", "--hunt-min-free-bytes=999TiB"),
    **{f"bomb: {name}": instead(make, BOMB_TOLD[name]) for name, make in BOMBS.items()},
}
TRUTH = {
    "flipped head": bad(faults.flipped(1), "what came is no pack"),
    "flipped": bad(faults.flipped(40), "the pack's checksum does not hold"),
    "flipped checksum": bad(faults.flipped(-1), "the pack's checksum does not hold"),
    "truncated": bad(faults.truncated(60), "the pack's checksum does not hold"),
    "appended": bad(faults.appended(), "the pack's checksum does not hold"),
    "empty": bad(faults.empty_pack(), "an empty pack, though not all that was asked for is here"),
    "other": instead(lambda: encode_pack(history(2)), "the pack holds nothing that is wanted"),
    "shallow": instead(lambda: encode_pack(ALL[-3:]), f"the commit {OID} did not come"),
    "a hole": instead(lambda: encode_pack(ALL[1:]), f"the blob {OID} did not come"),
    "sha256": instead(of_sha256, "the pack's checksum does not hold"),
    "..": instead(
        beside(NOTHING, tree((b"100644", b"..", NOTHING))), "git refuses the pack: .*hasDotdot.*"
    ),
    "a file as a tree": instead(beside(NOTHING, commit(NOTHING)), f"{OID} is no tree"),
}
POSTED = ("progress", "half a packet", "steered")
ALL_BAD = TIME | ANSWERS | SIZE | TRUTH


@pytest.mark.parametrize("name", ALL_BAD)
async def test_a_bad_server_is_one_sentence_and_code_1(name: str, scene: Scene) -> None:
    case = ALL_BAD[name]
    scene.server.fail("r.git/git-upload-pack" if name in POSTED else "r.git", case.fault())
    secs = ("0.4", "1") if name in TIME else ("10", "20")
    limits = [f"--hunt-idle-timeout-secs={secs[0]}", f"--hunt-total-timeout-secs={secs[1]}"]
    done = await scene.fetch(TIP, more=(*limits, "--hunt-max-refs-bytes=1000000", *case.flags))
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(f"nothing was fetched: {case.told}", done.sentence)
    assert done.sentence.isprintable()
    assert "Traceback" not in done.err
    assert not scene.into.exists()
    assert list(scene.into.parent.iterdir()) == []


async def test_a_connection_kept_open_after_the_pack_is_no_failure(scene: Scene) -> None:
    scene.server.fail("r.git", faults.keeps_open())
    done = await scene.fetch(TIP, more=("--hunt-idle-timeout-secs=5",))
    assert done.code == 0
    assert present_oids(scene.into, OIDS) == set(OIDS)


async def test_a_sha256_repository_is_one_sentence(scene: Scene) -> None:
    git(scene.server.root, "init", "-q", "--bare", "--object-format=sha256", "sha256.git")
    done = await scene.fetch(TIP, name="sha256.git")
    assert (done.code, done.out) == (1, "")
    assert done.sentence.startswith("nothing was fetched: ")
