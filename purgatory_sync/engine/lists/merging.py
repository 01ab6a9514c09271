"""From settings, files and rows of the store to the lists that rule (B 5.5); no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final, Literal

import attrs

from ...errors import ConfigurationError
from ...policy.rules.list_entries import LISTS, OperatorList, Unacceptable
from ...records import ListEntry
from ...settings import CurationSettings

MAX_ENTRIES: Final = 10_000
MAX_REASON_CHARS: Final = 1_000

Source = Literal["setting", "file", "added"]


@attrs.frozen
class Listed:
    """One entry of a list, as operators see it.

    Attributes:
      name: of the list.
      source: what names it; only what was added can be removed.
      at: Unix seconds when it was added; None where that is not known.
    """

    name: str
    entry: str
    source: Source
    reason: str = ""
    at: float | None = None


def list_of(name: str) -> OperatorList:
    """The list of that name.

    Raises:
      ConfigurationError: there is none.
    """
    if name not in LISTS:
        raise ConfigurationError(f"there is no list {name!a}: there are {', '.join(LISTS)}")
    return LISTS[name]


def read_entries(listed: OperatorList, entries: Iterable[str]) -> tuple[str, ...]:
    """Entries as they are kept, each once.

    Raises:
      ConfigurationError: one of them is none, or there are none.
    """
    if not (entries := tuple(entries)):
        raise ConfigurationError(f"{listed.name}: name at least one entry ({listed.accepted})")
    try:
        return tuple(dict.fromkeys(listed.read(each.strip()) for each in entries))
    except Unacceptable as error:
        raise ConfigurationError(
            f"{listed.name}: {error}: an entry is {listed.accepted}"
        ) from error


def entries_of(
    listed: OperatorList,
    settings: CurationSettings,
    files: Mapping[str, Sequence[str]],
    rows: Iterable[ListEntry],
) -> tuple[Listed, ...]:
    """What a list has, each entry once: by the settings, else by the file, else as it was added."""
    found: dict[str, Listed] = {}
    for entry in map(str, getattr(settings, listed.field)):
        found[entry] = Listed(listed.name, entry, "setting")
    for entry in files.get(listed.name, ()):
        found.setdefault(entry, Listed(listed.name, entry, "file"))
    for row in sorted(rows, key=lambda row: row.entry):
        if row.name == listed.name:
            by_hand = Listed(row.name, row.entry, "added", row.reason, row.at)
            found.setdefault(row.entry, by_hand)
    return tuple(found.values())


def lets_more_in(before: CurationSettings, after: CurationSettings) -> bool:
    """Whether something may be taken by other lists that was refused."""
    blocking = ("event_blacklist", "repository_blacklist", "banned_events")
    if any({*getattr(before, each)} - {*getattr(after, each)} for each in blocking):
        return True
    if before.repository_whitelist and not after.repository_whitelist:
        return True
    taking = ("repository_whitelist", "archive_whitelist", "private_members")
    return any({*getattr(after, each)} - {*getattr(before, each)} for each in taking)


def merged(
    settings: CurationSettings, files: Mapping[str, Sequence[str]], rows: Iterable[ListEntry]
) -> CurationSettings:
    """The lists that rule.

    Raises:
      ConfigurationError: a list is too long, or what they say together makes no sense.
    """
    rows, changed = tuple(rows), dict[str, Any]()
    for listed in LISTS.values():
        found = [each.entry for each in entries_of(listed, settings, files, rows)]
        if len(found) > MAX_ENTRIES:
            raise ConfigurationError(f"{listed.name} has more than {MAX_ENTRIES} entries")
        addresses = listed.field == "blocked_addresses"
        changed[listed.field] = tuple(map(ip_network, found)) if addresses else tuple(found)
    lists = attrs.evolve(settings, **changed)
    if lists.archive_read_only and not lists.archives:
        raise ConfigurationError(
            "NGIT_ARCHIVE_READ_ONLY is true, and nothing would be archived any more: name a"
            " repository in archive-whitelist first"
        )
    if lists.private_mode and not lists.private_members:
        raise ConfigurationError(
            "a private service needs a member: name one in private-members first"
        )
    if lists.private_members and not lists.private_mode:
        raise ConfigurationError(
            "private-members has entries, and this service is not private: remove them, or set"
            " NGIT_PRIVATE_MODE=true"
        )
    return lists
