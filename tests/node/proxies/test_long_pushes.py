"""Real clients push to a judge that takes longer than a proxy waits (B 13.4)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from trio import to_thread

from purgatory_sync.errors import PushRefused
from purgatory_sync.node.git_http.receive_pack_http import GitPush
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.http.exchange import Exchange

from ..git_http.git_support import ENVIRONMENT, git
from ..git_http.test_isomorphic import HERE, INSTALLED
from ..git_http.test_keep_alive import NPUB, SlowJudge
from ..git_http.test_other_clients import Dulwich, Libgit2
from ..support import served
from .proxy_support import proxy

pytestmark = pytest.mark.real
# By hand: 30 s of judging behind a proxy that waits 10 s.
JUDGE_SECS = float(os.environ.get("LONG_PUSH_SECS", "1.5"))
PROXY_SECS, EVERY_SECS = JUDGE_SECS / 3, JUDGE_SECS / 10
REASON = "no signed state names this commit"


async def _nothing_here(npub: str, identifier: str) -> Path | None:
    return None


@asynccontextmanager
async def judge_behind_nginx(
    folder: Path, end: Exception | None, every_secs: float = EVERY_SECS
) -> AsyncIterator[str]:
    """The URL of a repository whose pushes are judged for long."""
    judge = SlowJudge(JUDGE_SECS, end)
    http = GitEndpoint(_nothing_here, 1, GitPush(judge, 1 << 20, keepalive_secs=every_secs))

    async def answer(exchange: Exchange) -> None:
        if exchange.method == "OPTIONS":
            await exchange.respond(204)
        else:
            assert await http.answer(exchange)

    patience = f"{round(PROXY_SECS * 1000)}ms"
    async with (
        served(answer, real=True) as place,
        proxy(
            "nginx", folder / "nginx", f"127.0.0.1:{place.port}", proxy_read_timeout=patience
        ) as address,
    ):
        yield f"http://{address}/{NPUB}/repo.git"


def tree_in(folder: Path) -> Path:
    tree = folder / "tree"
    git("init", "-q", "-b", "main", tree)
    (tree / "a").write_text("a\n")
    git("-C", tree, "add", "-A")
    git("-C", tree, "commit", "-q", "-m", "a")
    return tree


def _git(tree: Path, url: str) -> None:
    git("-C", tree, "push", url, "main")


def _isomorphic(tree: Path, url: str) -> None:
    if shutil.which("node") is None or not (INSTALLED / "node_modules/isomorphic-git").is_dir():
        pytest.skip("isomorphic-git is not installed (make .venv/isomorphic.made)")
    ref = "refs/heads/main"
    steps = [("push", {"dir": str(tree), "url": url, "ref": ref, "remoteRef": ref})]
    done = subprocess.run(
        ["node", str(HERE / "client.mjs"), str(INSTALLED), json.dumps(steps)],
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    )
    said = json.loads(done.stdout)
    if said["error"] is not None:
        raise RuntimeError(said["error"])


CLIENTS = [
    pytest.param(_git, id="git"),
    pytest.param(lambda tree, url: Libgit2().push(tree, url, "refs/heads/main"), id="libgit2"),
    pytest.param(lambda tree, url: Dulwich().push(tree, url, "refs/heads/main"), id="dulwich"),
    pytest.param(_isomorphic, id="isomorphic-git"),
]


@pytest.mark.parametrize("client", CLIENTS)
async def test_b_13_4_a_push_outlives_the_patience_of_a_proxy(
    tmp_path: Path, client: Callable[[Path, str], None]
) -> None:
    tree = tree_in(tmp_path)
    async with judge_behind_nginx(tmp_path, None) as url:
        await to_thread.run_sync(client, tree, url)


@pytest.mark.parametrize("client", CLIENTS)
async def test_b_13_4_a_push_that_is_refused_after_long_ends_with_an_error(
    tmp_path: Path, client: Callable[[Path, str], None], request: pytest.FixtureRequest
) -> None:
    tree = tree_in(tmp_path)
    async with judge_behind_nginx(tmp_path, PushRefused(REASON)) as url:
        with pytest.raises(Exception) as caught:  # each client has its own
            await to_thread.run_sync(client, tree, url)
    said = str(caught.value) + str(getattr(caught.value, "stderr", ""))
    assert REASON in said


async def test_b_13_4_without_signs_of_life_the_proxy_ends_the_push(tmp_path: Path) -> None:
    tree = tree_in(tmp_path)
    async with judge_behind_nginx(tmp_path, None, every_secs=0.0) as url:
        with pytest.raises(Exception, match=r".") as caught:
            await to_thread.run_sync(_git, tree, url)
    assert "504" in str(caught.value) + str(getattr(caught.value, "stderr", ""))
