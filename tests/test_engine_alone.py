"""The engine needs nothing of the extra `node`; `.ci/run` sees it where that is not installed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from purgatory_sync import cli

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "engine_alone.py"

pytestmark = pytest.mark.tree


def test_the_engine_runs_and_is_silent_where_the_extra_is_missing() -> None:
    command = [sys.executable, str(SCRIPT), "--blocked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_extra_is_what_the_program_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {re.split(r"[<>=]", each)[0] for each in project["optional-dependencies"]["node"]}
    assert {each.replace("-", "_") for each in extra} == set(cli._EXTRA)
    (named,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(SCRIPT.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTRA"
    )
    assert named == cli._EXTRA


def test_the_lock_of_the_engine_is_part_of_that_of_the_node() -> None:
    engine, node = (
        set((ROOT / "requirements" / name).read_text().splitlines())
        for name in ("engine.txt", "run.txt")
    )
    assert engine < node


def test_another_missing_module_is_a_bug_and_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError):
        cli.exit_without_extra(ModuleNotFoundError("x", name="purgatory_sync.nothing"))
    with pytest.raises(SystemExit, match=r"rich is not installed.*purgatory-sync\[node\]"):
        cli.exit_without_extra(ModuleNotFoundError("x", name="rich.console"))
