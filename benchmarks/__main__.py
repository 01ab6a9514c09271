"""Run measurements and print what they show: `python -m benchmarks [NAME …]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from rich.console import Console
from rich.table import Table

from purgatory_sync.node.process.heap import spare_the_collector

from . import (
    authority,
    backups,
    clones,
    connections,
    engine,
    fetching,
    journaling,
    large_fetch,
    offers,
    outboxes,
    politeness,
    prs_clones,
    repositories,
    trouble,
    verifying,
    whole_node,
)
from .measuring import Effort, Line

Measure = Callable[[Effort], list[Line]]

MEASUREMENTS: dict[str, Measure] = {
    "engine": engine.measure_engine,
    "tick": engine.measure_tick,
    "fetch": fetching.measure_small_fetch,
    "commit": fetching.measure_one_commit,
    "large": large_fetch.measure_large_fetch,
    "existence": repositories.measure_existence,
    "alignment": repositories.measure_alignment,
    "journal": journaling.measure_journaling,
    "offers": offers.measure_offers,
    "authority": authority.measure_authority,
    "politeness": politeness.measure_politeness,
    "neighbourhood": whole_node.measure_small,
    "poll": clones.measure_polls,
    "clones": clones.measure_clones,
    "outboxes": outboxes.measure_outboxes,
    "prs-clones": prs_clones.measure_prs_clones,
    "connections": connections.measure_connections,
    "verify": verifying.measure_verify,
    "backup": backups.measure_backup,
    "hung": trouble.measure_hung,
    "busy": trouble.measure_busy,
    "three-sources": trouble.measure_three_sources,
}
ONLY_FULL: dict[str, Measure] = {
    "neighbourhood-1000": whole_node.measure_large,
    "one-host": whole_node.measure_one_host,
}
PIPE_COLUMNS = 160
MARKS = {True: "[green]reached[/]", False: "[red]missed[/]", None: ""}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit code says nothing about goals, for machines differ."""
    every = MEASUREMENTS | ONLY_FULL
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(every)}")
    parser.add_argument("--full", action="store_true", help="those that take minutes, too")
    parser.add_argument("--times", type=int, default=Effort().times, help="repetitions of each")
    parser.add_argument("--part", type=float, default=1.0, help="part of the full sizes")
    parser.add_argument(
        "--against", metavar="TREE", help="a worktree that offers are compared with, in turns"
    )
    options = parser.parse_args(arguments)
    if options.against:
        os.environ[offers.AGAINST] = options.against
    if unknown := [name for name in options.names if name not in every]:
        parser.error(f"no measurement is called {unknown[0]}; there are {', '.join(every)}")
    names = options.names or [*MEASUREMENTS, *(ONLY_FULL if options.full else ())]
    show({name: every[name] for name in names}, Effort(options.times, options.part))


def show(chosen: dict[str, Measure], effort: Effort) -> None:
    """Run one after the other, then print the table."""
    # A pipe has no width, and lines that are broken there cannot be read.
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    table = Table("measurement", "what", "value", "goal", "", "behind it", title=_machine())
    for name, measure in chosen.items():
        with console.status(f"measuring {name}"):
            lines = _alone(measure, effort)
        for number, line in enumerate(lines):
            table.add_row("" if number else name, *_cells(line), end_section=line is lines[-1])
    console.print(table)


def _alone(measure: Measure, effort: Effort) -> list[Line]:
    """Measure in a process of its own: what others left in memory slows nothing and counts not."""
    # The engine is measured as the node runs it, and there its collector is half of its speed.
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=spare_the_collector) as process:
        return process.submit(measure, effort).result()


def _cells(line: Line) -> tuple[str, ...]:
    goal = ""
    if line.goal is not None:
        sign = "≤" if line.goal.better == "less" else "≥"
        goal = f"{sign} {_number(line.goal.bound, line.unit)}"
    return line.what, _number(line.value, line.unit), goal, MARKS[line.reached], line.detail


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 1_000 or value == int(value) else 2 if abs(value) < 10 else 1
    return f"{value:,.{digits}f} {unit}".strip()


def _machine() -> str:
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load {load:.1f} at the start of it"


if __name__ == "__main__":
    main()
