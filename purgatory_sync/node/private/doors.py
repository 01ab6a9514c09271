"""Both doors of a private service, and who is let in by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from ...runtime.clock import WallClock
from ...settings import CurationSettings, Settings
from .http_door import HttpDoor, origin_of
from .members import Members
from .relay_door import RelayDoors

# So many of all connections may be strangers': members find a place, however many knock.
_PART_OF_STRANGERS: Final = 4


@attrs.frozen
class Doors:
    """What stands before a private service's relay, git and pages."""

    http: HttpDoor
    relay: RelayDoors


def make_doors(
    settings: Settings,
    lists: Callable[[], CurationSettings],
    keys: Iterable[str],
    clock: WallClock,
) -> Doors | None:
    """The doors of a private service; None for a public one.

    Args:
      lists: what rules, at the moment of the call.
      keys: of the service and of its peers, in hex, which are let in beside the members.
    """
    if not settings.curation.private_mode:
        return None
    members = Members(lists, keys)
    most = max(1, settings.listener.max_connections // _PART_OF_STRANGERS)
    basic = settings.private.basic_auth
    return Doors(
        HttpDoor(members, settings.service, origin_of(settings), clock.now, basic=basic),
        RelayDoors(members, settings.service, clock, most),
    )
