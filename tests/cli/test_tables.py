"""What is listed on a terminal is a table that fits it, and nothing else than what is there."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from purgatory_sync.cli.output.tables import (
    LEAST_WIDTH,
    deleted_table,
    prs_table,
    repositories_table,
)
from purgatory_sync.engine.keeping.caretaker import ListedDeleted, ListedRepository
from purgatory_sync.engine.keeping.prs_keeping import ListedPrs, ListedRef
from purgatory_sync.errors import ResultClass
from purgatory_sync.testing.events import Author

from ..world import NOW
from .test_keeping import node, run

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)


def drawn(table: RenderableType, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


REPOSITORY = ListedRepository(
    *(ALICE.npub, "r", True, True, "served"),
    refs=3,
    size=5 << 20,
    state_at=NOW - 7200,
    pushed_at=NOW - 60,
    hunted_at=NOW - 300,
    hunt_result=ResultClass.RATE_LIMITED,
)


def test_b_13_17_repositories_are_a_table_for_each_owner() -> None:
    other = ListedRepository(
        *(BOB.npub, "ü \x1b[31mx", False, False, "none"), problem="broken\x1b", lags="refs"
    )
    lines = drawn(repositories_table([REPOSITORY, other], NOW))
    assert lines[0] == ALICE.npub
    assert lines[1] == "repository standing refs size state last push last hunt"
    assert lines[3].startswith("r served 3 5.0 MiB 2 h ago 1 min ago 5 min ago:")
    assert BOB.npub in lines
    assert any(line.startswith("ü \ufffd[31mx not announced, adopted 0 0 bytes") for line in lines)
    assert "ü \ufffd[31mx: lags: refs" in lines
    assert "ü \ufffd[31mx: broken\ufffd" in lines
    assert lines[-1] == "2 repositories: 1 served, 1 adopted"


@pytest.mark.parametrize("width", [LEAST_WIDTH, 120, 200])
def test_b_13_17_a_table_fits_the_terminal_and_cuts_nothing_off(width: int) -> None:
    long = "é" * 200
    adopted = ListedRepository(ALICE.npub, long, False, True, "none", refs=1000, size=1023 << 30)
    lines = drawn(repositories_table([REPOSITORY, adopted], NOW), width)
    told = " ".join(lines)
    for word in ("5 min ago", "limited us", "not announced", "adopted", "1023.0 GiB", "1000"):
        assert word in told, word
    assert "…" not in told
    assert told.count("é") == 200


def test_b_13_17_nothing_is_a_line() -> None:
    assert drawn(repositories_table([], NOW)) == ["0 repositories: 0 served, 0 adopted"]
    assert drawn(deleted_table([], NOW)) == ["0 deleted repositories are kept"]
    assert drawn(prs_table([], NOW)) == ["0 repositories below /prs/: 0 bytes"]


def test_b_13_17_deleted_ones_say_when_they_leave() -> None:
    day = 86_400
    listed = [
        ListedDeleted(ALICE.npub, "a", NOW - day, NOW + 2 * day, 2048),
        ListedDeleted(BOB.npub, "b", NOW - day, None, 0),
        ListedDeleted(ALICE.npub, "c", NOW, NOW + day, 0),
    ]
    lines = drawn(deleted_table(listed, NOW))
    assert [line for line in lines if line.startswith("npub1")] == [ALICE.npub, BOB.npub]
    assert "a 2.0 KiB 1 d ago in 2 d" in lines
    assert "b 0 bytes 1 d ago by no time" in lines


def test_b_13_17_below_prs_refs_are_counted_by_standing() -> None:
    refs = (
        ListedRef("refs/nostr/1", "1" * 40, "served", NOW - 600),
        ListedRef("refs/nostr/2", "1" * 40, "served", NOW - 700),
        ListedRef("refs/nostr/3", "1" * 40, "waiting", NOW - 900, NOW + 300),
    )
    lines = drawn(prs_table([ListedPrs(ALICE.npub, "r", 1024, refs, "damaged")], NOW))
    assert "r 1.0 KiB 2 1 10 min ago" in lines
    assert "r: damaged" in lines


@pytest.mark.real
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("width", [LEAST_WIDTH - 1, LEAST_WIDTH])
async def test_b_13_17_a_terminal_gets_the_table_and_a_pipe_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    async with node(tmp_path):
        pass
    capsys.readouterr()
    assert await run(tmp_path, "list") == 0
    assert "last push" not in capsys.readouterr().out
    ours, theirs = pty.openpty()
    paths = [f"--relay-data-path={tmp_path}/relay", f"--git-data-path={tmp_path}/git"]
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    command = [sys.executable, "-m", "purgatory_sync", "list", *paths]
    child = subprocess.Popen(  # noqa: ASYNC220
        command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 4096):
            said += piece
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    assert child.wait() == 0
    assert (b"last push" in said) is (width >= LEAST_WIDTH)
    assert ALICE.npub.encode() in said
