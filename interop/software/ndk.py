"""NDK as a client."""

from __future__ import annotations

from typing import Final

from ..installing import javascript
from ..nostr_trials import try_nostr_client
from ..table import Row
from .nostr_tools import WS

VERSION: Final = "3.0.3"


async def tried() -> list[Row]:
    """As a client."""
    command = await javascript("ndk", "ndk.mjs", f"@nostr-dev-kit/ndk@{VERSION}", WS)
    return [await try_nostr_client(f"NDK {VERSION}", command)]
