"""Git LFS, which is not served: its clients print the message of an answer of their own kind."""

from __future__ import annotations

import json
import re
from typing import Final

MEDIA_TYPE: Final = "application/vnd.git-lfs+json"
SENTENCE: Final = (
    "this server keeps git objects only, no Git LFS files: "
    "set lfs.url to an LFS server that has them (git config -f .lfsconfig lfs.url URL)"
)
ANSWER: Final = json.dumps({"message": SENTENCE}).encode() + b"\n"

_PATH: Final = re.compile(r"/npub1[0-9a-z]{58}/[^/]+/info/lfs/.+")


def is_lfs_path(path: str) -> bool:
    """Whether a path is one of Git LFS's API, below a repository's URL."""
    return _PATH.fullmatch(path) is not None
