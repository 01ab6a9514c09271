from collections.abc import Callable
from functools import partial

import pytest

from purgatory_sync.errors import AttemptFailed
from purgatory_sync.git.fetch.responses import FetchAnswer, FetchAnswerV0, FetchAnswerV2
from purgatory_sync.testing import faults
from purgatory_sync.testing.pack_tampering import EMPTY_PACK, change_pack, pkt, refused_oid

OID = "12" * 20


def bands(pack: bytes) -> bytes:
    return b"".join(pkt(b"\x01" + pack[at : at + 10]) for at in range(0, len(pack), 10)) + b"0000"


def pack_in(body: bytes, answer: FetchAnswer) -> bytes:
    pack = answer.feed(body)
    answer.finish()
    return pack


@pytest.mark.parametrize(
    ("head", "make"),
    [
        (pkt(b"packfile\n"), FetchAnswerV2),
        (
            pkt(b"acknowledgments\n") + pkt(b"ready\n") + b"0001" + pkt(b"packfile\n"),
            partial(FetchAnswerV2, negotiates=True),
        ),
        (pkt(b"NAK\n"), FetchAnswerV0),
        (pkt(b"ACK " + OID.encode() + b"\n"), FetchAnswerV0),
    ],
)
@pytest.mark.parametrize("size", [0, 1, 100, 200_000])
def test_a_pack_is_replaced_within_its_answer(
    head: bytes, make: Callable[[], FetchAnswer], size: int
) -> None:
    body = head + pkt(b"\x02counting") + bands(b"PACK the old one")
    changed = change_pack(body, lambda old: old[:4] + b"x" * size)
    assert pack_in(changed, make()) == b"PACK" + b"x" * size


def test_an_answer_without_a_pack_stays_as_it_is() -> None:
    for body in (b"", b"0000", pkt(b"ERR no"), pkt(b"12 refs/heads/x\n") + b"0000"):
        assert change_pack(body, lambda old: b"") == body


def test_packs_are_changed_where_the_fault_says() -> None:
    body = pkt(b"packfile\n") + bands(EMPTY_PACK)
    for fault, expected in (
        (faults.flipped(0), b"QACK"),
        (faults.flipped(-1), EMPTY_PACK[:4]),
        (faults.truncated(2), b"PA"),
        (faults.with_pack(b"other"), b"othe"),
        (faults.appended(b"!"), EMPTY_PACK[:4]),
    ):
        assert fault.tamper is not None
        changed = pack_in(fault.tamper(body), FetchAnswerV2())
        assert changed.startswith(expected)
        assert changed != EMPTY_PACK


@pytest.mark.parametrize("server", faults.REFUSALS)
def test_refusals_are_what_an_attempt_cannot_take_for_a_pack(server: str) -> None:
    fault = faults.refusing_like(server)
    assert fault.refusing
    body = fault.body.replace(b"{oid}", OID.encode())
    for answer in (FetchAnswerV2(), FetchAnswerV0()):
        with pytest.raises(AttemptFailed):
            pack_in(body, answer)


def test_what_git_refuses_is_known_by_its_name() -> None:
    assert refused_oid(pkt(b"ERR upload-pack: not our ref " + OID.encode())) == OID
    assert refused_oid(pkt(b"ERR no")) == ""
    assert refused_oid(pkt(b"packfile\n")) is None
    assert refused_oid(b"") is None
