from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from dulwich.pack import write_pack_index_v1, write_pack_index_v2

from purgatory_sync.git.pack.format import PackEntry
from purgatory_sync.git.pack.index import PackIndexReader, encode_index

TRAILER = b"t" * 20


def entries(count: int) -> list[PackEntry]:
    return [PackEntry(os.urandom(20), i * 7919 % 2**32, 12 + i * 5) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 300])
def test_same_bytes_as_dulwich_writes(count: int) -> None:
    lines = entries(count)
    expected = io.BytesIO()
    write_pack_index_v2(
        expected, sorted((line.name, line.offset, line.crc) for line in lines), TRAILER
    )
    assert encode_index(lines, TRAILER) == expected.getvalue()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("count", [1, 50, 5000])
def test_finds_what_is_there_and_nothing_else(tmp_path: Path, version: int, count: int) -> None:
    lines = entries(count)
    write = write_pack_index_v1 if version == 1 else write_pack_index_v2
    with (tmp_path / "x.idx").open("wb") as file:
        write(file, sorted((line.name, line.offset, line.crc) for line in lines), TRAILER)
    index = PackIndexReader(tmp_path / "x.idx")
    assert index.count == count
    assert [index.find(line.name) for line in lines] == [line.offset for line in lines]
    assert list(index.names()) == sorted(line.name for line in lines)
    name = lines[0].name
    for last in (name[-1] - 1, name[-1] + 1):
        assert index.find(name[:-1] + bytes([last % 256])) is None
    index.close()


def test_offsets_beyond_two_gigabytes(tmp_path: Path) -> None:
    lines = [(b"\1" * 20, 12, 0), (b"\2" * 20, 1 << 31, 0), (b"\3" * 20, 1 << 40, 0)]
    with (tmp_path / "x.idx").open("wb") as file:
        write_pack_index_v2(file, lines, TRAILER)
    index = PackIndexReader(tmp_path / "x.idx")
    assert [index.find(name) for name, _, _ in lines] == [12, 1 << 31, 1 << 40]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(500),
        b"\377tOc\0\0\0\3" + bytes(2000),
        encode_index(entries(3), TRAILER)[:1100],
    ],
    ids=["empty", "short", "version 3", "cut"],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.idx").write_bytes(content)
    with pytest.raises(ValueError, match=r"too short|not supported"):
        PackIndexReader(tmp_path / "x.idx")
