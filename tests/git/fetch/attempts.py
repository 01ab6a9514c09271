"""What tests of attempts share: a small history, servers that have it, an attempt that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.errors import AttemptFailed

from ..local_repos import history
from ..scripted import (
    Answer,
    Reply,
    Seen,
    World,
    err,
    info_v2,
    pack_of,
    redirect,
    refs_v0,
    refs_v1,
    refs_v2,
    v0_pack,
    v2_pack,
)

STEPS = history(3)
OBJECTS = [item for step in STEPS for item in step.objects]
TIP = STEPS[-1].oid
PACK = pack_of(OBJECTS)
REFS = {"refs/heads/main": TIP}
URL = "http://git.example/a.git"
POST = "POST git.example/a.git/git-upload-pack"
GET = "GET git.example/a.git/info/refs"


def smart(refs: dict[str, str], has: set[str], refusal: Reply) -> Answer:
    """A server of all versions that gives the pack to clients that want only what it has."""

    def answer(seen: Seen) -> Reply:
        version = seen.headers.get("git-protocol")
        if seen.method == "GET":
            return info_v2() if version == "version=2" else refs_v1(refs)
        if b"command=ls-refs" in seen.body:
            return refs_v2(refs)
        if not set(seen.wants) <= has:
            return refusal
        return v2_pack(PACK) if version == "version=2" else v0_pack(PACK)

    return answer


async def failure(place: World, repository: Path, url: str = URL) -> AttemptFailed:
    """The error of an attempt that must fail and leave nothing behind."""
    with pytest.raises(AttemptFailed) as caught:
        await place.client.fetch_oids(repository, url, [TIP])
    assert place.left_behind() == []
    return caught.value


def v0_server(
    refs: dict[str, str], capabilities: str = "side-band-64k", refusal: Reply | None = None
) -> Answer:
    """A server that knows no other version, and gives what it shows."""

    def answer(seen: Seen) -> Reply:
        if seen.method == "GET":
            return refs_v0(refs, capabilities)
        if seen.is_v2:
            return Reply(b"")
        if set(seen.wants) <= set(refs.values()):
            return v0_pack(PACK)
        return refusal or err("not our ref")

    return answer


def moved(target: str, status: int = 301) -> Answer:
    """Everything at git.example is elsewhere."""

    def answer(seen: Seen) -> Reply:
        if seen.host == "git.example" and seen.target.startswith("/a.git/"):
            return redirect(f"{target}/info/refs?service=git-upload-pack", status)
        return v2_pack(PACK) if seen.method == "POST" else info_v2()

    return answer
