from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import AttemptFailed, ObjectsRefused, ProtocolBroken
from purgatory_sync.git.fetch.responses import (
    EmptyAnswer,
    FetchAnswer,
    FetchAnswerV0,
    FetchAnswerV2,
)
from purgatory_sync.git.protocol.pktline import pkt_line

A = b"a" * 40


def band(number: int, data: bytes) -> bytes:
    return pkt_line(bytes([number]) + data)


PACK = band(1, b"PACK12") + band(2, b"Counting\r") + band(1, b"") + band(1, b"3456") + b"0000"
V2 = pkt_line(b"packfile\n") + PACK
V0 = pkt_line(b"NAK\n") + PACK

MakeAnswer = Callable[[], FetchAnswer]


def result(make: MakeAnswer, pieces: list[bytes]) -> bytes:
    answer = make()
    pack = b"".join(answer.feed(piece) for piece in pieces)
    answer.finish()
    assert answer.pack_bytes == len(pack)
    return pack


@pytest.mark.parametrize(("make", "data"), [(FetchAnswerV2, V2), (FetchAnswerV0, V0)])
def test_the_pack_comes_out_of_any_pieces(make: MakeAnswer, data: bytes) -> None:
    for size in range(1, len(data) + 1):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert result(make, pieces) == b"PACK123456"


@pytest.mark.parametrize(("make", "data"), [(FetchAnswerV2, V2), (FetchAnswerV0, V0)])
def test_an_answer_ends_with_its_own_flush(make: MakeAnswer, data: bytes) -> None:
    answer = make()
    answer.feed(data[:-1])
    assert not answer.ended
    answer.feed(data[-1:])
    assert answer.ended


def test_the_head_of_a_pack_says_how_many_objects_it_has() -> None:
    pack = b"PACK\x00\x00\x00\x02\x00\x00\x01\x02more"
    data = pkt_line(b"packfile\n") + band(1, pack)
    answer = FetchAnswerV2()
    known = []
    for byte in data:
        answer.feed(bytes([byte]))
        known.append(answer.pack_objects)
    assert known == [None] * (len(data) - 5) + [258] * 5
    other = FetchAnswerV2()
    other.feed(pkt_line(b"packfile\n") + band(1, b"no pack at all, but long"))
    assert other.pack_objects is None


# Negotiation


ACKS = pkt_line(b"acknowledgments\n")
ACK = pkt_line(b"ACK " + A + b"\n")


@pytest.mark.parametrize("head", [ACKS + ACK, ACKS, ACKS + pkt_line(b"NAK\n")])
def test_a_server_that_knows_enough_gives_the_pack(head: bytes) -> None:
    data = head + pkt_line(b"ready\n") + b"0001" + V2
    answer = FetchAnswerV2(negotiates=True)
    assert answer.feed(data) == b"PACK123456"
    answer.finish()
    assert not answer.wants_more_haves
    assert answer.common == [A.decode()] * (ACK in head)


def test_a_server_may_give_the_pack_without_a_word() -> None:
    answer = FetchAnswerV2(negotiates=True)
    assert answer.feed(V2) == b"PACK123456"
    assert not answer.wants_more_haves


@pytest.mark.parametrize(
    ("said", "common"), [(pkt_line(b"NAK\n"), []), (ACK, [A.decode()]), (b"", [])]
)
def test_a_server_that_knows_too_little_ends_without_a_pack(said: bytes, common: list[str]) -> None:
    answer = FetchAnswerV2(negotiates=True)
    assert answer.feed(ACKS + said + b"0000") == b""
    answer.finish()
    assert answer.wants_more_haves
    assert answer.common == common


