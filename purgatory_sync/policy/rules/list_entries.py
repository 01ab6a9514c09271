"""One entry of an operator's list, as text: what may be written, and how it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from types import MappingProxyType
from typing import Final

import attrs

from ...errors import InvalidEvent, InvalidKey
from ...nostr.address import check_identifier
from ...nostr.keys import decode_npub

_EVENT_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Unacceptable(ValueError):
    """A text is no value of a setting, or no entry of a list; its words, if any, say why."""


def read_npub(text: str) -> str:
    """An author as npub, in lower case; raises Unacceptable for other texts, as all here do."""
    npub = text.lower()
    try:
        decode_npub(npub)
    except InvalidKey as error:
        raise Unacceptable(f"{text!a}: {error}") from error
    return npub


def read_repository(text: str) -> str:
    """An npub, an npub with an identifier, or an identifier, which never looks like an npub."""
    owner, separator, identifier = text.partition("/")
    if not separator and not text.lower().startswith("npub1"):
        return _identifier(text)
    npub = read_npub(owner)
    return f"{npub}/{_identifier(identifier)}" if separator else npub


def read_event_id(text: str) -> str:
    """The id of an event: 64 hexadecimal digits."""
    if not _EVENT_ID.fullmatch(text.lower()):
        raise Unacceptable(f"{text!a}: an event id has 64 hexadecimal digits")
    return text.lower()


def read_address(text: str) -> str:
    """An address, or a network in CIDR form, as `ipaddress` writes networks."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise Unacceptable(f"{text!a}: no address and no network (CIDR)") from error


def _identifier(text: str) -> str:
    try:
        return check_identifier(text)
    except InvalidEvent as error:
        raise Unacceptable(f"{text!a}: {error}") from error


@attrs.frozen
class OperatorList:
    """A list that can be changed while the node runs (B 5.5).

    Attributes:
      field: its name in CurationSettings.
      read: one entry, as it is kept; raises Unacceptable.
      accepted: what an entry may be, for people.
    """

    field: str
    read: Callable[[str], str]
    accepted: str

    @property
    def name(self) -> str:
        """What operators call it."""
        return self.field.replace("_", "-")

    @property
    def variable(self) -> str:
        """The setting that holds entries of it."""
        return f"NGIT_{self.field.upper()}"


_REPOSITORY: Final = "npub1…, npub1…/identifier or identifier"

LISTS: Final[Mapping[str, OperatorList]] = MappingProxyType(
    {
        each.name: each
        for each in (
            OperatorList("event_blacklist", read_npub, "npub1…"),
            OperatorList("repository_blacklist", read_repository, _REPOSITORY),
            OperatorList("repository_whitelist", read_repository, _REPOSITORY),
            OperatorList("archive_whitelist", read_repository, _REPOSITORY),
            OperatorList("banned_events", read_event_id, "an event id"),
            OperatorList("private_members", read_npub, "npub1…"),
            OperatorList("blocked_addresses", read_address, "an address or a network (CIDR)"),
        )
    }
)
