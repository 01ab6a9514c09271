"""Changing the operator's lists while the node runs: who hears of it, and what ends (B 5.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import trio

from ...errors import ConfigurationError, StoreError
from ...policy.rules.list_entries import LISTS
from ...records import ListEntry
from ...release.commit import Core
from ...release.releaser import Releaser
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import CurationSettings, Settings
from ...store.protocol import Change, Store
from ..upkeep.catching_up import align_all
from ..upkeep.list_enforcement import end_what_is_blocked
from .list_files import read_files
from .merging import MAX_REASON_CHARS, Listed, entries_of, list_of, merged, read_entries

Heard = Callable[[CurationSettings, CurationSettings], None]

log = get_logger(__name__)


@attrs.frozen
class Edited:
    """What became of a change.

    Attributes:
      name: of the list.
      changed: entries that were added or removed.
      unchanged: those that were in the list already, or not in it.
      ended: how many held events ended by it; None where no node runs: they end at its start.
    """

    name: str
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    ended: int | None


@attrs.define(eq=False)
class ListKeeper:
    """Knows where each entry comes from, and keeps the index's lists as they are to be.

    Attributes:
      live: whether a node runs, so that a change has effect at once.
      heard: called with the lists before and after every change.
      at_once: called as soon as other lists rule, before anything is done about it.
    """

    store: Store
    core: Core
    releaser: Releaser
    settings: Settings
    clock: WallClock
    live: bool = True
    heard: list[Heard] = attrs.field(factory=list)
    at_once: list[Callable[[], None]] = attrs.field(factory=list)
    _files: Mapping[str, Sequence[str]] = attrs.field(factory=dict, init=False)
    _rows: dict[tuple[str, str], ListEntry] = attrs.field(factory=dict, init=False)
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def restore(self, rows: Iterable[ListEntry]) -> None:
        """Take over what was added in earlier days, and read the files.

        Raises:
          ConfigurationError: a file cannot be used.
        """
        self._rows = {(row.name, row.entry): row for row in rows}
        self._files = await self._read_files()
        self.core.index.use_lists(self._merged(self._files, self._rows))

    def show(self, name: str = "") -> tuple[Listed, ...]:
        """The entries of a list, or of all.

        Raises:
          ConfigurationError: there is no such list.
        """
        shown = [list_of(name)] if name else [*LISTS.values()]
        rows, settings = self._rows.values(), self.settings.curation
        return tuple(e for each in shown for e in entries_of(each, settings, self._files, rows))

    async def add(self, name: str, entries: Sequence[str], reason: str = "") -> Edited:
        """Add entries to a list; it rules when this returns.

        Raises:
          ConfigurationError: there is no such list, or one of the entries is none.
          StoreError: nothing was changed.
        """
        listed = list_of(name)
        wanted = read_entries(listed, entries)
        if len(reason) > MAX_REASON_CHARS or not reason.isprintable():
            raise ConfigurationError(
                f"a reason is one line of at most {MAX_REASON_CHARS} characters"
            )
        async with self._lock:
            known = {each.entry for each in self.show(name)}
            rows = [
                ListEntry(name, each, reason, self.clock.now())
                for each in wanted
                if each not in known
            ]
            after = self._rows | {(row.name, row.entry): row for row in rows}
            ended = await self._change(after, Change(list_entries=rows))
        kept = tuple(each for each in wanted if each in known)
        return Edited(name, tuple(row.entry for row in rows), kept, ended)

    async def remove(self, name: str, entries: Sequence[str]) -> Edited:
        """Take entries from a list that were added to it.

        Raises:
          ConfigurationError: there is no such list, or a setting or a file names an entry.
          StoreError: nothing was changed.
        """
        listed = list_of(name)
        wanted = read_entries(listed, entries)
        async with self._lock:
            known = {each.entry: each for each in self.show(name)}
            for each in wanted:
                if each in known and (source := known[each].source) != "added":
                    where = listed.variable + ("_FILE" if source == "file" else "")
                    raise ConfigurationError(
                        f"{where} names {each}: remove it there, and "
                        + ("send the node SIGHUP" if source == "file" else "restart the node")
                    )
            gone = [(name, each) for each in wanted if each in known]
            after = {key: row for key, row in self._rows.items() if key not in gone}
            ended = await self._change(after, Change(forget_list_entries=gone))
        unknown = tuple(each for each in wanted if each not in known)
        return Edited(name, tuple(entry for _, entry in gone), unknown, ended)

    def word(self, name: str) -> str | None:
        """What `say` said last under that name; None where it said nothing."""
        found = [row.entry for row in self._rows.values() if row.name == name]
        return found[0] if found else None

    async def say(self, name: str, text: str) -> None:
        """Keep a text that the node says of itself, in place of the one before.

        Args:
          name: what it is, such as `relay-name`; the name of no list.
          text: empty to say nothing of one's own.

        Raises:
          StoreError: nothing was changed.
        """
        async with self._lock:
            gone = [key for key in self._rows if key[0] == name]
            rows = [ListEntry(name, text, "", self.clock.now())] if text else []
            change = Change(forget_list_entries=gone, list_entries=rows)
            left = {key: row for key, row in self._rows.items() if key not in gone}
            with trio.CancelScope(shield=True):  # store and memory change together
                await self.core.ledger.apply(change)
                self._rows = left | {(row.name, row.entry): row for row in rows}

    async def reload(self) -> None:
        """Read the files again (SIGHUP); a file that cannot be used changes nothing.

        What went wrong is logged: no caller waits for it.
        """
        async with self._lock:
            try:
                files = await self._read_files()
                lists = self._merged(files, self._rows)
                self._files = files
                ended = await self._rule(lists)
            except (ConfigurationError, StoreError) as error:
                log.error("lists not read again, the old ones rule", error=str(error))
                return
        log.info("lists read again", files=len(files), ended=ended)

    async def run(self) -> None:
        """After each change, let refs follow who rules now (B 3.8); until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            try:
                await align_all(self.store, self.core, self.releaser)
            except StoreError as error:
                log.warning("could not look who rules by the new lists", error=str(error))

    async def _change(self, rows: dict[tuple[str, str], ListEntry], change: Change) -> int | None:
        lists = self._merged(self._files, rows)
        with trio.CancelScope(shield=True):  # store and memory change together
            await self.core.ledger.apply(change)
            self._rows = rows
            ended = await self._rule(lists)
        return ended

    async def _rule(self, lists: CurationSettings) -> int | None:
        """Let the lists rule, end what they block; how many held events ended."""
        index = self.core.index
        before = index.lists
        if lists == before or not self.live:
            index.use_lists(lists)
            return 0 if self.live else None
        index.use_lists(lists)
        for look in self.at_once:
            look()
        ended = await end_what_is_blocked(self.core, self.releaser, self.settings.service)
        for tell in self.heard:
            tell(before, lists)
        for held in self.core.purgatory.hunted_events():
            for identifier in held.identifiers:
                self.core.purgatory.note_change(identifier)
        self._changed.set()
        return ended

    def _merged(
        self, files: Mapping[str, Sequence[str]], rows: Mapping[tuple[str, str], ListEntry]
    ) -> CurationSettings:
        return merged(self.settings.curation, files, rows.values())

    async def _read_files(self) -> Mapping[str, tuple[str, ...]]:
        return await self.core.repositories.run(read_files, self.settings.list_files)
