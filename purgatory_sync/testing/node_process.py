"""The node as what it is in real life: a process with a port, that can be killed."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import trio

_START_SECS: Final = 60.0
_STOP_SECS: Final = 10.0
_POLL_SECS: Final = 0.02
_PORTS: Final = (15_000, 32_000)

LOOPBACK_ONLY: Final = {
    "NGIT_SYNC_PLUS_ENABLED": "false",
    "NGIT_USER_INDEX_RELAYS": "",
    "NGIT_SYNC_PLUS_FALLBACK_RELAYS": "",
}
"""Settings of a node that dials only what it was told to dial: for tests and demonstrations."""


class NodeFailed(Exception):
    """The node did not do as it should; the message ends with its last log lines."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port without a listener that the system gives to no outgoing connection.

    A client that asks such a port again and again can connect to itself.
    """
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((host, port))
            return port


class NodeProcess:
    """`python -m purgatory_sync` in a folder of its own.

    Args:
      folder: its working folder; data and log go there.
      settings: NGIT_* variables beside the address and LOOPBACK_ONLY.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.address = settings.get("NGIT_BIND_ADDRESS") or f"127.0.0.1:{free_port()}"
        self.log = folder / "node.log"
        self._folder = folder
        self._settings = {"NGIT_BIND_ADDRESS": self.address, **LOOPBACK_ONLY, **settings}
        self._process: trio.Process | None = None
        self._http = httpx.AsyncClient(trust_env=False, timeout=5)

    @property
    def relay_url(self) -> str:
        """Where Nostr clients connect."""
        return f"ws://{self.address}"

    @property
    def http_url(self) -> str:
        """Where git clients and browsers connect."""
        return f"http://{self.address}"

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
          NodeFailed: it ended, or is not ready within 60 s.
        """
        with self.log.open("ab") as log:
            self._process = process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "purgatory_sync"],
                cwd=self._folder,
                env={**_environment(), **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        with trio.move_on_after(_START_SECS):
            while process.poll() is None:
                try:
                    if (await self._http.get(f"{self.http_url}/readyz")).is_success:
                        return
                except httpx.TransportError:
                    pass
                await trio.sleep(_POLL_SECS)
        raise self.failed("the node did not start")

    def signal(self, number: int) -> None:
        """Send it a signal that does not end it."""
        if self._process is not None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL: it has no chance to write anything; returns when it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code.

        Raises:
          NodeFailed: it still runs after 10 s.
        """
        if self._process is None:
            return 0
        self._process.terminate()
        with trio.move_on_after(_STOP_SECS):
            return await self._process.wait()
        raise self.failed("the node did not stop within 10 s")

    async def metric(self, name: str) -> float:
        """The value of one line of `/metrics`, by its name with labels; 0 when absent."""
        answer = await self._http.get(f"{self.http_url}/metrics")
        for line in answer.text.splitlines():
            key, _, value = line.rpartition(" ")
            if key == name:
                return float(value)
        return 0.0

    def failed(self, what: str) -> NodeFailed:
        """An error with the end of the node's log."""
        tail = self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
        return NodeFailed("\n".join([what, *tail]))

    async def aclose(self) -> None:
        """End it in any way."""
        with trio.CancelScope(shield=True):
            await self.kill()
            await self._http.aclose()


def _environment() -> dict[str, str]:
    """Ours without settings; a tree that is not installed is found from any folder."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NGIT_")}
    here = str(Path(__file__).resolve().parents[2])
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths)}
