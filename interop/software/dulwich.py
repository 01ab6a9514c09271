"""dulwich as a client and as a server (`dulwich.web`)."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_client, try_git_server
from ..installing import FOREIGN, python
from ..table import Row

VERSION: Final = "1.2.21"


async def tried() -> list[Row]:
    """As both."""
    here = await python("dulwich", f"dulwich=={VERSION}")
    command = (here, str(FOREIGN / "dulwich_both.py"))
    return [
        *await try_git_client(f"dulwich {VERSION}", command),
        *await try_git_server(
            f"dulwich {VERSION} `dulwich.web`",
            lambda root, port: (*command, "serve", str(root), str(port)),
        ),
    ]
