"""Commands in, reports out: no repository, no socket (B 6.5, 6.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from purgatory_sync.errors import PushRefused
from purgatory_sync.git.protocol import receive_pack
from purgatory_sync.git.protocol.pktline import FLUSH_BYTES, Mark, Packet, PacketBuffer, pkt_line
from purgatory_sync.git.protocol.receive_pack import (
    CAPABILITIES,
    Command,
    PushRequest,
    RequestParser,
    accepted,
    advertisement,
    refused,
)

A, B, ZERO = "a" * 40, "b" * 40, "0" * 40
MAIN = "refs/heads/main"
CREATE = f"{ZERO} {A} {MAIN}".encode()
CAPS = b"\0 report-status side-band-64k object-format=sha1 agent=git/2.39.5"


def parsed(*lines: bytes, after: bytes = b"") -> RequestParser:
    parser = RequestParser()
    parser.feed(b"".join(map(pkt_line, lines)) + FLUSH_BYTES + after)
    return parser


def packets(data: bytes) -> list[Packet]:
    buffer = PacketBuffer()
    buffer.feed(data)
    found = []
    while (packet := buffer.next_packet()) is not None:
        found.append(packet)
    assert not len(buffer)
    return found


def unbanded(data: bytes) -> bytes:
    *bands, last = packets(data)
    assert last is Mark.FLUSH
    assert all(isinstance(band, bytes) and band[0] == 1 for band in bands)
    return b"".join(band[1:] for band in bands if isinstance(band, bytes))


def reason(*lines: bytes) -> str:
    with pytest.raises(PushRefused) as error:
        parsed(*lines)
    return str(error.value)


def test_b_6_5_commands_capabilities_shallow_lines_and_the_rest() -> None:
    parser = parsed(
        b"shallow " + b"c" * 40,
        CREATE + CAPS,
        f"{A} {ZERO} refs/heads/old\n".encode(),
        f"{A} {B} refs/tags/ünï".encode(),
        after=b"PACK...",
    )
    assert parser.done
    assert parser.rest() == b"PACK..."
    request = parser.request
    assert request.shallow == ("c" * 40,)
    assert request.commands == (
        Command(MAIN, None, A),
        Command("refs/heads/old", A, None),
        Command("refs/tags/ünï", A, B),
    )
    assert request.side_band
    assert request.changes == {MAIN: A, "refs/heads/old": None, "refs/tags/ünï": B}


def test_in_pieces_of_any_size() -> None:
    whole = pkt_line(CREATE + CAPS) + FLUSH_BYTES + b"PACK"
    parser = RequestParser()
    for position, byte in enumerate(whole):
        assert parser.done == (position >= len(whole) - 4)
        parser.feed(bytes([byte]))
    assert parser.rest() == b"PACK"


def test_b_6_5_push_options_are_read_and_ignored() -> None:
    caps = b"\0report-status push-options"
    parser = parsed(CREATE + caps, after=pkt_line(b"ci.skip") + pkt_line(b"x=y") + FLUSH_BYTES)
    assert parser.done
    assert parser.rest() == b""
    assert not parsed(CREATE + caps, after=pkt_line(b"ci.skip")).done


def test_b_6_5_the_probe_is_a_flush_and_nothing_else() -> None:
    parser = parsed()
    assert (parser.done, parser.request, parser.rest()) == (True, PushRequest(), b"")


def test_b_6_5_zero_to_zero_is_fine() -> None:
    assert parsed(f"{ZERO} {ZERO} {MAIN}".encode()).request.changes == {MAIN: None}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"push-cert\0 report-status", "signed pushes"),
        (b"shallow abc", "shallow line"),
        (b"shallow " + b"c" * 40 + b"\0caps", "shallow line"),
        (b"", "not `old new ref`"),
        (b"hello", "not `old new ref`"),
        (CREATE.replace(b"a", b"A"), "not `old new ref`"),
        (CREATE.replace(b"a" * 40, b"a" * 64), "not `old new ref`"),
        (f"{ZERO} {A}".encode(), "no name of a ref"),
        (f"{ZERO} {A} ".encode(), "no name of a ref"),
        (f"{ZERO} {A} HEAD".encode(), "no name of a ref"),
        (f"{ZERO} {A} heads/main".encode(), "no name of a ref"),
        (f"{ZERO} {A} refs/heads/a b".encode(), "no name of a ref"),
        (f"{ZERO} {A} refs/heads/../x".encode(), "no name of a ref"),
        (f"{ZERO} {A} refs/heads/\xff".encode("latin-1"), "not UTF-8"),
        (CREATE + b"\0object-format=sha256", "SHA-1"),
    ],
)
def test_b_6_5_lines_that_are_refused(line: bytes, words: str) -> None:
    assert words in reason(line)


def test_order_and_repetition() -> None:
    other = f"{ZERO} {A} refs/heads/x".encode()
    assert "twice" in reason(CREATE + CAPS, CREATE)
    assert "first command only" in reason(CREATE + CAPS, other + CAPS)
    assert "shallow line" in reason(CREATE + CAPS, b"shallow " + b"c" * 40)


@pytest.mark.parametrize("data", [b"zzzz", b"0003", b"ffff", b"0001", b"0002", b"PACK"])
def test_what_is_no_pkt_line(data: bytes) -> None:
    with pytest.raises(PushRefused, match="malformed"):
        RequestParser().feed(data)


def test_commands_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive_pack, "MAX_COMMAND_BYTES", 530)
    line = pkt_line(b"shallow " + b"c" * 40 + b"\n")
    parser = RequestParser()
    parser.feed(line * 10)
    with pytest.raises(PushRefused, match="more than 530 bytes of commands"):
        parser.feed(line)


def test_b_1_7_two_states_of_the_largest_size_fit_into_one_push() -> None:
    """One that removes all refs of another: each has 20,000, and their names alone 1 MiB."""
    names = [f"refs/heads/{number:042}" for number in range(40_000)]
    assert sum(map(len, names)) > 2 << 20
    lines = (pkt_line(f"{ZERO} {A} {name}".encode()) for name in names)
    parser = RequestParser()
    parser.feed(b"".join(lines))
    parser.feed(FLUSH_BYTES)
    assert parser.done


def test_b_6_5_advertisement() -> None:
    first, flush, *refs, end = packets(advertisement({MAIN: A, "refs/tags/v": B}))
    assert (first, flush, end) == (b"# service=git-receive-pack\n", Mark.FLUSH, Mark.FLUSH)
    assert refs == [
        f"{A} {MAIN}".encode() + b"\0" + CAPABILITIES + b"\n",
        f"{B} refs/tags/v\n".encode(),
    ]


def test_advertisement_of_an_empty_repository() -> None:
    line = packets(advertisement({}))[2]
    assert line == ZERO.encode() + b" capabilities^{}\0" + CAPABILITIES + b"\n"


def test_b_6_5_report_with_and_without_side_band() -> None:
    commands = (Command(MAIN, None, A), Command("refs/heads/x", A, None))
    plain = accepted(PushRequest(commands))
    wanted = [b"unpack ok\n", b"ok refs/heads/main\n", b"ok refs/heads/x\n", Mark.FLUSH]
    assert packets(plain) == wanted
    banded = PushRequest(commands, capabilities=frozenset({"side-band-64k"}))
    assert unbanded(accepted(banded)) == plain


def test_a_long_report_is_cut_into_bands() -> None:
    commands = tuple(Command(f"refs/heads/{n:0200}", None, A) for n in range(1000))
    banded = PushRequest(commands, capabilities=frozenset({"side-band-64k"}))
    assert unbanded(accepted(banded)) == accepted(PushRequest(commands))


def test_b_6_6_a_refusal_is_one_err_packet() -> None:
    plain = refused(PushRequest(), "no such state")
    assert plain == pkt_line(b"ERR no such state")
    libgit2 = PushRequest(capabilities=frozenset({"side-band-64k"}))
    assert refused(libgit2, "no such state") == plain
    stock = PushRequest(capabilities=frozenset({"side-band-64k", "agent=git/2.39.5"}))
    assert unbanded(refused(stock, "no such state")) == plain
    assert len(refused(PushRequest(), "x" * 100_000)) < 10_000


pieces = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(pkt_line),
    st.sampled_from([FLUSH_BYTES, pkt_line(CREATE), pkt_line(CREATE + CAPS), b"0001", b"0002"]),
)


@bounds(max_examples=100, deadline=None)
@given(st.lists(pieces, max_size=8))
def test_b_6_5_any_bytes_give_a_request_or_a_typed_refusal(chunks: list[bytes]) -> None:
    parser = RequestParser()
    try:
        for chunk in chunks:
            parser.feed(chunk)
    except PushRefused as refusal:
        refused(parser.request, str(refusal))
    else:
        accepted(parser.request)


@bounds(max_examples=100, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_gives_a_request_or_a_typed_refusal(position: int, byte: int) -> None:
    data = bytearray(pkt_line(b"shallow " + b"c" * 40) + pkt_line(CREATE + CAPS) + FLUSH_BYTES)
    data[position % len(data)] = byte
    parser = RequestParser()
    try:
        parser.feed(bytes(data))
    except PushRefused:
        return
    assert set(parser.request.changes) <= {c.ref for c in parser.request.commands}
