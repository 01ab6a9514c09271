"""isomorphic-git, as pages of other origins use it: every request by the rules of CORS (B 6.3)."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs
import pytest
import trio

from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.testing import events

from ..support import served
from .git_support import ENVIRONMENT, git
from .push_support import CONTRIBUTOR, DEV, MAIN, OWNER, Home, home_in

BROWSER: Final = shutil.which("chromium") or shutil.which("chromium-browser")
HERE: Final = Path(__file__).parent / "isomorphic"
INSTALLED: Final = Path(__file__).parents[3] / ".venv" / "isomorphic"
TAG = "refs/tags/v1"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("node") is None, reason="no node is installed"),
    pytest.mark.skipif(
        not (INSTALLED / "node_modules" / "isomorphic-git").is_dir(),
        reason="isomorphic-git is not installed (make .venv/isomorphic.made)",
    ),
]


@attrs.frozen
class Talk:
    """What isomorphic-git returned, and what went over the wire."""

    returned: list[Any]
    error: str | None
    requests: list[str]


async def isomorphic(*steps: tuple[str, dict[str, Any]]) -> Talk:
    with trio.fail_after(60):
        done = await trio.run_process(
            ["node", str(HERE / "client.mjs"), str(INSTALLED), json.dumps(steps)],
            env=ENVIRONMENT,
            capture_stdout=True,
        )
    return Talk(**json.loads(done.stdout))


async def push(home: Home, ref: str, **more: Any) -> Talk:
    where = {"dir": str(home.tree), "url": home.url, "ref": ref, "remoteRef": ref}
    return await isomorphic(("push", {**where, **more}))


def _done(talk: Talk, *refs: str) -> None:
    assert talk.error is None
    assert talk.returned[-1]["ok"]
    assert {ref: each["ok"] for ref, each in talk.returned[-1]["refs"].items()} == dict.fromkeys(
        refs, True
    )


async def test_b_6_3_clone_and_fetch_over_cors(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        first = home.commit("a")
        git("-C", home.tree, "tag", "v1")
        await home.state(MAIN, TAG)
        await home.push("main", "v1")
        copy = {"dir": str(tmp_path / "copy"), "url": home.url}
        talk = await isomorphic(
            ("clone", copy), ("resolveRef", {**copy, "ref": "HEAD"}), ("listTags", copy)
        )
        assert talk.error is None
        assert talk.returned == [None, first, ["v1"]]
        assert talk.requests == [
            "GET 200 info/refs",
            "OPTIONS 204 for POST content-type",
            "POST 200 git-upload-pack",
        ]
        talk = await isomorphic(("listServerRefs", {**copy, "protocolVersion": 2}))
        assert {each["ref"] for each in talk.returned[0]} == {"HEAD", MAIN, TAG}
        assert talk.requests[:2] == ["OPTIONS 204 for GET git-protocol", "GET 200 info/refs"]
        second = home.commit("b")
        await home.state(MAIN, TAG)
        await home.push("main")
        talk = await isomorphic(("fetch", copy))
        assert talk.error is None
        assert talk.returned[0]["fetchHead"] == second
        git("-C", tmp_path / "copy", "fsck", "--full", "--strict")
        shallow = {**copy, "dir": str(tmp_path / "shallow"), "depth": 1, "singleBranch": True}
        talk = await isomorphic(("clone", shallow), ("log", shallow))
        assert [each["oid"] for each in talk.returned[1]] == [second]


async def test_b_6_5_push_force_and_delete_over_cors(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        home.commit("a")
        home.commit("large", random.Random(1).randbytes(2 << 20))
        event = await home.state(MAIN)
        talk = await push(home, MAIN)
        _done(talk, MAIN)
        assert talk.requests == [
            "GET 200 info/refs",
            "OPTIONS 204 for POST content-type",
            "POST 200 git-receive-pack",
        ]
        assert await home.relay.has(event.id)
        git("-C", home.tree, "commit", "-q", "--amend", "-m", "other")
        await home.state(MAIN)
        _done(await push(home, MAIN, force=True), MAIN)
        assert home.refs() == {MAIN: git("-C", home.tree, "rev-parse", "main")}
        git("-C", home.tree, "branch", "dev")
        await home.state(MAIN, DEV)
        _done(await push(home, DEV), DEV)  # its objects are here: done already, and no error
        await home.state(MAIN)
        _done(await push(home, DEV, delete=True), DEV)  # and gone already
        assert set(home.refs()) == {MAIN}
        git("-C", home.bare, "fsck", "--strict", "--no-dangling")


async def test_b_6_6_it_reads_the_reason_of_a_refusal(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        home.commit("a")
        talk = await push(home, MAIN)
        assert talk.error is not None
        assert "no state event (kind 30618)" in talk.error
        assert home.refs() == {}


async def test_b_4_3_it_pushes_a_pull_request(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        tip = home.commit("a")
        event = events.pull_request(
            CONTRIBUTOR, [OWNER.coordinate("repo")], tip, created_at=home.tick()
        )
        name = f"refs/nostr/{event.id}"
        _done(await push(home, MAIN, remoteRef=name), name)
        await home.publish(event)
        assert await home.relay.has(event.id)
        assert home.refs() == {name: tip}


async def test_b_6_3_a_refusal_may_be_read_by_a_page_too(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        nowhere = home.url.replace("/repo.git", "/none.git")
        talk = await isomorphic(("clone", {"dir": str(tmp_path / "copy"), "url": nowhere}))
        assert talk.error is not None
        assert talk.error.startswith("HttpError: HTTP Error: 404")
        assert talk.requests[-1] == "GET 404 info/refs"


PACKAGES: Final = INSTALLED / "node_modules"
SCRIPTS: Final = {
    "/git.js": PACKAGES / "isomorphic-git/index.umd.min.js",
    "/http.js": PACKAGES / "isomorphic-git/http/web/index.umd.js",
    "/page.mjs": HERE / "page.mjs",
}
PAGE: Final = b"""<!doctype html><title>isomorphic-git</title><script src="/buffer.js"></script>
<script src="/git.js"></script><script src="/http.js"></script>
<script type="module" src="/page.mjs"></script>"""


def buffer() -> bytes:
    """The global that isomorphic-git wants in a browser; bundlers put it together like this."""
    parts = ["const loaded = {}, require = name => loaded[name]"]
    for name in ("base64-js", "ieee754", "buffer"):
        text = (PACKAGES / name / "index.js").read_text()
        parts += [
            f"{{ const module = {{ exports: {{}} }}; (function (exports) {{ {text}",
            f"}})(module.exports); loaded['{name}'] = module.exports }}",
        ]
    return "\n".join([*parts, "globalThis.Buffer = loaded.buffer.Buffer"]).encode()


@attrs.frozen
class Site:
    """A site of its own origin, whose page says what came of it."""

    said: dict[str, Any] = attrs.field(factory=dict)
    done: trio.Event = attrs.field(factory=trio.Event)

    async def answer(self, exchange: Exchange) -> None:
        if exchange.path == "/said":
            text = b""
            while piece := await exchange.read():
                text += piece
            self.said.update(json.loads(text))
            await exchange.respond(204)
            self.done.set()
        elif exchange.path == "/buffer.js":
            await exchange.respond(200, buffer(), "text/javascript; charset=utf-8")
        elif script := SCRIPTS.get(exchange.path):
            await exchange.respond(200, script.read_bytes(), "text/javascript; charset=utf-8")
        else:
            await exchange.respond(200, PAGE, "text/html; charset=utf-8")


async def browse(site: Site, folder: Path, url: str) -> dict[str, Any]:
    """What a page says when Chromium has run it."""
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    options += ["--remote-debugging-port=0"]
    run = partial(
        trio.run_process, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, [BROWSER, *options, url])
            await site.done.wait()
            nursery.cancel_scope.cancel()
    return site.said


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
async def test_b_6_3_in_a_browser_on_a_page_of_another_origin(tmp_path: Path) -> None:
    site = Site()
    async with home_in(tmp_path) as home, served(site.answer, real=True) as place:
        tip = home.commit("a")
        await home.state(MAIN)
        await home.push("main")
        name = f"refs/nostr/{'5' * 64}"
        fragment = quote(json.dumps({"url": home.url, "ref": name}))
        url = f"http://127.0.0.1:{place.port}/#{fragment}"
        said = await browse(site, tmp_path / "browser", url)
        assert said.get("error") is None
        assert (said["cloned"], said["pushed"]) == (tip, True)
        assert "refs/heads/main would be" in said["refused"]
        assert home.refs() == {MAIN: tip, name: said["commit"]}
        assert git("-C", home.bare, "rev-parse", f"{name}^") == tip
