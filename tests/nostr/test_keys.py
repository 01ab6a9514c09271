from __future__ import annotations

import nostr_sdk
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import InvalidKey
from purgatory_sync.nostr.address import is_hex_key
from purgatory_sync.nostr.keys import SecretKey, decode_npub, encode_npub

from .support import ANY_TEXT

# The examples of NIP-19.
NPUB = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
PUBKEY = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
NSEC = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
SECRET = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_the_examples_of_nip_19() -> None:
    assert encode_npub(PUBKEY) == NPUB
    assert decode_npub(NPUB) == PUBKEY
    key = SecretKey.parse(NSEC)
    assert key.nsec == NSEC
    assert (key.pubkey, key.npub) == (PUBKEY, NPUB)
    assert SecretKey.parse(SECRET).nsec == NSEC


@given(st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big")))
@example(bytes(31) + b"\x01")
@settings(max_examples=50, deadline=None)
def test_another_implementation_reads_and_writes_the_same(secret: bytes) -> None:
    ours = SecretKey(secret)
    theirs = nostr_sdk.Keys.parse(ours.nsec)
    assert theirs.secret_key().to_bech32() == ours.nsec
    assert theirs.public_key().to_hex() == ours.pubkey
    assert theirs.public_key().to_bech32() == ours.npub
    assert decode_npub(theirs.public_key().to_bech32()) == ours.pubkey
    assert SecretKey.parse(theirs.secret_key().to_bech32()).pubkey == ours.pubkey


@pytest.mark.parametrize(
    "text",
    [
        "",
        "npub",
        "npub1",
        PUBKEY,
        NSEC,
        NPUB.upper(),
        NPUB[:-1],
        NPUB + "q",
        NPUB[:-1] + "q",
        NPUB.replace("0", "2", 1),
        NPUB.replace("npub1", "npub11"),
        "note" + NPUB[4:],
        " " + NPUB,
        NPUB + "\n",
        NPUB[:-1] + "é",
        "npub1" + "q" * 58,
        "npub1" + "b" * 58,
    ],
)
def test_what_is_no_npub(text: str) -> None:
    with pytest.raises(InvalidKey):
        decode_npub(text)


@given(
    ANY_TEXT
    | st.text("qpzry9x8gf2tvdw0s3jn54khce6mua7l", min_size=58, max_size=58).map("npub1{}".format)
)
@example("npub1\ud800")
@settings(max_examples=60, deadline=None)
def test_decoding_raises_only_its_own_error(text: str) -> None:
    with pytest.raises(InvalidKey):
        decode_npub(text)
    with pytest.raises(InvalidKey):
        SecretKey.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "nsec1", NPUB, "0" * 64, "f" * 64, SECRET[:-1], SECRET.upper(), NSEC[:-1] + "q"],
)
def test_what_is_no_secret_key(text: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        SecretKey.parse(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("secret", [b"", b"\x01", b"\x01" * 31, b"\x01" * 33, bytes(32)])
def test_a_secret_has_32_bytes(secret: bytes) -> None:
    with pytest.raises(InvalidKey):
        SecretKey(secret)


def test_a_secret_is_not_shown() -> None:
    key = SecretKey.parse(NSEC)
    assert SECRET not in repr(key)
    assert NSEC not in repr(key)


@pytest.mark.parametrize("pubkey", ["", "a" * 63, "A" * 64, "a" * 64 + "\n", NPUB])
def test_only_hex_becomes_an_npub(pubkey: str) -> None:
    assert not is_hex_key(pubkey)
    with pytest.raises(InvalidKey):
        encode_npub(pubkey)
