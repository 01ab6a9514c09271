"""How many bytes each repository has, kept true without walking the disk for each question."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Lock

from ...git.disk.layout import is_repository, objects_dir
from ...runtime.folders import folder_bytes
from .repositories import Repositories
from .retained_repositories import RetainedRepositories


class DiskUse:
    """Bytes of packs, indexes and loose objects, by repository; deleted ones that are kept count.

    One repository is looked at when its files changed (`measure`), all of them at a start and now
    and then (`measure_all`); questions are answered from memory. Threads may do both at once.
    """

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories
        self._lock = Lock()
        self._bytes: dict[Path, int] = {}
        self._by_owner: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self.total = 0

    def of_repository(self, path: Path) -> int:
        """The bytes of one; 0 where there is none."""
        return self._bytes.get(path, 0)

    def of_owner(self, path: Path) -> int:
        """The bytes of all repositories of the owner of one."""
        return self._by_owner[self._owner_folder(path)]

    def count_of_owner(self, path: Path) -> int:
        """How many repositories the owner of one has; those that were deleted are none."""
        return self._count[self._owner_folder(path)]

    def measure(self, path: Path) -> None:
        """Look at one repository, be it there or not; blocks."""
        found = is_repository(path)
        size = folder_bytes(Path(objects_dir(path))) if found else 0
        with self._lock:
            self._note(path, size if found else None)

    def measure_all(self) -> None:
        """Look at all; blocks. Raises OSError when the folder cannot be read."""
        named = self._repositories.all_named()
        there = [self._repositories.path(owner, identifier) for owner, identifier in named]
        there += [each.retained.path for each in RetainedRepositories(self._repositories).all()]
        with self._lock:
            gone = self._bytes.keys() - there
        for path in (*there, *gone):
            self.measure(path)

    def _note(self, path: Path, size: int | None) -> None:
        """What is known of one from now on; None: there is none."""
        owner, before = self._owner_folder(path), self._bytes.get(path)
        grown = (size or 0) - (before or 0)
        self.total += grown
        self._by_owner[owner] += grown
        if self._is_in_place(path):
            self._count[owner] += (size is not None) - (before is not None)
        if size is None:
            self._bytes.pop(path, None)
        else:
            self._bytes[path] = size

    def _owner_folder(self, path: Path) -> str:
        parts = path.relative_to(self._repositories.git_data).parts
        return next((each for each in parts if each.startswith("npub1")), parts[0])

    def _is_in_place(self, path: Path) -> bool:
        return len(path.relative_to(self._repositories.git_data).parts) == 2
