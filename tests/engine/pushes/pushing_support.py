"""What the tests of pushes share: packs, pieces that come slowly, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import attrs
import pytest
import trio
from dulwich.object_format import SHA1
from dulwich.objects import ShaFile
from dulwich.pack import write_pack_objects

from purgatory_sync.engine.pushes.in_flight import PushesInFlight
from purgatory_sync.engine.pushes.pushing import Pusher
from purgatory_sync.engine.pushes.receiving import Read
from purgatory_sync.errors import PushRefused
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import HuntSettings, PushSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import Step, history
from ...world import NOW, World

OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
TARGET = RepositoryId(OWNER.pubkey, "repo")
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
ID = "5" * 64
NOSTR = f"refs/nostr/{ID}"


def pusher_of(
    world: World, settings: PushSettings | None = None, limits: HuntSettings | None = None
) -> Pusher:
    settings = settings or PushSettings()
    limits = limits or HuntSettings()
    limits = attrs.evolve(limits, min_free_bytes=0, max_pack_bytes=settings.max_pack_bytes)
    return Pusher(
        world.core,
        world.releaser,
        Ingest(limits, world.repositories.tmp),
        settings,
        world.admission.clock,
        PushesInFlight(),
    )


async def awaiting(world: World) -> tuple[Step, Event]:
    """Let the owner announce, and a state of one commit be held; the commit, and the state."""
    await world.announce(OWNER)
    (step,) = history(1)
    event = state({MAIN: step.oid})
    await world.offer(event)
    return step, event


def pack_of(objects: Sequence[ShaFile]) -> bytes:
    with BytesIO() as file:
        write_pack_objects(file, [(item, None) for item in objects], SHA1)
        return file.getvalue()


def pieces(*data: bytes) -> Read:
    left = list(data)

    async def read() -> bytes:
        await trio.lowlevel.checkpoint()
        return left.pop(0) if left else b""

    return read


def pack(steps: Sequence[Step], *more: ShaFile) -> Read:
    return pieces(pack_of([*(o for step in steps for o in step.objects), *more]))


def state(refs: dict[str, str], at: int = NOW, author: Author = OWNER) -> Event:
    return events.state(author, "repo", refs, created_at=at)


async def refusal(pusher: Pusher, changes: dict[str, str | None], read: Read) -> str:
    with pytest.raises(PushRefused) as refused:
        await pusher.receive(TARGET, changes, read)
    return str(refused.value)
