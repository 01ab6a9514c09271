"""Metrics of the process and its machine: version, disk, control group, lag of the event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ...runtime.folders import free_bytes
from ...version import __version__

LOOK_SECS: Final = 1.0
KEPT_SECS: Final = 60.0
_CGROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")


class LoopLag:
    """How late the event loop wakes what is due: the longest delay of the last minute."""

    def __init__(self) -> None:
        self._worst: list[tuple[float, float]] = []

    async def watch(self) -> None:
        """Look every second until cancelled."""
        while True:
            due = trio.current_time() + LOOK_SECS
            await trio.sleep_until(due)
            self.note(trio.current_time(), trio.current_time() - due)

    def note(self, now: float, lag: float) -> None:
        """The loop was so many seconds late; what is older than a minute is forgotten."""
        self._worst = [
            (at, late) for at, late in self._worst if at > now - KEPT_SECS and late > lag
        ]
        self._worst.append((now, lag))

    @property
    def secs(self) -> float:
        """The longest delay of the last minute."""
        return self._worst[0][1] if self._worst else 0.0


@attrs.frozen
class ControlGroup:
    """What the service uses with all its children, as the kernel counts it (cgroup v2).

    `process_*` metrics leave the git children out.
    """

    folder: Path | None

    @classmethod
    def own(cls, membership: Path = _MEMBERSHIP, root: Path = _CGROUPS) -> ControlGroup:
        """That of this process; without a folder where there is none."""
        try:
            lines = membership.read_text().splitlines()
        except OSError:
            return cls(None)
        for line in lines:
            if line.startswith("0::/"):
                folder = root / line.removeprefix("0::/")
                return cls(folder if (folder / "cpu.stat").exists() else None)
        return cls(None)

    def cpu_secs(self) -> float | None:
        """Seconds of the processor since the group was made."""
        for line in self._read("cpu.stat").splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) / 1e6
        return None

    def memory_bytes(self) -> int | None:
        """Bytes of memory now."""
        text = self._read("memory.current").strip()
        return int(text) if text.isdigit() else None

    def _read(self, name: str) -> str:
        try:
            return "" if self.folder is None else (self.folder / name).read_text()
        except OSError:
            return ""


@attrs.frozen(eq=False)
class HostMetrics(Collector):
    """What is read anew at each scrape.

    Attributes:
      git_folder: whose disk is looked at.
      lag: of the event loop.
      offered: offered events by outcome, since the start.
      backups: when the last backup ended, in Unix seconds; empty before there was one.
    """

    git_folder: Path
    lag: LoopLag
    offered: Mapping[str, int]
    backups: Mapping[str, float]
    group: ControlGroup = attrs.field(factory=ControlGroup.own)

    def describe(self) -> list[Metric]:
        """Nothing, so that registering reads nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        build = GaugeMetricFamily("purgatory_build_info", "The program.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily(
            "purgatory_loop_lag_seconds", "Longest delay of the loop in a minute.", self.lag.secs
        )
        events = CounterMetricFamily("purgatory_events", "Offered events.", labels=["result"])
        for outcome, count in self.offered.items():
            events.add_metric([outcome], count)
        yield events
        succeeded = GaugeMetricFamily(
            "purgatory_last_success_timestamp_seconds", "When it last succeeded.", labels=["what"]
        )
        for what, at in self.backups.items():
            succeeded.add_metric([what], at)
        yield succeeded
        with suppress(OSError):
            free = free_bytes(self.git_folder)
            yield GaugeMetricFamily(
                "purgatory_disk_free_bytes", "Free beside the repositories.", free
            )
        if (secs := self.group.cpu_secs()) is not None:
            yield CounterMetricFamily(
                "purgatory_cgroup_cpu_seconds", "Of the service with its children.", secs
            )
        if (used := self.group.memory_bytes()) is not None:
            yield GaugeMetricFamily(
                "purgatory_cgroup_memory_bytes", "Of the service with its children.", used
            )
