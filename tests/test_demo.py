from __future__ import annotations

import os
import subprocess
import sys

import pytest

from purgatory_sync.demo import __main__ as demo
from purgatory_sync.demo.story import StepFailed, World, expect


@pytest.fixture(autouse=True)
def _logging_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the demo sets up for its own process must not reach other tests."""
    monkeypatch.setattr(demo, "configure_logging", lambda level: None)


@pytest.mark.real
def test_the_demo_ends_well_within_a_minute() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "purgatory_sync.demo"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for part in (
        "held: accepted, on disk, not served",
        "hunting: first request at the git server",
        "released: subscribers are told",
        "git clone: 5 refs and HEAD as signed, 30 commits, git fsck clean",
        "refs/nostr/",
        "SIGKILL",
        "started again: held again, hunted and released",
        "git clone: 4 refs and HEAD as signed, 35 commits, git fsck clean",
        "exit code 0",
        "every step was as it should be",
    ):
        assert part in done.stdout


@pytest.mark.real
def test_a_step_that_differs_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def wrong(world: World) -> None:
        expect(False, "[this] holds")

    monkeypatch.setattr(demo, "tell", wrong)
    assert demo.main() == 1
    assert "✗ this should be so: [this] holds" in capsys.readouterr().out


@pytest.mark.real
def test_too_long_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "MOST_SECS", 0.0)
    assert demo.main() == 1
    assert "the demo took longer than 0 s" in capsys.readouterr().out


def test_without_git_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert demo.main() == 1
    assert "git is not installed" in capsys.readouterr().out


def test_expect() -> None:
    expect(True, "fine")
    with pytest.raises(StepFailed, match="this should be so: two is one"):
        expect(False, "two is one")
