"""Write the data folder of an older version, for test_upgrade.py; run in that version's tree:

    git worktree add /tmp/old 9963cb3           # the last commit of 0.1.0
    (its requirements/run.txt into a virtual environment of its own)
    PYTHONPATH=/tmp/old /tmp/old-venv/bin/python tests/upgrade/make_old_data.py data-0.1.0.tar.xz

Beside the folders the archive has `made.json`: when it was made (Unix seconds), the ids of what
was served and held then, the refs of each repository, and the key; and `later.pack` with the
objects that a held state waits for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio

from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client

SERVICE: Final = "git.example.org"
ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
MAIN: Final = "refs/heads/main"
NAMES: Final = ("repo", "\u00fc x")
NOW: Final = int(time.time()) - 100
ENVIRONMENT: Final = {
    **os.environ,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Run git; what it prints."""
    command = ["git", *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, input=stdin, capture_output=True, check=True)
    return done.stdout


def commit(tree: Path, text: str) -> str:
    """A commit with a file; its name."""
    (tree / text).write_text(text)
    git("-C", tree, "add", text)
    git("-C", tree, "commit", "-q", "-m", text)
    return git("-C", tree, "rev-parse", "HEAD").decode().strip()


def announcement(owner: Author, name: str, *maintainers: Author) -> Any:
    """One that lists the service."""
    clone = [f"https://{SERVICE}/{owner.npub}/{name.replace(' ', '%20')}.git"]
    return events.announcement(
        owner,
        name,
        clone=clone,
        relays=[f"wss://{SERVICE}"],
        maintainers=maintainers,
        created_at=NOW,
    )


async def fill(node: NodeProcess, tree: Path) -> dict[str, list[str]]:
    """Publish and push; the ids of what is served and of what is held."""
    first = commit(tree, "first")
    git("-C", tree, "tag", "v1")
    git("-C", tree, "checkout", "-q", "-b", "change")
    tip = commit(tree, "change")
    refs, served, held = {MAIN: first, "refs/tags/v1": first}, [], []
    async with nostr_client(node.relay_url) as client:
        for name in NAMES:
            where = ALICE.coordinate(name)
            change = events.pull_request(BOB, [where], tip, created_at=NOW)
            parts = [
                announcement(ALICE, name, BOB),
                events.state(ALICE, name, refs, head=MAIN, created_at=NOW),
                change,
            ]
            for event in parts:
                assert (await client.publish(event))[0]
            url = f"{node.http_url}/{ALICE.npub}/{name.replace(' ', '%20')}.git"
            pushed = ["main", "v1", f"{tip}:refs/nostr/{change.id}"]
            await trio.to_thread.run_sync(git, "-C", tree, "push", "-q", url, *pushed)
            served += parts
        issue = events.note(BOB, "?", kind=1621, tags=[("a", str(ALICE.coordinate("repo")))])
        gone = events.note(BOB, "no", kind=1111, tags=[("e", issue.id)])
        answer = events.note(ALICE, "!", kind=1111, tags=[("e", issue.id)])
        accepts = announcement(BOB, "repo", ALICE)
        asks = events.deletion(BOB, ids=[gone.id], created_at=NOW)
        for event in (issue, gone, answer, accepts, asks):
            assert (await client.publish(event))[0], event
        served += [issue, answer, accepts, asks]
        git("-C", tree, "checkout", "-q", "main")
        later = commit(tree, "later")
        lacking = events.pull_request(ALICE, [ALICE.coordinate("repo")], "12" * 20, created_at=NOW)
        waiting = [
            announcement(ALICE, "empty"),
            events.state(BOB, "repo", {**refs, MAIN: later}, head=MAIN, created_at=NOW + 10),
            lacking,
        ]
        for event in waiting:
            accepted, message = await client.publish(event)
            assert accepted, message
            assert message.startswith("purgatory: "), message
        held += waiting
        for event in served:
            assert await client.has(event.id), event
    return {"served": [each.id for each in served], "held": [each.id for each in held]}


def repositories(folder: Path) -> dict[str, dict[str, str]]:
    """The refs of each."""
    found = {}
    for path in sorted(folder.glob("npub1*/*.git")):
        lines = git("-C", path, "for-each-ref", "--format=%(refname) %(objectname)").decode()
        found[f"{path.parent.name}/{path.stem}"] = dict(x.split() for x in lines.splitlines())
    return found


async def make(folder: Path, archive: Path) -> None:
    """Run the node in the folder, and pack what it leaves."""
    tree = folder / "tree"
    git("init", "-q", "-b", "main", tree)
    node = NodeProcess(folder, {"NGIT_DOMAIN": SERVICE})
    try:
        await node.start()
        made: dict[str, Any] = {"made_at": time.time(), **await fill(node, tree)}
        assert await node.stop() == 0
    finally:
        await node.aclose()
    made["refs"] = repositories(folder / "data" / "git")
    made["key"] = (folder / "data" / "relay" / "service.nsec").read_text().strip()
    revisions = b"main\n^v1\n"
    pack = git("-C", tree, "pack-objects", "--revs", "--stdout", "-q", stdin=revisions)
    (folder / "later.pack").write_bytes(pack)
    (folder / "made.json").write_text(json.dumps(made, indent=1))
    with tarfile.open(archive, "w:xz") as packed:
        for name in ("data", "later.pack", "made.json"):
            packed.add(folder / name, name)


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        trio.run(make, Path(place), Path(sys.argv[1]).absolute())
