"""Compression of large WebSocket messages, within limits of what small ones may become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

LARGE_BYTES: Final = 1024


class _OfLarge(Extension):
    """Deflates large messages; an event is mostly hex, and most are not worth the time.

    Args:
      most_inflated: bytes that what is received at once may become; more closes the socket (1009).
        All frames of it are inflated in one go, and any may become a thousand times as long.
    """

    def __init__(self, deflate: Extension, most_inflated: int) -> None:
        self.name = deflate.name
        self._deflate = deflate
        self._most_inflated = most_inflated
        self._left = most_inflated

    def begin_piece(self) -> None:
        """What is decoded from now on was received at once."""
        self._left = self._most_inflated

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        # To zlib 0 is no limit.
        left = max(1, self._left if max_size is None else min(self._left, max_size))
        inflated = self._deflate.decode(frame, max_size=left)
        if inflated is not frame:
            self._left -= len(inflated.data)
        return inflated

    def encode(self, frame: Frame) -> Frame:
        return self._deflate.encode(frame) if len(frame.data) >= LARGE_BYTES else frame


class LargeDeflate(ServerExtensionFactory):
    """permessage-deflate (RFC 7692) of large messages, with little memory for each client.

    Args:
      most_inflated: bytes that what is received at once may become.
    """

    name = ServerPerMessageDeflateFactory.name

    def __init__(self, most_inflated: int) -> None:
        self._most_inflated = most_inflated
        self._made: list[_OfLarge] = []
        self._factory = ServerPerMessageDeflateFactory(
            server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        answer, deflate = self._factory.process_request_params(params, accepted_extensions)
        self._made.append(_OfLarge(deflate, self._most_inflated))
        return answer, self._made[-1]

    def begin_piece(self) -> None:
        """What is decoded from now on was received at once."""
        for each in self._made:
            each.begin_piece()
