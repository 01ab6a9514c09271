"""Which relays are followed: those we were told to, and those that announcements name (B 10.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import attrs

from ....errors import InvalidEvent
from ....nostr import kinds
from ....nostr.announcement import Announcement
from ....nostr.event import Event
from ....urls import RELAY_SCHEMES, leads_to_service, parse_web_url, usable_urls
from .members_beside import Hosts, MembersBeside

MAX_RELAYS = 200
MAX_RELAYS_OF_ANNOUNCEMENT = 20
# An author who announces many paths of one host must not cause a connection to each.
MAX_RELAYS_OF_HOST = 4


@attrs.frozen
class _Listed:
    order: tuple[int, str]
    event_id: str
    relays: tuple[str, ...]
    counts: bool = False


def _everything(announcement: Announcement) -> bool:
    return True


def _nothing(announcement: Announcement) -> bool:
    return False


class Roster:
    """Knows who names which relay; no I/O.

    Args:
      ours: every host[:port] that is ourselves; these are never followed.
      limit: how many relays are followed at once.
      hosts: whether an announcement has its repository here. The relays of others are followed
        where their author is a member of the set of one who has.
      only_pinned: no announcement makes a relay be followed (GRASP-08).
      blocked: whether the operator's blacklists keep an announcement out of every set.
    """

    def __init__(
        self,
        ours: Iterable[str],
        limit: int = MAX_RELAYS,
        hosts: Hosts = _everything,
        blocked: Hosts = _nothing,
        *,
        only_pinned: bool = False,
    ) -> None:
        self._only_pinned = only_pinned
        self._beside = MembersBeside(hosts, blocked)
        self._ours = tuple(ours)
        self._limit = limit
        self._pinned: dict[str, None] = {}
        self._listed: dict[tuple[int, str, str], _Listed] = {}
        self._addresses: dict[str, tuple[int, str, str]] = {}
        self._unsettled: dict[str, None] = {}
        self._named_by: dict[str, dict[str, int]] = {}
        # By number of owners and by host, so that no crowd of URLs makes choosing slow.
        self._ranks: dict[int, dict[str, dict[str, None]]] = {}

    def follow(self, urls: Iterable[str]) -> None:
        """Follow these before all that announcements name."""
        self._pinned |= dict.fromkeys(self._usable(urls))

    def announced(self, event: Event) -> bool:
        """Take an announcement's relays in place of those that an older version named.

        Returns whether anything may have changed.
        """
        try:
            announcement = Announcement.parse(event)
        except InvalidEvent:
            return False
        address = event.address
        assert address is not None  # noqa: S101 - announcements are addressable
        old = self._listed.get(address)
        if old is not None and old.order >= event.order:
            return False
        relays = dict.fromkeys(self._usable(announcement.relays)[:MAX_RELAYS_OF_ANNOUNCEMENT])
        hosted = self._beside.announced(announcement)
        # One that counted goes on counting until it is known better, so that it keeps its place.
        counts = hosted or (old is not None and old.counts)
        for url in relays if counts else ():
            self._name(url, announcement.owner)
        if old is not None:
            self._unlist(address)
        self._listed[address] = _Listed(event.order, event.id, tuple(relays), counts)
        self._addresses[event.id] = address
        self._unsettled[announcement.identifier] = None
        return True

    def judged_anew(self, event: Event) -> bool:
        """Other lists rule: is an announcement hosted by them? Whether anything may have changed.

        One that is not known, or no more, changes nothing.
        """
        address = event.address
        listed = self._listed.get(address) if address is not None else None
        if address is None or listed is None or listed.event_id != event.id:
            return False
        announcement = Announcement.parse(event)
        if self._beside.announced(announcement) and not listed.counts:
            self._listed[address] = attrs.evolve(listed, counts=True)
            for url in listed.relays:
                self._name(url, announcement.owner)
        self._unsettled[announcement.identifier] = None
        return True

    def withdrawn(self, event_ids: Iterable[str]) -> bool:
        """Forget the relays of announcements that left; whether anything may have changed."""
        gone = [address for each in event_ids if (address := self._addresses.get(each))]
        for address in gone:
            self._unlist(address)
            _, owner, identifier = address
            self._beside.withdrawn(owner, identifier)
            self._unsettled[identifier] = None
        return bool(gone)

    def named(self, url: str) -> tuple[bool, int]:
        """Whether the operator named a relay, and how many owners' announcements do."""
        self._settle()
        return url in self._pinned, len(self._named_by.get(url, ()))

    def chosen(self) -> tuple[str, ...]:
        """The relays to follow now: pinned ones, then those that most owners name, oldest first.

        Owners count, not announcements, so that no author fills the places with one list.
        """
        self._settle()
        chosen = dict.fromkeys(self._pinned)
        if self._only_pinned:
            return tuple(chosen)[: self._limit]
        of_host = Counter(parse_web_url(url, RELAY_SCHEMES).host for url in chosen)
        for owners in sorted(self._ranks, reverse=True):
            for host, urls in self._ranks[owners].items():
                if len(chosen) >= self._limit:
                    return tuple(chosen)[: self._limit]
                new = (url for url in urls if url not in self._pinned)
                here = list(islice(new, max(0, MAX_RELAYS_OF_HOST - of_host[host])))
                of_host[host] += len(here)
                chosen |= dict.fromkeys(here)
        return tuple(chosen)[: self._limit]

    def _unlist(self, address: tuple[int, str, str]) -> None:
        listed = self._listed.pop(address)
        del self._addresses[listed.event_id]
        for url in listed.relays if listed.counts else ():
            self._unname(url, address[1])

    def _settle(self) -> None:
        """Find out who counts where something changed: once, however many announcements came."""
        for identifier in self._unsettled:
            self._count(identifier, self._beside.counting(identifier))
        self._unsettled.clear()

    def _count(self, identifier: str, beside: Mapping[str, bool]) -> None:
        """Follow for members who came, and no more for those who went."""
        for owner, counts in beside.items():
            address = kinds.ANNOUNCEMENT, owner, identifier
            if (listed := self._listed[address]).counts != counts:
                self._listed[address] = attrs.evolve(listed, counts=counts)
                for url in listed.relays:
                    (self._name if counts else self._unname)(url, owner)

    def _name(self, url: str, owner: str) -> None:
        owners = self._named_by.setdefault(url, {})
        before = len(owners)
        owners[owner] = owners.get(owner, 0) + 1
        self._rank(url, before, len(owners))

    def _unname(self, url: str, owner: str) -> None:
        owners = self._named_by[url]
        before = len(owners)
        owners[owner] -= 1
        if not owners[owner]:
            del owners[owner]
        self._rank(url, before, len(owners))
        if not owners:
            del self._named_by[url]

    def _rank(self, url: str, before: int, after: int) -> None:
        """Note how many owners name a URL; where it is the same number, it keeps its place."""
        if before == after:
            return
        host = parse_web_url(url, RELAY_SCHEMES).host
        if before:
            urls = self._ranks[before][host]
            del urls[url]
            if not urls:
                del self._ranks[before][host]
            if not self._ranks[before]:
                del self._ranks[before]
        if after:
            self._ranks.setdefault(after, {}).setdefault(host, {})[url] = None

    def _usable(self, urls: Iterable[str]) -> Sequence[str]:
        return [
            url
            for url in usable_urls(urls, RELAY_SCHEMES)
            if not any(leads_to_service(url, service, RELAY_SCHEMES) for service in self._ours)
        ]
