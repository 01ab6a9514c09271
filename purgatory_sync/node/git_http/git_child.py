"""Git's own program as a child that cannot outlive its connection."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

import trio

from ...runtime.logger import get_logger
from .request_body import RefusedRequest

STDERR_BYTES = 2048

log = get_logger(__name__)

# Nothing of the operator's or the machine's configuration changes what git serves; repositories
# that another user owns are served all the same (they are ours by configuration).
_CONFIG = {
    "safe.directory": "*",
    "uploadpack.allowTipSHA1InWant": "true",
    "uploadpack.allowReachableSHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "pack.threads": "1",
    # Ten objects wait in memory to become deltas: of 512 MiB each they would be 5 GiB for a clone.
    "core.bigFileThreshold": "16m",
    "pack.windowMemory": "64m",
    "pack.deltaCacheSize": "64m",
}


def git_environment(protocol: str | None, *, unborn: bool = False) -> dict[str, str]:
    """The whole environment of a serving child.

    Args:
      protocol: GIT_PROTOCOL, already judged; None leaves it out (v0).
      unborn: whether git tells clients of v2 of a HEAD that names no branch yet.
    """
    config = {**_CONFIG, "lsrefs.unborn": "advertise" if unborn else "ignore"}
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    for number, (key, value) in enumerate(config.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    if protocol is not None:
        environment["GIT_PROTOCOL"] = protocol
    return environment


class GitChild:
    """A running child: write to `stdin`, read from `stdout`.

    Attributes:
      stderr: the first 2 KiB of what it complains about.
    """

    def __init__(self, process: trio.Process) -> None:
        self.stdin = cast(trio.abc.SendStream, process.stdin)
        self.stdout = cast(trio.abc.ReceiveStream, process.stdout)
        self.stderr = b""
        self._complaints = cast(trio.abc.ReceiveStream, process.stderr)
        self._process = process

    async def wait(self) -> int:
        """Its exit code; negative when a signal ended it."""
        return await self._process.wait()

    async def keep_stderr(self) -> None:
        """Read what it complains about, so that it never waits for a reader."""
        async for piece in self._complaints:
            self.stderr += bytes(piece)[: STDERR_BYTES - len(self.stderr)]


@asynccontextmanager
async def git_child(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[GitChild]:
    """Run `git` in a process group of its own; at the end of the block the whole group is dead.

    Args:
      arguments: after `git`.
      environment: the child's whole environment.

    Raises:
      RefusedRequest: there is no git, or no process can be made (503).
    """
    try:
        process = await trio.lowlevel.open_process(
            ["git", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        log.warning("git cannot be started", error=str(error))
        raise RefusedRequest(503, "git cannot be started here now: try again later") from error
    try:
        async with trio.open_nursery() as nursery:
            child = GitChild(process)
            nursery.start_soon(child.keep_stderr)
            yield child
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            _kill_group(process)
            await process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    await pipe.aclose()


def _kill_group(process: trio.Process) -> None:
    # The group can hold grandchildren (pack-objects) after its leader has ended.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
