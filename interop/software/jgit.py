"""JGit as a client; its server needs a servlet container."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_client
from ..installing import java
from ..table import Row

VERSION: Final = "7.3.0.202506031305-r"
LOGGING: Final = "org.slf4j:slf4j-nop:1.7.36"


async def tried() -> list[Row]:
    """As a client."""
    library = f"org.eclipse.jgit:org.eclipse.jgit:{VERSION}"
    return await try_git_client(
        f"JGit {VERSION}", await java("jgit", "JGit.java", library, LOGGING)
    )
