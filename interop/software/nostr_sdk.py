"""nostr-sdk (rust-nostr, by its Python bindings) as a client, and its LocalRelay."""

from __future__ import annotations

from typing import Final

from ..installing import FOREIGN, python
from ..nostr_trials import try_management, try_nostr_client, try_relay
from ..table import Row

VERSION: Final = "0.45.1"


async def tried() -> list[Row]:
    """As both."""
    here = await python("nostr-sdk", f"nostr-sdk=={VERSION}")
    command = (here, str(FOREIGN / "nostr_sdk_both.py"))
    return [
        await try_nostr_client(f"nostr-sdk {VERSION}", command),
        await try_management(f"nostr-sdk {VERSION}", command),
        *await try_relay(
            f"LocalRelay of nostr-sdk {VERSION}", lambda port: (*command, "serve", str(port))
        ),
    ]
