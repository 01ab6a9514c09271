"""A running engine: what an embedder offers to it and asks it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs

from ..errors import InvalidKey, RepositoryError
from ..git.disk.layout import UNBORN_HEAD
from ..git.disk.repository import read_head
from ..nostr.address import RepositoryId
from ..nostr.authority.repository_data import KnownAnnouncement, RepositoryData
from ..nostr.event import Event
from ..nostr.filters import Filter
from ..nostr.keys import decode_npub
from ..nostr.state import State
from ..policy.push import event_ids_of
from ..purgatory.entries import Origin
from ..purgatory.purgatory import Purgatory
from ..purgatory.release_result import ProcessResult
from ..release.commit import Core
from ..release.index.repositories import extract_identifier_from_repo_path
from ..release.releaser import Releaser
from ..release.repository_sync import awaited_head
from ..runtime.logger import get_logger
from ..runtime.net.gate import Gate
from ..settings import CurationSettings, Settings
from ..store.protocol import Store
from .admission.admission import Admission, Answer
from .contributions.contributing import Contributor
from .counting import Counts
from .keeping.keepers import Keepers
from .private_peers import PrivatePeers
from .pushes.pushing import Pusher
from .relay_notes import RelayNotes
from .status.catalogue import Cataloguer
from .status.explainer import Explainer
from .status.models import Statistics
from .status.prs_status import REQUESTS_SHOWN, ContributedRepository, ContributedRequest
from .status.repository_contents import ContentsReader
from .status.repository_status import RepositoryStatus, repository_status

QUERY_LIMIT = 500
log = get_logger(__name__)


@attrs.frozen(eq=False, repr=False)
class PurgatorySync:
    """The engine, running: events in, proven events out. `open_engine` and `run_engine` make it.

    Attributes:
      store: what is served, and the journal of what is held; to be read only.
      gate: opens every outgoing connection.
      purgatory: what is held; to be read only.
      pusher: takes pushes; `push` is its short form.
      contributor: takes pushes below `/prs/`; None where that is off (GRASP-06).
      explainer: says why events are held.
      keepers: what operators do to repositories, and backups.
      relay_notes: what is remembered of relays over a restart.
      peers: those of a private service; None for a public one.
      cataloguer: what is served, for a page.
    """

    settings: Settings
    store: Store
    gate: Gate
    purgatory: Purgatory
    pusher: Pusher
    contributor: Contributor | None
    explainer: Explainer
    keepers: Keepers
    relay_notes: RelayNotes
    peers: PrivatePeers | None
    cataloguer: Cataloguer
    _contents: ContentsReader
    _core: Core
    _releaser: Releaser
    _admission: Admission
    _counts: Counts

    async def offer(self, event: Event, origin: Literal["user", "sync"]) -> Answer:
        """Judge one event: it is served, held, refused, or known already (B 1-5).

        Args:
          origin: `user` (first hunt after 180 s) or `sync`, from a relay (after 0.5 s).

        Returns the answer for OK: when it was accepted, it is on disk (N1). A bad
        event or a failing disk is an answer too (`invalid: …`, `error: …`), never raised.

        Cancelled, the event is either accepted or was never seen.
        """
        answer = await self._admission.offer(event, Origin(origin))
        self._counts.offered[answer.outcome] += 1
        if answer.outsider is not None:
            self._counts.outsiders[answer.outsider] += 1
        if answer.private:
            self._counts.private[answer.outcome] += 1
        return answer

    async def query(self, filters: Sequence[Filter], limit: int = QUERY_LIMIT) -> list[Event]:
        """Served events that match any of the filters, newest first, each once.

        Args:
          limit: at most so many for each filter, even if its own limit is higher.

        Raises:
          StoreError: the store cannot be read.
        """
        return await self.store.query(filters, limit)

    async def count(self, filters: Sequence[Filter]) -> int:
        """How many served events match any of the filters; `limit` is ignored.

        Raises:
          StoreError: the store cannot be read.
        """
        return await self.store.count(filters)

    async def push(
        self,
        repository: RepositoryId,
        commands: Mapping[str, str | None],
        body: AsyncIterable[bytes] | None = None,
    ) -> None:
        """Take a whole push, or nothing of it: judged by the signed states, proven, released.

        It is the way of the node's own pushes (B 6.5-6.8): objects that come so are trusted, which
        `git_data_arrived` cannot give.

        Args:
          commands: ref → the OID that it shall name, None to delete it.
          body: the pack in pieces; left out or empty when there is none. No lock is held while it
            comes.

        Raises:
          PushRefused: nothing was changed, but proven objects may have joined. What `body`
            raises, as it is: nothing was changed.

        Cancelled while the pack comes, nothing has changed; later, each event is held or released
        and each ref old or new. When it returns, release has finished.
        """
        pieces = None if body is None else aiter(body)

        async def read() -> bytes:
            if pieces is not None:
                async for piece in pieces:
                    if piece:
                        return piece
            return b""

        with self.pusher.in_flight.waiting(repository):
            await self.pusher.receive(repository, commands, read)

    async def git_data_arrived(self, repository: Path, new_oids: Collection[str]) -> ProcessResult:
        """Another program (a push of yours) added objects to a repository: release what they allow.

        From now on objects of this repository are believed only with all their history: each is
        walked once (B 3.6).

        Args:
          repository: `<git_data>/<npub>/<identifier>.git`.
          new_oids: what came; a hint.

        Returns what was released; what went wrong with one event is in its `errors`. Cancelled,
        each event is either held or released; calling it again finishes what it began.

        Raises:
          RepositoryError: the disk refuses to note that others write there; nothing is released.
        """
        repositories = self._core.repositories
        await repositories.run(repositories.distrust, repository)
        identifier = extract_identifier_from_repo_path(repository)
        if identifier is not None:
            self.purgatory.note_change(identifier)
        return await self._releaser.process_newly_available_git_data(
            repository, frozenset(new_oids)
        )

    def statistics(self, *, events: bool = True) -> Statistics:
        """What is held and why, the queue, and each domain's limits, at this moment.

        Args:
          events: whether each held event is reported on; the counters alone are cheap.
        """
        found = self.explainer.statistics(self._counts.released, events=events)
        return attrs.evolve(
            found,
            states_refused=dict(self._counts.outsiders),
            private_refused=self._counts.private.total(),
            unruled=self._core.index.unruled.counts(),
            verify_findings=self.keepers.verifier.record.counts(),
        )

    @property
    def lists(self) -> CurationSettings:
        """What the operator takes at this moment, settings and later changes together (B 5.5)."""
        return self._core.index.lists

    @property
    def offered(self) -> Mapping[str, int]:
        """How many events were offered since the start, by outcome; it goes on counting."""
        return self._counts.offered

    async def hosted(self, npub: str, identifier: str) -> Path | None:
        """The repository that git clients may read under this name; None when it is not here.

        What is on the disk without an announcement (deleted, delisted, found) is not (B 6.4).
        """
        known = await self._known(npub, identifier)
        if known is None:
            return None
        return self._core.repositories.path(known.announcement.owner, identifier)

    async def contributed(self, npub: str, identifier: str) -> Path | None:
        """The repository below `/prs/` of that name; None when it is not here (GRASP-06)."""
        target = RepositoryId(decode_npub(npub), identifier)
        if self.contributor is None or target not in self.contributor.prs:
            return None
        return self.contributor.prs.path(target)

    async def contribution(self, npub: str, identifier: str) -> ContributedRepository | None:
        """What is in a repository below `/prs/`; None when it is not here (GRASP-06)."""
        target = RepositoryId(decode_npub(npub), identifier)
        if self.contributor is None or target not in self.contributor.prs:
            return None
        ids = event_ids_of(await self.contributor.refs(target))
        known = [each for each in (await self._core.index.pull_requests(ids)).values() if each]
        known.sort(key=lambda pr: pr.event.order, reverse=True)
        shown = [
            ContributedRequest.of(pr, is_served=self.purgatory.get(pr.event.id) is None)
            for pr in known[:REQUESTS_SHOWN]
        ]
        waiting = len(ids) - len(known)
        return ContributedRepository(target.owner, identifier, tuple(shown), len(known), waiting)

    async def awaited_branch(self, npub: str, identifier: str) -> str | None:
        """The branch that a clone shall begin with while HEAD names none; else None (B 6.2).

        It is that of the newest state of its set, held or served; without one `refs/heads/main`.
        """
        known = await self._known(npub, identifier)
        if known is None:
            return None
        owner = known.announcement.owner
        repositories, index = self._core.repositories, self._core.index
        head = await repositories.run(read_head, repositories.path(owner, identifier))
        if head != UNBORN_HEAD:
            return None
        members = (await index.data(identifier)).maintainer_set(owner)
        held = (entry.state for entry in self.purgatory.find_state(identifier))
        states = [*held, *await index.served_states(identifier)]
        return awaited_head(state for state in states if state.event.pubkey in members)

    async def repository(self, npub: str, *identifiers: str) -> RepositoryStatus | None:
        """What the announcement of a hosted repository says of it; None when it is not here.

        Args:
          identifiers: its name, or several: the first of them that is here is told of. The store
            is read once at most.
        """
        here = self._here(npub, identifiers)
        for data, ruling in (await self._core.index.rulings(here)).values():
            known = data.known.get(owner := decode_npub(npub))
            if known is not None and known.has_repository:
                status = repository_status(known, data, self.settings.service)
                return await self._with_contents(status, data, ruling.get(owner))
        return None

    def _here(self, npub: str, identifiers: Iterable[str]) -> list[str]:
        """Those of the names that are on this disk, without asking the store."""
        try:
            owner = decode_npub(npub)
        except InvalidKey:
            return []
        return [each for each in identifiers if self._core.repositories.exists(owner, each)]

    async def _with_contents(
        self, status: RepositoryStatus, data: RepositoryData, state: State | None
    ) -> RepositoryStatus:
        owner, identifier = status.owner, status.identifier
        try:
            now = self.explainer.clock.now()
            contents = await self._contents.look(owner, data, state, now)
        except (RepositoryError, OSError) as error:
            log.warning("a repository cannot be shown", identifier=identifier, error=str(error))
            return status
        return attrs.evolve(status, contents=contents)

    async def _known(self, npub: str, identifier: str) -> KnownAnnouncement | None:
        if not self._here(npub, (identifier,)):
            return None
        known = (await self._core.index.data(identifier)).known.get(decode_npub(npub))
        return known if known is not None and known.has_repository else None
