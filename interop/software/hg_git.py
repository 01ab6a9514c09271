"""Mercurial with hg-git, which stands on dulwich, as a client."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_client
from ..installing import FOREIGN, python
from ..table import Row

VERSION: Final = "1.2.0"
MERCURIAL: Final = "7.1.2"
"""hg-git 1.2.0 names no upper bound, and does not load beside Mercurial 7.2."""


async def tried() -> list[Row]:
    """As a client."""
    here = await python("hg-git", f"hg-git=={VERSION}", f"mercurial=={MERCURIAL}")
    software = f"hg-git {VERSION} (Mercurial {MERCURIAL})"
    return await try_git_client(software, (here, str(FOREIGN / "hg_git.py")))
