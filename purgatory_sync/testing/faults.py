"""What a git server does wrong on purpose.

One line each:

    server.fail("r.git", faults.drip(1, every_secs=5))        # one byte every five seconds
    server.fail("r.git/git-upload-pack", faults.cut(100))     # the connection ends after 100 bytes
    server.fail("r.git", faults.status(429, retry_after="30"))
    server.fail("r.git", faults.moved("http://169.254.169.254/x"))
    server.fail("upload-pack", faults.flipped(40))            # one byte of the pack is another
    server.fail("upload-pack", faults.with_pack(pack_of(another_repository)))
    server.fail("upload-pack", faults.refusing_like("gerrit"))    # for what the repository lacks
    server.fail("r.git", faults.delay(2), times=1)            # once, then as it should be
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from .pack_tampering import EMPTY_PACK, change_pack, pkt

_OID: Final = "0" * 40
_PROGRESS: Final = pkt(b"\x02Counting objects: 1\r")
_REF: Final = pkt(f"{_OID} refs/heads/x\n".encode())


@attrs.frozen
class Fault:
    """What a server does instead of its duty, or with it; the functions here make them.

    Attributes:
      delay_secs: seconds before it answers.
      hang: it never answers.
      raw: bytes sent as they are instead of HTTP; then nothing more comes.
      status: an answer with this status instead of git's; 200 has git's content type.
      headers: of that answer.
      body: of that answer.
      repeat: what follows that body for ever.
      moved_to: instead of git's answer a redirect (status) to the same file of this repository.
      refusing: that answer is given only where git itself refuses; `{oid}` in the body is what it
        names.
      content_type: instead of git's own, in git's answer.
      tamper: makes another body of git's whole answer.
      cut_at: the connection ends after so many bytes of the body.
      stall_at: nothing more comes after so many bytes of the body.
      drip_bytes: the body comes so many bytes at a time; 0 as it is.
      drip_secs: seconds between them.
      keeps_open: when all is said, the end of the answer is not.
      times: for so many requests; None for all.
    """

    delay_secs: float = 0.0
    hang: bool = False
    raw: bytes | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    repeat: bytes = b""
    moved_to: str | None = None
    refusing: bool = False
    content_type: str | None = None
    tamper: Callable[[bytes], bytes] | None = None
    cut_at: int | None = None
    stall_at: int | None = None
    drip_bytes: int = 0
    drip_secs: float = 0.0
    keeps_open: bool = False
    times: int | None = None


# Time


def delay(secs: float) -> Fault:
    """The answer comes late."""
    return Fault(delay_secs=secs)


def hang() -> Fault:
    """The request is taken and never answered."""
    return Fault(hang=True)


def drip(size: int = 1, every_secs: float = 5.0) -> Fault:
    """The body comes so many bytes at a time."""
    return Fault(drip_bytes=size, drip_secs=every_secs)


def stall(at: int) -> Fault:
    """After so many bytes of the body nothing more comes."""
    return Fault(stall_at=at)


def keeps_open() -> Fault:
    """The whole body comes, but not the end of the answer."""
    return Fault(keeps_open=True)


# Half an answer, and answers without end


def cut(at: int) -> Fault:
    """The connection ends after so many bytes of the body."""
    return Fault(cut_at=at)


def raw(data: bytes) -> Fault:
    """These bytes and nothing else, be they HTTP or not."""
    return Fault(raw=data)


def half_a_head() -> Fault:
    """The head of the answer stops within a header."""
    return raw(b"HTTP/1.1 200 OK\r\ncontent-ty")


def half_a_packet() -> Fault:
    """The body stops within a pkt-line."""
    return Fault(status=200, body=b"000dpack", keeps_open=True)


def endless_progress() -> Fault:
    """Messages in band 2 and never a pack."""
    return Fault(status=200, body=pkt(b"packfile\n"), repeat=_PROGRESS * 100)


def endless_refs() -> Fault:
    """A list of refs without end; as info/refs it is one of protocol v0."""
    capabilities = pkt(f"{_OID} HEAD\0side-band-64k\n".encode())
    head = pkt(b"# service=git-upload-pack\n") + b"0000" + capabilities
    return Fault(status=200, body=head, repeat=_REF * 100)


# HTTP that is not what was asked for


def status(code: int, *, retry_after: str | None = None, body: bytes = b"") -> Fault:
    """An answer with another status than 200."""
    headers = () if retry_after is None else (("retry-after", retry_after),)
    return Fault(status=code, headers=headers, body=body)


def moved(repository: str, code: int = 301) -> Fault:
    """A redirect to the same file of another repository: a URL, or a path of the same server."""
    return Fault(status=code, moved_to=repository)


def redirect(location: str, code: int = 302) -> Fault:
    """A redirect to exactly this."""
    return Fault(status=code, headers=(("location", location),))


def page() -> Fault:
    """A page instead of git."""
    headers = (("content-type", "text/html"),)
    return Fault(status=200, headers=headers, body=b"<!DOCTYPE html><title>Git</title>")


def content_type(name: str) -> Fault:
    """Git's answer under another type."""
    return Fault(content_type=name)


