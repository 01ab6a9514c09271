"""applesauce as a client."""

from __future__ import annotations

from typing import Final

from ..installing import javascript
from ..nostr_trials import try_nostr_client
from ..table import Row
from . import nostr_tools

VERSION: Final = "6.2.1"


async def tried() -> list[Row]:
    """As a client; nostr-tools signs for it."""
    packages = (f"applesauce-relay@{VERSION}", f"nostr-tools@{nostr_tools.VERSION}", "rxjs@7.8.2")
    command = await javascript("applesauce", "applesauce.mjs", *packages, nostr_tools.WS)
    return [await try_nostr_client(f"applesauce-relay {VERSION}", command)]
