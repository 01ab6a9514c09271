"""A first try without a Nostr git client: announce a local repository and its state at a node.

Run it with `python -m examples.announce FOLDER http://127.0.0.1:7334 [http://OTHER-NODE …]`. The
first node is told, all are listed; then do what it prints. The key that signs is made once and kept
in the repository's own git configuration (`nostr.nsec`). After each commit: again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from secrets import token_bytes
from shlex import join
from urllib.parse import quote

import trio

from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.nostr_client import nostr_client


def git(folder: Path, *arguments: str, may_fail: bool = False) -> str:
    """What git says; empty when it may fail and does."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode and not may_fail:
        sys.exit(done.returncode)  # git said why
    return done.stdout.strip()


def author_of(folder: Path) -> Author:
    """The owner's key: always the same, once made."""
    if nsec := git(folder, "config", "--local", "nostr.nsec", may_fail=True):
        return Author(SecretKey.parse(nsec))
    author = Author(SecretKey(token_bytes(32)))
    git(folder, "config", "--local", "nostr.nsec", author.key.nsec)
    return author


async def announce(folder: Path, nodes: list[str]) -> None:
    """Publish announcement and state at the first node, and tell what to do next."""
    author, name, now = author_of(folder), folder.name, int(time.time())
    shown = "--format=%(refname) %(objectname)"
    listed = git(folder, "for-each-ref", shown, "refs/heads", "refs/tags")
    refs = dict(line.split(" ") for line in listed.splitlines())
    head = git(folder, "symbolic-ref", "HEAD")
    clone = [f"{node}/{author.npub}/{quote(name, safe='')}.git" for node in nodes]
    relays = [node.replace("http", "ws", 1) for node in nodes]
    async with nostr_client(relays[0]) as client:
        for event in (
            events.announcement(author, name, clone=clone, relays=relays, created_at=now),
            events.state(author, name, refs, head=head, created_at=now),
        ):
            accepted, message = await client.publish(event)
            print(f"event {event.id}: {'OK' if accepted else 'refused'} {message}")
    everything = ["refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"]
    print("now push:  ", join(["git", "-C", str(folder), "push", "--prune", clone[0], *everything]))
    for url in clone:
        print("then clone:", join(["git", "clone", url]))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        trio.run(announce, Path(sys.argv[1]).resolve(), [url.rstrip("/") for url in sys.argv[2:]])
    except OSError as error:
        sys.exit(f"no node answers at {sys.argv[2]}: {error}")
