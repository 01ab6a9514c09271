"""The stock git client, and the repositories that the demo is about."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

COMMITS: Final = 30
_START: Final = 1_700_000_000
_BRANCHES: Final = {"refs/heads/next": 20, "refs/heads/fix/crash": 12}
_TAGS: Final = {"refs/tags/v0.1": 10, "refs/tags/v0.2": 25}
_CLIENT_SECS: Final = 30
_WHO: Final = b"Ada <ada@example.org>"


class GitFailed(Exception):
    """A git command that should have succeeded; the message is what it said."""


async def git(*arguments: str | Path, stdin: bytes = b"") -> str:
    """Run the stock client, unmoved by this user's configuration.

    Raises:
      GitFailed: it ended with an error or took too long.
    """
    with trio.move_on_after(_CLIENT_SECS):
        done = await trio.run_process(
            ["git", *map(str, arguments)],
            env=_environment(),
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        if done.returncode:
            raise GitFailed(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode().strip()
    raise GitFailed(f"git {arguments[0]} took longer than {_CLIENT_SECS} s")


async def make_repository(path: Path) -> Mapping[str, str]:
    """A bare repository with 30 commits, three branches and two annotated tags; its refs."""
    await git("init", "-q", "--bare", "-b", "main", path)
    await add_commits(path, "refs/heads/main", 1, COMMITS)
    stream = b""
    for name, number in _BRANCHES.items():
        stream += b"reset %b\nfrom refs/heads/main~%d\n\n" % (name.encode(), COMMITS - number)
    for name, number in _TAGS.items():
        stream += b"tag %b\nfrom refs/heads/main~%d\ntagger %b %d +0000\ndata 8\nReleased\n" % (
            name.removeprefix("refs/tags/").encode(),
            COMMITS - number,
            _WHO,
            _START + number,
        )
    await git("-C", path, "fast-import", "--quiet", stdin=stream)
    return await branches_and_tags(path)


async def make_fork(source: Path, path: Path) -> str:
    """A bare repository with one commit on top of the source's main; the OID of that commit."""
    await git("clone", "-q", "--bare", source, path)
    await add_commits(path, "refs/heads/main", 1000, 1)
    return await git("-C", path, "rev-parse", "refs/heads/main")


async def add_commits(path: Path, ref: str, first: int, count: int) -> None:
    """Add commits to a branch, each with a file that grows and one of its own."""
    stream = b""
    for number in range(first, first + count):
        message, log = b"Change %d" % number, b"line\n" * (number % 100)
        stream += b"commit %b\ncommitter %b %d +0000\n" % (ref.encode(), _WHO, _START + number)
        stream += b"data %d\n%b\n" % (len(message), message)
        if number == first and number > 1:
            stream += b"from %b^0\n" % ref.encode()
        stream += b"M 100644 inline log.txt\ndata %d\n%b\n" % (len(log), log)
        stream += b"M 100644 inline src/part%d.txt\ndata %d\n%b\n" % (number, len(message), message)
    await git("-C", path, "fast-import", "--quiet", stdin=stream)


async def branches_and_tags(path: Path) -> Mapping[str, str]:
    """Ref → OID of a local repository's branches and tags."""
    listed = await git(
        "-C", path, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags"
    )
    return dict(line.split(" ", 1) for line in listed.splitlines())


def git_version() -> str | None:
    """What `git --version` says; None when git is not installed."""
    try:
        done = subprocess.run(["git", "--version"], check=False, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
