"""Child processes: limited before they run, in a group of their own, gone when their caller is."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import attrs
import trio

OUTPUT_BYTES = 64 * 1024
_POLL_MS = 50

# Limits are set by a shell and not between fork and exec: Python code there can deadlock a
# process that has threads. Where a limit cannot be set, a lower one is in force already.
_LIMITED = (
    "ulimit -c 0; ulimit -v {kib} 2>/dev/null; ulimit -f {blocks} 2>/dev/null; "
    "ulimit -H -t {hard_secs} 2>/dev/null; ulimit -S -t {secs} 2>/dev/null; "
    'exec "$@"'
)


@attrs.frozen
class ChildLimits:
    """What one child may use.

    Attributes:
      memory_bytes: address space.
      cpu_secs: processor time; beyond it the child ends by SIGXCPU.
      file_bytes: size of any file that it writes; beyond it the child ends by SIGXFSZ.
    """

    memory_bytes: int
    cpu_secs: int
    file_bytes: int


@attrs.frozen
class ChildResult:
    """How a child ended.

    Attributes:
      returncode: exit code, or the negative number of the signal that ended it.
      stdout: at most the last 64 KiB of it.
      stderr: at most the last 64 KiB of it.
    """

    returncode: int
    stdout: bytes
    stderr: bytes


@attrs.frozen
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same number.

    Attributes:
      pid: its number.
      start_ticks: when it started, in clock ticks since boot; 0 where there is no `/proc`.
    """

    pid: int
    start_ticks: int

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This process."""
        return _identity(os.getpid())

    def is_alive(self) -> bool:
        """Whether that very process runs (judged by its number alone where there is no `/proc`)."""
        if os.path.exists("/proc/self/stat"):
            return _start_ticks(self.pid) == self.start_ticks
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def stop_if_cancelled() -> None:
    """Raise Cancelled in a worker thread whose task was cancelled; call it in long blocking work.

    Does nothing where the work runs in place (`blocking_in_place`) or outside of Trio.
    """
    with contextlib.suppress(RuntimeError):
        trio.from_thread.check_cancelled()


def run_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: IO[bytes] | None,
    scratch: Path,
    limits: ChildLimits,
) -> ChildResult:
    """Run a program to its end; blocking work, to be called through `blocking()`.

    Args:
      command: program and arguments, none of them a stranger's words.
      env: the whole environment of the child.
      stdin: an open file, or None for nothing.
      scratch: a folder for its output while it runs.
      limits: memory in bytes, processor time in seconds, file size in bytes.

    Raises:
      OSError: the program cannot be started.
      trio.Cancelled: the task that waits was cancelled; the child's group is dead by then.

    The child also dies with this process where `setpriv` is installed (Linux); elsewhere it
    ends at its limits.
    """
    with (
        tempfile.TemporaryFile(dir=scratch) as stdout,
        tempfile.TemporaryFile(dir=scratch) as stderr,
    ):
        process = subprocess.Popen(
            [*_limited(limits), *command],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env),
            cwd=scratch,
            start_new_session=True,
        )
        try:
            _wait(process)
        finally:
            _kill_group(process)
        return ChildResult(process.returncode, _tail(stdout), _tail(stderr))


def _limited(limits: ChildLimits) -> list[str]:
    script = _LIMITED.format(
        kib=limits.memory_bytes // 1024,
        blocks=limits.file_bytes // 512 + 1,
        secs=limits.cpu_secs,
        hard_secs=limits.cpu_secs + 5,
    )
    return [*_dying_with_parent(), "/bin/sh", "-c", script, "sh"]


@functools.cache
def _dying_with_parent() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


def _wait(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "pidfd_open"):
        fd = os.pidfd_open(process.pid)
        try:
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            while not poller.poll(_POLL_MS):
                stop_if_cancelled()
        finally:
            os.close(fd)
        process.wait()
        return
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_MS / 1000)
            return
        stop_if_cancelled()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(file: IO[bytes]) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - OUTPUT_BYTES))
    return file.read()


@functools.cache
def _identity(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid, _start_ticks(pid) or 0)


def _start_ticks(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name in brackets and may hold anything.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
