"""The status page in a real browser: the policy lets it renew itself, and nothing hostile run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.engine.status.held_events import Choice
from purgatory_sync.engine.status.models import EngineStatus
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.pages.page_routes import PageRoutes
from purgatory_sync.node.routes import App

from ..relay.test_nip11 import make_info
from ..support import Served, nothing_hosted, served
from .chromium import chromium
from .support import HOSTILE, domain, event, node, source

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


class Looks:
    """Looks that count how often they were asked for."""

    def __init__(self) -> None:
        self.count = 0
        self.hangs = False

    async def __call__(self, choice: Choice) -> EngineStatus:
        self.count += 1
        if self.hangs:
            await trio.sleep_forever()
        hostile = event(source(HOSTILE), identifier=HOSTILE, missing=[HOSTILE])
        return attrs.evolve(node(hostile, domains=[domain(HOSTILE)]), queued=7000 + self.count)


def app(looks: Looks) -> App:
    async def nothing(npub: str, *identifiers: str) -> None:
        return None

    pages = PageRoutes(make_info, looks, nothing, ())
    return App(make_info, GitEndpoint(nothing_hosted, 1), pages, None)


async def browse(place: Served, folder: Path) -> str:
    """The page as it stands in Chromium after 12 s of its own time."""
    assert BROWSER is not None
    url = f"http://127.0.0.1:{place.port}/purgatory"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    options += ["--virtual-time-budget=12000", "--enable-logging=stderr", "--dump-dom"]
    with trio.fail_after(120):
        done = await trio.run_process(
            [BROWSER, *options, url],
            capture_stdout=True,
            capture_stderr=True,
            stdin=subprocess.DEVNULL,
        )
    assert b"Content Security Policy" not in done.stderr
    return done.stdout.decode()


async def test_it_renews_itself(tmp_path: Path) -> None:
    looks = Looks()
    async with served(app(looks).answer, real=True) as place:
        dom = await browse(place, tmp_path)
    shown = re.search(r"repositories queued</dt><dd>(\d+)", dom)
    assert shown is not None
    assert int(shown[1]) == 7000 + looks.count > 7001
    assert 'class="stale"' not in dom
    assert dom.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in dom


async def test_it_says_when_it_cannot_renew_itself(tmp_path: Path) -> None:
    """Whether the node is gone or hangs: what is shown is old, and says so."""
    looks = Looks()
    shown = "getComputedStyle(document.getElementById('stale')).display !== 'none'"
    with trio.fail_after(150):
        async with served(app(looks).answer, real=True) as place, chromium(tmp_path / "p") as tab:
            await tab.go(f"http://127.0.0.1:{place.port}/purgatory", width=360, dark=False)
            assert not await tab.value(shown)
            # What follows on the first renewal is a hundred times as fast.
            await tab.value(
                "AbortSignal.timeout = (real => ms => real.call(AbortSignal, ms / 100))"
                "(AbortSignal.timeout);"
                "window.setTimeout = (real => (does, ms) => real(does, ms / 100))(setTimeout); 0"
            )
            for hangs in (True, False):
                looks.hangs = hangs
                while await tab.value(shown) is not hangs:  # noqa: ASYNC110
                    await trio.sleep(0.2)


async def test_it_keeps_the_place_of_the_keyboard(tmp_path: Path) -> None:
    """What is focused stays so when the page renews itself; so does what is typed."""
    looks = Looks()
    with trio.fail_after(150):
        async with served(app(looks).answer, real=True) as place, chromium(tmp_path / "p") as tab:
            await tab.go(f"http://127.0.0.1:{place.port}/purgatory", width=360, dark=False)
            await tab.value(
                "window.setTimeout = (real => (does, ms) => real(does, ms / 100))(setTimeout); 0"
            )
            await tab.value("document.querySelector('input').value = 'half a wo'")
            for link in ("h3 a", "details:last-of-type summary", "#as-of a"):
                before = looks.count
                await tab.value(f"document.querySelector('main {link}').focus()")
                while looks.count < before + 3:  # noqa: ASYNC110
                    await trio.sleep(0.2)
                await trio.sleep(0.2)
                assert await tab.value(
                    f"document.activeElement === document.querySelector('main {link}')"
                ), link
            assert await tab.value("document.querySelector('input').value") == "half a wo"


async def test_the_filter_works_without_script(tmp_path: Path) -> None:
    looks = Looks()
    with trio.fail_after(150):
        async with served(app(looks).answer, real=True) as place, chromium(tmp_path / "p") as tab:
            await tab.do("Emulation.setScriptExecutionDisabled", value=True)
            await tab.go(f"http://127.0.0.1:{place.port}/purgatory", width=360, dark=False)
            await tab.value("document.querySelector('input').focus()")
            await tab.do("Input.insertText", text="a b")
            await tab.enter()
            assert await tab.value("location.search") == "?repository=a+b&result="
            assert "of a b" in await tab.value("document.querySelector('h2').textContent")
            assert tab.complaints == []
