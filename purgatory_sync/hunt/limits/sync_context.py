"""`SyncContext`: the only door through which the hunt touches the world (S11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import attrs

from ...errors import ResultClass
from ...nostr.authority.repository_data import RepositoryData
from ...purgatory.change_signals import Watch
from ...purgatory.release_result import ProcessResult


@attrs.frozen
class Need:
    """What one held event lacks.

    Attributes:
      oids: objects that are in none of the repositories it concerns (B 3.6); empty when nothing
        is missing, so that its release is due.
      owners: the owners whose repositories it concerns, in the order of their hex keys.
    """

    event_id: str
    oids: frozenset[str]
    owners: tuple[str, ...]


@attrs.frozen
class Source:
    """One clone URL and what it may be asked for (B 8.1).

    Attributes:
      domain: the host whose limits it counts against.
      owner: whose announcement gave it first; None for a pull request's own `clone` value.
      oids: missing objects of the events below.
      event_ids: the held events that it may serve.
    """

    url: str
    domain: str
    owner: str | None
    oids: frozenset[str]
    event_ids: frozenset[str]


class AttemptObserver(Protocol):
    """What a fetch tells while it goes on; the hunt passes one to `fetch_oids`."""

    def contacted(self) -> None:
        """A connection is about to begin, or a kept one is used: the start counts (B 8.2)."""

    def answered(self) -> None:
        """The first byte of the answer to the first request is here."""

    def received(self, pack_bytes: int) -> None:
        """So many more bytes of pack are here; progress messages do not count (B 8.5)."""

    def body_ended(self) -> None:
        """The transfer is over; what follows is proof and joining."""

    def redirected(self, domain: str) -> bool:
        """The server points to a URL of another domain than its own, perhaps one asked before.

        False when no place is free there (B 8.2).
        """


class SyncContext(Protocol):
    """What the hunt asks of the world; `RealSyncContext` and `MockSyncContext` answer."""

    @property
    def our_domain(self) -> str | None:
        """Our own host[:port], which is never hunted (B 8.1); None when we have none."""

    async def fetch_repository_data(self, identifier: str) -> RepositoryData | None:
        """The announcements of the identifier, served and held; None when they cannot be had."""

    async def collect_needed_oids(self, identifier: str, data: RepositoryData) -> tuple[Need, ...]:
        """What each held state and pull request of the identifier lacks, oldest first."""

    def collect_pr_clone_urls(self, identifier: str) -> Mapping[str, tuple[str, ...]]:
        """By id of a held pull request, its own usable `clone` values."""

    async def fetch_oids(
        self, repository: Path, url: str, oids: frozenset[str], observer: AttemptObserver
    ) -> frozenset[str]:
        """Fetch, prove and join; returns those of the OIDs that are in the repository now.

        Raises:
          AttemptFailed: nothing was obtained; its class says why.

        Cancellation ends the transfer within a second and leaves the repository as it was.
        """

    async def process_newly_available_git_data(
        self, source_repo: Path, new_oids: frozenset[str]
    ) -> ProcessResult:
        """Release what can be released; the new OIDs are a hint, never a condition (B 7.1)."""

    def has_pending_events(self, identifier: str) -> bool:
        """Whether a state or a pull request waits under the identifier."""

    def find_target_repo(self, data: RepositoryData, source: Source) -> Path | None:
        """Where objects from this source shall go: a repository that concerns all its events.

        None when no such repository exists (B 8.8).
        """

    def record_attempt(
        self,
        identifier: str,
        event_ids: frozenset[str],
        url: str,
        result: ResultClass,
        detail: str,
    ) -> None:
        """Remember for each held event what became of this source (B 8.3, second memory)."""

    def watch(self, identifier: str, on_change: Callable[[], None]) -> Watch:
        """An eye on the identifier for as long as it is hunted (`Purgatory.watch` makes it)."""