# Packs that are not what was asked for


def flipped(position: int) -> Fault:
    """One byte of the pack is another; negative positions count from its end."""

    def flip(pack: bytes) -> bytes:
        changed = bytearray(pack)
        changed[position] ^= 0x01
        return bytes(changed)

    return tampered(flip)


def appended(data: bytes = b"more") -> Fault:
    """Bytes follow the pack's checksum."""
    return tampered(lambda pack: pack + data)


def truncated(size: int) -> Fault:
    """The pack ends early, though the answer is whole."""
    return tampered(lambda pack: pack[:size])


def with_pack(other: bytes) -> Fault:
    """Another pack: see `pack_of` and `shallow_pack_of` of `pack_tampering`."""
    return tampered(lambda pack: other)


def empty_pack() -> Fault:
    """A sound pack of no objects."""
    return with_pack(EMPTY_PACK)


def tampered(change: Callable[[bytes], bytes]) -> Fault:
    """The pack as a function makes it."""
    return Fault(tamper=lambda body: change_pack(body, change))


# Refusals in the words of others


def _err(words: str) -> bytes:
    # The length stays right when `{oid}` is replaced: both texts are measured with the OID.
    return f"{len(words.format(oid=_OID)) + 8:04x}ERR {words}".encode()


REFUSALS: Final = {
    "git": Fault(status=200, body=_err("upload-pack: not our ref {oid}")),
    "old git": Fault(status=200, body=b"0008NAK\n" + pkt(b"\x03git upload-pack: not our ref")),
    "github": Fault(status=200, body=_err("upload-pack: not our ref {oid}")),
    "gitea": Fault(status=200, body=_err("upload-pack: not our ref {oid}")),  # it runs git
    "go-git": Fault(status=200, body=_err("object not found")),
    "jgit": Fault(status=200, body=_err("want {oid} not valid")),
    "gerrit": Fault(status=200, body=_err("want {oid} not valid")),
    "isomorphic-git": Fault(status=200, body=_err("NotFoundError: Could not find {oid}.")),
    "unadvertised": Fault(
        status=200, body=_err("Server does not allow request for unadvertised object {oid}")
    ),
    "unknown words": Fault(status=200, body=_err("nein")),
    "empty": Fault(status=200),
    "flush": Fault(status=200, body=b"0000"),
    "page": page(),
    "400": status(400, body=b"bad request"),
    "403": status(403),
    "404": status(404, body=b"not found"),
    "422": status(422),
    "500": status(500),
}


def refusing_like(server: str) -> Fault:
    """Where git would refuse because the repository lacks something, the answer of another server.

    Args:
      server: a name in REFUSALS.
    """
    return attrs.evolve(REFUSALS[server], refusing=True)
