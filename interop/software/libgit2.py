"""libgit2, by pygit2, as a client."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_client
from ..installing import FOREIGN, python
from ..table import Row

VERSION: Final = "1.21.0"


async def tried() -> list[Row]:
    """As a client."""
    here = await python("libgit2", f"pygit2=={VERSION}")
    command = (here, str(FOREIGN / "libgit2.py"))
    return await try_git_client(f"libgit2 (pygit2 {VERSION})", command)
