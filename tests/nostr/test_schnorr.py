"""The binding of libsecp256k1 against the vectors of BIP-340 whose message has 32 bytes."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from purgatory_sync.nostr.schnorr import SigningKey, is_signed_by, verifying_key

with (Path(__file__).parent / "bip340.csv").open() as file:
    VECTORS = list(csv.DictReader(file))
SIGNED = [vector for vector in VECTORS if vector["secret key"]]
NO_POINT = ("5", "14")
GOOD = VECTORS[1]
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def field(vector: dict[str, str], name: str) -> bytes:
    return bytes.fromhex(vector[name])


KEY = verifying_key(field(GOOD, "public key"))
MESSAGE, SIGNATURE = field(GOOD, "message"), field(GOOD, "signature")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["index"]))
def test_the_vectors_of_bip_340_are_judged_as_it_says(vector: dict[str, str]) -> None:
    public = field(vector, "public key")
    if vector["index"] in NO_POINT:
        with pytest.raises(ValueError, match="public key"):
            verifying_key(public)
        return
    good = is_signed_by(verifying_key(public), field(vector, "message"), field(vector, "signature"))
    assert good is (vector["verification result"] == "TRUE")


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: str(vector["index"]))
def test_we_sign_with_the_keys_of_the_vectors(vector: dict[str, str]) -> None:
    key = SigningKey(field(vector, "secret key"))
    assert key.pubkey == field(vector, "public key")
    message = field(vector, "message")
    assert is_signed_by(verifying_key(key.pubkey), message, key.sign(message))
    assert key.sign(message) == key.sign(message)


def test_vector_0_is_what_we_sign_as_it_has_no_randomness() -> None:
    vector = VECTORS[0]
    assert field(vector, "aux_rand") == bytes(32)
    signature = SigningKey(field(vector, "secret key")).sign(field(vector, "message"))
    assert signature == field(vector, "signature")


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64, 65])
def test_keys_of_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        verifying_key(b"\x02" * length)
    with pytest.raises(ValueError, match="private key"):
        SigningKey(b"\x02" * length)


def test_a_compressed_key_is_no_key_though_the_binding_takes_it() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        verifying_key(b"\x02" + field(GOOD, "public key"))


@pytest.mark.parametrize("number", [0, CURVE_ORDER, CURVE_ORDER + 1, 2**256 - 1])
def test_numbers_that_are_no_secret_key(number: int) -> None:
    with pytest.raises(ValueError, match="private key"):
        SigningKey(number.to_bytes(32, "big"))


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_a_signature_of_another_length_is_none(length: int) -> None:
    assert not is_signed_by(KEY, MESSAGE, (SIGNATURE * 2)[:length])
    assert is_signed_by(KEY, MESSAGE, SIGNATURE)


@pytest.mark.parametrize("length", [0, 1, 31, 33])
def test_messages_have_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        is_signed_by(KEY, bytes(length), SIGNATURE)
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(bytes(31) + b"\x01").sign(bytes(length))


def test_any_flipped_bit_of_a_signature_is_seen() -> None:
    for bit in range(512):
        flipped = (int.from_bytes(SIGNATURE, "big") ^ 1 << bit).to_bytes(64, "big")
        assert not is_signed_by(KEY, MESSAGE, flipped)


def test_threads_may_share_keys() -> None:
    mine = SigningKey(bytes(31) + b"\x05")
    public = verifying_key(mine.pubkey)

    def round_trip(number: int) -> bool:
        message = number.to_bytes(32, "big")
        signature = mine.sign(message)
        other = (number + 1).to_bytes(32, "big")
        good = is_signed_by(public, message, signature)
        return good and not is_signed_by(public, other, signature)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(2_000)))
