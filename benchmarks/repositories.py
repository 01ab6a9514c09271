"""Questions to a repository and changes of its refs, beside git's own programs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from purgatory_sync.git.disk.alignment import align_refs
from purgatory_sync.git.disk.repository import list_refs, present_oids

from .fetching import HEAD, OBJECTS_OF_A_COMMIT, link_repository
from .measuring import Effort, Goal, Line, middle_ms, spending
from .world import git, make_repository

OBJECTS = 50_000


def measure_existence(effort: Effort) -> list[Line]:
    """Are these 1,000 objects here? All of them in one pack, then half of them nowhere."""
    asked = effort.of(1_000)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        path = Path(name) / "large.git"
        here = _some_objects(path, effort.of(OBJECTS // OBJECTS_OF_A_COMMIT), asked)
        half = [*here[::2], *(f"{number:040x}" for number in range(asked - len(here[::2])))]
        return [
            _existence(path, here, len(here), "all here", effort.times),
            _existence(path, half, len(here[::2]), "half of them missing", effort.times),
        ]


def _existence(path: Path, oids: list[str], present: int, how: str, times: int) -> Line:
    def ask_git() -> None:
        lines = git("cat-file", "--batch-check", folder=path, stdin="\n".join(oids).encode())
        _require(lines.count(" missing") == len(oids) - present)

    ours = _walls(lambda: _require(len(present_oids(path, oids)) == present), times)
    theirs = _walls(ask_git, times)
    what = f"{len(oids):,} existence checks, packed, {how}"
    return Line(what, ours, "ms", Goal(20.0), f"git cat-file --batch-check {theirs:.1f} ms")


def _some_objects(path: Path, commits: int, count: int) -> list[str]:
    make_repository(path, "large", commits)
    listed = git("rev-list", "--objects", "--no-object-names", "--all", folder=path).split()
    return sorted(listed)[:: max(1, len(listed) // count)][:count]


def measure_alignment(effort: Effort) -> list[Line]:
    """Set 1,000 branches and tags in a repository that has none, then move them all."""
    count = effort.of(1_000)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        base, folder = Path(name) / "base.git", Path(name)
        make_repository(base, "base", 2)
        git("update-ref", "-d", "refs/tags/v1", folder=base)
        new, old = git("rev-list", "refs/heads/main", folder=base).split()
        made = dict.fromkeys([HEAD, *(f"refs/tags/v{n}" for n in range(count - 1))], old)
        moved = dict.fromkeys(made, new)
        setting, moving = [], []
        for turn in range(effort.times):
            path = folder / f"ours-{turn}.git"
            link_repository(base, path)
            setting.append(_align(path, made))
            moving.append(_align(path, moved))
            _require(list_refs(path) == moved)
        theirs = _update_with_git(folder, base, made, max(1, effort.times // 3))
    detail = f"git update-ref --stdin {theirs:.0f} ms"
    return [
        Line(f"aligning {count:,} new refs", middle_ms(setting), "ms", Goal(200.0), detail),
        Line(f"aligning {count:,} moved refs", middle_ms(moving), "ms", Goal(200.0)),
    ]


def _align(path: Path, refs: dict[str, str]) -> float:
    with spending() as spent:
        align_refs(path, refs, HEAD)
    return spent.wall


def _update_with_git(folder: Path, base: Path, refs: dict[str, str], times: int) -> float:
    commands = "".join(f"update {name} {oid}\n" for name, oid in refs.items()).encode()
    walls = []
    for turn in range(times):
        path = folder / f"theirs-{turn}.git"
        link_repository(base, path)
        with spending() as spent:
            git("update-ref", "--stdin", folder=path, stdin=commands)
        _require(list_refs(path) == refs)
        walls.append(spent.wall)
    return middle_ms(walls)


def _walls(work: Callable[[], object], times: int) -> float:
    walls = []
    for _ in range(times):
        with spending() as spent:
            work()
        walls.append(spent.wall)
    return middle_ms(walls)


def _require(fact: bool) -> None:
    """What is quick and wrong does not count."""
    if not fact:
        raise RuntimeError("the measured work did not do what it should")
