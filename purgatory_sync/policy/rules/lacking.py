"""What a refused event lacks, and what an accepted one brings: where both share a key, the refused
one is judged again (B 2.8, 10.2).

Keys: `d:` an announcement of an identifier, `e:` and `a:` a served event by id or address, `r:` a
served event that refers to this id or address.
"""

from __future__ import annotations

from ...nostr import kinds
from ...nostr.address import Address
from ...nostr.event import Event
from .references import references_of
from .verdict import address_text

MAX_LACKS = 32
"""Keys under which one refused event is remembered; what refers to more is no repository's."""


def lacks_announcement(*identifiers: str) -> tuple[str, ...]:
    """The keys of an event that an announcement of one of these identifiers might admit."""
    return tuple(f"d:{identifier}" for identifier in identifiers)[:MAX_LACKS]


def lacks_reference(event: Event) -> tuple[str, ...]:
    """The keys of an event that refers to nothing served, and to which nothing served refers."""
    ids, coordinates = references_of(event)
    own = (event.id,) if (address := address_text(event)) is None else (event.id, address)
    keys = [f"r:{name}" for name in own] + [f"a:{name}" for name in coordinates]
    return tuple(keys + [f"e:{name}" for name in ids])[:MAX_LACKS]


def lacks_release(event: Event) -> tuple[str, ...]:
    """The keys of an event that waits for the release of a repository which it refers to.

    It may name a member only, whose announcement is served already; so the owner's counts too.
    """
    addresses = filter(None, map(Address.parse, references_of(event)[1]))
    names = dict.fromkeys(name for kind, _, name in addresses if kind == kinds.ANNOUNCEMENT)
    return (*lacks_announcement(*names), *lacks_reference(event))[:MAX_LACKS]


def brings(event: Event, *, served: bool) -> tuple[str, ...]:
    """The keys of what an accepted event makes possible.

    Args:
      served: False for one that is only held; of those only announcements bring anything.
    """
    keys = []
    if event.kind == kinds.ANNOUNCEMENT:
        keys.append(f"d:{event.first('d') or ''}")
    if served:
        keys.append(f"e:{event.id}")
        if (address := address_text(event)) is not None:
            keys.append(f"a:{address}")
        ids, coordinates = references_of(event)
        keys += [f"r:{name}" for name in (*ids, *coordinates)]
    return tuple(keys)
