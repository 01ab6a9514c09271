"""Which repositories live here: those that list this service, and those that an archive copies."""

from __future__ import annotations

from ...nostr.address import RepositoryId
from ...nostr.announcement import Announcement
from ...nostr.keys import encode_npub
from ...settings import CurationSettings

NO_LISTS = CurationSettings()
"""The operator names nothing: every repository that lists us is taken, and none is copied."""


def hosts(announcement: Announcement, service: str, lists: CurationSettings) -> bool:
    """Whether an announcement has its repository here (B 2.1, 2.2 a); blacklists are not asked.

    Args:
      service: our host[:port].
      lists: which repositories an archive copies.
    """
    return (lists.private_mode or not announcement.is_private) and (
        announcement.lists(service) or wants(announcement, lists)
    )


def wants(announcement: Announcement, lists: CurationSettings) -> bool:
    """Whether archive mode copies the repository, listed or not (GRASP-05)."""
    return (
        lists.archive_all
        or names(lists.archive_whitelist, coordinate_of(announcement))
        or any(announcement.lists(service) for service in lists.archive_grasp_services)
    )


def is_read_only(announcement: Announcement, service: str, lists: CurationSettings) -> bool:
    """Whether its repository is a copy that takes no push (B 2.9).

    One that lists this service is hosted as any, where the operator does not keep copies only.
    """
    return lists.read_only and (lists.only_copies or not announcement.lists(service))


def coordinate_of(announcement: Announcement) -> RepositoryId:
    """Owner and identifier of the repository that is announced."""
    return RepositoryId(announcement.owner, announcement.identifier)


def names(listed: tuple[str, ...], repository: RepositoryId) -> bool:
    """Whether a list names it; an identifier that looks like a key is never taken for one."""
    if not listed:
        return False
    npub, identifier = encode_npub(repository.owner), repository.identifier
    if npub in listed or f"{npub}/{identifier}" in listed:
        return True
    return identifier in listed and not identifier.lower().startswith("npub1")
