from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.runtime.blocking import blocking
from purgatory_sync.runtime.children import (
    OUTPUT_BYTES,
    PIPE,
    Child,
    ChildEnded,
    ChildLimits,
    ChildResult,
    ProcessIdentity,
    run_child,
    stop_if_cancelled,
)

LIMITS = ChildLimits(memory_bytes=1 << 30, cpu_secs=10, file_bytes=1 << 20)
ENV = {"PATH": os.defpath}


def run(script: str, scratch: Path, limits: ChildLimits = LIMITS) -> ChildResult:
    return run_child(["/bin/sh", "-c", script], env=ENV, stdin=None, scratch=scratch, limits=limits)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def test_this_process_is_alive_and_no_other_of_its_number() -> None:
    me = ProcessIdentity.current()
    assert me.pid == os.getpid()
    assert me.is_alive()
    assert not attrs.evolve(me, pid=2**22 + 1).is_alive()
    if me.start_ticks:
        assert not attrs.evolve(me, start_ticks=me.start_ticks + 1).is_alive()


def test_stopping_where_nothing_can_be_cancelled() -> None:
    stop_if_cancelled()


async def test_long_work_ends_when_its_task_is_cancelled() -> None:
    begun = threading.Event()
    scope = trio.CancelScope()
    token = trio.lowlevel.current_trio_token()

    def work() -> None:
        begun.set()
        token.run_sync_soon(scope.cancel)
        while True:
            stop_if_cancelled()

    with scope:
        await blocking(trio.CapacityLimiter(1), work)
    assert begun.is_set()
    assert scope.cancelled_caught


@pytest.mark.real
@pytest.mark.gitless
def test_output_and_exit_code(tmp_path: Path) -> None:
    result = run("echo out; echo err >&2; exit 3", tmp_path)
    assert result == ChildResult(3, b"out\n", b"err\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.real
@pytest.mark.gitless
def test_input_environment_and_folder(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"input")
    with (tmp_path / "in").open("rb") as file:
        result = run_child(
            ["/bin/sh", "-c", "cat; pwd; echo $X; echo $HOME"],
            env={**ENV, "X": "y"},
            stdin=file,
            scratch=tmp_path,
            limits=LIMITS,
        )
    assert result.stdout == b"input%s\ny\n\n" % os.fsencode(tmp_path)


@pytest.mark.real
@pytest.mark.gitless
def test_only_the_end_of_much_output_is_kept(tmp_path: Path) -> None:
    result = run("i=0; while [ $i -lt 20000 ]; do echo $i-line; i=$((i+1)); done", tmp_path)
    assert len(result.stdout) == OUTPUT_BYTES
    assert result.stdout.endswith(b"19999-line\n")


@pytest.mark.real
@pytest.mark.gitless
def test_arguments_are_not_read_by_a_shell(tmp_path: Path) -> None:
    strange = "$(touch x); 'a' \"b\" *"
    result = run_child(["/bin/echo", strange], env=ENV, stdin=None, scratch=tmp_path, limits=LIMITS)
    assert result.stdout.decode() == f"{strange}\n"


@pytest.mark.real
@pytest.mark.gitless
def test_limits_hold(tmp_path: Path) -> None:
    files = run("head -c 3000000 /dev/zero > file", tmp_path)
    assert files.returncode in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
    assert (tmp_path / "file").stat().st_size <= (1 << 20) + 512
    tight = attrs.evolve(LIMITS, cpu_secs=1)
    assert run("while :; do :; done", tmp_path, tight).returncode == -signal.SIGXCPU
    python = "import sys; bytearray(1 << 31)"
    result = run(f"exec {sys.executable} -c '{python}'", tmp_path)
    assert result.returncode == 1
    assert b"MemoryError" in result.stderr


@pytest.mark.real
@pytest.mark.gitless
def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    result = run_child(
        ["/nonexistent/program"], env=ENV, stdin=None, scratch=tmp_path, limits=LIMITS
    )
    assert result.returncode == 127


@pytest.mark.real
@pytest.mark.gitless
async def test_cancelling_kills_the_whole_group(tmp_path: Path) -> None:
    script = (
        f"sleep 1000 & echo $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; wait"
    )

    async def wait_for_it() -> None:
        await blocking(trio.CapacityLimiter(1), run, script, tmp_path, LIMITS)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_it)
        with trio.fail_after(10):
            while not (tmp_path / "pid").exists():  # noqa: ASYNC110 - a process makes it
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    pid = int((tmp_path / "pid").read_text())
    with trio.fail_after(10):
        while state_of(pid) not in ("gone", "Z"):  # noqa: ASYNC110 - init reaps it
            await trio.sleep(0.005)


