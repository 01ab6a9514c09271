"""gitoxide (the crate gix) as a client that clones; it has no push yet, so git pushes for it."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_client
from ..installing import cargo
from ..table import Row

VERSION: Final = "0.90.0"
FEATURES: Final = ("blocking-http-transport-reqwest", "worktree-mutation", "sha1")


async def tried() -> list[Row]:
    """As a client."""
    program = await cargo("gitoxide", "gitoxide.rs", "gix", VERSION, FEATURES)
    clone = ("sh", "-c", _SCRIPT, *program)
    return await try_git_client(f"gitoxide (gix {VERSION})", clone, CLONES)


CLONES: Final = "clone with all objects of what git pushed, a first and a second state"
_SCRIPT: Final = """case $1 in
push) exec git -C "$2" push -q "$3" refs/heads/main ;;
*) exec "$0" "$@" ;;
esac"""
