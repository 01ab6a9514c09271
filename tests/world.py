"""A small world without network: real repositories, a store in memory, admission and release."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from purgatory_sync.engine.admission.admission import Admission, Answer
from purgatory_sync.engine.admission.snapshot import SnapshotBuilder
from purgatory_sync.git.disk.repository import list_refs, read_head
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.purgatory.purgatory import Purgatory
from purgatory_sync.release.commit import Core
from purgatory_sync.release.index.ledger import Ledger
from purgatory_sync.release.index.locks import IdentifierLocks
from purgatory_sync.release.index.repositories import Repositories
from purgatory_sync.release.index.repository_index import RepositoryIndex
from purgatory_sync.release.releaser import Releaser
from purgatory_sync.settings import CurationSettings, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at

from .git.local_repos import Step, add_pack

SERVICE = "grasp.example.com"
NOW = 1_800_000_000


async def is_held(locks: IdentifierLocks, identifier: str) -> bool:
    """Whether another task would have to wait for the identifier's lock."""
    free = False

    async def try_it() -> None:
        nonlocal free
        with trio.move_on_after(0):
            async with locks.hold(identifier):
                free = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(try_it)
    return not free


class World:
    """Everything that holds and releases, put together by hand."""

    def __init__(
        self,
        folder: Path,
        lists: CurationSettings | None = None,
        retires: Callable[[], float] | None = None,
    ) -> None:
        lists = lists or CurationSettings()
        self.settings = Settings(domain=SERVICE, curation=lists)
        self.store = MemoryStore()
        self.purgatory = Purgatory(self.settings.purgatory, self.settings.sync)
        self.repositories = Repositories(folder, trio.CapacityLimiter(4))
        self.index = RepositoryIndex(self.store, self.purgatory, self.repositories, SERVICE, lists)
        self.ledger = Ledger(self.store, self.index)
        self.told: list[str] = []
        self.core = Core(
            self.index,
            self.ledger,
            self.purgatory,
            self.repositories,
            lambda e: self.told.append(e.id),
            retires,
        )
        self.locks = IdentifierLocks()
        self.releaser = Releaser(self.core, self.locks)
        self.admission = Admission(
            core=self.core,
            releaser=self.releaser,
            snapshots=SnapshotBuilder(
                self.store, self.index, self.purgatory, self.repositories, SERVICE
            ),
            settings=self.settings,
            clock=clock_at(NOW),
            announced=lambda _: None,
        )

    async def offer(self, event: Event, origin: Origin = Origin.USER) -> Answer:
        return await self.admission.offer(event, origin)

    async def announce(
        self,
        author: Author,
        identifier: str = "repo",
        *,
        maintainers: Sequence[Author] = (),
        roles: Sequence[tuple[str, Author, *tuple[str, ...]]] = (),
        created_at: int = NOW - 100,
        listed: bool = True,
        origin: Origin = Origin.USER,
    ) -> Event:
        """Offer an announcement that lists us."""
        service = SERVICE if listed else "elsewhere.example.com"
        event = events.announcement(
            author,
            identifier,
            clone=[f"https://{service}/{author.npub}/{identifier}.git"],
            relays=[f"wss://{service}"],
            maintainers=maintainers,
            roles=roles,
            created_at=created_at,
        )
        answer = await self.offer(event, origin)
        assert answer.accepted, answer.message
        return event

    async def announce_group(
        self, owner: Author, *members: Author, identifier: str = "repo", created_at: int = NOW - 100
    ) -> Event:
        """Offer one that names members, each of whom accepts and has no repository; returns it."""
        event = await self.announce(owner, identifier, maintainers=members, created_at=created_at)
        for member in members:
            await self.announce(
                member, identifier, maintainers=[owner], listed=False, created_at=created_at
            )
        return event

    def path(self, author: Author, identifier: str = "repo") -> Path:
        return self.repositories.path(author.pubkey, identifier)

    def give(self, author: Author, steps: Sequence[Step], identifier: str = "repo") -> None:
        """Let the objects of these commits join the author's repository."""
        add_pack(self.path(author, identifier), [o for step in steps for o in step.objects])

    def refs(self, author: Author, identifier: str = "repo") -> dict[str, str]:
        return list_refs(self.path(author, identifier))

    def head(self, author: Author, identifier: str = "repo") -> str | None:
        return read_head(self.path(author, identifier))

    async def served(self) -> set[str]:
        return {event.id for event in await self.store.query([Filter()], 1000)}

    async def held(self) -> set[str]:
        return {row.event.id for row in (await self.store.load()).held}
