import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import ProtocolBroken
from purgatory_sync.git.protocol.pktline import Mark, Packet, PacketBuffer, pkt_line


def packets_of(pieces: list[bytes]) -> list[Packet]:
    buffer, found = PacketBuffer(), []
    for piece in pieces:
        buffer.feed(piece)
        while (packet := buffer.next_packet()) is not None:
            found.append(packet)
    return found


def test_packets_and_marks() -> None:
    data = pkt_line(b"hello\n") + b"0001" + pkt_line(b"") + b"0002" + b"0000"
    assert packets_of([data]) == [b"hello\n", Mark.DELIM, b"", Mark.RESPONSE_END, Mark.FLUSH]


def test_a_packet_is_given_when_it_is_whole() -> None:
    assert packets_of([b"000", b"6", b"a"]) == []
    assert packets_of([b"000", b"6", b"a", b"b"]) == [b"ab"]


@pytest.mark.parametrize(
    "data", [b"zzzz", b"+012", b"0x12", b" 012", b"00 5", b"\n", b"0003", b"fff1", b"ffff", b"<ht"]
)
def test_what_is_no_length_is_refused_as_soon_as_it_is_seen(data: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        packets_of([data])


def test_the_longest_packet_is_taken() -> None:
    assert packets_of([b"fff0" + bytes(65516)]) == [bytes(65516)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(list(Mark))), max_size=8),
    st.lists(st.integers(0, 300), max_size=8),
)
def test_pieces_of_any_size_make_no_difference(sent: list[Packet], cuts: list[int]) -> None:
    data = b"".join(
        pkt_line(packet) if isinstance(packet, bytes) else b"%04x" % packet.value for packet in sent
    )
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    starts = [0, *ends]
    assert packets_of([data[a:b] for a, b in zip(starts, ends, strict=False)]) == sent


PIECES = st.binary(max_size=12) | st.sampled_from([b"0000", b"0004", b"00", b"0009done\n", b"ffff"])


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=8))
def test_any_bytes_are_packets_or_one_typed_error(pieces: list[bytes]) -> None:
    buffer, left, found = PacketBuffer(), b"".join(pieces), b""
    try:
        for piece in pieces:
            buffer.feed(piece)
            while (packet := buffer.next_packet()) is not None:
                found += b"%04x" % packet.value if isinstance(packet, Mark) else pkt_line(packet)
    except ProtocolBroken:
        return
    assert (found + buffer.take(len(buffer))).lower() == left.lower()
