"""Keys as people write them (NIP-19: npub, nsec) and the secret key that signs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..errors import InvalidKey
from .address import is_hex_key
from .event import Event, event_id
from .schnorr import SigningKey

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


@lru_cache(maxsize=65536)
def encode_npub(pubkey: str) -> str:
    """The npub of a public key in hex (NIP-19).

    Raises:
      InvalidKey: not 64 lower-case hex digits.
    """
    return _encode("npub", pubkey)


@lru_cache(maxsize=65536)
def decode_npub(npub: str) -> str:
    """The public key in hex of an npub (NIP-19).

    Raises:
      InvalidKey: another prefix, a bad checksum, or not 32 bytes.
    """
    return _decode("npub", npub).hex()


class SecretKey:
    """A secret key that signs events (BIP-340)."""

    def __init__(self, secret: bytes) -> None:
        try:
            self._key = SigningKey(secret)
        except ValueError as error:
            raise InvalidKey(
                "not a secret key: it has 32 bytes, is not zero, and below the order"
            ) from error
        self._secret = bytes(secret)
        self.pubkey = self._key.pubkey.hex()

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """Read an nsec or 64 hex digits.

        Raises:
          InvalidKey: it is neither (the message never repeats the secret).
        """
        return cls(bytes.fromhex(text) if is_hex_key(text) else _decode("nsec", text))

    @property
    def nsec(self) -> str:
        """The key as NIP-19 writes it."""
        return _encode("nsec", self._secret.hex())

    @property
    def npub(self) -> str:
        """The public key as NIP-19 writes it."""
        return encode_npub(self.pubkey)

    def sign(
        self, kind: int, content: str, tags: Iterable[Sequence[str]], created_at: int
    ) -> Event:
        """Make a signed event (NIP-01); `created_at` in Unix seconds."""
        frozen = tuple(tuple(tag) for tag in tags)
        name = event_id(self.pubkey, created_at, kind, frozen, content)
        sig = self._key.sign(bytes.fromhex(name)).hex()
        return Event(name, self.pubkey, created_at, kind, frozen, content, sig)


def _encode(prefix: str, hex32: str) -> str:
    if not is_hex_key(hex32):
        raise InvalidKey("a key has 64 lower-case hex digits")
    data = _regroup(bytes.fromhex(hex32), 8, 5, pad=True)
    checksum = _polymod(_expand(prefix) + data + [0] * 6) ^ 1
    data += [checksum >> 5 * (5 - i) & 31 for i in range(6)]
    return f"{prefix}1" + "".join(_CHARSET[value] for value in data)


def _decode(prefix: str, text: str) -> bytes:
    head, separator, rest = text.rpartition("1")
    if not separator or head != prefix or len(rest) != 58:
        raise InvalidKey(f"not an {prefix}")
    data = [_CHARSET.find(char) for char in rest]
    if -1 in data or _polymod(_expand(prefix) + data) != 1:
        raise InvalidKey(f"an {prefix} with a wrong checksum")
    decoded = bytes(_regroup(data[:-6], 5, 8, pad=False))
    if len(decoded) != 32:
        raise InvalidKey(f"an {prefix} that is not 32 bytes")
    return decoded


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(values: Iterable[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATOR):
            checksum ^= generator if top >> i & 1 else 0
    return checksum


def _regroup(data: Iterable[int], width: int, to: int, *, pad: bool) -> list[int]:
    bits = held = 0
    out = []
    for value in data:
        held = (held << width | value) & 0xFFFF
        bits += width
        while bits >= to:
            bits -= to
            out.append(held >> bits & ((1 << to) - 1))
    if pad and bits:
        out.append(held << (to - bits) & ((1 << to) - 1))
    elif not pad and (bits >= width or held & ((1 << bits) - 1)):
        raise InvalidKey("a key with bits left over")
    return out
