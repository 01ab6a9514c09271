"""Release: judge everything that is held under an identifier and let go what is complete (B 7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from ..errors import CannotName, PurgatorySyncError
from ..purgatory.entries import HeldAnnouncement, HeldPr, HeldState
from ..purgatory.release_result import ProcessResult
from ..runtime.logger import get_logger
from .commit import Core, ReleaseReport
from .index.locks import IdentifierLocks
from .index.repositories import extract_identifier_from_repo_path
from .pr_release import release_pr
from .promotion import promote_filled, realign
from .state_release import release_state

E = TypeVar("E", HeldState, HeldPr, HeldAnnouncement)
log = get_logger(__name__)


class Releaser:
    """Lets held events go; what it does to an identifier is done under that identifier's lock."""

    def __init__(self, core: Core, locks: IdentifierLocks) -> None:
        self._core = core
        self._purgatory = core.purgatory
        self._locks = locks

    async def process_newly_available_git_data(
        self, source_repo: Path, new_oids: frozenset[str]
    ) -> ProcessResult:
        """Release all that became satisfiable, oldest first, each event on its own (B 7.1, S14).

        Args:
          source_repo: the repository that received data.
          new_oids: what came; a hint for the log, never a condition.

        Idempotent. Failures are recorded on their event and in the result. A cancelled call leaves
        each event either held or released; calling again finishes what it began.
        """
        identifier = extract_identifier_from_repo_path(source_repo)
        if identifier is None:
            log.warning("data came to a path outside our repositories", path=str(source_repo))
            return ProcessResult()
        return await self.process(identifier)

    async def process(self, identifier: str, *, bring_up: bool = False) -> ProcessResult:
        """The same for one identifier; takes its lock and those of its PRs' other identifiers.

        Args:
          bring_up: repositories that lag behind the newest served state are aligned, too.
        """
        async with self.hold(identifier):
            return await self.process_locked(identifier, bring_up=bring_up)

    @asynccontextmanager
    async def hold(self, *identifiers: str) -> AsyncIterator[None]:
        """Hold the locks of these identifiers and of the others that their PRs wait under."""
        while True:
            touched = self._touched(identifiers)
            async with self._locks.hold(*touched):
                if self._touched(identifiers) <= touched:
                    yield
                    return

    async def process_locked(self, identifier: str, *, bring_up: bool = False) -> ProcessResult:
        """The same for a caller that is inside `hold(identifier)`."""
        report = ReleaseReport()
        released = -1
        # A promotion lets empty states go (B 3.5), and objects are gathered for others, too.
        while released != report.released:
            released = report.released
            for state in self._purgatory.find_state(identifier):
                await self._guarded(state, release_state, report)
            for pr in self._purgatory.find_prs_for_identifier(identifier):
                await self._guarded(pr, release_pr, report)
            for held in self._purgatory.find_announcements(identifier):
                await self._guarded(held, promote_filled, report)
        # The objects of a pull request may be those that the state lacked which rules.
        for each in sorted(report.completed.union([identifier] if bring_up else [])):
            await realign(self._core, each, report)
        return report.result()

    def _touched(self, identifiers: Iterable[str]) -> frozenset[str]:
        return frozenset(identifiers).union(
            other for identifier in identifiers for other in self._purgatory.waits_with(identifier)
        )

    async def _guarded(
        self,
        entry: E,
        release: Callable[[Core, E, ReleaseReport], Awaitable[None]],
        report: ReleaseReport,
    ) -> None:
        """One failure is recorded on its event and never blocks another (B 7.4)."""
        try:
            await release(self._core, entry, report)
            entry.error = None
        except (PurgatorySyncError, OSError) as error:
            entry.error = str(error) or type(error).__name__
            entry.hopeless = isinstance(error, CannotName)
            report.errors[entry.event_id] = entry.error
            log.warning("release failed", event_id=entry.event_id, error=entry.error)
        except Exception as error:
            entry.error = report.errors[entry.event_id] = f"internal error: {type(error).__name__}"
            log.exception("release crashed", event_id=entry.event_id)
