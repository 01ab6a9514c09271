"""The peers of a private service: to them alone it proves who it is (GRASP-08, B 16.11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ..errors import Forbidden, NotThePeer
from ..nostr.http_auth.header import SCHEME, token_of
from ..nostr.http_auth.signed_access import access_event
from ..nostr.keys import SecretKey, decode_npub
from ..runtime.clock import WallClock
from ..settings import Settings
from ..urls import GIT_SCHEMES, WebUrl, names_service

_RELAY_SCHEME: Final = {"http": "ws", "https": "wss"}


@attrs.frozen
class Peer:
    """One peer, as the operator named it.

    Attributes:
      url: of the service, http or https, without a slash at its end.
      pubkey: of the service, in hex.
    """

    url: str
    pubkey: str

    @property
    def relay(self) -> str:
        """The URL of its relay."""
        scheme, _, service = self.url.partition("://")
        return f"{_RELAY_SCHEME[scheme]}://{service}"

    def has(self, url: WebUrl) -> bool:
        """Whether a URL is that of a repository there."""
        scheme, _, service = self.url.partition("://")
        return url.scheme == scheme and names_service(url.text, service, GIT_SCHEMES)


class PrivatePeers:
    """Signs requests to peers whose word was heard that they are private and who they are.

    Args:
      peers: those that the operator named.
    """

    def __init__(self, peers: Sequence[Peer], clock: WallClock) -> None:
        self.peers = tuple(peers)
        self._clock = clock
        self._key: SecretKey | None = None
        self._confirmed: set[Peer] = set()

    @classmethod
    def of(cls, settings: Settings, clock: WallClock) -> PrivatePeers | None:
        """Those of the settings; None for a public service, which asks whom it likes."""
        if not settings.curation.private_mode:
            return None
        named = (each.split(" ") for each in settings.private.peers)
        return cls([Peer(url, decode_npub(npub)) for url, npub in named], clock)

    def use_key(self, key: SecretKey) -> None:
        """The service's key, which signs from now on."""
        self._key = key

    def of_relay(self, url: str) -> Peer | None:
        """The peer whose relay has that URL."""
        return next((each for each in self.peers if each.relay == url), None)

    def confirm(self, peer: Peer, *, confirmed: bool) -> None:
        """What the peer's NIP-11 document says of it is right, or is not."""
        (self._confirmed.add if confirmed else self._confirmed.discard)(peer)

    def authorization(self, url: WebUrl) -> str:
        """The header `Authorization` of one request to a repository of a peer, signed anew.

        Raises:
          Forbidden: the repository is none of a peer; nothing is signed.
          NotThePeer: it is, and its NIP-11 document was not read yet, or is another's.
        """
        peer = next((each for each in self.peers if each.has(url)), None)
        if peer is None:
            raise Forbidden("a private service asks its peers only (NGIT_PRIVATE_PEERS)")
        if peer not in self._confirmed or self._key is None:
            raise NotThePeer("the peer's relay has not said yet who it is")
        event = access_event(self._key, url.text, self._clock.now())
        return f"{SCHEME} {token_of(event)}"
