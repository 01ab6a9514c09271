from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.git.protocol.pktline import DELIM_BYTES, FLUSH_BYTES, pkt_line
from purgatory_sync.git.serving.upload_requests import (
    BAND_1K,
    BAND_64K,
    MAX_PACKETS,
    FetchPack,
    ListRefs,
    read_request_v0,
    read_request_v2,
)

from .served import request_v2

A, B = "a" * 40, "b" * 40
CLONE_V0 = (
    f"want {A} multi_ack_detailed no-done side-band-64k thin-pack ofs-delta"
    " deepen-since deepen-not agent=git/2"
)


def v0(*lines: str, end: str = "done\n") -> bytes:
    wants = b"".join(pkt_line(f"{line}\n".encode()) for line in lines)
    return wants + FLUSH_BYTES + pkt_line(end.encode())


def test_a_list_of_refs_is_read() -> None:
    body = request_v2("ls-refs", "peel", "ref-prefix refs/heads/", "ref-prefix HEAD")
    assert read_request_v2(body) == ListRefs(True, False, (b"refs/heads/", b"HEAD"))
    bare = pkt_line(b"command=ls-refs\n") + FLUSH_BYTES
    assert read_request_v2(bare) == ListRefs(False, False, ())


def test_a_clone_is_read_in_both_protocols() -> None:
    wants = frozenset((A.encode(), B.encode()))
    body = request_v2("fetch", "thin-pack", "ofs-delta", f"want {A}", f"want {B}", "done")
    assert read_request_v2(body) == FetchPack(wants, frozenset(), 2, BAND_64K)
    assert read_request_v0(v0(CLONE_V0, f"want {B}")) == FetchPack(wants, frozenset(), 0, BAND_64K)
    assert read_request_v0(v0(CLONE_V0, end="done")) is not None
    narrow = read_request_v0(v0(f"want {A} side-band ofs-delta"))
    raw = read_request_v0(v0(f"want {A} ofs-delta"))
    assert (narrow and narrow.band, raw and raw.band) == (BAND_1K, 0)


def test_what_a_client_has_is_read() -> None:
    body = request_v2("fetch", "ofs-delta", f"want {A}", f"have {A}", f"have {B}", "done")
    request = read_request_v2(body)
    assert isinstance(request, FetchPack)
    assert request.haves == {A.encode(), B.encode()}


@pytest.mark.parametrize(
    "arguments",
    [
        (f"want {A}", "done"),
        (f"want {A}", "ofs-delta"),
        ("ofs-delta", "done"),
        (f"want {A}", "ofs-delta", "done", "deepen 1"),
        (f"want {A}", "ofs-delta", "done", "filter blob:none"),
        (f"want {A}", "ofs-delta", "done", f"shallow {B}"),
        (f"want {A}", "ofs-delta", "done", "wait-for-done"),
        (f"want {A}", "ofs-delta", "done", "sideband-all"),
        (f"want {A}", "ofs-delta", "done", "packfile-uris https"),
        (f"want {A.upper()}", "ofs-delta", "done"),
        (f"want {A}a", "ofs-delta", "done"),
        ("want-ref refs/heads/main", "ofs-delta", "done"),
        (f"want {A}", f"have {'z' * 40}", "ofs-delta", "done"),
    ],
)
def test_other_fetches_are_left_to_git(arguments: tuple[str, ...]) -> None:
    assert read_request_v2(request_v2("fetch", *arguments)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        FLUSH_BYTES,
        request_v2("ls-refs")[:-4],
        request_v2("ls-refs") + b"0",
        request_v2("ls-refs") + FLUSH_BYTES,
        request_v2("ls-refs", "what"),
        request_v2("object-info", "size"),
        request_v2("bundle-uri"),
        b"zzzz",
        b"0003",
        pkt_line(b"command=ls-refs\n") + DELIM_BYTES + DELIM_BYTES + FLUSH_BYTES,
        pkt_line(b"command=ls-refs\n") + b"0002" + FLUSH_BYTES,
        pkt_line(b"command=ls-refs") + pkt_line(b"command=fetch") + FLUSH_BYTES,
        pkt_line(b"command=ls-refs") + pkt_line(b"object-format=sha256") + FLUSH_BYTES,
        pkt_line(b"agent=a") + pkt_line(b"command=ls-refs") + FLUSH_BYTES,
        pkt_line(b"") * (MAX_PACKETS + 1),
    ],
)
def test_other_requests_are_left_to_git(body: bytes) -> None:
    assert read_request_v2(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        v0(),
        v0(CLONE_V0)[:-1],
        v0(CLONE_V0, end="have " + B),
        v0(f"{CLONE_V0} deepen-relative"),
        v0(f"{CLONE_V0} filter"),
        v0(f"want {A} side-band-64k"),
        v0(CLONE_V0, "deepen 1"),
        v0(CLONE_V0, f"shallow {B}"),
        v0(f"want {A[1:]} ofs-delta"),
        v0(f"have {A} ofs-delta"),
        pkt_line(f"{CLONE_V0}\n".encode()) + pkt_line(b"done\n"),
        pkt_line(f"{CLONE_V0}\n".encode()) + FLUSH_BYTES * 2 + pkt_line(b"done\n"),
        v0(CLONE_V0) + FLUSH_BYTES,
    ],
)
def test_other_older_requests_are_left_to_git(body: bytes) -> None:
    assert read_request_v0(body) is None


_PIECES = st.sampled_from(
    [
        b"0000", b"0001", b"0002", b"0003", b"fff0", b"ffff", b"\0", b"done", b"0009done\n",
        pkt_line(b"command=ls-refs\n"), pkt_line(b"command=fetch"), pkt_line(b"peel"),
        pkt_line(b"ofs-delta\n"), pkt_line(b"ref-prefix \xff"), pkt_line(b"ref-prefix"),
        pkt_line(f"want {A}\n".encode()), pkt_line(f"have {B}\n".encode()),
        pkt_line(f"{CLONE_V0}\n".encode()),
    ]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=12).map(b"".join)))
def test_all_that_comes_is_read_or_left_to_git(body: bytes) -> None:
    for read in (read_request_v2, read_request_v0):
        request = read(body)
        if isinstance(request, FetchPack):
            assert request.wants
            assert all(len(oid) == 40 for oid in request.wants | request.haves)


def test_b_6_2_many_tiny_packets_are_left_to_git() -> None:
    """They are read on the event loop: what a client sends has far fewer in 256 KiB."""
    few, many = (request_v2("ls-refs", *["ref-prefix a"] * n) for n in (5_000, 10_000))
    assert read_request_v2(few) is not None
    assert read_request_v2(many) is None
