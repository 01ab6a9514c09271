"""The requests of upload-pack over HTTP: values in, bytes out.

Nearly always one POST is enough. No capability is claimed that a server might not know (protocol
v2 requests are sent before its advertisement is seen).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from ..protocol.pktline import DELIM_BYTES, FLUSH_BYTES, pkt_line

# In git's order. dulwich's server answers 500 unless all of these are echoed, others 400 without
# multi_ack; git's ignores what it does not know.
_V0_CAPABILITIES: Final = (
    b"multi_ack_detailed",
    b"side-band-64k",
    b"thin-pack",
    b"no-progress",
    b"ofs-delta",
)


def fetch_v2(wants: Sequence[str], haves: Sequence[str] = (), *, done: bool = True) -> bytes:
    """A protocol v2 fetch of arbitrary objects.

    Args:
      wants: object names, 40 hex digits.
      haves: what is here already; a pack may then lean on it (thin-pack).
      done: False lets the server ask for more haves, when it knows too few of them to send a
        small pack.
    """
    lines = [pkt_line(b"command=fetch\n"), DELIM_BYTES, pkt_line(b"no-progress\n")]
    lines.append(pkt_line(b"ofs-delta\n"))
    if haves:
        lines.append(pkt_line(b"thin-pack\n"))
    lines += _named(b"want", wants)
    lines += _named(b"have", haves)
    if done:
        lines.append(pkt_line(b"done\n"))
    return b"".join([*lines, FLUSH_BYTES])


def list_refs_v2(prefixes: Iterable[str]) -> bytes:
    """A protocol v2 listing of the refs whose names begin so, tags peeled."""
    lines = [pkt_line(b"command=ls-refs\n"), DELIM_BYTES, pkt_line(b"peel\n")]
    lines += [pkt_line(b"ref-prefix " + prefix.encode() + b"\n") for prefix in prefixes]
    return b"".join([*lines, FLUSH_BYTES])


def fetch_v0(wants: Sequence[str], haves: Sequence[str], capabilities: Collection[bytes]) -> bytes:
    """A protocol v0 fetch.

    Args:
      wants: object names, at least one.
      haves: what is here already.
      capabilities: what the server advertised; nothing else is claimed.
    """
    names = [name for name in _V0_CAPABILITIES if name in capabilities]
    if b"multi_ack_detailed" not in names and b"multi_ack" in capabilities:
        names.insert(0, b"multi_ack")
    claimed = b" ".join(names)
    first, *others = wants
    lines = [pkt_line(b"want " + first.encode("ascii") + b" " + claimed + b"\n")]
    lines += _named(b"want", others)
    lines.append(FLUSH_BYTES)
    lines += _named(b"have", haves)
    lines.append(pkt_line(b"done\n"))
    return b"".join(lines)


def _named(word: bytes, oids: Iterable[str]) -> list[bytes]:
    return [pkt_line(b"%b %b\n" % (word, oid.encode("ascii"))) for oid in oids]
