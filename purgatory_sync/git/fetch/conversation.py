"""One attempt at one URL: as few requests as the server allows, one start against its limits.

The common case is a single POST: protocol v2, everything that is wanted. When that does not work,
info/refs tells which protocol is spoken and where; when objects are refused, in any words,
the refs tell what is worth one further request (B 8.3): two more than a server that has all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, Protocol

import trio

from ...errors import (
    AttemptFailed,
    BadPack,
    BadStatus,
    ConnectFailed,
    NotGit,
    ObjectsRefused,
    ProtocolBroken,
    RedirectRefused,
    TimedOut,
    TooLarge,
    Unanswered,
)
from ...settings import HuntSettings
from ..disk.haves import MAX_HAVES
from ..dumb.dumb_fetch import DumbFetch
from ..dumb.dumb_files import FileRefs
from ..http.http_client import Body, Elsewhere, GitHttpClient, Steps
from ..http.http_rules import redirect_target
from ..ingest.quarantine import Quarantined
from ..ingest.sink import PackSink
from ..pack.commits_ahead import CommitsAhead
from .advertisement import REF_PREFIXES, Advertisement, RefListing, Server, ShownRefs
from .file_place import FilePlace
from .fruitless import Fruitless
from .lifetime import Lifetime
from .observer import FetchObserver, PackObserver
from .requests import claimed, fetch_v0, fetch_v2, list_refs_v2
from .responses import FetchAnswer, FetchAnswerV0, FetchAnswerV2
from .server_cache import Habit, KnownServers
from .wish import Wish


class _Moved(RedirectRefused):
    """A redirect was answered to a POST; where to is learnt by GET."""


# What a server may answer that speaks another protocol, lives at another path, or refuses in
# words of its own.
_UNCLEAR: Final = (_Moved, BadStatus, NotGit, ProtocolBroken, Unanswered)
# For the first byte of an answer to a request that comes before git's first one, info/refs.
FIRST_ANSWER_SECS: Final = 5.0


# What is refused after less is not worth a look at the refs, so that it is not fetched again.
_MUCH_BYTES: Final = 64 * 1024
# A transfer that is cut before so much came is begun anew; beyond, it is fetched in steps.
_MUCH_CUT: Final = 1 << 20
_STEPS: Final = 6
_CUT: Final = (ConnectFailed, TimedOut, ProtocolBroken)
_NOT_OUR_REF: Final = re.compile(r"upload-pack: not our ref ([0-9a-f]{40})\b")


class _ListParser(Protocol):
    @property
    def ended(self) -> bool: ...
    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None: ...


class Conversation:
    """The conversation of one attempt; `run` it once."""

    def __init__(
        self,
        settings: HuntSettings,
        http: GitHttpClient,
        known: KnownServers,
        wish: Wish,
        observer: FetchObserver,
        lifetime: Lifetime,
    ) -> None:
        self._settings = settings
        self._http = http
        self._known = known
        self._wish = wish
        self._observer = observer
        self._lifetime = lifetime
        self._base = known.place(wish.url)
        self._server = known.server(self._base) or Server()
        self._refs: ShownRefs | None = None
        self._refs_by: Server | None = None
        self._learnt = self._is_dumb = False
        self._negotiates = bool(wish.haves.tips)
        self._asked: set[tuple[object, ...]] = set()
        self._steps = Steps(self._note_contact, self._note_answer)
        self._contacted = self._answered = self._was_unanswered = False
        self._answer = FetchAnswer()
        self._file_bytes = self._packs_kept = 0
        self._ahead = CommitsAhead()
        self._absent: frozenset[str] = frozenset()
        self._kept = known.steps(wish.url)

    async def run(self) -> Quarantined:
        """Converse until a pack is proven, or there is nothing more to ask.

        What brought much and nothing that is wanted is not done again while the server shows the
        same refs (B 8.3).

        Raises AttemptFailed's subclasses. Cancellation closes the connection at once and removes
        what was received.
        """
        if self._known.habit(self._base) is Habit.IN_ORDER:
            await self._learn(2)
        await self._require_news()
        try:
            proven = await self._converse_in_steps()
        except (BadPack, TooLarge, ObjectsRefused) as failure:
            came = self._answer.pack_bytes or self._file_bytes
            if came and (self._refs is not None or came >= _MUCH_BYTES):
                with suppress(AttemptFailed):
                    self._note_fruitless(await self._shown_refs(), self._wish.wanted, failure)
            raise
        self._known.forget_steps(self._wish.url)
        lacking = [oid for oid in self._wish.wanted if oid not in proven.obtained]
        if lacking and self._refs is not None:
            said = ObjectsRefused("nothing that the server shows leads to it")
            self._note_fruitless(self._refs, lacking, said)
        return proven

    async def _require_news(self) -> None:
        """Ask for the refs first where all that is wanted was asked for in vain."""
        fruitless = self._known.fruitless
        before = fruitless.find(self._wish.url.text, self._wish.wanted)
        if before is None:
            return
        refs = await self._shown_refs()
        if refs.digest == before.refs:
            raise before.again()
        self._refs, self._kept = refs, (*self._kept, *before.tips)
        fruitless.forget(self._wish.url.text)

    def _note_fruitless(
        self, refs: ShownRefs, lacking: Collection[str], failure: AttemptFailed
    ) -> None:
        kept = refs.tips if isinstance(failure, ObjectsRefused) else ()
        attempt = Fruitless.of(failure, lacking, refs.digest, kept[:MAX_HAVES])
        self._known.fruitless.note(self._wish.url.text, attempt)

    async def _converse_in_steps(self) -> Quarantined:
        """Converse; a history that is cut when much of it came is fetched in smaller steps.

        Each step is whole, proven and kept, so that the next request is for less (B 8.4).
        """
        for _ in range(_STEPS):
            try:
                return await self._converse()
            except _CUT:
                outcome = await self._fetch_older()
                if outcome is None:
                    raise
                if isinstance(outcome, Quarantined):
                    return outcome
        return await self._converse()

    async def _fetch_older(self) -> Quarantined | str | None:
        """Fetch an older part of what was cut, smaller each time that this is cut as well.

        Returns the commit that it leads to; what is wanted, if that came with it; None when there
        is no such part, or it is not given.
        """
        commits = self._ahead.oids
        while self._wish.keep and self._answer.pack_bytes >= _MUCH_CUT and len(commits) > 1:
            commits = commits[len(commits) // 2 :]
            kept = self._packs_kept
            try:
                return await self._ask(commits[:1])
            except ObjectsRefused:
                if self._packs_kept == kept:
                    return None
                self._kept = (*self._kept, commits[0])
                self._known.note_step(self._wish.url, commits[0])
                return commits[0]
            except _CUT:
                continue
        return None

    async def _converse(self) -> Quarantined:
        if self._is_dumb:
            return await self._fetch_files()
        try:
            return await self._ask(self._wish.wanted)
        except ObjectsRefused as refused:
            if self._server.version == 2:
                self._absent = _said_to_be_absent(refused)
            if self._absent.issuperset(self._wish.wanted):
                raise
            failure: AttemptFailed = refused
        except _UNCLEAR as unclear:
            if self._is_final():
                raise
            outcome = await self._ask_the_other_way(unclear)
            if isinstance(outcome, Quarantined):
                return outcome
            failure = outcome
        return await self._ask_for_what_is_shown(failure)

    async def _ask_the_other_way(self, unclear: AttemptFailed) -> Quarantined | AttemptFailed:
        """Learn protocol and place; when they differ from what was tried, ask again."""
        before, self._negotiates = self._way, False
        unanswered = isinstance(unclear, Unanswered)
        # Who moved, or said nothing, has not refused yet; of others the refs will be needed.
        await self._learn(2 if unanswered or isinstance(unclear, _Moved) else 1)
        if self._is_dumb:
            return await self._fetch_files()
        if not unanswered and (self._way == before or not self._is_worth_naming()):
            return unclear
        self._was_unanswered = unanswered
        try:
            return await self._ask(self._wish.wanted)
        except (ObjectsRefused, *_UNCLEAR) as failure:
            if self._is_final():
                raise
            return failure

    def _is_worth_naming(self) -> bool:
        """Whether asking by name may save more than it costs.

        A server of v0 may give what it does not show without saying so; the other way to it is all
        that the refs lead to.
        """
        if self._server.gives_unadvertised or self._refs is None:
            return True
        return not set(self._refs.worth_asking(self._wish.wanted)) <= set(self._wish.wanted)

    async def _ask_for_what_is_shown(self, failure: AttemptFailed) -> Quarantined:
        """The one further request, for what the server's refs show to be there."""
        refs = await self._shown_refs()
        wants = refs.worth_asking([o for o in self._wish.wanted if o not in self._absent])
        said = failure.server_message if isinstance(failure, ObjectsRefused) else ""
        if not wants:
            raise ObjectsRefused("the server shows nothing that is wanted", said) from failure
        if self._refs_by is not None and not isinstance(failure, ObjectsRefused):
            self._server = self._refs_by  # v0 is the same list's way, and is what all speak
        if (self._way, frozenset(wants)) in self._asked:
            raise failure
        self._refs = refs
        try:
            return await self._ask(wants)
        except ObjectsRefused as refused:
            raise ObjectsRefused(str(refused), refused.server_message or said) from failure

    def _is_final(self) -> bool:
        """Whether a failure leaves nothing to find out by asking for the refs.

        Any status may say that objects are missing, a 404 too, and some servers know a repository
        by its name without `.git` for info/refs only: what that one answers is believed.
        """
        return self._answer.pack_bytes > 0

    @property
    def _way(self) -> tuple[int, str]:
        return self._server.version, self._base.text

    async def _ask(self, wants: Sequence[str]) -> Quarantined:
        """One POST for objects, and the proof of the pack that it brings.

        A server that knows none of our tips would send all of its history: before that, and while
        nothing is known of its refs, it is given a chance to ask what else we have.
        """
        self._asked.add((self._way, frozenset(wants)))
        shared: Sequence[str] = self._refs.tips if self._refs else ()
        said = self._said()
        if self._server.version == 2 and self._negotiates and self._refs is None:
            answer = FetchAnswerV2(negotiates=True)
            request = fetch_v2(wants, self._wish.haves.tips, done=False, said=said)
            proven = await self._fetch(request, answer, wants)
            if proven is not None:
                return proven
            shared = answer.common or await self._shown_tips()
        haves = await self._wish.haves.with_history(shared, self._kept)
        if self._server.version == 2:
            request = fetch_v2(wants, haves, said=said)
            proven = await self._fetch(request, FetchAnswerV2(), wants)
        else:
            request = fetch_v0(wants, haves, self._server.capabilities, said)
            proven = await self._fetch(request, FetchAnswerV0(), wants)
        if proven is None:
            raise ProtocolBroken("no pack in the answer")
        return proven

    async def _fetch(
        self, request: bytes, answer: FetchAnswer, asked: Sequence[str]
    ) -> Quarantined | None:
        """Send a request and prove the pack that it brings; None for an answer without one."""
        self._answer, self._ahead = answer, CommitsAhead()
        sink = self._wish.open_sink()
        version = self._server.version
        proven: Quarantined | None = None
        began = trio.current_time()
        try:
            async with self._http.post(
                self._base, request, version, self._steps, self._answer_secs()
            ) as reply:
                self._note_habit(began)
                await self._receive(_body(reply), sink)
                self._note_server()
                if answer.wants_more_haves:
                    return None
                self._note_body_ended()
                # The end of the answer may arrive meanwhile; the verdict does not wait for it.
                proven = await sink.prove(self._wish.wanted, asked)
            await self._require_wanted(proven)
            return proven
        except BaseException:
            with trio.CancelScope(shield=True):
                if proven is not None:
                    await proven.discard()
                await sink.aclose()
            raise

    async def _require_wanted(self, proven: Quarantined) -> None:
        """What is whole and holds nothing that is wanted is kept, and is a refusal all the same."""
        if not proven.obtained:
            if self._wish.keep is not None:
                await self._wish.keep(proven)
                self._packs_kept += 1
            raise ObjectsRefused("the pack holds nothing that is wanted")

    async def _fetch_files(self) -> Quarantined:
        """Fetch from a server that has files only: what is new of them makes one pack."""
        async with self._wish.open_sink() as sink:
            place = FilePlace(
                self._http, self._base, self._steps, self._wish, sink, self._note_file_bytes
            )
            await DumbFetch(place, self._settings.max_refs_bytes).run(self._wish.wanted)
            self._note_body_ended()
            proven = await sink.prove(self._wish.wanted)
        try:
            await self._require_wanted(proven)
        except BaseException:
            with trio.CancelScope(shield=True):
                await proven.discard()
            raise
        return proven

    def _note_file_bytes(self, pack_bytes: int) -> None:
        self._file_bytes += pack_bytes
        self._note_received(pack_bytes)

    def _note_received(self, pack_bytes: int) -> None:
        self._observer.received(pack_bytes)
        self._lifetime.received(pack_bytes)

    def _note_body_ended(self) -> None:
        self._observer.body_ended()
        self._lifetime.body_ended()

    async def _receive(self, body: Body, sink: PackSink) -> None:
        curious = self._observer if isinstance(self._observer, PackObserver) else None
        async for piece in body.pieces():
            pack = self._answer.feed(piece)
            if pack:
                self._note_received(len(pack))
                self._ahead.feed(pack)
                await sink.write(pack)
            if curious is not None and (objects := self._answer.pack_objects) is not None:
                curious.pack_begun(objects)
                curious = None
            if self._answer.ended:
                break
        self._answer.finish()

    async def _shown_refs(self) -> ShownRefs:
        if self._refs is None and self._server.version == 2:
            try:
                return await self._list_refs()
            except (ObjectsRefused, *_UNCLEAR):
                if self._learnt:
                    raise
        if self._refs is None:
            await self._learn(1)
        return self._refs or await self._list_refs()

    async def _shown_tips(self) -> Sequence[str]:
        """The tips of a server that knows none of our objects; the rest is not needed."""
        try:
            return (await self._list_refs()).tips
        except (ObjectsRefused, *_UNCLEAR):
            return ()

    async def _list_refs(self) -> ShownRefs:
        refs = ShownRefs(self._wish.wanted)
        request = list_refs_v2(REF_PREFIXES, self._said())
        async with self._http.post(
            self._base, request, 2, self._steps, self._answer_secs()
        ) as reply:
            await self._read_list(_body(reply), RefListing(refs))
        self._note_server()
        return refs

    async def _learn(self, version: int) -> None:
        """GET info/refs: which protocol is spoken, where, and (in v0 and v1) the refs.

        Args:
          version: 1 to see the refs as well, if the server can show them here; else 2.

        Raises:
          RedirectRefused: too many redirects, one that leads where we do not go, or one to a
            domain that has no place for us (B 8.2).
        """
        base = self._wish.url
        for _ in range(self._settings.max_redirects + 1):
            async with self._http.advertisement(base, version, self._steps) as reply:
                if isinstance(reply, Body):
                    self._base, self._learnt = base, True
                    if not reply.is_git:
                        await self._read_files(reply)
                        return
                    await self._read_advertisement(reply)
                    self._known.note_place(self._wish.url, base)
                    self._note_server()
                    return
                location = reply.location
            before, base = base, redirect_target(base, location, self._wish.ours)
            if base.host != before.host:
                self._enter_domain(base.host)
        raise RedirectRefused(f"more than {self._settings.max_redirects} redirects")

    async def _read_advertisement(self, body: Body) -> None:
        refs = ShownRefs(self._wish.wanted)
        advertisement = Advertisement(refs)
        await self._read_list(body, advertisement)
        self._server = advertisement.server
        self._refs = refs if advertisement.lists_refs else None
        if advertisement.lists_refs and advertisement.knows_versions:
            self._server, self._refs_by = Server(), advertisement.server

    async def _read_files(self, body: Body) -> None:
        """What is not git's may be the file info/refs: a server of the dumb protocol."""
        refs, file, size = ShownRefs(self._wish.wanted), FileRefs(), 0
        async for piece in body.pieces():
            size += len(piece)
            if size > self._settings.max_refs_bytes:
                raise TooLarge(f"more than {self._settings.max_refs_bytes} bytes of refs")
            for oid, name in file.feed(piece):
                refs.add(oid, name)
        file.finish()
        self._refs, self._is_dumb = refs, True
        self._known.note_place(self._wish.url, self._base)
        self._known.note_habit(self._base, Habit.IN_ORDER)

    def _said(self) -> list[bytes]:
        return claimed(self._server.capabilities, self._settings.user_agent)

    def _answer_secs(self) -> float | None:
        """How long the first byte may take; None: as long as any other (B 8.4)."""
        if self._server.is_slow_to_begin:
            return self._settings.total_timeout_secs
        if self._learnt or self._known.habit(self._base) is not None:
            return None
        return min(FIRST_ANSWER_SECS, self._settings.idle_timeout_secs)

    def _note_habit(self, began: float) -> None:
        """What did not answer at first is answered now: the order mattered, or it takes time."""
        if self._was_unanswered:
            quick = trio.current_time() - began <= FIRST_ANSWER_SECS
            self._known.note_habit(self._base, Habit.IN_ORDER if quick else Habit.SLOW)
            self._was_unanswered = False

    def _note_server(self) -> None:
        if self._server is not self._refs_by:
            self._known.note_server(self._base, self._server)

    async def _read_list(self, body: Body, parser: _ListParser) -> None:
        size = 0
        async for piece in body.pieces():
            size += len(piece)
            if size > self._settings.max_refs_bytes:
                raise TooLarge(f"more than {self._settings.max_refs_bytes} bytes of refs")
            parser.feed(piece)
            if parser.ended:
                break
        parser.finish()

    def _enter_domain(self, domain: str) -> None:
        if not self._observer.redirected(domain):
            raise RedirectRefused("a redirect to another domain, which has no place for us now")

    def _note_contact(self) -> None:
        if not self._contacted:
            self._contacted = True
            self._observer.contacted()

    def _note_answer(self) -> None:
        if not self._answered:
            self._answered = True
            self._observer.answered()


def _said_to_be_absent(refused: ObjectsRefused) -> frozenset[str]:
    """What git's upload-pack does not have: in protocol v2 it gives each object that it has."""
    return frozenset(_NOT_OUR_REF.findall(refused.server_message))


def _body(reply: Body | Elsewhere) -> Body:
    if isinstance(reply, Elsewhere):
        raise _Moved("the server redirects requests for packs")
    return reply
