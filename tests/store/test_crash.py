"""A crash at any moment leaves all of a change or nothing, and all of what was answered."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.store.opening import DATABASE, open_store
from purgatory_sync.store.protocol import Change, Journal
from purgatory_sync.testing.events import note

from .support import BOB, everything

FILES = (DATABASE, f"{DATABASE}-wal")


async def contents(folder: Path) -> tuple[Journal, list[Event]]:
    async with aclosing(await open_store(folder)) as store:
        return await store.load(), await store.query([Filter()], 100)


async def test_all_of_a_change_or_nothing(tmp_path: Path) -> None:
    """The files are copied before every statement: what a kill at that moment would leave."""
    folder = tmp_path / "live"
    copies: list[Path] = []

    def copy(_: str) -> None:
        copies.append(tmp_path / f"copy{len(copies)}")
        copies[-1].mkdir()
        for name in FILES:
            shutil.copy(folder / name, copies[-1])

    async with aclosing(await open_store(folder)) as store:
        await store.apply(Change(save=[note(BOB, "before")]))
        before = await store.load(), await store.query([Filter()], 100)
        # A small cache makes SQLite write pages of the change long before its commit.
        store._connection.execute("PRAGMA cache_size = 2")
        store._connection.set_trace_callback(copy)
        await store.apply(everything("x" * 40_000))
        store._connection.set_trace_callback(None)
        copy("after")
        after = await store.load(), await store.query([Filter()], 100)

    assert len(copies) > 20
    sizes = [(path / FILES[1]).stat().st_size for path in copies]
    assert sizes[0] < sizes[-2], "no page of the change was on disk before its commit"
    left = [await contents(path) for path in copies]
    assert all(each in (before, after) for each in left)
    assert left[-1] == after
    assert left.count(after) == 1


WRITER = """
import sys, trio
from pathlib import Path
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import Change, HeldRow
from purgatory_sync.testing.events import Author, state

async def offer(store, number):
    author = Author.from_seed(number)
    for count in range(10**9):
        event = state(author, f"{sys.argv[2]} {count}", {"refs/heads/main": "a" * 40})
        await store.apply(Change(hold=[HeldRow(event, "state", "user", float(count))]))
        sys.stdout.write(event.id + "\\n")
        sys.stdout.flush()

async def main():
    store = await open_store(Path(sys.argv[1]))
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(offer, store, number)

trio.run(main)
"""


@pytest.mark.real
def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    moment = random.Random(9)
    answered: set[str] = set()
    for life in range(5):
        answered |= ids_of_one_life(tmp_path, life, moment.uniform(0.01, 0.25))
        journal, _ = trio.run(contents, tmp_path)
        assert answered <= {row.event.id for row in journal.held}
    assert len(answered) > 50


def ids_of_one_life(folder: Path, life: int, seconds: float) -> set[str]:
    """What a writer that is killed after some seconds said was on disk."""
    command = [sys.executable, "-c", WRITER, str(folder), str(life)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        time.sleep(seconds)
        child.kill()
        lines += child.stdout.readlines()
    assert child.returncode == -9
    # The kill may have cut the last line short.
    told = {line.decode().strip() for line in lines if line.endswith(b"\n")}
    assert told
    return told
