"""nostr_relay (Python, SQLite) as a relay that the node follows."""

from __future__ import annotations

from typing import Final

from ..installing import FOREIGN, python
from ..nostr_trials import try_relay
from ..table import Row

VERSION: Final = "1.14"


async def tried() -> list[Row]:
    """As a relay."""
    here = await python("nostr-relay", f"nostr-relay=={VERSION}")
    command = (here, str(FOREIGN / "nostr_relay_server.py"))
    return await try_relay(f"nostr_relay {VERSION}", lambda port: (*command, "serve", str(port)))
