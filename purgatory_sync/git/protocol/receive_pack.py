"""git's receive-pack conversation as values and bytes: no repository is read or written here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from ...errors import ProtocolBroken, PushRefused
from ...refnames import is_valid_refname
from .pktline import FLUSH_BYTES, Mark, PacketBuffer, pkt_line

ADVERTISEMENT_TYPE: Final = "application/x-git-receive-pack-advertisement"
REQUEST_TYPE: Final = "application/x-git-receive-pack-request"
RESULT_TYPE: Final = "application/x-git-receive-pack-result"

CAPABILITIES: Final = (
    b"report-status delete-refs side-band-64k quiet atomic ofs-delta push-options "
    b"object-format=sha1 agent=purgatory-sync"
)
MAX_COMMAND_BYTES: Final = 8 << 20
"""Commands, shallow lines and push options together; two states of 20,000 refs fit in (B 1.7)."""

_ZERO: Final = "0" * 40
_OID: Final = re.compile(r"[0-9a-f]{40}")
_BAND_BYTES: Final = 65515
_MAX_REASON_BYTES: Final = 8000


@attrs.frozen
class Command:
    """What a client wants of one ref.

    Attributes:
      ref: its full name, one that git accepts.
      old: the OID that the client saw there, None for nothing; never relied on (B 6.5).
      new: the OID that it shall name, None to delete it.
    """

    ref: str
    old: str | None
    new: str | None


@attrs.frozen
class PushRequest:
    """Everything before the pack.

    Attributes:
      commands: of different refs; none at all is git's probe, or a mistake.
      shallow: where the client's history is cut, as it says; the closure check judges.
      capabilities: the words that came with the first command.
    """

    commands: tuple[Command, ...] = ()
    shallow: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()

    @property
    def side_band(self) -> bool:
        """Whether the answer goes into side-band packets."""
        return "side-band-64k" in self.capabilities

    @property
    def changes(self) -> dict[str, str | None]:
        """By ref, what it shall name."""
        return {command.ref: command.new for command in self.commands}


class RequestParser:
    """Takes a request apart as it arrives; what follows the commands is left as `rest`.

    Attributes:
      done: everything before the pack has arrived.
    """

    def __init__(self) -> None:
        self.done = False
        self._packets = PacketBuffer()
        self._taken = 0
        self._commands: dict[str, Command] = {}
        self._shallow: list[str] = []
        self._capabilities: frozenset[str] = frozenset()
        self._in_options = False

    @property
    def request(self) -> PushRequest:
        """Complete once `done`; before that what is known so far, for the form of a refusal."""
        return PushRequest(tuple(self._commands.values()), tuple(self._shallow), self._capabilities)

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
          PushRefused: they are no commands as B 6.5 wants them, or too many.
        """
        self._packets.feed(data)
        try:
            while not self.done and (packet := self._packets.next_packet()) is not None:
                self._take(packet)
        except ProtocolBroken as error:
            raise PushRefused(f"the request is malformed: {error}") from error
        if not self.done and self._taken + len(self._packets) > MAX_COMMAND_BYTES:
            raise PushRefused(f"more than {MAX_COMMAND_BYTES} bytes of commands")

    def rest(self) -> bytes:
        """The bytes that came after the commands: the pack's first ones."""
        return self._packets.take(len(self._packets))

    def _take(self, packet: bytes | Mark) -> None:
        if packet is Mark.FLUSH:
            more = "push-options" in self._capabilities and not self._in_options
            self._in_options, self.done = more, not more
            return
        if not isinstance(packet, bytes):
            raise PushRefused("the request is malformed: a packet that does not belong here")
        self._taken += len(packet) + 4
        if not self._in_options:
            self._take_line(packet)

    def _take_line(self, packet: bytes) -> None:
        line, _, words = packet.partition(b"\0")
        if words and self._commands:
            raise PushRefused("capabilities come with the first command only")
        try:
            text = line.removesuffix(b"\n").decode()
        except UnicodeDecodeError as error:
            raise PushRefused("a ref name is not UTF-8") from error
        kind, _, value = text.partition(" ")
        if kind == "push-cert":
            raise PushRefused("signed pushes are not taken: the signed state event is what counts")
        if kind == "shallow":
            self._take_shallow(value, words)
            return
        command = _command(text)
        if command.ref in self._commands:
            raise PushRefused(f"{command.ref} is named twice")
        self._commands[command.ref] = command
        if words:
            self._capabilities = frozenset(words.decode(errors="replace").split())
            _judge_format(self._capabilities)

    def _take_shallow(self, oid: str, words: bytes) -> None:
        if words or self._commands or not _OID.fullmatch(oid):
            raise PushRefused("a shallow line is malformed")
        self._shallow.append(oid)


def _command(text: str) -> Command:
    old, _, after = text.partition(" ")
    new, _, ref = after.partition(" ")
    if not (_OID.fullmatch(old) and _OID.fullmatch(new)):
        raise PushRefused("a command is not `old new ref` with OIDs of 40 digits")
    if not ref.startswith("refs/") or not is_valid_refname(ref):
        raise PushRefused(f"{ref[:200]!a} is no name of a ref")
    return Command(ref, None if old == _ZERO else old, None if new == _ZERO else new)


def _judge_format(capabilities: frozenset[str]) -> None:
    for word in capabilities:
        if word.startswith("object-format=") and word != "object-format=sha1":
            raise PushRefused("the repository here has SHA-1 object names")


def advertisement(refs: Mapping[str, str], haves: Iterable[str] = ()) -> bytes:
    """The whole answer to info/refs?service=git-receive-pack; of no refs, too.

    Args:
      refs: ref → OID, in the order of the answer.
      haves: commits that need not be sent, although no ref of the repository names them.
    """
    lines = [f"{oid} {ref}".encode() for ref, oid in refs.items()]
    lines += [f"{oid} .have".encode() for oid in haves]
    first, *others = lines or [f"{_ZERO} capabilities^{{}}".encode()]
    out = [
        pkt_line(b"# service=git-receive-pack\n"),
        FLUSH_BYTES,
        pkt_line(first + b"\0" + CAPABILITIES + b"\n"),
    ]
    return b"".join([*out, *(pkt_line(line + b"\n") for line in others), FLUSH_BYTES])


def accepted(request: PushRequest) -> bytes:
    """The report that every command was done (B 6.5)."""
    lines = [b"unpack ok\n"] + [f"ok {each.ref}\n".encode() for each in request.commands]
    return _framed(b"".join(map(pkt_line, lines)) + FLUSH_BYTES, request)


def refused(request: PushRequest, reason: str) -> bytes:
    """One `ERR` packet that clients print (B 6.6).

    git reads it inside the side-band that it asked for, libgit2 only outside of it; libgit2 is the
    one that asks for a side-band and names no agent.
    """
    packet = pkt_line(b"ERR " + reason.encode(errors="replace")[:_MAX_REASON_BYTES])
    named = any(word.startswith("agent=") for word in request.capabilities)
    return _framed(packet, request) if named else packet


def _framed(report: bytes, request: PushRequest) -> bytes:
    if not request.side_band:
        return report
    pieces: Iterable[int] = range(0, len(report), _BAND_BYTES)
    bands = [pkt_line(b"\1" + report[start : start + _BAND_BYTES]) for start in pieces]
    return b"".join([*bands, FLUSH_BYTES])
