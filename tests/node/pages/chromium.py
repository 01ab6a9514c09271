"""A tab of headless Chromium, spoken to by its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from websockets.trio.client import ClientConnection, connect

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
START_SECS = 60


class Tab:
    """One page at a time.

    Attributes:
      requested: every URL that was asked for.
      complaints: what the browser said against a page: refused by its policy, errors.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._connection = connection
        self._count = 0
        self._loaded = False

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._count += 1
        await self._connection.send(
            json.dumps({"id": self._count, "method": method, "params": params})
        )
        while True:
            message = json.loads(await self._connection.recv())
            if message.get("id") == self._count:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    async def go(self, url: str, *, width: int, dark: bool) -> None:
        """Open a page on a screen of this width in CSS pixels; returns when it is loaded."""
        await self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=800, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.do("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        await self.do("Page.navigate", url=url)
        await self._until_loaded()

    async def enter(self) -> None:
        """Press Enter in a form; returns when the page is loaded that it leads to."""
        self._loaded = False
        key = {"key": "Enter", "windowsVirtualKeyCode": 13}
        await self.do("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        await self._until_loaded()

    async def _until_loaded(self) -> None:
        while not self._loaded:
            self._note(json.loads(await self._connection.recv()))

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def screenshot(self, width: int | None = None, height: int | None = None) -> bytes:
        """The whole page as PNG, or the upper left part of it in CSS pixels."""
        part: dict[str, Any] = {}
        if width is not None and height is not None:
            part = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}
        answer = await self.do("Page.captureScreenshot", captureBeyondViewport=True, **part)
        return base64.b64decode(answer["data"])

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """A browser with one tab for the block; `folder` is its profile."""
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server"]
    options += ["--remote-debugging-port=0", f"--user-data-dir={folder}"]
    process = await trio.lowlevel.open_process(
        [BROWSER, *options, "about:blank"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with trio.fail_after(START_SECS):
            while (port := _port(folder / "DevToolsActivePort")) is None:  # noqa: ASYNC110
                await trio.sleep(0.05)
            async with httpx.AsyncClient(trust_env=False) as http:
                pages = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
            url = next(each["webSocketDebuggerUrl"] for each in pages if each["type"] == "page")
        async with connect(url, proxy=None, max_size=None) as connection:
            tab = Tab(connection)
            for domain in ("Page", "Network", "Log", "Runtime"):
                await tab.do(f"{domain}.enable")
            yield tab
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def _port(file: Path) -> int | None:
    """Where the browser listens; None before it does."""
    try:
        first, newline, _ = file.read_text().partition("\n")
    except FileNotFoundError:
        return None
    return int(first) if newline else None
