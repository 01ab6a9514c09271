"""Word to systemd, where it started the node: ready, alive, stopping (sd_notify)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

import trio

from ...runtime.logger import get_logger

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHDOG_PID: Final = "WATCHDOG_PID"

log = get_logger(__name__)


class ServiceManager:
    """Tells the service manager how the node is; says nothing where there is none (B 13.3).

    Args:
      environ: has NOTIFY_SOCKET when systemd waits to be told, WATCHDOG_USEC when it watches.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get(_SOCKET, "")
        pid = environ.get(_WATCHDOG_PID, "")
        watched = self._address and (not pid or pid == str(os.getpid()))
        usec = environ.get(_WATCHDOG, "") if watched else ""
        self._watchdog_secs = int(usec) / 1e6 if usec.isascii() and usec.isdigit() else 0.0

    def ready(self) -> None:
        """The node serves."""
        self._tell("READY=1\nSTATUS=serving")

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows."""
        self._tell(f"STATUS={sentence}")

    def stopping(self) -> None:
        """The node was told to stop."""
        self._tell("STOPPING=1\nSTATUS=stopping")

    async def keep_alive(self) -> None:
        """Say at half of the watchdog's time that the event loop turns; until cancelled."""
        while self._watchdog_secs:
            self._tell("WATCHDOG=1")
            await trio.sleep(self._watchdog_secs / 2)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is in Linux's abstract namespace.
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto(state.encode(), name)
        except OSError as error:
            log.warning("the service manager cannot be told", error=error.strerror or str(error))
