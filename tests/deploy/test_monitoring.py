"""Dashboard and alarms name metrics that exist, and promtool understands the alarms."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from purgatory_sync.errors import ResultClass
from purgatory_sync.node.operator.host_metrics import ControlGroup, HostMetrics, LoopLag
from purgatory_sync.node.operator.metrics import DomainMetrics, Metrics, MetricsSnapshot

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
METRIC: Final = re.compile(r"\b(?:purgatory|process)_[a-z_]+\b")


def rendered(folder: Path) -> str:
    """Every metric of a node, with a value each."""
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "memory.current").write_text("4096\n")
    snapshot = MetricsSnapshot(
        attempts={ResultClass.SUCCESS.value: 1},
        held={"state": 1},
        released={"state": 1},
        states_refused={"invited": 1},
        unruled={"circle": 1},
        domains=[DomainMetrics("git.example", 1, 1, 1)],
        pushes={"broken": 1},
        relays={"connected": 1, "lost": 1},
        relay_events={"taken": 1},
        verify_findings={"ref": 1},
    )
    host = HostMetrics(folder, LoopLag(), {"held": 1}, {"backup": 1.0}, ControlGroup(folder))
    return Metrics(lambda: snapshot, [host]).render().decode()


def names(text: str) -> set[str]:
    return set(METRIC.findall(text))


def existing(folder: Path) -> set[str]:
    lines = [line for line in rendered(folder).splitlines() if not line.startswith("#")]
    return {re.split(r"[{ ]", line)[0] for line in lines}


def expressions() -> dict[str, str]:
    """By panel or file, what is asked of Prometheus."""
    board = json.loads((DEPLOY / "grafana.json").read_text())
    asked = {
        panel["title"]: target["expr"] for panel in board["panels"] for target in panel["targets"]
    }
    rules = (DEPLOY / "alerts.yml").read_text()
    return {**asked, "alerts.yml": "\n".join(re.findall(r"(?s)expr:(.*?)(?:for|labels):", rules))}


def test_every_metric_that_dashboard_and_alarms_name_exists(tmp_path: Path) -> None:
    there = existing(tmp_path)
    for where, asked in expressions().items():
        assert names(asked), where
        assert names(asked) <= there, where


def test_a_control_group_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    lines = rendered(tmp_path).splitlines()
    assert "purgatory_cgroup_cpu_seconds_total 1.5" in lines
    assert "purgatory_cgroup_memory_bytes 4096.0" in lines
    membership = tmp_path / "cgroup"
    membership.write_text("0::/system.slice/x.service\n")
    assert ControlGroup.own(membership, tmp_path) == ControlGroup(None)
    (tmp_path / "system.slice/x.service").mkdir(parents=True)
    (tmp_path / "system.slice/x.service/cpu.stat").write_text("usage_usec 1\n")
    assert ControlGroup.own(membership, tmp_path).cpu_secs() == 1e-6
    assert ControlGroup.own(tmp_path / "none", tmp_path) == ControlGroup(None)
    assert ControlGroup(None).cpu_secs() is None
    assert ControlGroup(None).memory_bytes() is None


def test_the_lag_is_the_worst_of_the_last_minute() -> None:
    lag = LoopLag()
    assert lag.secs == 0.0
    for now, late in ((1.0, 0.2), (2.0, 0.5), (3.0, 0.1)):
        lag.note(now, late)
    assert lag.secs == 0.5
    lag.note(62.0, 0.0)
    assert lag.secs == 0.1
    lag.note(200.0, 0.0)
    assert lag.secs == 0.0


@pytest.mark.tree
@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool is installed")
def test_promtool_takes_the_alarms() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", DEPLOY / "alerts.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 rules found" in done.stdout
