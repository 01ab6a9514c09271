import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import AttemptFailed, NotGit, ObjectsRefused, ProtocolBroken
from purgatory_sync.git.fetch.advertisement import (
    MAX_TIPS,
    Advertisement,
    RefListing,
    Server,
    ShownRefs,
)
from purgatory_sync.git.fetch.responses import EmptyAnswer
from purgatory_sync.git.protocol.pktline import pkt_line

A, B, C, D = (letter * 40 for letter in "abcd")
SERVICE = pkt_line(b"# service=git-upload-pack\n") + b"0000"
V2 = SERVICE + b"".join(
    map(
        pkt_line,
        [b"version 2\n", b"agent=git/2\n", b"ls-refs=unborn\n", b"fetch=shallow\n"],
    )
)
V0 = (
    SERVICE
    + pkt_line(f"{A} HEAD\0side-band-64k allow-tip-sha1-in-want agent=x\n".encode())
    + pkt_line(f"{A} refs/heads/main\n".encode())
    + pkt_line(f"{B} refs/tags/v1\n".encode())
    + pkt_line(f"{C} refs/tags/v1^{{}}\n".encode())
    + pkt_line(f"shallow {D}\n".encode())
    + b"0000"
)


def advertised(pieces: list[bytes], wanted: tuple[str, ...] = ()) -> tuple[Server, ShownRefs]:
    refs = ShownRefs(wanted)
    advertisement = Advertisement(refs)
    for piece in pieces:
        advertisement.feed(piece)
    advertisement.finish()
    return advertisement.server, refs


def listed(data: bytes, wanted: tuple[str, ...] = ()) -> ShownRefs:
    refs = ShownRefs(wanted)
    listing = RefListing(refs)
    listing.feed(data)
    listing.finish()
    return refs


def test_a_v2_server_is_recognised() -> None:
    server, _ = advertised([V2 + b"0000"])
    assert server.version == 2
    assert server.gives_unadvertised
    assert server.agent == b"git/2"
    assert advertised([V2[len(SERVICE) :] + b"0000"])[0].version == 2  # some leave the service out


def test_a_v0_server_is_recognised_with_its_refs_in_any_pieces() -> None:
    for size in (1, 7, len(V0)):
        pieces = [V0[start : start + size] for start in range(0, len(V0), size)]
        server, refs = advertised(pieces, (C, D))
        assert server == Server(
            0, frozenset({b"side-band-64k", b"allow-tip-sha1-in-want", b"agent=x"}), b"x"
        )
        assert refs.worth_asking((C,)) == (B,)  # the commit comes with its tag
        assert refs.worth_asking((C, D)) == (B, A)  # D may be in the history of the tips


def test_a_server_without_sha1_in_want_gives_what_it_shows_only() -> None:
    plain = V0.replace(b"allow-tip-sha1-in-want", b"allow-nothing-at-all-x")
    assert not advertised([plain])[0].gives_unadvertised


def test_version_1_is_version_0_with_a_line_before_it() -> None:
    data = SERVICE + pkt_line(b"version 1\n") + V0[len(SERVICE) :]
    assert advertised([data])[0].version == 0


@pytest.mark.parametrize(
    "data",
    [
        SERVICE + b"0000",
        SERVICE + pkt_line(b"version 1\n") + b"0000",
        pkt_line(b"ERR access denied\n"),
        SERVICE + pkt_line(b"ERR no such repository\n"),
    ],
)
def test_an_empty_repository_and_words_are_refusals(data: bytes) -> None:
    with pytest.raises(ObjectsRefused):
        advertised([data])


def test_an_empty_repository_with_capabilities_has_no_refs() -> None:
    line = f"{'0' * 40} capabilities^{{}}\0side-band-64k\n".encode()
    server, refs = advertised([SERVICE + pkt_line(line) + b"0000"], (A,))
    assert server.version == 0
    assert refs.worth_asking((A,)) == ()


@pytest.mark.parametrize(
    "data",
    [
        pkt_line(b"# service=git-receive-pack\n") + b"0000",
        V2 + pkt_line(b"object-format=sha256\n") + b"0000",
        SERVICE + pkt_line(b"version 2\n") + pkt_line(b"ls-refs\n") + b"0000",
        SERVICE + pkt_line(f"{A} HEAD\0side-band-64k object-format=sha256\n".encode()) + b"0000",
        SERVICE
        + pkt_line(f"{'a' * 64} HEAD\0side-band-64k\n".encode())
        + pkt_line(f"{'a' * 64} refs/heads/x\n".encode())
        + b"0000",
        SERVICE + pkt_line(f"{A} HEAD\0multi_ack\n".encode()) + b"0000",
    ],
)
def test_servers_that_cannot_be_used_are_no_git(data: bytes) -> None:
    with pytest.raises(NotGit):
        advertised([data])


@pytest.mark.parametrize(
    "data",
    [
        pkt_line(b"# service=git-upload-pack\n") + pkt_line(b"version 2\n") + b"0000",
        V2,
        V2 + b"0000" + b"0000",
        V2 + b"0001",
        V2 + b"".join(pkt_line(b"x%d" % i) for i in range(300)) + b"0000",
        V0[:-4],
        V0 + b"x",
        V0[:-4] + b"0001",
        SERVICE + pkt_line(f"{A} HEAD\n".encode()) + b"0000",
        SERVICE + pkt_line(b"xyz HEAD\0side-band-64k\n") + b"0000",
        SERVICE + pkt_line(f"{A}\0side-band-64k\n".encode()) + b"0000",
        SERVICE + b"0001",
    ],
)
def test_other_advertisements_are_broken(data: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        advertised([data])


def test_an_empty_body_is_an_empty_answer() -> None:
    with pytest.raises(EmptyAnswer):
        advertised([])


def test_listed_refs() -> None:
    data = (
        pkt_line(f"{A} refs/heads/main symref-target:refs/heads/x\n".encode())
        + pkt_line(f"{B} refs/tags/v1 peeled:{C}\n".encode())
        + pkt_line(f"{D} refs/nostr/{'1' * 64}\n".encode())
        + pkt_line(b"unborn HEAD\n")
        + b"0000"
    )
    assert listed(data, (C, D)).worth_asking((C, D)) == (B, D)
    other = "e" * 40
    assert listed(data, (D, other)).worth_asking((D, other)) == (D, A, B)


@pytest.mark.parametrize(
    "data",
    [
        pkt_line(b"zzz refs/heads/main\n") + b"0000",
        pkt_line(f"{A}\n".encode()) + b"0000",
        pkt_line(f"{A} refs/tags/x peeled:zz\n".encode()) + b"0000",
        b"0001",
        pkt_line(f"{A} refs/heads/main\n".encode()),
        b"0000x",
    ],
)
def test_broken_lists_of_refs(data: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        listed(data)


def test_tips_are_bounded_branches_first() -> None:
    refs = ShownRefs([A])
    for number in range(1000):
        refs.add(f"{number:040x}", b"refs/tags/%d" % number)
    refs.add(B, b"refs/heads/main")
    asked = refs.worth_asking([A])
    assert len(asked) == MAX_TIPS
    assert asked[0] == B


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([V2 + b"0000", V0]), st.data())
def test_mutated_advertisements_raise_typed_errors_only(base: bytes, data: st.DataObject) -> None:
    mutated = bytearray(base)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    for parse in (lambda: advertised([bytes(mutated)]), lambda: listed(bytes(mutated))):
        with contextlib.suppress(AttemptFailed):
            parse()
