"""What was read of a repository for its clients, kept for as long as its files stay as they are."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import attrs

from ...errors import BadPack, RepositoryError
from ..protocol.pktline import FLUSH_BYTES, pkt_line
from .pack_reading import PIECE_BYTES, PackReading, empty_pack, in_packets
from .ref_answers import advertised, list_refs_answer
from .served_refs import ServedRefs, Stamp, read_served_refs, stamp
from .upload_requests import FetchPack, ListRefs
from .whole_packs import Exact, exact_packs, packs_alone

_KEPT_ANSWERS: Final = 4
_KEPT_ANSWERS_OF_REFS: Final = 100
_MOST_PREFIX_BYTES: Final = 1024
_MOST_COMPARISONS: Final = 1_000_000
_BYTES_OF_A_REF: Final = 400 + _KEPT_ANSWERS * 100
_PACK_FOLLOWS: Final = {0: pkt_line(b"NAK\n"), 2: pkt_line(b"packfile\n")}


@attrs.define(eq=False)
class RepositoryView:
    """The refs of one repository as they are served, and answers made of them.

    Attributes:
      stamp: of the files that it was read from.
      refs: None where git must answer.
    """

    stamp: Stamp
    refs: ServedRefs | None
    _answers: dict[ListRefs, bytes] = attrs.field(factory=dict, init=False)
    _exact: tuple[tuple[str, ...], Exact | None] = attrs.field(default=((), None), init=False)

    @property
    def weight(self) -> int:
        """About how many bytes it takes with all answers that it may keep."""
        return _BYTES_OF_A_REF * (len(self.refs.refs) + 2 if self.refs else 2)

    def list_refs(self, request: ListRefs) -> bytes | None:
        """The answer to `ls-refs`; None where git must answer."""
        if self.refs is None or len(self.refs.refs) * len(request.prefixes) > _MOST_COMPARISONS:
            return None
        if (known := self._answers.get(request)) is not None:
            return known
        answer = list_refs_answer(self.refs, request)
        is_short = sum(map(len, request.prefixes)) <= _MOST_PREFIX_BYTES
        if is_short and len(self.refs.refs) >= _KEPT_ANSWERS_OF_REFS:
            self._answers[request] = answer
            while len(self._answers) > _KEPT_ANSWERS:
                self._answers.pop(next(iter(self._answers)), None)
        return answer

    def advertise(self, capabilities: bytes, version: int) -> bytes | None:
        """The answer to `info/refs` of v0 and v1; None where git must answer."""
        return None if self.refs is None else advertised(self.refs, capabilities, version)

    def open_clone(self, repository: Path, request: FetchPack) -> PackReading | None:
        """The packs that are just what a request asks for; None where git must answer."""
        packs = packs_alone(repository)
        if packs is None or self.refs is None:
            return None
        if self._exact[0] != packs:
            self._exact = packs, exact_packs(repository, packs, self.refs.tips)
        of_packs, exact = self._exact
        if exact is None or of_packs != packs or not exact.needed <= request.wants:
            return None
        try:
            return PackReading(repository, packs, exact.objects)
        except (BadPack, OSError):
            return None  # a pack went meanwhile


def current_view(repository: Path, known: RepositoryView | None) -> RepositoryView:
    """What is there now: the known view where nothing changed since.

    Blocks.
    """
    try:
        if known is not None and known.stamp and stamp(repository) == known.stamp:
            return known
        return RepositoryView(*read_served_refs(repository))
    except (RepositoryError, OSError):
        return RepositoryView((), None)  # git says what is wrong


@attrs.define
class PackAnswer:
    """The beginning of an answer with a pack, and the rest of the pack.

    Attributes:
      rest: None where the beginning is the whole answer.
    """

    beginning: bytes
    rest: PackReading | None


def answer_fetch(repository: Path, view: RepositoryView, request: FetchPack) -> PackAnswer | None:
    """Answer a request for objects; None where git must answer.

    Blocks. The `rest` of the answer holds open files: close it.
    """
    if view.refs is None or not request.wants <= view.refs.tips:
        return None
    start = _PACK_FOLLOWS[request.version]
    if request.wants <= request.haves:
        return PackAnswer(start + in_packets(empty_pack(), request.band) + FLUSH_BYTES, None)
    if request.haves or (reading := view.open_clone(repository, request)) is None:
        return None
    with ExitStack() as opened:
        opened.callback(reading.close)
        try:
            gathered = _gathered(reading)
        except (BadPack, OSError):
            return None
        beginning = start + in_packets(gathered, request.band)
        if len(gathered) < PIECE_BYTES:
            return PackAnswer(beginning + (FLUSH_BYTES if request.band else b""), None)
        opened.pop_all()
    return PackAnswer(beginning, reading)


def _gathered(reading: PackReading) -> bytes:
    """The first pieces; fewer than PIECE_BYTES are all of them."""
    parts, size = [], 0
    while size < PIECE_BYTES and (piece := reading.read()):
        parts.append(piece)
        size += len(piece)
    return b"".join(parts)
