"""Who takes part in which conversation, by what is served here; no I/O (B 15.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from ...nostr import kinds
from ...nostr.address import is_hex_key
from ...nostr.event import Event
from ...policy.kinds.statuses import repositories_of, root_of

# As many ids are asked about as there may be at all; what comes beyond is not followed.
MAX_MEMBERS: Final = 200_000


@attrs.define(eq=False)
class Thread:
    """A root and what replies to it.

    Attributes:
      root: the id; the root itself may not be served, and then its thread does not count.
      number: of the last change of all threads when the last member came.
      active_at: Unix seconds of the newest member.
      repository: that the root names first, as text; empty before the root came.
      members: by id the author, the root among them.
    """

    root: str
    number: int = 0
    active_at: int = 0
    repository: str = ""
    members: dict[str, str] = attrs.field(factory=dict)

    @property
    def counts(self) -> bool:
        """Whether its root is served."""
        return self.root in self.members


class Threads:
    """The conversations of all repositories here.

    Attributes:
      number: of the last change.
    """

    def __init__(self, most: int = MAX_MEMBERS) -> None:
        self.number = 0
        self._most = most
        self._threads: dict[str, Thread] = {}
        self._thread_of: dict[str, Thread] = {}
        self._of_author: dict[str, dict[Thread, int]] = {}

    def __len__(self) -> int:
        return len(self._threads)

    def of(self, author: str) -> Iterator[Thread]:
        """The conversations with a served root in which an author takes part."""
        return (thread for thread in self._of_author.get(author, ()) if thread.counts)

    def began(self, author: str) -> bool:
        """Whether an author wrote one of the roots."""
        return any(t.members[t.root] == author for t in self.of(author))

    def came(self, event: Event, now: float) -> Thread | None:
        """Note a served event; the conversation that it belongs to, where it is a new one there.

        Args:
          now: Unix seconds; what is dated ahead counts as of now.
        """
        root = _root_of(event)
        if root is None or event.id in self._thread_of or len(self._thread_of) >= self._most:
            return None
        known = self._thread_of.get(root)
        thread = known or self._threads.setdefault(root, Thread(root))
        thread.members[event.id] = event.pubkey
        self._thread_of[event.id] = thread
        joined = self._of_author.setdefault(event.pubkey, {})
        joined[thread] = joined.get(thread, 0) + 1
        if event.id == thread.root:
            thread.repository = next(map(str, repositories_of(event)), "")
        thread.active_at = max(thread.active_at, min(event.created_at, int(now)))
        self.number += 1
        thread.number = self.number
        return thread

    def renew(self, author: str) -> None:
        """Have the conversations of an author count as changed: it is read on other relays now."""
        for thread in self._of_author.get(author, ()):
            self.number += 1
            thread.number = self.number

    def gone(self, event_id: str) -> str | None:
        """Forget an event that is no longer served; its author, if it was known."""
        thread = self._thread_of.pop(event_id, None)
        if thread is None:
            return None
        author = thread.members.pop(event_id)
        joined = self._of_author[author]
        joined[thread] -= 1
        if not joined[thread]:
            del joined[thread]
        if not joined:
            del self._of_author[author]
        if not thread.members:
            self._threads.pop(thread.root, None)
        return author


def _root_of(event: Event) -> str | None:
    """The id of the conversation that an event begins or belongs to; None where it is none."""
    if event.kind in kinds.THREAD_ROOTS:
        return event.id
    if event.kind not in kinds.THREAD_REPLIES:
        return None
    named = event.first("E")
    return named if named is not None and is_hex_key(named) else root_of(event)
