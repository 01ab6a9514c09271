"""Child processes: limited before they run, in a group of their own, gone when their caller is."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import attrs
import trio

OUTPUT_BYTES = 64 * 1024
PIPE = subprocess.PIPE
_POLL_MS = 50
_PIPE_BYTES = 1 << 20
_HARD_CPU_SECS = 5

# Limits are set by a shell and not between fork and exec: Python code there can deadlock a
# process that has threads. Where a limit cannot be set, a lower one is in force already.
_LIMITED = (
    "ulimit -c 0; ulimit -v {kib} 2>/dev/null; ulimit -f {blocks} 2>/dev/null; "
    "ulimit -S -t {secs} 2>/dev/null; ulimit -H -t {hard_secs} 2>/dev/null; "
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
      stdout: at most the last 64 KiB of it, or what the caller said.
      stderr: likewise.
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


class ChildEnded(Exception):
    """A child does not read any more; `Child.wait` tells how it ended."""


class Child:
    """A program at work, within limits and in a process group of its own.

    It also dies with this process where `setpriv` is installed (Linux), and there with the
    *thread* that made it: make it in a thread that outlives it. Elsewhere it ends at its limits.

    Args:
      command: program and arguments, none of them a stranger's words.
      env: the whole environment of the child.
      stdin: an open file, PIPE to use `feed`, or None for nothing.
      scratch: a folder for its output while it runs, which it also runs in.
      limits: memory in bytes, processor time in seconds, file size in bytes.
      output_bytes: how much of the end of each output is kept.

    Raises OSError when it cannot be started.

    All methods block, one at a time, in any thread. `kill` must be called in every case.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: IO[bytes] | int | None,
        scratch: Path,
        limits: ChildLimits,
        output_bytes: int = OUTPUT_BYTES,
    ) -> None:
        self._output_bytes = output_bytes
        with contextlib.ExitStack() as stack:
            self._stdout = stack.enter_context(tempfile.TemporaryFile(dir=scratch))
            self._stderr = stack.enter_context(tempfile.TemporaryFile(dir=scratch))
            self._process = subprocess.Popen(
                [*_limited(limits), *command],
                bufsize=0,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=self._stdout,
                stderr=self._stderr,
                env=dict(env),
                cwd=scratch,
                start_new_session=True,
            )
            self._files = stack.pop_all()
        if self._process.stdin is not None:
            _enlarge(self._process.stdin)
            os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""
        return self._process.pid

    def feed(self, data: bytes) -> None:
        """Give it more to read, all of it.

        Raises:
          ChildEnded: it reads no more.
          trio.Cancelled: the task that waits was cancelled.
        """
        pipe = self._process.stdin
        if pipe is None:
            raise ValueError("the child was not started with PIPE")
        poller = select.poll()
        poller.register(pipe, select.POLLOUT)
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(pipe.fileno(), view) :]
            except BlockingIOError:
                poller.poll(_POLL_MS)
                stop_if_cancelled()
            except BrokenPipeError as error:
                raise ChildEnded from error

    def tighten(self, limits: ChildLimits) -> None:
        """Lower its limits, now that more is known of its work; without effect off Linux."""
        if not hasattr(resource, "prlimit"):
            return
        for kind, soft, hard in (
            (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
            (resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
            (resource.RLIMIT_CPU, limits.cpu_secs, limits.cpu_secs + _HARD_CPU_SECS),
        ):
            with contextlib.suppress(ProcessLookupError):
                _, most = resource.prlimit(self.pid, kind)
                bounds = (soft, hard) if most == resource.RLIM_INFINITY else (soft, min(hard, most))
                resource.prlimit(self.pid, kind, (min(bounds), bounds[1]))

    def wait(self, watch: Callable[[], None] | None = None) -> ChildResult:
        """Wait for its end; what it reads is over.

        Args:
          watch: called again and again while it runs; what it raises is raised.

        Raises:
          trio.Cancelled: the task that waits was cancelled.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        _wait(self._process, watch)
        out, err = (_tail(each, self._output_bytes) for each in (self._stdout, self._stderr))
        return ChildResult(self._process.returncode, out, err)

    def kill(self) -> None:
        """End the whole group, if it runs, and give back all files; nothing to do a second time."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._files.close()


def run_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: IO[bytes] | None,
    scratch: Path,
    limits: ChildLimits,
    watch: Callable[[], None] | None = None,
) -> ChildResult:
    """Run a program to its end; blocking work, to be called through `blocking()`.

    Arguments are those of `Child` and `Child.wait`; the child's group is dead in the end, in
    every case.

    Raises:
      OSError: the program cannot be started.
      trio.Cancelled: the task that waits was cancelled.
    """
    child = Child(command, env=env, stdin=stdin, scratch=scratch, limits=limits)
    try:
        return child.wait(watch)
    finally:
        child.kill()


def _limited(limits: ChildLimits) -> list[str]:
    script = _LIMITED.format(
        kib=limits.memory_bytes // 1024,
        blocks=limits.file_bytes // 512 + 1,
        secs=limits.cpu_secs,
        hard_secs=limits.cpu_secs + _HARD_CPU_SECS,
    )
    return [*_dying_with_parent(), "/bin/sh", "-c", script, "sh"]


@functools.cache
def _dying_with_parent() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


def _wait(process: subprocess.Popen[bytes], watch: Callable[[], None] | None) -> None:
    fd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
    try:
        while not _has_ended(process, fd):
            stop_if_cancelled()
            if watch is not None:
                watch()
    finally:
        if fd is not None:
            os.close(fd)


def _has_ended(process: subprocess.Popen[bytes], fd: int | None) -> bool:
    """Wait for a moment; whether the child ended within it."""
    if fd is not None:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        if not poller.poll(_POLL_MS):
            return False
        process.wait()
        return True
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_POLL_MS / 1000)
        return True
    return False


def _enlarge(pipe: IO[bytes]) -> None:
    """Fewer wake-ups; where it cannot be had, the usual size does."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _tail(file: IO[bytes], most: int) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most))
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
