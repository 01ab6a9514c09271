"""Whether what lies below `/prs/` is whole, and is what events say (B 12.11).

Nothing is repaired there: it is taken out, and its contributor pushes it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from ...errors import RepositoryError
from ...filenames import to_file_name
from ...git.disk.repository import list_refs
from ...git.maintenance.integrity import Integrity, judge_objects
from ...nostr.address import RepositoryId
from ...nostr.pull_request import PullRequest
from ...policy.contributions import unmet
from ...policy.push import NOSTR
from ...purgatory.entries import Origin, as_hunted
from ...records import Upload
from ...release.commit import Core
from ...release.index.missing_objects import concern_of
from ...release.index.prs_folder import any_names, contributed_repositories, name_below_prs
from ...store.protocol import Store
from ...urls import PRS
from .findings import Flaw

_MISSING_SHOWN: Final = 3


async def waiting_below_prs(core: Core, store: Store) -> tuple[Upload, ...]:
    """What waits for its event; where the profile is off only the store knows.

    Raises:
      StoreError: it cannot be asked.
    """
    if core.repositories.prs is not None:
        return tuple(core.purgatory.uploads)
    return (await store.load()).uploads


@attrs.frozen
class PrsExaminer:
    """Looks at one repository below `/prs/` after the other.

    Attributes:
      service: our host[:port][/base], which `clone` values name.
    """

    store: Store
    core: Core
    service: str

    async def there(self) -> list[RepositoryId]:
        """Those on the disk, by key and identifier.

        Raises:
          RepositoryError: the folder cannot be read.
        """
        repositories = self.core.repositories
        try:
            return await repositories.run(contributed_repositories, repositories.git_data)
        except OSError as error:
            raise RepositoryError(f"{repositories.git_data} cannot be read: {error}") from error

    async def look(self, each: RepositoryId) -> list[Flaw]:
        """What is wrong with one; nothing where it is gone.

        Raises:
          RepositoryError, AttemptFailed, OSError: it could not be looked at.
          StoreError: the store cannot be asked.
        """
        repositories, name, path = self.core.repositories, name_below_prs(each), self._path(each)
        if not await repositories.run(path.exists):
            return []
        refs = await repositories.run(list_refs, path)
        found = [Flaw(name, "refs", wrong) for wrong in await self._wrong(each, refs)]
        tips = frozenset(refs.values())
        objects = await repositories.run(judge_objects, path, tips, repositories.tmp)
        return [*found, *_of_objects(name, objects)]

    async def absent(self, requests: Iterable[PullRequest]) -> list[Flaw]:
        """Served pull requests that only a push below `/prs/` brought, and whose commit is gone."""
        found = []
        for pr in requests:
            named = pr.contributed(self.service)
            if not named or await self._is_here(pr, named):
                continue
            if await self.core.index.serves(pr.event.id):  # else it was deleted meanwhile
                detail = f"its pull request {pr.event.id} is served, and its commit is not here"
                found.append(Flaw(name_below_prs(named[0]), "absent", detail))
        return found

    async def _is_here(self, pr: PullRequest, named: Sequence[RepositoryId]) -> bool:
        entry = as_hunted(pr, Origin.USER, 0.0)
        concern = await concern_of(entry, self.core.index, self.core.repositories)
        paths = [*map(self._path, named), *concern.repositories]
        return await self.core.repositories.run(any_names, paths, pr)

    async def _wrong(self, each: RepositoryId, refs: dict[str, str]) -> list[str]:
        """A sentence for each ref that no event explains and that waits for none."""
        ids = {name: name.removeprefix(NOSTR) for name in refs}
        events = await self.core.index.pull_requests(tuple(ids.values()))
        known = all(event_id in events for event_id in ids.values())
        rows = () if known else await waiting_below_prs(self.core, self.store)
        waiting = {row.event_id for row in rows if RepositoryId(row.owner, row.identifier) == each}
        wrong = []
        for name, oid in refs.items():
            event_id = ids[name]
            if event_id not in events:
                if event_id not in waiting:
                    wrong.append(f"{name} belongs to no pull request and waits for none")
            elif (pr := events[event_id]) is None:
                wrong.append(f"{name} is named after an event that is no pull request")
            elif (why := unmet(pr, oid, each, None)) is not None:
                wrong.append(f"{name} is {oid}, and is not what its pull request says: {why}")
        return wrong

    def _path(self, each: RepositoryId) -> Path:
        name = to_file_name(f"{each.identifier}.git")
        return self.core.repositories.git_data / PRS / each.owner / name


def _of_objects(name: str, objects: Integrity) -> list[Flaw]:
    found = [Flaw(name, "damaged", sentence) for sentence in objects.damaged]
    if missing := objects.missing:
        more = ", …" if len(missing) > _MISSING_SHOWN else ""
        shown = f"{', '.join(missing[:_MISSING_SHOWN])}{more}"
        found.append(Flaw(name, "missing", f"{len(missing)} objects are missing: {shown}"))
    return found
