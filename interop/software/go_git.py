"""go-git: v5 and v6 as clients, v6 as a server (v5 has none for HTTP)."""

from __future__ import annotations

from typing import Final

from ..git_trials import try_git_client, try_git_server
from ..installing import go
from ..table import Row

V5: Final = "5.19.3"
V6: Final = "6.0.0-beta.1"


async def tried() -> list[Row]:
    """Both versions as clients, and the server that v6 brings."""
    five = await go("go-git-5", "go_git_v5.go", f"github.com/go-git/go-git/v5@v{V5}")
    six = await go("go-git-6", "go_git_v6.go", f"github.com/go-git/go-git/v6@v{V6}")
    return [
        *await try_git_client(f"go-git {V5}", five),
        *await try_git_client(f"go-git {V6}", six),
        *await try_git_server(
            f"go-git {V6} `backend`", lambda root, port: (*six, "serve", str(root), str(port))
        ),
    ]
