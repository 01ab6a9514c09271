"""@nostr-relay, a relay as parts: its core and validator over ws, with events in memory.

Its core hands deletion requests to the repository of events and tells no subscriber.
"""

from __future__ import annotations

from typing import Final

from ..installing import javascript
from ..nostr_trials import try_relay
from ..table import Row
from .nostr_tools import WS

VERSION: Final = "0.0.40"


async def tried() -> list[Row]:
    """As a relay."""
    packages = [f"@nostr-relay/{part}@{VERSION}" for part in ("common", "core", "validator")]
    command = await javascript("at-nostr-relay", "at_nostr_relay.mjs", *packages, WS)
    software = f"@nostr-relay/core {VERSION}"
    return await try_relay(software, lambda port: (*command, str(port)), tells_deletions=False)
