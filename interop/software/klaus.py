"""klaus, a web view of repositories with smart HTTP by dulwich, as a server."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_server
from ..installing import FOREIGN, python
from ..table import Row

VERSION: Final = "3.0.1"


async def tried() -> list[Row]:
    """As a server; it shows `repo.git` as `repo`."""
    here = await python("klaus", f"klaus=={VERSION}", "dulwich==1.2.21")
    command = (here, str(FOREIGN / "klaus_server.py"))
    return await try_git_server(
        f"klaus {VERSION}",
        lambda root, port: (*command, "serve", str(root), str(port)),
        "repo",
    )
