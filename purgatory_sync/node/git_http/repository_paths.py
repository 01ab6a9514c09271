"""Which repository and which service of it a path names (B 6.1)."""

from __future__ import annotations

import re

import attrs

from ...errors import InvalidKey
from ...nostr.address import is_valid_identifier
from ...nostr.keys import decode_npub
from ...nostr.pull_request import contributed_repository
from ...urls import PRS, decode_segment

SERVICES = ("info/refs", "git-upload-pack", "git-receive-pack")

_PATH = re.compile(r"/(npub1[0-9a-z]{58})/([^/]+)/(.+)")


@attrs.frozen
class GitPath:
    """A path that may name a repository.

    Attributes:
      npub: the owner, checksum verified.
      identifiers: what to look for, in this order (`.git` stripped, then as it stands).
      service: one of SERVICES.
    """

    npub: str
    identifiers: tuple[str, ...]
    service: str


def parse_git_path(path: str) -> GitPath | None:
    """Read `/<npub>/<percent-encoded identifier>[.git]/<service>` (B 6.1).

    The identifier is decoded once and judged by B 1.1 after that, so that no encoding of a slash
    or of dots reaches the disk. Returns None for every other path.
    """
    match = _PATH.fullmatch(path)
    if match is None or match[3] not in SERVICES or (name := decode_segment(match[2])) is None:
        return None
    try:
        decode_npub(match[1])
    except InvalidKey:
        return None
    candidates = (name[: -len(".git")], name) if name.endswith(".git") else (name,)
    identifiers = tuple(candidate for candidate in candidates if is_valid_identifier(candidate))
    return GitPath(match[1], identifiers, match[3]) if identifiers else None


def parse_prs_path(path: str) -> GitPath | None:
    """Read `/prs/<npub>/<percent-encoded identifier>.git/<service>` (B 12.1).

    It is split at slashes first, and each segment is decoded once after that. Here `.git` is
    required, and exactly one is stripped. Returns None for every other path.
    """
    segments = path.split("/")
    service = "/".join(segments[4:])
    if segments[:2] != ["", PRS] or service not in SERVICES:
        return None
    found = contributed_repository(segments[2], segments[3])
    return None if found is None else GitPath(segments[2], (found.identifier,), service)
