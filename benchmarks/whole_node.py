"""The neighbourhood as lines of the table: a node beside many repositories on many hosts."""

from __future__ import annotations

from .measuring import Effort, Goal, Line
from .neighbourhood import run

SMALL = (200, 20)
LARGE = (1_000, 50)
ONE_HOST = (100, 1)
MOST_STARTS = Goal(30.0)
NONE_WRONG = Goal(0.0)


def measure_small(effort: Effort) -> list[Line]:
    """200 repositories on 20 hosts."""
    return _measure(effort, SMALL, {"half_secs": Goal(4.0), "all_secs": Goal(8.0)})


def measure_large(effort: Effort) -> list[Line]:
    """1,000 repositories on 50 hosts."""
    return _measure(effort, LARGE, {"cpu_ms_per_release": Goal(10.0), "peak_mib": Goal(150.0)})


def measure_one_host(effort: Effort) -> list[Line]:
    """100 repositories on one host, whose limits make it last 180 s at least."""
    return _measure(effort, ONE_HOST, {"all_secs": Goal(190.0)})


def _measure(effort: Effort, size: tuple[int, int], goals: dict[str, Goal]) -> list[Line]:
    repositories, hosts = effort.of(size[0]), effort.of(size[1], least=1)
    result = run(repositories, hosts)
    goals = {"most_attempts": MOST_STARTS, "wrong_refs": NONE_WRONG, **goals}
    where = f"{repositories:,} on {hosts}"
    shown = {
        "half_secs": ("half served after", "s"),
        "most_secs": ("95 % served after", "s"),
        "all_secs": ("all served after", "s"),
        "cpu_ms_per_release": ("CPU of a release", "ms"),
        "peak_mib": ("most memory", "MiB"),
        "most_attempts": ("most starts in 60 s at a host", ""),
        "wrong_refs": ("repositories with wrong refs", ""),
    }
    return [
        Line(f"{where}: {what}", float(getattr(result, field)), unit, goals.get(field))
        for field, (what, unit) in shown.items()
    ]
