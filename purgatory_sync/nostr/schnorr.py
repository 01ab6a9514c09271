"""BIP-340 signatures over 32 bytes: the only module that touches the binding of libsecp256k1."""

from __future__ import annotations

from typing import NewType

from btclib_secp256k1 import lib as _lib
from btclib_secp256k1 import ssa, xonly
from btclib_secp256k1.context import ctx as _ctx

_NO_RANDOMNESS = bytes(32)

VerifyingKey = NewType("VerifyingKey", object)
"""A public key whose point was found; may be shared between threads."""


def verifying_key(pubkey: bytes) -> VerifyingKey:
    """Find the point of a public key of 32 bytes (BIP-340); costs 1/8 of a verification.

    Raises:
      ValueError: not 32 bytes, or no point of the curve has that x coordinate.
    """
    # The binding also takes keys of 33 and 65 bytes.
    if len(pubkey) != 32:
        raise ValueError("a public key has 32 bytes")
    return VerifyingKey(xonly.parse(pubkey))


def is_signed_by(key: VerifyingKey, message: bytes, signature: bytes) -> bool:
    """Whether the key signed the message (BIP-340); a signature has 64 bytes, others are refused.

    libsecp256k1 releases the interpreter's lock meanwhile, so threads verify in parallel.

    Raises:
      ValueError: the message does not have 32 bytes.
    """
    if len(message) != 32:
        raise ValueError("a message has 32 bytes")
    # C reads 64 bytes, even if it gets fewer. `ssa.verify` would find the point again each time.
    return len(signature) == 64 and bool(
        _lib.secp256k1_schnorrsig_verify(_ctx, signature, message, 32, key)
    )


class SigningKey:
    """A secret key of 32 bytes that signs (BIP-340); may be shared between threads.

    Raises:
      ValueError: not 32 bytes, zero, or not below the order of the curve.
    """

    def __init__(self, secret: bytes) -> None:
        self._signer = ssa.Signer(secret)
        self.pubkey: bytes = self._signer.pubkey()[0]

    def sign(self, message: bytes) -> bytes:
        """Sign 32 bytes: always the same 64 bytes, which are verified before they are returned.

        Raises:
          ValueError: the message does not have 32 bytes.
        """
        return self._signer.sign(message, _NO_RANDOMNESS)
