"""Real repositories, a served GitEndpoint and the stock git client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.nostr.keys import encode_npub

from ..support import Served, served

NPUB = encode_npub("3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d")

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_{who}_DATE": "1700000000 +0000" for who in ("AUTHOR", "COMMITTER")},
}


def git(*arguments: str | Path, stdin: bytes = b"") -> str:
    """Run git here and now; for making repositories."""
    result = subprocess.run(
        ["git", *map(str, arguments)], env=ENVIRONMENT, input=stdin, capture_output=True, check=True
    )
    return result.stdout.decode().strip()


def make_repository(path: Path) -> list[str]:
    """A bare repository with three commits on main and a tag; returns the commits, oldest first."""
    git("init", "-q", "--bare", "-b", "main", path)
    stream = b""
    for number in range(1, 4):
        stream += b"commit refs/heads/main\nmark :%d\n" % number
        stream += b"committer a <a> %d +0000\ndata 1\n%d\n" % (1700000000 + number, number)
        stream += b"M 100644 inline file%d\ndata 6\nhello\n\n" % number
    stream += b"reset refs/tags/v1\nfrom :1\n\n"
    git("-C", path, "fast-import", "--quiet", stdin=stream)
    return git("-C", path, "rev-list", "--reverse", "main").split()


@attrs.frozen
class GitServed:
    """A listener that serves the repositories of a folder."""

    place: Served
    folder: Path

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.place.port}/{NPUB}/{name}"

    async def client(self, *arguments: str | Path) -> str:
        """Run the stock client; raises CalledProcessError with stderr when it fails."""
        with trio.fail_after(30):
            result = await trio.run_process(
                ["git", *map(str, arguments)],
                env=ENVIRONMENT,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        if result.returncode:
            raise subprocess.CalledProcessError(
                result.returncode, arguments, stderr=result.stderr.decode()
            )
        return result.stdout.decode().strip()


@asynccontextmanager
async def git_served(
    folder: Path, max_processes: int = 4, *, max_secs: float = 600, least_pace: int = 1
) -> AsyncIterator[GitServed]:
    """Serve `<folder>/<identifier>.git` over real sockets."""

    async def resolve(npub: str, identifier: str) -> Path | None:
        path = folder / f"{identifier}.git"
        return path if npub == NPUB and path.is_dir() else None

    routes = GitEndpoint(resolve, max_processes, max_secs=max_secs, least_pace=least_pace)

    async def http(exchange: Exchange) -> None:
        if not await routes.answer(exchange):
            await exchange.respond(404)

    async with served(http, real=True) as place:
        yield GitServed(place, folder)
