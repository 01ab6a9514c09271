"""git itself: what is installed here."""

from __future__ import annotations

from ..git_trials import try_git_client
from ..table import Row
from ..world import git


async def tried() -> list[Row]:
    """As a client; the node's own tests hunt from its `http-backend` all the time."""
    version = (await git("--version")).split()[2]
    return await try_git_client(f"git {version}", ("sh", "-c", _SCRIPT, "git"))


_SCRIPT = """case $1 in
clone) exec git clone -q "$2" "$3" ;;
push) exec git -C "$2" push -q "$3" refs/heads/main ;;
esac"""
