"""Random repositories made by stock git, and what stock git's upload-pack says of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

from purgatory_sync.git.protocol.pktline import FLUSH_BYTES, pkt_line
from purgatory_sync.node.git_http.git_child import git_environment

_NAMES = ("main", "a", "a-b", "a.b", "topic/x", "topic/y/z", "ü", "HEADS", "z" * 100)
_OUT_OF_THE_WAY = ("refs/nostr/1", "refs/pull/1/head", "refs/notes/commits")


def git(*arguments: str | Path, stdin: bytes = b"", version: int = 0) -> bytes:
    """Run git as a serving child is run; returns what it prints."""
    environment = git_environment(f"version={version}" if version else None)
    who = {f"GIT_{r}_{w}": "a" for r in ("AUTHOR", "COMMITTER") for w in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *map(str, arguments)],
        env={**environment, **who},
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def random_repository(path: Path, seed: int) -> Path:
    """A repository with branches, tags of all kinds and other refs, loose or packed."""
    chance = Random(seed)
    git("init", "-q", "--bare", "-b", chance.choice(("main", "a", "nothing")), path)
    stream, marks = [], 0
    for name in chance.sample(_NAMES, chance.randint(1, len(_NAMES))):
        for number in range(chance.randint(1, 3)):
            marks += 1
            text = f"{seed} {name} {number}\n" * chance.randint(1, 50)
            came = f"from :{chance.randint(1, marks - 1)}\n" if marks > 1 and number == 0 else ""
            stream.append(
                f"commit refs/heads/{name}\nmark :{marks}\n"
                f"committer a <a> {1700000000 + marks} +0000\ndata 1\nx\n{came}"
                f"M 100644 inline folder{number}/{len(name)}\n"
                f"data {len(text.encode())}\n{text}\n"
            )
    for number in range(chance.randint(0, 3)):
        stream.append(f"reset refs/tags/light{number}\nfrom :{chance.randint(1, marks)}\n\n")
    for name in chance.sample(_OUT_OF_THE_WAY, chance.randint(0, 3)):
        stream.append(f"reset {name}\nfrom :{chance.randint(1, marks)}\n\n")
    git("-C", path, "fast-import", "--quiet", stdin="".join(stream).encode())
    tips = git("-C", path, "for-each-ref", "--format=%(objectname)").decode().split()
    for number in range(chance.randint(0, 3)):
        git("-C", path, "tag", "-a", "-m", "a", f"v{number}", chance.choice(tips))
    if chance.random() < 0.3 and git("-C", path, "tag", "-l", "v0"):
        git("-C", path, "tag", "-a", "-m", "b", "of-a-tag", "v0")
    if chance.random() < 0.5:
        git("-C", path, "pack-refs", "--all")
        if chance.random() < 0.5:
            git("-C", path, "update-ref", "refs/heads/loose", tips[0])
    if chance.random() < 0.7:
        git("-C", path, "repack", "-a", "-d", "-q")
    return path


def upload_pack(path: Path, request: bytes, version: int) -> bytes:
    """What git answers to a request."""
    return git("upload-pack", "--strict", "--stateless-rpc", path, stdin=request, version=version)


def advertisement(path: Path, version: int) -> bytes:
    """What git answers to info/refs, without the line that HTTP puts before it."""
    arguments = ("upload-pack", "--strict", "--stateless-rpc", "--advertise-refs", path)
    return git(*arguments, version=version)


def request_v2(command: str, *arguments: str) -> bytes:
    """A whole request of protocol v2."""
    head = pkt_line(f"command={command}\n".encode()) + pkt_line(b"agent=test/1")
    body = b"".join(pkt_line(f"{argument}\n".encode()) for argument in arguments)
    return head + pkt_line(b"object-format=sha1") + b"0001" + body + FLUSH_BYTES


def tips(path: Path) -> frozenset[bytes]:
    """What all refs name."""
    return frozenset(git("-C", path, "for-each-ref", "--format=%(objectname)").split())
