"""Answers to clones, fetches and polls that need no git: refs, and packs as they lie (B 6.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import trio

from ...git.protocol.pktline import FLUSH_BYTES
from ...git.serving.pack_reading import PackReading, in_packets
from ...git.serving.ref_answers import capabilities_of
from ...git.serving.repository_view import (
    PackAnswer,
    RepositoryView,
    answer_fetch,
    current_view,
)
from ...git.serving.upload_requests import (
    FetchPack,
    ListRefs,
    read_request_v0,
    read_request_v2,
)
from ...runtime.blocking import blocking
from ...runtime.bounded import Bounded

MOST_BYTES: Final = 64 << 20
"""What all views together may take."""

MOST_STREAMS: Final = 64
"""Of packs beyond one piece, whose files stay open while they are sent; more wait for git."""

_THREADS: Final = 4
_WORDS_HOLD_SECS: Final = 3600.0


@attrs.frozen
class _Words:
    """What git said of itself, and when."""

    words: bytes
    at: float


@attrs.frozen(eq=False)
class PackStream:
    """The rest of a pack for a client; use it as a context, which closes its files."""

    _reading: PackReading
    _band: int
    _limiter: trio.CapacityLimiter
    _streams: set[PackStream]

    def __enter__(self) -> PackStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self._streams.discard(self)
        self._reading.close()

    async def read(self) -> bytes:
        """The next packets; empty at the end.

        Raises:
          BadPack: the pack became shorter while it was read.
        """
        return in_packets(await blocking(self._limiter, self._reading.read), self._band)

    @property
    def end(self) -> bytes:
        """What follows the last packet."""
        return FLUSH_BYTES if self._band else b""


@attrs.frozen
class PlainAnswer:
    """An answer that needs no git.

    Attributes:
      beginning: or all of it.
      rest: the rest of its pack, where there is more.
      has_head: whether HEAD names a ref that is there.
    """

    beginning: bytes
    rest: PackStream | None = None
    has_head: bool = True


class PlainAnswers:
    """Answers in process what is plain; for everything else None stands: git must answer.

    What was read of a repository is kept until a file of it changes, within a bound.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._views: Bounded[Path, RepositoryView] = Bounded(
            most_bytes, weigh=lambda view: view.weight, most_weight=most_bytes, by_use=True
        )
        self._words: dict[tuple[int, bool], _Words] = {}
        self._streams: set[PackStream] = set()
        self._limiter = trio.CapacityLimiter(_THREADS)

    @property
    def kept_bytes(self) -> int:
        """About how much memory takes what was read."""
        return self._views.weight

    async def advertisement(self, repository: Path, version: int, unborn: bool) -> bytes | None:
        """The whole answer to info/refs, in the words that git had for another repository.

        Args:
          version: of the protocol.
          unborn: whether clients of v2 hear that they may ask for a HEAD that names nothing yet.
        """
        words = self._words.get((version, unborn))
        if words is None or trio.current_time() - words.at > _WORDS_HOLD_SECS:
            return None
        known = self._views.get(repository)
        if version == 2 and known is not None and known.refs is not None:
            return words.words  # they tell of git, not of the refs
        view, answer = await blocking(
            self._limiter, _advertise, repository, known, words.words, version
        )
        self._keep(repository, known, view)
        return answer

    async def learn(self, repository: Path, version: int, unborn: bool, first: bytes) -> None:
        """Keep the words of git's own answer to info/refs.

        Args:
          first: the beginning of the answer, its first packet whole.
        """
        known = self._views.get(repository)
        view = await blocking(self._limiter, current_view, repository, known)
        self._keep(repository, known, view)
        if view.refs is None:
            return  # its settings may be others than those of other repositories
        words = capabilities_of(first) if version < 2 else first
        if words is not None and (version < 2 or first.endswith(b"\n" + FLUSH_BYTES)):
            self._words[version, unborn] = _Words(words, trio.current_time())

    async def upload_pack(self, repository: Path, version: int, body: bytes) -> PlainAnswer | None:
        """The answer to a whole request for a list of refs, or for objects.

        Cancellation leaves no file open.
        """
        request = read_request_v2(body) if version == 2 else read_request_v0(body)
        if request is None:
            return None
        known = self._views.get(repository)
        if isinstance(request, ListRefs):
            view, answer = await blocking(self._limiter, _list_refs, repository, known, request)
            self._keep(repository, known, view)
            if view.refs is None or answer is None:
                return None
            return PlainAnswer(answer, has_head=view.refs.head is not None)
        return await self._fetch(repository, known, request)

    async def _fetch(
        self, repository: Path, known: RepositoryView | None, request: FetchPack
    ) -> PlainAnswer | None:
        view, found = await blocking(self._limiter, _fetch, repository, known, request)
        self._keep(repository, known, view)
        if found is None:
            return None
        if found.rest is None:
            return PlainAnswer(found.beginning)
        if len(self._streams) >= MOST_STREAMS:
            found.rest.close()
            return None
        stream = PackStream(found.rest, request.band, self._limiter, self._streams)
        self._streams.add(stream)
        return PlainAnswer(found.beginning, stream)

    def _keep(self, repository: Path, known: RepositoryView | None, view: RepositoryView) -> None:
        if view is not known:
            self._views.put(repository, view)


def _advertise(
    repository: Path, known: RepositoryView | None, words: bytes, version: int
) -> tuple[RepositoryView, bytes | None]:
    view = current_view(repository, known)
    if version < 2:
        return view, view.advertise(words, version)
    return view, words if view.refs is not None else None


def _list_refs(
    repository: Path, known: RepositoryView | None, request: ListRefs
) -> tuple[RepositoryView, bytes | None]:
    view = current_view(repository, known)
    return view, view.list_refs(request)


def _fetch(
    repository: Path, known: RepositoryView | None, request: FetchPack
) -> tuple[RepositoryView, PackAnswer | None]:
    view = current_view(repository, known)
    return view, answer_fetch(repository, view, request)
