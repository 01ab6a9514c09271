"""Who may set the status of an issue, a patch or a pull request (NIP-34, B 5.6)."""

from __future__ import annotations

from typing import Final

from ...nostr import kinds
from ...nostr.address import Address, RepositoryId, is_hex_key
from ...nostr.event import Event
from ..rules.known_facts import Known
from ..rules.lacking import lacks_release
from ..rules.verdict import Verdict, refuse

FORBIDDEN: Final = "restricted: only the author and maintainers set a status"
MAX_REPOSITORIES: Final = 16
"""Of one root; what names more is no repository's."""


def judge_status(event: Event, known: Known) -> Verdict | None:
    """Refuse the status of a key that may not set it; None: nothing is against it.

    Args:
      known: `status_setters` is set only where the operator asks for it.
    """
    if known.status_setters is None or event.pubkey in known.status_setters:
        return None
    return refuse(FORBIDDEN, lacks_release(event))


def root_of(event: Event) -> str | None:
    """The id of what a status is about: the `e` tag marked `root`, else the first (NIP-10)."""
    tags = [tag for tag in event.tags if len(tag) > 1 and tag[0] == "e" and is_hex_key(tag[1])]
    marked = (tag[1] for tag in tags if len(tag) > 3 and tag[3] == "root")
    return next(marked, tags[0][1] if tags else None)


def repositories_of(event: Event) -> tuple[RepositoryId, ...]:
    """The repositories that an event names with `a`, each once, at most 16."""
    named = filter(None, map(Address.parse, event.values("a")))
    found = (RepositoryId(a.pubkey, a.identifier) for a in named if a.kind == kinds.ANNOUNCEMENT)
    return tuple(dict.fromkeys(found))[:MAX_REPOSITORIES]
