"""The requests of upload-pack over HTTP: values in, bytes out.

Nearly always one POST is enough. No capability is claimed that a server might not know (most
protocol v2 requests are sent before its advertisement is seen).
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


def fetch_v2(
    wants: Sequence[str],
    haves: Sequence[str] = (),
    *,
    done: bool = True,
    said: Iterable[bytes] = (),
) -> bytes:
    """A protocol v2 fetch of arbitrary objects.

    Args:
      wants: object names, 40 hex digits.
      haves: what is here already; a pack may then lean on it (thin-pack).
      done: False lets the server ask for more haves, when it knows too few of them to send a
        small pack.
      said: our capabilities that the server advertised (`claimed`).
    """
    lines = [pkt_line(b"command=fetch\n"), *_lines(said), DELIM_BYTES]
    lines += _lines([b"thin-pack", b"no-progress", b"ofs-delta"])
    lines += _named(b"want", wants)
    lines += _named(b"have", haves)
    if done:
        lines.append(pkt_line(b"done\n"))
    return b"".join([*lines, FLUSH_BYTES])


def list_refs_v2(prefixes: Iterable[str], said: Iterable[bytes] = ()) -> bytes:
    """A protocol v2 listing of the refs whose names begin so, tags peeled; `said` as above."""
    lines = [pkt_line(b"command=ls-refs\n"), *_lines(said), DELIM_BYTES, pkt_line(b"peel\n")]
    lines += [pkt_line(b"ref-prefix " + prefix.encode() + b"\n") for prefix in prefixes]
    return b"".join([*lines, FLUSH_BYTES])


def fetch_v0(
    wants: Sequence[str],
    haves: Sequence[str],
    capabilities: Collection[bytes],
    said: Iterable[bytes] = (),
) -> bytes:
    """A protocol v0 fetch.

    Args:
      wants: object names, at least one.
      haves: what is here already.
      capabilities: what the server advertised; nothing else is claimed.
      said: more of it, with our values (`claimed`).
    """
    names = [name for name in _V0_CAPABILITIES if name in capabilities]
    if b"multi_ack_detailed" not in names and b"multi_ack" in capabilities:
        names.insert(0, b"multi_ack")
    line = b" ".join([*names, *said])
    first, *others = wants
    lines = [pkt_line(b"want " + first.encode("ascii") + b" " + line + b"\n")]
    lines += _named(b"want", others)
    lines.append(FLUSH_BYTES)
    lines += _named(b"have", haves)
    lines.append(pkt_line(b"done\n"))
    return b"".join(lines)


def claimed(capabilities: Collection[bytes], user_agent: str) -> list[bytes]:
    """What git says of itself to a server that said so too: its agent, in v2 the object format.

    Args:
      capabilities: what the server advertised, with values (v0) or without (v2).
      user_agent: ours, as in the header; what is no plain character becomes a dot, as in git.
    """
    names = {capability.partition(b"=")[0] for capability in capabilities}
    agent = bytes(byte if 32 < byte < 127 else 46 for byte in user_agent.encode())
    said = [b"agent=" + agent] if b"agent" in names else []
    return [*said, b"object-format=sha1"] if b"object-format" in capabilities else said


def _lines(capabilities: Iterable[bytes]) -> list[bytes]:
    return [pkt_line(capability + b"\n") for capability in capabilities]


def _named(word: bytes, oids: Iterable[str]) -> list[bytes]:
    return [pkt_line(b"%b %b\n" % (word, oid.encode("ascii"))) for oid in oids]
