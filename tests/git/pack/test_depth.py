from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.errors import TooLarge
from purgatory_sync.git.pack.depth import check_depth
from purgatory_sync.git.pack.index import encode_index
from purgatory_sync.git.pack.reader import UnpackLimits, unpack

from ..packs import PackBuilder, blob, delta, name_of

LIMITS = UnpackLimits(objects=100, object_bytes=1000, total_bytes=10_000, delta_depth=50)


def test_chains_that_go_through_names(tmp_path: Path) -> None:
    contents = [b"%030d" % i for i in range(9)]
    pack = PackBuilder()
    at = 0
    for i in range(8, 0, -1):
        instructions = delta(contents[i - 1], contents[i])
        pack.ref_delta(name_of(blob(contents[i - 1])), instructions)
    at = pack.add(blob(contents[0]))
    pack.ofs_delta(at, delta(contents[0], b"side"))
    content = pack.build()
    entries = unpack(content, LIMITS, lambda name: None).entries
    path = tmp_path / "x.pack"
    path.write_bytes(content)
    path.with_suffix(".idx").write_bytes(encode_index(entries, content[-20:]))
    check_depth(path, 8)
    with pytest.raises(TooLarge, match="more than 7"):
        check_depth(path, 7)
