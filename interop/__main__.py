"""Try all software, or what is named, and write docs/compatibility.md: `make interop`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from .installing import Skipped
from .software import (
    applesauce,
    at_nostr_relay,
    dulwich,
    git,
    gitoxide,
    go_git,
    hg_git,
    isomorphic_git,
    jgit,
    klaus,
    libgit2,
    ndk,
    nostr_relay,
    nostr_sdk,
    nostr_tools,
)
from .table import Row, write

DOCUMENT: Final = Path(__file__).parent.parent / "docs/compatibility.md"
ALL: Final[dict[str, Callable[[], Awaitable[list[Row]]]]] = {
    "git": git.tried,
    "gitoxide": gitoxide.tried,
    "go-git": go_git.tried,
    "hg-git": hg_git.tried,
    "JGit": jgit.tried,
    "libgit2": libgit2.tried,
    "dulwich": dulwich.tried,
    "klaus": klaus.tried,
    "isomorphic-git": isomorphic_git.tried,
    "nostr-tools": nostr_tools.tried,
    "NDK": ndk.tried,
    "applesauce": applesauce.tried,
    "nostr-sdk": nostr_sdk.tried,
    "nostr_relay": nostr_relay.tried,
    "@nostr-relay": at_nostr_relay.tried,
}


async def main(names: list[str]) -> int:
    """Try what is named, all without a name; only a run of all writes the document.

    Returns:
      The exit code: 2 for a name that is not known, else 0; the table says what failed.
    """
    if unknown := set(names) - set(ALL):
        print(f"not known: {', '.join(sorted(unknown))}; known: {', '.join(ALL)}")
        return 2
    rows = []
    for name in names or ALL:
        try:
            found = await ALL[name]()
        except Skipped as error:
            found = [Row(name, "–", "–", f"skipped: {error}")]
        for row in found:
            print(f"{row.software}, {row.part}: {row.tried}: {row.result}", flush=True)
        rows += found
    if not names:
        write(DOCUMENT, rows, datetime.now(UTC).date().isoformat())
    return 0


sys.exit(trio.run(main, sys.argv[1:]))
