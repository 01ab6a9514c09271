"""A fetch by hand as a user runs it, in this process, from a real git server."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.cli import run_command
from purgatory_sync.testing.git_server import GitServer

from ..git.local_repos import history

STEPS = history(3)
OIDS = [step.oid for step in STEPS]
TIP = OIDS[-1]
ALLOW = ["--hunt-allow-addresses=127.0.0.0/8", "--hunt-min-free-bytes=0"]


@attrs.frozen
class Done:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line of errors; there must be only one from us."""
        told = [line for line in self.err.splitlines() if line.startswith("purgatory-sync: ")]
        assert len(told) == 1, self.err
        assert self.err.endswith(told[0] + "\n")
        return told[0].removeprefix("purgatory-sync: ")


@attrs.frozen
class Scene:
    server: GitServer
    into: Path
    capsys: pytest.CaptureFixture[str]

    async def fetch(self, *oids: str, name: str = "r.git", more: tuple[str, ...] = ()) -> Done:
        arguments = ["fetch", self.server.url(name), *oids, "--into", str(self.into)]
        self.capsys.readouterr()
        given = [flag.partition("=")[0] for flag in more]
        usual = [flag for flag in ALLOW if flag.partition("=")[0] not in given]
        code = await trio.to_thread.run_sync(run_command, [*arguments, *usual, *more])
        captured = self.capsys.readouterr()
        return Done(code, captured.out, captured.err)
