"""Who is a member of a private service at this moment (GRASP-08)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...nostr.keys import decode_npub
from ...settings import CurationSettings


class Members:
    """The members by the lists that rule; looked at anew for each question.

    Args:
      lists: what rules, at the moment of the call.
      always: public keys, in hex, that are let in beside the list's: the service's and its peers'.
    """

    def __init__(self, lists: Callable[[], CurationSettings], always: Iterable[str] = ()) -> None:
        self._lists = lists
        self._always = frozenset(always)
        self._read: tuple[str, ...] | None = None
        self._keys: frozenset[str] = frozenset()

    def has(self, pubkey: str) -> bool:
        """Whether a public key, in hex, is let in."""
        listed = self._lists().private_members
        if listed is not self._read:
            self._read, self._keys = listed, frozenset(map(decode_npub, listed))
        return pubkey in self._keys or pubkey in self._always
