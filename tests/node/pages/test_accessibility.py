"""What axe-core finds on every page in Chromium: nothing serious, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from ..support import served
from .chromium import BROWSER, Tab, chromium
from .test_layout import DESK, PAGES, PHONE, app

AXE = Path(__file__).parents[3] / ".venv/axe/node_modules/axe-core/axe.min.js"
GRAVE = ("serious", "critical")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (make .venv/axe.made)"),
]


async def findings(tab: Tab, axe: str) -> list[str]:
    """What axe-core calls serious or critical on the page that is open, as `rule: element`."""
    await tab.do("Runtime.evaluate", expression=axe)
    run = "axe.run().then(found => found.violations)"
    answer = await tab.do("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
    violations: list[dict[str, Any]] = answer["result"]["value"]
    return [
        f"{each['id']}: {node['html'][:120]}"
        for each in violations
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


async def test_axe_finds_nothing_serious(tmp_path: Path) -> None:
    axe = AXE.read_text(encoding="utf-8")
    with trio.fail_after(250):
        async with (
            served(app().answer, real=True) as place,
            chromium(tmp_path / "profile") as tab,
        ):
            await tab.do("Network.setExtraHTTPHeaders", headers={"accept": "text/html"})
            for name, path in PAGES.items():
                for width, dark in ((PHONE, False), (DESK, True)):
                    url = f"http://127.0.0.1:{place.port}{path}"
                    await tab.go(url, width=width, dark=dark)
                    where = f"{name} at {width}{' in the dark' if dark else ''}"
                    assert await findings(tab, axe) == [], where


async def test_axe_finds_what_is_wrong(tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile") as tab:
        await tab.go("data:text/html,<img src='x'>", width=DESK, dark=False)
        assert any("image-alt" in each for each in await findings(tab, AXE.read_text("utf-8")))
