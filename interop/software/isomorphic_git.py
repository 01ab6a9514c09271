"""isomorphic-git as a client in Node; in a browser it runs in tests/node/git_http."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_client
from ..installing import javascript
from ..table import Row

VERSION: Final = "1.44.17"


async def tried() -> list[Row]:
    """As a client."""
    package = f"isomorphic-git@{VERSION}"
    command = await javascript("isomorphic-git", "isomorphic_git.mjs", package)
    return await try_git_client(f"isomorphic-git {VERSION}", command)