PARENT = """
import pathlib, sys
from purgatory_sync.runtime.children import ChildLimits, run_child
scratch = pathlib.Path(sys.argv[1])
limits = ChildLimits(1 << 30, 10, 1 << 20)
run_child(["/bin/sh", "-c", "echo $$ > pid.new; mv pid.new pid; exec sleep 1000"],
          env={"PATH": "/usr/bin:/bin"}, stdin=None, scratch=scratch, limits=limits)
"""


@pytest.mark.real
@pytest.mark.gitless
@pytest.mark.skipif(sys.platform != "linux", reason="setpriv is of Linux")
async def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])  # noqa: ASYNC220
    with trio.fail_after(20):
        while not (tmp_path / "pid").exists():  # noqa: ASYNC110 - a process makes it
            await trio.sleep(0.005)
    parent.kill()
    parent.wait()
    pid = int((tmp_path / "pid").read_text())
    with trio.fail_after(10):
        while state_of(pid) not in ("gone", "Z"):  # noqa: ASYNC110 - init reaps it
            await trio.sleep(0.005)


@contextmanager
def started(script: str, scratch: Path, limits: ChildLimits = LIMITS) -> Iterator[Child]:
    command = ["/bin/sh", "-c", script]
    child = Child(command, env=ENV, stdin=PIPE, scratch=scratch, limits=limits)
    try:
        yield child
    finally:
        child.kill()
        child.kill()
    assert state_of(child.pid) == "gone"


@pytest.mark.real
@pytest.mark.gitless
def test_feeding(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    with started("cat > copy", tmp_path, attrs.evolve(LIMITS, file_bytes=4 << 20)) as child:
        for at in range(0, len(data), 1 << 20):
            child.feed(data[at : at + (1 << 20)])
        assert child.wait() == ChildResult(0, b"", b"")
    assert (tmp_path / "copy").read_bytes() == data


@pytest.mark.real
@pytest.mark.gitless
def test_feeding_one_that_ended(tmp_path: Path) -> None:
    with started("echo gone; exit 4", tmp_path) as child:
        with pytest.raises(ChildEnded):
            child.feed(bytes(64 << 20))
        assert child.wait() == ChildResult(4, b"gone\n", b"")


@pytest.mark.real
@pytest.mark.gitless
async def test_feeding_one_that_does_not_read_is_cancelled(tmp_path: Path) -> None:
    with started("sleep 1000", tmp_path) as child, trio.move_on_after(0.1) as scope:
        await blocking(trio.CapacityLimiter(1), child.feed, bytes(8 << 20))
    assert scope.cancelled_caught


@pytest.mark.real
@pytest.mark.gitless
def test_one_that_cannot_be_fed(tmp_path: Path) -> None:
    child = Child(["/bin/true"], env=ENV, stdin=None, scratch=tmp_path, limits=LIMITS)
    with pytest.raises(ValueError, match="PIPE"):
        child.feed(b"x")
    child.kill()


@pytest.mark.real
@pytest.mark.gitless
@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is of Linux")
async def test_limits_can_become_tighter_but_not_looser(tmp_path: Path) -> None:
    tight = ChildLimits(memory_bytes=1 << 28, cpu_secs=7, file_bytes=512 * 100)
    loose = ChildLimits(memory_bytes=1 << 34, cpu_secs=700, file_bytes=512 << 20)
    script = "> ready; read line; ulimit -v; ulimit -t; ulimit -f"
    for limits, expected in ((tight, [1 << 18, 7, 100]), (loose, [1 << 20, 15, 2049])):
        with started(script, tmp_path) as child:
            with trio.fail_after(10):
                while not (tmp_path / "ready").exists():  # noqa: ASYNC110 - the child makes it
                    await trio.sleep(0.005)
            (tmp_path / "ready").unlink()
            child.tighten(limits)
            child.feed(b"go\n")
            assert [int(word) for word in child.wait().stdout.split()] == expected
    child.tighten(tight)


@pytest.mark.real
@pytest.mark.gitless
def test_what_is_watched_ends_the_wait(tmp_path: Path) -> None:
    looks: list[int] = []

    def watch() -> None:
        looks.append(len(looks))
        if len(looks) == 3:
            raise OSError("enough")

    with pytest.raises(OSError, match="enough"):
        run_child(
            ["/bin/sleep", "1000"],
            env=ENV,
            stdin=None,
            scratch=tmp_path,
            limits=LIMITS,
            watch=watch,
        )
    assert looks == [0, 1, 2]
