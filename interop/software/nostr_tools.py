"""nostr-tools as a client, through its SimplePool."""

from __future__ import annotations

from typing import Final

from ..installing import javascript
from ..nostr_trials import try_management, try_nostr_client
from ..table import Row

VERSION: Final = "2.25.2"
WS: Final = "ws@8.23.0"


async def tried() -> list[Row]:
    """As a client, and as one that manages the relay."""
    packages = (f"nostr-tools@{VERSION}", WS)
    command = await javascript("nostr-tools", "nostr_tools.mjs", *packages)
    name = f"nostr-tools {VERSION}"
    return [await try_nostr_client(name, command), await try_management(name, command)]
