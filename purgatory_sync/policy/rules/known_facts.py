"""The snapshot that an event is judged by; the engine takes it from store and purgatory."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ...nostr.authority.repository_data import RepositoryData
from ...nostr.event import Event
from ...nostr.parsed import Parsed
from ...records import Tombstone


@attrs.frozen
class Known:
    """Everything that a verdict depends on besides the event and the settings.

    Attributes:
      now: Unix seconds.
      service: our host[:port] (B 2.1).
      data: for each of its identifiers, its announcements: served, held, soft-expired.
      served: an event of this id is served.
      held: an event of this id is held (soft-expired ones too).
      expired: this id was held before and ended without its data; relays that repeat it are
        refused (B 8.9).
      known_by_id: only for an hour, for nothing else is left of it by which it could be looked for.
      deleted: a tombstone of `bar_targets(event)` covers it (B 5).
      vanished: its author's request to vanish covers it (B 5.2).
      bars_used: tombstones that keep it out and would end, as they stay from now on.
      request_bars: of a deletion request: what its author's requests left at what it names.
      requests_by_author, requests_total: how many deletion requests of its author, and in all, are
        served; looked at for requests that name nothing here.
      newest_served: the served event of the same address.
      held_announcement: the held or soft-expired announcement of this owner and identifier.
      held_total: how many events are held.
      held_by_author: how many of them are this author's.
      held_bytes, held_bytes_by_author: the same in bytes of their JSON.
      announced_by_author: how many of its announcements are served; looked at for announcements
        that do not list us.
      over_quota: why its author may have no repository more here, where the announcement would
        make one (B 13.11).
      objects_here: every object of this state or PR is here (B 3.6).
      own: its author is the service itself, and it is its profile or its relay list (B 13.16).
      takes_part: of a profile or relay list: its author has something served here (B 15.1).
      referenced: it refers to something served, or something served refers to it (B 5); not
        looked for where a repository of the event's identifiers decides.
      refers_to_held: where it is not referenced: it refers to something that is held.
      status_setters: of a status, where the operator asks for it: the keys that may set it; None
        where no repository here says who they are.
      contributed: it names a path below our `/prs/` that its signer may be pushed to (GRASP-06).
      contributed_full: which budget of its author below `/prs/` it would exceed, in words.
      left_alone: ids of served states and pull requests that concern no other repository here
        than the author's; looked at for private announcements only.
      unannounced: identifiers of the author's repositories on the disk that nothing announces
        which the request to vanish leaves here; of no other event any.
      targets_served: served events that this request names (`Deletion`) or ends (`Vanish`).
      targets_held: held events of the same.
    """

    now: float
    service: str
    data: Mapping[str, RepositoryData] = attrs.field(factory=dict)
    served: bool = False
    held: bool = False
    expired: bool = False
    known_by_id: bool = False
    deleted: bool = False
    vanished: bool = False
    bars_used: tuple[Tombstone, ...] = ()
    request_bars: tuple[Tombstone, ...] = ()
    requests_by_author: int = 0
    requests_total: int = 0
    newest_served: Event | None = None
    held_announcement: Event | None = None
    held_total: int = 0
    held_by_author: int = 0
    held_bytes: int = 0
    held_bytes_by_author: int = 0
    announced_by_author: int = 0
    over_quota: str | None = None
    objects_here: bool = False
    own: bool = False
    takes_part: bool = False
    referenced: bool = False
    refers_to_held: bool = False
    status_setters: frozenset[str] | None = None
    contributed: bool = False
    contributed_full: str | None = None
    left_alone: tuple[str, ...] = ()
    unannounced: tuple[str, ...] = ()
    targets_served: tuple[Parsed, ...] = ()
    targets_held: tuple[Parsed, ...] = ()
