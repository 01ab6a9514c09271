"""Writes down what a restart must know of others: limits used up, rests, naughty sources (B 9)."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from ...errors import NaughtyScope, StoreError
from ...records import NaughtyRecord, ServerNote
from ...release.index.ledger import Ledger
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...store.protocol import Change, DomainRow, Store

STARTS_TOGETHER_SECS: Final = 1.0
"""How long what was noted of a domain may wait for what else is written; a kill forgets it."""

log = get_logger(__name__)


@attrs.define(eq=False)
class ThrottleJournal:
    """Takes changes in one step each and writes them in a task of its own."""

    store: Store
    ledger: Ledger
    clock: WallClock
    _naughty: dict[tuple[str, str], NaughtyRecord | None] = attrs.field(factory=dict)
    _servers: dict[str, ServerNote | None] = attrs.field(factory=dict)
    _bell: trio.Event = attrs.field(factory=trio.Event)
    _noted: trio.Event = attrs.field(factory=trio.Event)

    def domain_changed(
        self, domain: str, starts: tuple[float, ...], resting_until: float | None
    ) -> None:
        """Starts or rest of a domain changed (Unix seconds); written within a second."""
        try:
            self.store.note_domains([DomainRow(domain, starts, resting_until)])
            self._noted.set()
        except StoreError as error:
            # Who counts places and tokens must not be stopped in the middle of it.
            log.error("limits of a domain not noted", domain=domain, error=str(error))

    def naughty_added(self, entry: NaughtyRecord) -> None:
        """A source is left alone from now on."""
        self._naughty[entry.scope, entry.key] = entry
        self._bell.set()

    def naughty_forgotten(self, scope: NaughtyScope, key: str) -> None:
        """A source may be asked again."""
        self._naughty[scope.value, key] = None
        self._bell.set()

    def server_noted(self, key: str, text: str | None) -> None:
        """Something was learnt of a git server; None: it is over."""
        self._servers[key] = None if text is None else ServerNote(key, text, self.clock.now())
        self._bell.set()

    async def run(self) -> None:
        """Write until cancelled; what could not be written is written with the next change."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_domains)
            nursery.start_soon(self._write_servers)

    async def _write_domains(self) -> None:
        while True:
            await self._noted.wait()
            await trio.sleep(STARTS_TOGETHER_SECS)
            self._noted = trio.Event()
            try:
                await self.store.apply(Change())
            except StoreError as error:
                log.error("limits of domains not written", error=str(error))

    async def _write_servers(self) -> None:
        while True:
            await self._bell.wait()
            self._bell = trio.Event()
            taken, self._naughty = self._naughty, {}
            servers, self._servers = self._servers, {}
            change = Change(
                naughty=[row for row in taken.values() if row is not None],
                forget_naughty=[key for key, row in taken.items() if row is None],
                server_notes=[row for row in servers.values() if row is not None],
                forget_server_notes=[key for key, row in servers.items() if row is None],
            )
            try:
                await self.ledger.apply(change)
            except StoreError as error:
                self._naughty, self._servers = taken | self._naughty, servers | self._servers
                log.error("what was learnt of git servers not written", error=str(error))
