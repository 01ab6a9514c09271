"""Offers by kind: processor time of each, and how long it holds the loop up (`offered.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

from .measuring import Effort, Goal, Line

AGAINST: Final = "BENCHMARK_AGAINST"
"""The tree that offers are compared with: a worktree, if it likes with a `.venv` of its own."""

HERE: Final = Path(__file__).parent
LONGEST_MS: Final = 5.0
RATIOS: Final = {
    "announcement, held": 0.55,
    "pull request, held": 0.55,
    "state of 3 refs, held": 0.55,
    "issue, served": 0.6,
}

Figures = dict[str, dict[str, float]]


def measure_offers(effort: Effort) -> list[Line]:
    """Each kind in this tree and, where one is named, in another; both in turns."""
    trees = [HERE.parent]
    if other := os.environ.get(AGAINST):
        trees.append(Path(other).resolve())
    runs: list[list[Figures]] = [[] for _ in trees]
    for _ in range(max(1, effort.times // 3)):  # one run has many offers of each kind
        for tree, done in zip(trees, runs, strict=True):
            done.append(_run(tree, effort.part))
    ours, theirs = runs[0], runs[1] if len(runs) > 1 else []
    return [line for kind in ours[0] for line in _lines(kind, ours, theirs)]


def _run(tree: Path, part: float) -> Figures:
    own = tree / ".venv" / "bin" / "python"
    python = str(own) if own.exists() and tree != HERE.parent else sys.executable
    done = subprocess.run(
        [python, "-P", str(HERE / "offered.py"), str(part)],
        env={**os.environ, "PYTHONPATH": str(tree)},
        check=True,
        stdout=subprocess.PIPE,
    )
    found: Any = json.loads(done.stdout)
    return dict(found)


def _lines(kind: str, ours: list[Figures], theirs: list[Figures]) -> list[Line]:
    cpu, held = _middle(ours, kind, "cpu_us"), _middle(ours, kind, "held_ms")
    on_the_clock = _middle(ours, kind, "held_clock_ms")
    behind = f"{on_the_clock:.1f} ms on the clock, where other processes disturb"
    if theirs:
        behind += f"; before {_middle(theirs, kind, 'held_ms'):.1f}"
    lines = [Line(f"{kind}: loop held up", held, "ms", Goal(LONGEST_MS), behind)]
    if theirs:
        before = _middle(theirs, kind, "cpu_us")
        goal = Goal(RATIOS[kind]) if kind in RATIOS else None
        detail = f"{cpu:,.0f} µs, before {before:,.0f}"
        return [Line(f"{kind}: processor", cpu / before, "x", goal, detail), *lines]
    return [Line(f"{kind}: processor", cpu, "µs"), *lines]


def _middle(runs: list[Figures], kind: str, of: str) -> float:
    return median(each[kind][of] for each in runs)