@pytest.mark.parametrize(
    "data",
    [
        ACKS + ACK + b"0001" + V2,  # not ready
        ACKS + pkt_line(b"ready\n") + b"0000",
        ACKS + pkt_line(b"ready\n") + V2,
        ACKS + b"0002",
        ACKS + pkt_line(b"ACK " + A + b" common\n"),
        ACKS + ACK * 5000,
        ACKS + pkt_line(b"NAK\n") * 5000,
        ACKS + pkt_line(b"ready\n") * 5000,
        ACKS + ACKS,
        ACKS + pkt_line(b"ready\n") + b"0001" + ACKS,
        ACKS + b"0000" + V2,
        b"0000",
        pkt_line(b"shallow-info\n"),
    ],
)
def test_a_negotiation_that_was_not_asked_for_breaks_the_protocol(data: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        FetchAnswerV2(negotiates=True).feed(data)


def test_a_refusal_may_come_instead_of_a_negotiation() -> None:
    with pytest.raises(ObjectsRefused):
        FetchAnswerV2(negotiates=True).feed(pkt_line(b"ERR upload-pack: not our ref"))


def test_pack_bytes_come_before_their_packet_is_whole() -> None:
    answer = FetchAnswerV2()
    assert answer.feed(pkt_line(b"packfile\n") + b"0fff\x01PACK") == b"PACK"


def test_v0_acknowledgements_may_come_first() -> None:
    head = pkt_line(b"ACK " + A + b"\n") + pkt_line(b"NAK\n")
    assert result(FetchAnswerV0, [head + PACK]) == b"PACK123456"
    words = (b" common", b" continue", b" ready", b"")
    detailed = b"".join(pkt_line(b"ACK " + A + word + b"\n") for word in words)
    assert result(FetchAnswerV0, [detailed + PACK]) == b"PACK123456"


@pytest.mark.parametrize(("make", "data"), [(FetchAnswerV2, V2), (FetchAnswerV0, V0)])
def test_an_answer_cut_anywhere_is_broken(make: MakeAnswer, data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(ProtocolBroken):
            result(make, [data[:end]])


def test_an_empty_answer_has_an_error_of_its_own() -> None:
    with pytest.raises(EmptyAnswer):
        result(FetchAnswerV2, [])


@pytest.mark.parametrize("make", [FetchAnswerV2, FetchAnswerV0])
def test_err_lines_are_refusals_with_harmless_words(make: MakeAnswer) -> None:
    with pytest.raises(ObjectsRefused) as caught:
        result(make, [pkt_line(b"ERR upload-pack: not our ref\x1b[31m\xff " + b"x" * 300)])
    assert caught.value.server_message.startswith("upload-pack: not our ref [31m\ufffd xxx")
    assert len(caught.value.server_message) == 200


@pytest.mark.parametrize(
    ("make", "head"), [(FetchAnswerV2, b"packfile\n"), (FetchAnswerV0, b"NAK")]
)
def test_band_3_refuses_before_the_pack_and_breaks_it_afterwards(
    make: MakeAnswer, head: bytes
) -> None:
    with pytest.raises(ObjectsRefused, match="no such object"):
        result(make, [pkt_line(head) + band(3, b"no such object\n")])
    with pytest.raises(ObjectsRefused):
        result(make, [pkt_line(head) + band(3, b"")])
    with pytest.raises(ProtocolBroken, match="died"):
        result(make, [pkt_line(head) + band(1, b"PACK") + band(3, b"died\n")])


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (FetchAnswerV2, pkt_line(b"acknowledgments\n") + pkt_line(b"NAK\n") + b"0001" + V2),
        (FetchAnswerV2, pkt_line(b"shallow-info\n") + b"0001" + V2),
        (FetchAnswerV2, pkt_line(b"packfile-uris\n") + b"0001" + V2),
        (FetchAnswerV2, pkt_line(b"wanted-refs\n") + b"0001" + V2),
        (FetchAnswerV2, b"0000"),
        (FetchAnswerV2, V2 + b"0000"),
        (FetchAnswerV2, V2 + b"x"),
        (FetchAnswerV2, pkt_line(b"packfile\n") + band(4, b"x")),
        (FetchAnswerV2, pkt_line(b"packfile\n") + b"0004"),
        (FetchAnswerV2, pkt_line(b"packfile\n") + b"0001"),
        (FetchAnswerV2, b"<!DOCTYPE html>"),
        (FetchAnswerV0, PACK),
        (FetchAnswerV0, pkt_line(b"shallow " + A) + V0),
        (FetchAnswerV0, pkt_line(b"ACK " + A + b" unheard\n") + V0),
        (FetchAnswerV0, pkt_line(b"NAK\n") + band(0, b"x")),
        (FetchAnswerV0, pkt_line(b"NAK\n") + b"0000"),
        (FetchAnswerV0, pkt_line(b"NAK\n") * 5000),
    ],
)
def test_what_was_not_asked_for_breaks_the_protocol(make: MakeAnswer, data: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        result(make, [data])


@pytest.mark.parametrize(("noise", "times"), [(band(2, b"x" * 65000), 20), (band(1, b""), 17_000)])
def test_progress_is_bounded(noise: bytes, times: int) -> None:
    with pytest.raises(ProtocolBroken, match="progress"):
        result(FetchAnswerV2, [pkt_line(b"packfile\n"), noise * times])


def per_write(objects: int, claimed: int, writes: int, size: int = 14) -> bytes:
    """A pack as servers send it that make a packet of each write, so many for an object."""
    head = band(1, b"PACK\0\0\0\x02" + claimed.to_bytes(4, "big"))
    one = band(1, b"x" * (size - writes + 1)) + band(1, b"y") * (writes - 1)
    return pkt_line(b"packfile\n") + head + one * objects + b"0000"


@pytest.mark.parametrize("writes", [2, 5], ids=["dulwich", "go-git"])
@pytest.mark.parametrize("size", [10, 300])
def test_b_8_4_a_packet_for_each_write_is_paid_by_the_objects(writes: int, size: int) -> None:
    data = per_write(40_000, 40_000, writes, size)
    assert len(result(FetchAnswerV2, [data])) == 12 + 40_000 * size


@pytest.mark.parametrize(
    "data",
    [
        per_write(40_000, 1_000, 5),  # it said that there are few
        per_write(1_000, 40_000, 1)[:-4] + band(1, b"") * 40_000,  # few came
        per_write(0, 2**32 - 1, 1)[:-4] + band(2, b"x") * 40_000,
    ],
    ids=["more than said", "empty", "none"],
)
def test_b_8_4_what_only_says_that_it_has_many_objects_pays_for_none(data: bytes) -> None:
    with pytest.raises(ProtocolBroken, match="progress"):
        result(FetchAnswerV2, [data])


def test_a_large_pack_may_come_with_much_progress() -> None:
    answer = FetchAnswerV2()
    answer.feed(pkt_line(b"packfile\n"))
    for _ in range(200):
        answer.feed(band(1, b"x" * 65000) + band(2, b"x" * 5500))
    assert answer.pack_bytes == 200 * 65000


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([V2, V0]), st.data())
def test_mutated_answers_raise_typed_errors_only(base: bytes, data: st.DataObject) -> None:
    mutated = bytearray(base)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(base)))
    for make in (FetchAnswerV2, FetchAnswerV0):
        outcomes = []
        for pieces in ([bytes(mutated)], [bytes(mutated[:cut]), bytes(mutated[cut:])]):
            try:
                outcomes.append(repr(result(make, pieces)))
            except AttemptFailed as error:
                outcomes.append(type(error).__name__)
        assert outcomes[0] == outcomes[1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_random_bytes_raise_typed_errors_only(pieces: list[bytes]) -> None:
    for make in (FetchAnswerV2, FetchAnswerV0):
        with pytest.raises(AttemptFailed):
            result(make, pieces)
