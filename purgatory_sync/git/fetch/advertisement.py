"""What a server says of itself and its refs: info/refs (v0, v1, v2) and ls-refs, as bytes arrive.

However many refs there are, only those are kept that a wanted object may come from.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Final

import attrs

from ...errors import NotGit, ObjectsRefused, ProtocolBroken
from ..protocol.pktline import Mark, Packet, PacketBuffer
from .responses import EmptyAnswer, refusal, words

REF_PREFIXES: Final = ("refs/heads/", "refs/tags/", "refs/nostr/")
MAX_TIPS: Final = 256
_MAX_CAPABILITIES: Final = 256
_MAX_AGENT_BYTES: Final = 64
_OID: Final = re.compile(rb"[0-9a-f]{40}")
_OID_256: Final = re.compile(rb"[0-9a-f]{64}")
_BY_NAME: Final = frozenset({b"allow-tip-sha1-in-want", b"allow-reachable-sha1-in-want"})
# They make the whole pack before they send its first byte, which takes them seconds.
_SLOW_TO_BEGIN: Final = (b"go-git/", b"dulwich/")


@attrs.frozen
class Server:
    """How a server is spoken to.

    Attributes:
      version: protocol 2 or 0.
      capabilities: what it advertised; empty when it was never asked.
      agent: the software that it calls itself.
    """

    version: int = 2
    capabilities: frozenset[bytes] = frozenset()
    agent: bytes = b""

    @property
    def gives_unadvertised(self) -> bool:
        """Whether it says that it gives objects which it does not show (always in v2)."""
        return self.version == 2 or bool(self.capabilities & _BY_NAME)

    @property
    def is_slow_to_begin(self) -> bool:
        """Whether it is known to make the whole pack before the first byte of it."""
        return self.agent.startswith(_SLOW_TO_BEGIN)


class ShownRefs:
    """Which wanted objects a server shows, and the tips of its branches and tags (bounded)."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = frozenset(wanted)
        self._shown: dict[str, str] = {}
        self._heads: dict[str, None] = {}
        self._tags: dict[str, None] = {}
        self._digest = sha256()

    def add(self, oid: str, name: bytes, peeled: str | None = None) -> None:
        """Take note of a ref.

        Args:
          oid: what it names.
          peeled: for an annotated tag, what the tag is of; it comes with the tag.
        """
        self._digest.update(b"%s %s\n" % (oid.encode(), name))
        if oid in self._wanted:
            self._shown[oid] = oid
        if peeled in self._wanted:
            self._shown.setdefault(peeled, oid)
        if name.startswith(b"refs/heads/") and len(self._heads) < MAX_TIPS:
            self._heads[oid] = None
        elif name.startswith(b"refs/tags/") and len(self._tags) < MAX_TIPS:
            self._tags[oid] = None

    @property
    def digest(self) -> bytes:
        """What is the same while the server shows the same refs, in its order."""
        return self._digest.digest()

    @property
    def tips(self) -> tuple[str, ...]:
        """The tips of branches and tags that are kept."""
        return tuple(self._heads | self._tags)

    def worth_asking(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """What to ask for in one request, so that as many wanted objects as possible come.

        Wanted objects that are shown; while others are not, the tips too, for these may be in
        their history.
        """
        asked = {self._shown[oid]: None for oid in wanted if oid in self._shown}
        if any(oid not in self._shown for oid in wanted):
            asked |= dict.fromkeys(self.tips[:MAX_TIPS])
        return tuple(asked)


class _Lines:
    """Feeds whole packets to `_judge`; counts nothing, the caller bounds the bytes."""

    def __init__(self) -> None:
        self._buffer = PacketBuffer()
        self._begun = False
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the list is here whole, however long the connection stays open after it."""
        return self._ended

    def feed(self, data: bytes) -> None:
        """Judge the next bytes of the body.

        Raises:
          ObjectsRefused: an ERR line.
          NotGit: a repository that we cannot use (SHA-256, no side bands).
          ProtocolBroken: anything else that is no such answer.
        """
        self._begun = self._begun or bool(data)
        self._buffer.feed(data)
        while not self._ended and (packet := self._buffer.next_packet()) is not None:
            if isinstance(packet, bytes) and packet.startswith(b"ERR "):
                raise refusal(packet[4:])
            self._judge(packet)
        if self._ended and len(self._buffer):
            raise ProtocolBroken("bytes after the end of the list")

    def finish(self) -> None:
        """Judge the end of the body.

        Raises:
          EmptyAnswer: there was none.
          ProtocolBroken: it ends too early.
        """
        if not self._begun:
            raise EmptyAnswer("an empty answer")
        if not self._ended:
            raise ProtocolBroken("the list of refs ends early")

    def _judge(self, packet: Packet) -> None:
        raise NotImplementedError


class RefListing(_Lines):
    """The answer to `requests.list_refs_v2`."""

    def __init__(self, refs: ShownRefs) -> None:
        super().__init__()
        self._refs = refs

    def _judge(self, packet: Packet) -> None:
        if packet is Mark.FLUSH:
            self._ended = True
            return
        if not isinstance(packet, bytes):
            raise ProtocolBroken(f"{packet.name.lower()} in a list of refs")
        oid, _, rest = packet.rstrip(b"\n").partition(b" ")
        name, *attributes = rest.split(b" ")
        if oid == b"unborn":
            return
        peeled = None
        for attribute in attributes:
            if attribute.startswith(b"peeled:"):
                peeled = _oid(attribute.removeprefix(b"peeled:"))
        self._refs.add(_oid(oid), _ref_name(name), peeled)


class _Expect(enum.Enum):
    SERVICE = enum.auto()
    SERVICE_FLUSH = enum.auto()
    FIRST = enum.auto()
    V2_CAPABILITIES = enum.auto()
    V0_FIRST_REF = enum.auto()
    V0_REFS = enum.auto()


class Advertisement(_Lines):
    """The answer to GET info/refs?service=git-upload-pack, in each protocol version.

    Attributes (when `finish` has returned):
      server: how to speak to it.
      lists_refs: the refs are in it (never in v2).
      knows_versions: it answers in the version that was asked for, so that a list of refs does
        not mean that it speaks v0 only.
    """

    def __init__(self, refs: ShownRefs) -> None:
        super().__init__()
        self.server = Server()
        self.lists_refs = False
        self.knows_versions = False
        self._refs = refs
        self._expect = _Expect.SERVICE
        self._capabilities: list[bytes] = []
        self._tag: tuple[str, bytes] | None = None

    def finish(self) -> None:
        """Judge the end of the body.

        Raises:
          ObjectsRefused: an empty repository of a v0 server.
          NotGit: no upload-pack, or a repository that we cannot use.
          EmptyAnswer, ProtocolBroken: it ends too early.
        """
        super().finish()
        if self._expect is _Expect.FIRST:
            raise ObjectsRefused("the repository is empty")
        if self._expect is _Expect.V2_CAPABILITIES:
            self._judge_v2()
        else:
            self._judge_v0()

    def _judge(self, packet: Packet) -> None:
        match self._expect:
            case _Expect.SERVICE:
                self._service(packet)
            case _Expect.SERVICE_FLUSH:
                if packet is not Mark.FLUSH:
                    raise ProtocolBroken("no flush after the service line")
                self._expect = _Expect.FIRST
            case _Expect.FIRST:
                self._first(packet)
            case _Expect.V2_CAPABILITIES:
                self._capability(packet)
            case _Expect.V0_FIRST_REF:
                self._first_ref(packet)
            case _Expect.V0_REFS:
                self._ref(packet)

    def _service(self, packet: Packet) -> None:
        if isinstance(packet, bytes) and packet.startswith(b"# service="):
            if packet.rstrip(b"\n") != b"# service=git-upload-pack":
                raise NotGit("another service than git-upload-pack")
            self._expect = _Expect.SERVICE_FLUSH
        else:
            self._expect = _Expect.FIRST
            self._first(packet)

    def _first(self, packet: Packet) -> None:
        if packet is Mark.FLUSH:
            self._ended = True
        elif not isinstance(packet, bytes):
            raise ProtocolBroken(f"{packet.name.lower()} instead of an advertisement")
        elif packet.rstrip(b"\n") == b"version 2":
            self.knows_versions = True
            self._expect = _Expect.V2_CAPABILITIES
        elif packet.rstrip(b"\n") == b"version 1":
            self.knows_versions = True
            self._expect = _Expect.V0_FIRST_REF
        else:
            self._first_ref(packet)

    def _capability(self, packet: Packet) -> None:
        if packet is Mark.FLUSH:
            self._ended = True
            return
        if not isinstance(packet, bytes) or len(self._capabilities) >= _MAX_CAPABILITIES:
            raise ProtocolBroken("not a list of capabilities")
        self._capabilities.append(packet.rstrip(b"\n"))

    def _first_ref(self, packet: Packet) -> None:
        if packet is Mark.FLUSH:  # an empty repository after "version 1"
            self._expect = _Expect.FIRST
            self._ended = True
            return
        if not isinstance(packet, bytes) or b"\0" not in packet:
            raise ProtocolBroken("no capabilities in the advertisement")
        ref, _, capabilities = packet.partition(b"\0")
        self._capabilities = capabilities.split()[:_MAX_CAPABILITIES]
        self._expect = _Expect.V0_REFS
        if not ref.endswith(b" capabilities^{}"):
            self._ref(ref)

    def _ref(self, packet: Packet) -> None:
        if packet is Mark.FLUSH:
            self._note_tag(None)
            self._ended = True
            return
        if not isinstance(packet, bytes):
            raise ProtocolBroken(f"{packet.name.lower()} in a list of refs")
        oid, _, name = packet.rstrip(b"\n").partition(b" ")
        if oid == b"shallow":
            return
        if name.endswith(b"^{}"):
            self._note_tag(_oid(oid))
        else:
            self._note_tag(None)
            self._tag = (_oid(oid), _ref_name(name))

    def _note_tag(self, peeled: str | None) -> None:
        """A ref is noted when the next line has shown whether it is peeled."""
        if self._tag is not None:
            self._refs.add(*self._tag, peeled)
        self._tag = None

    def _judge_v2(self) -> None:
        said = dict(line.partition(b"=")[::2] for line in self._capabilities)
        _judge_object_format(said.get(b"object-format", b"sha1"))
        if b"fetch" not in said:
            raise NotGit("no fetch in protocol v2")
        self.server = Server(2, frozenset(said), said.get(b"agent", b"")[:_MAX_AGENT_BYTES])

    def _judge_v0(self) -> None:
        said = frozenset(self._capabilities)
        agent = b""
        for capability in said:
            if capability.startswith(b"agent="):
                agent = capability.removeprefix(b"agent=")[:_MAX_AGENT_BYTES]
            if capability.startswith(b"object-format="):
                _judge_object_format(capability.partition(b"=")[2])
        if b"side-band-64k" not in said:
            raise NotGit("a server without side-band-64k")
        self.server = Server(0, said, agent)
        self.lists_refs = True


def _oid(text: bytes) -> str:
    if _OID.fullmatch(text):
        return text.decode("ascii")
    if _OID_256.fullmatch(text):
        raise NotGit("a SHA-256 repository; only SHA-1 is spoken here")
    raise ProtocolBroken(f"not an object name: {words(text[:40])}")


def _ref_name(name: bytes) -> bytes:
    if not name or b"\0" in name:
        raise ProtocolBroken("a ref without a name")
    return name


def _judge_object_format(name: bytes) -> None:
    if name != b"sha1":
        raise NotGit(f"a repository of {words(name)} objects; only SHA-1 is spoken here")
