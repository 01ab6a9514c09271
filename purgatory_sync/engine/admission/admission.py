"""The way in: one event is judged, journaled, and held, served or refused (B 1-5)."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import attrs
import trio

from ...errors import InvalidEvent, RepositoryError, RepositoryUnusable, StoreError
from ...nostr import kinds
from ...nostr.address import RepositoryId
from ...nostr.announcement import Announcement
from ...nostr.authority.outsiders import Position
from ...nostr.event import Event, verify_event
from ...nostr.parsed import Deletion, Parsed, Vanish, parse
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...policy.contributions import unmet
from ...policy.judge import judge, judge_unread
from ...policy.rules.known_facts import Known
from ...policy.rules.limits import judge_room
from ...policy.rules.verdict import HELD_MESSAGE, Action, Verdict, address_text, vanishing_with
from ...purgatory.entries import (
    HeldAnnouncement,
    HeldEvent,
    HeldPr,
    HeldState,
    HuntedEvent,
    Origin,
    as_hunted,
)
from ...records import Upload
from ...release.beside import end_beside
from ...release.commit import Core, forget, tell
from ...release.index.held_rows import row_of
from ...release.making import (
    Planned,
    make_planned,
    make_repository,
    plan_repository,
    remove_ending,
    remove_made_empty,
)
from ...release.pr_release import drop_deleted_pull_request_refs, drop_other_pull_request_refs
from ...release.releaser import Releaser
from ...release.retention import note_what_ends
from ...release.retiring import retire
from ...release.settling import settle_uploads
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import CurationSettings, Settings
from ...store.protocol import Change, Made
from .author_gate import AuthorGate
from .snapshot import NO_TARGETS, SnapshotBuilder, Targets

UNUSABLE = (
    "error: what lies at the repository's place here cannot be used; the service's operator has to"
    " see to it"
)
NOT_MADE = "error: the repository could not be made, try again later"
log = get_logger(__name__)


class Outcome(enum.StrEnum):
    """What became of an offered event.

    Served and held ones are on disk; a duplicate is served or held already, or older than what
    replaced it (B 1.8); a refused one is not kept.
    """

    SERVED = "served"
    HELD = "held"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@attrs.frozen
class Answer:
    """The answer to an offered event.

    Attributes:
      message: the text of OK, with a NIP-01 prefix, or empty.
      lacks: of a refusal, what would have it judged again if it came (B 2.8; `lacking.py`).
      forged: its id or signature is wrong; its sender lies or is broken.
      outsider: of a state, what its author is who is no member; None where that is no reason.
      private: it is refused because its repository is private (B 2.10).
      transient: of a refusal, whether trying again may help although nothing came that it lacked.
    """

    outcome: Outcome
    message: str = ""
    lacks: tuple[str, ...] = ()
    forged: bool = False
    transient: bool = False
    outsider: Position | None = None
    private: bool = False

    @property
    def accepted(self) -> bool:
        """The boolean of OK; true is a promise that survives any crash (N1)."""
        return self.outcome is not Outcome.REFUSED


def _ignore(event: Event) -> None:
    """Default `held`: do nothing."""


async def _note_nothing(event: Event) -> None:
    """Default `vanished`: do nothing."""


@attrs.frozen
class Admission:
    """Lets events in, one at a time for each identifier.

    Attributes:
      announced: called with every announcement that is accepted (B 8.7 forgives its URLs).
      held: called with every event that begins to wait, before anything else becomes of it.
      own_key: the service's public key, whose profile and relay list are taken (B 13.16).
      vanished: called with every request to vanish that is served, before it is answered.
    """

    core: Core
    releaser: Releaser
    snapshots: SnapshotBuilder
    settings: Settings
    clock: WallClock
    announced: Callable[[Announcement], None]
    held: Callable[[Event], None] = _ignore
    vanished: Callable[[Event], Awaitable[None]] = _note_nothing
    own_key: str | None = None
    _gate: AuthorGate = attrs.field(factory=AuthorGate, init=False)

    async def offer(self, event: Event, origin: Origin, *, again: bool = False) -> Answer:
        """Judge an event and do what follows; see `PurgatorySync.offer`.

        Args:
          again: it expired here, and its data is looked for once more (B 8.12).
        """
        now, lists = self.clock.now(), self.core.index.lists
        parser, most = self.core.index.parser, self.settings.relay.max_event_bytes
        try:
            read = await parser.offered(event, lambda event: _examine(event, now, lists, most))
            if isinstance(read, Answer):
                return read
            parsed = parser.share(read)
            async with self._pass_gate(parsed), self._hold_locks(parsed) as targets:
                if origin is Origin.USER:
                    await self._give_time(event.id)
                return await self._offer_locked(parsed, targets, origin, again=again)
        except InvalidEvent as error:
            return Answer(Outcome.REFUSED, f"invalid: {error}")
        except StoreError as error:
            log.error("event not stored", event_id=event.id, error=str(error))
            return Answer(
                Outcome.REFUSED, "error: could not be stored, try again later", transient=True
            )
        except RepositoryError as error:
            log.error("repository not made", event_id=event.id, error=str(error))
            unusable = isinstance(error, RepositoryUnusable)
            return Answer(Outcome.REFUSED, UNUSABLE if unusable else NOT_MADE, transient=True)

    def _pass_gate(self, parsed: Parsed) -> AbstractAsyncContextManager[None]:
        if isinstance(parsed, Vanish):
            return self._gate.alone(parsed.event.pubkey)
        return self._gate.beside_others(vanishing_with(parsed.event))

    @asynccontextmanager
    async def _hold_locks(self, parsed: Parsed) -> AsyncIterator[Targets]:
        """Lock all that the event may change; yields what a request ends, as of then.

        A deletion and its target may come at the same moment: the second sees the first.
        """
        names = _to_lock(parsed)
        if not isinstance(parsed, Deletion | Vanish):
            async with self.releaser.hold(*names):
                yield NO_TARGETS
            return
        targets = await self.snapshots.targets(parsed)
        while True:
            locked = names | targets.identifiers
            async with self.releaser.hold(*locked):
                targets = await self.snapshots.targets(parsed)
                if targets.identifiers <= locked:
                    yield targets
                    return

    async def _give_time(self, event_id: str) -> None:
        """What is held for one more round of its sources has 30 minutes when a user sends it."""
        held, now = self.core.purgatory.get(event_id), self.clock.now()
        if isinstance(held, HuntedEvent) and held.again:
            await self.core.ledger.apply(Change(hold=[attrs.evolve(row_of(held), accepted_at=now)]))
            held.again, held.accepted_at = False, now

    async def _offer_locked(
        self, parsed: Parsed, targets: Targets, origin: Origin, *, again: bool
    ) -> Answer:
        now, lists = self.clock.now(), self.core.index.lists
        if isinstance(parsed, PullRequest):
            await self._end_others(parsed)
        known = await self.snapshots.look(parsed, targets, now)
        if again:
            known = attrs.evolve(known, expired=False)
        if parsed.event.pubkey == self.own_key and parsed.event.kind in kinds.USER_KINDS:
            known = attrs.evolve(known, own=True)
        verdict = judge(parsed, origin.value, known, self.settings.purgatory, lists)
        entry = _entry_of(parsed, verdict, origin, now)
        if isinstance(entry, HuntedEvent):
            entry.again = again
        # What is begun is ended: journal, memory, disk, refs.
        with trio.CancelScope(shield=True), self._room_for(entry):
            unruled = _unruled(parsed, verdict, targets)
            before = [await self.core.index.data(each) for each in unruled]
            answer = await self._follow(parsed, origin, verdict, entry)
            if isinstance(parsed, PullRequest):
                await self._claim(parsed, answer, known)
            for each in before:
                await end_beside(self.core, each)
            for identifier in unruled:
                await self.releaser.process_locked(identifier, bring_up=True)
            await self._note_what_leaves(verdict, targets)
            for identifier in verdict.removes:
                if (made := self.core.ledger.made(parsed.event.pubkey, identifier)) is not None:
                    await remove_ending(self.core, made)
            for data in before:
                for owner in dict.fromkeys((parsed.event.pubkey, *data.known)):
                    await retire(self.core, owner, data.identifier)
            if answer.outcome is Outcome.HELD and verdict.action is Action.SERVE:
                answer = await self._find_room(parsed.event, known) or answer
        return answer

    async def _end_others(self, pr: PullRequest) -> None:
        """Refs below `/prs/` that waited for it and are not its own end before it is judged.

        Those of identifiers that are not locked are seen to by the next sweep (B 12.5).
        """
        others = [row for row in self._waiting_for(pr) if not self._claims(pr, row)]
        await settle_uploads(self.core, pr.event.id, pr, others)

    async def _claim(self, pr: PullRequest, answer: Answer, known: Known) -> None:
        """The others are its own now; where it is refused, or a budget is used up, they wait on."""
        prs = self.core.repositories.prs
        if prs is None or not prs.named_by(pr):
            return
        if answer.outcome in (Outcome.HELD, Outcome.REFUSED):
            prs.events[answer.outcome.value] += 1
        if answer.accepted and known.contributed_full is None:
            await settle_uploads(self.core, pr.event.id, pr, self._waiting_for(pr))

    def _waiting_for(self, pr: PullRequest) -> list[Upload]:
        rows = self.core.purgatory.uploads.of_event(pr.event.id)
        return [row for row in rows if row.identifier in pr.identifiers]

    def _claims(self, pr: PullRequest, row: Upload) -> bool:
        target = RepositoryId(row.owner, row.identifier)
        return unmet(pr, row.oid, target, self.settings.service) is None

    async def _note_what_leaves(self, verdict: Verdict, targets: Targets) -> None:
        """What deleted states and pull requests named may go; refs of the latter go with them."""
        for each in targets.all:
            if each.event.id in verdict.deletes and isinstance(each, State | PullRequest):
                if isinstance(each, PullRequest):
                    await drop_deleted_pull_request_refs(self.core, each)
                entry = as_hunted(each, Origin.USER, self.clock.now())
                await note_what_ends(self.core, entry)

    @contextmanager
    def _room_for(self, entry: HeldEvent | None) -> Iterator[None]:
        """Count an entry as held before it is, for events that are judged meanwhile (B 1.9)."""
        if entry is None:
            yield
            return
        purgatory = self.core.purgatory
        purgatory.room.take(entry.event)
        try:
            yield
        finally:
            if purgatory.get(entry.event_id) is None:
                purgatory.room.give_back(entry.event)

    async def _follow(
        self, parsed: Parsed, origin: Origin, verdict: Verdict, entry: HeldEvent | None
    ) -> Answer:
        """Do what the verdict says, and what follows from it."""
        saved = await self._carry_out(parsed, verdict, entry)
        if verdict.action is Action.REFUSE:
            return Answer(
                Outcome.REFUSED,
                verdict.message,
                verdict.lacks,
                transient=verdict.transient,
                outsider=verdict.outsider,
                private=verdict.private,
            )
        if verdict.action is Action.DUPLICATE:
            return Answer(Outcome.DUPLICATE, verdict.message)
        if saved and isinstance(parsed, Vanish):
            await self.vanished(parsed.event)
        if saved:
            await tell(self.core.notify, parsed.event)
        if isinstance(parsed, Announcement):
            return await self._after_announcement(parsed, origin)
        if isinstance(entry, HuntedEvent):
            return await self._after_holding(entry, verdict)
        return Answer(Outcome.SERVED)

    async def _find_room(self, event: Event, known: Known) -> Answer | None:
        """What could not be released after all stays only where there is room for it (B 1.9)."""
        full = judge_room(event, known, self.settings.purgatory)
        held = self.core.purgatory.get(event.id)
        if full is None or held is None:
            return None
        await self.core.ledger.apply(Change(unhold=[event.id]))
        forget(self.core.purgatory, held)
        return _refused(full)

    async def _carry_out(self, parsed: Parsed, verdict: Verdict, entry: HeldEvent | None) -> bool:
        """One transaction, then memory and repositories; whether the event is served now.

        Repositories of announcements that are journaled already are made before it, so that
        nothing has changed when that fails.
        """
        purgatory, event = self.core.purgatory, parsed.event
        leaving = [
            held
            for each in (*verdict.replaces, *verdict.evicts, *verdict.deletes)
            if (held := purgatory.get(each))
        ]
        now = self.clock.now()
        revived = [
            held
            for each in verdict.revives
            if isinstance(held := purgatory.get(each), HeldAnnouncement)
        ]
        rows = [
            attrs.evolve(row_of(held), accepted_at=now, soft_expired_at=None) for held in revived
        ]
        # Their refs go with the events (B 5), and so does what kept the refs.
        older: list[str] = []
        for held in leaving:
            if isinstance(held, HeldAnnouncement) and held.event_id in verdict.evicts:
                owner, identifier = held.announcement.owner, held.announcement.identifier
                older += await self.core.index.served_versions(owner, identifier)
        deleted = frozenset(verdict.deletes)
        ending = self._ending(event.pubkey, verdict.removes)
        pushed = [
            each
            for each in (purgatory.placeholders if deleted or ending else ())
            if each.event_id in deleted
            or (each.owner == event.pubkey and each.identifier in verdict.removes)
        ]
        planned = await self._plan_repository(entry, verdict)
        change = Change(
            hold=[*rows, row_of(entry)] if entry else rows,
            unhold=[held.event_id for held in leaving],
            save=[event] if verdict.action is Action.SERVE and entry is None else [],
            delete=[*verdict.deletes, *(each for each in older if each not in deleted)],
            tombstones=verdict.bars,
            forget_placeholders=pushed,
            made=[*ending, *(planned.notes if planned else ())],
            forget_made=planned.forget if planned else (),
        )
        if not any(attrs.astuple(change, recurse=False)):
            return False
        for held in revived:
            await self._make_repository(held.announcement)
        if verdict.replaces and isinstance(entry, HeldAnnouncement):
            await self._make_repository(entry.announcement)
        applied = await self.core.ledger.apply(change)
        purgatory.overdue.forget(*verdict.deletes, *applied.saved)
        for placeholder in pushed:
            purgatory.placeholders.remove(placeholder)
        for held in leaving:
            forget(purgatory, held)
            if held.event_id in verdict.evicts and isinstance(held, HeldAnnouncement):
                announced = held.announcement
                await remove_made_empty(self.core, announced.owner, announced.identifier)
        for held in revived:
            purgatory.revive_announcement(held, now)
        if entry is not None:
            await self._hold(entry, planned)
            if verdict.action is Action.HOLD:
                self._tell_held(event)
        elif verdict.with_repository and isinstance(parsed, Announcement):
            await self._make_repository(parsed, served=True)
        passed_on = verdict.action is Action.SERVE and kinds.is_ephemeral(event.kind)
        return event.id in applied.saved or passed_on

    def _ending(self, owner: str, identifiers: Iterable[str]) -> list[Made]:
        """The notes that an owner's repositories are to be removed; a crash does not undo them."""
        noted = ((each, self.core.ledger.made(owner, each)) for each in identifiers)
        return [
            Made(owner, identifier, "", ending=True)
            if made is None
            else attrs.evolve(made, ending=True)
            for identifier, made in noted
        ]

    async def _plan_repository(self, entry: HeldEvent | None, verdict: Verdict) -> Planned | None:
        """What is made for an announcement, noted in the transaction that journals it."""
        if not isinstance(entry, HeldAnnouncement) or verdict.replaces:
            return None
        announced = entry.announcement
        return await plan_repository(self.core, announced.owner, announced.identifier)

    async def _hold(self, entry: HeldEvent, planned: Planned | None) -> None:
        """Add what was journaled to memory; an announcement's planned repository is made first.

        Without a plan it was made before (B 2.4).
        """
        purgatory = self.core.purgatory
        if isinstance(entry, HeldState):
            state = purgatory.add_state(entry.state, entry.origin, entry.accepted_at)
            state.again = entry.again
        elif isinstance(entry, HeldPr):
            pr = purgatory.add_pr(entry.pr, entry.origin, entry.accepted_at)
            pr.again = entry.again
        else:
            if planned is not None:
                try:
                    await make_planned(self.core, planned)
                except RepositoryError:
                    await self.core.ledger.apply(Change(unhold=[entry.event_id]))
                    raise
            purgatory.add_announcement(entry.announcement, entry.origin, entry.accepted_at)

    def _tell_held(self, event: Event) -> None:
        try:
            self.held(event)
        except Exception:
            log.exception("the listener for held events failed", event_id=event.id)

    async def _make_repository(self, announcement: Announcement, *, served: bool = False) -> None:
        owner, identifier = announcement.owner, announcement.identifier
        await make_repository(self.core, owner, identifier, served=served)

    async def _after_announcement(self, announcement: Announcement, origin: Origin) -> Answer:
        """Judge again what was waiting for it (B 2.6, 2.8); its sources are new ones (B 8.11)."""
        identifier = announcement.identifier
        self.announced(announcement)
        self.core.purgatory.overdue.hasten(identifier, self.clock.now())
        await self.releaser.process_locked(identifier, bring_up=True)
        if self.core.purgatory.has_pending_events(identifier):
            sync = self.settings.sync
            by_user = origin is Origin.USER
            self.core.purgatory.enqueue_sync(
                identifier, sync.default_delay_secs if by_user else sync.immediate_delay_secs
            )
        if self.core.purgatory.get(announcement.event.id) is None:
            return Answer(Outcome.SERVED)
        return Answer(Outcome.HELD, HELD_MESSAGE)

    async def _after_holding(self, entry: HuntedEvent, verdict: Verdict) -> Answer:
        if isinstance(entry, HeldPr):
            await drop_other_pull_request_refs(self.core, [entry])
        # What is revived may have its data: an expiry removes none that was not made empty (B 2.7).
        if verdict.action is Action.SERVE or verdict.revives:
            for identifier in entry.identifiers:
                await self.releaser.process_locked(identifier)
        held = self.core.purgatory.get(entry.event_id)
        if held is None:
            return Answer(Outcome.SERVED)
        if held.hopeless:
            await self.core.ledger.apply(Change(unhold=[held.event_id]))
            forget(self.core.purgatory, held)
            return Answer(Outcome.REFUSED, f"invalid: {held.error}")
        return Answer(Outcome.HELD, HELD_MESSAGE)


def _examine(
    event: Event, now: float, lists: CurationSettings, max_event_bytes: int
) -> Parsed | Answer:
    """Verify and read an event, unless it is refused before it is read.

    Raises:
      InvalidEvent: it is malformed for its kind.
    """
    try:
        verify_event(event)
    except InvalidEvent as error:
        return Answer(Outcome.REFUSED, f"invalid: {error}", forged=True)
    if (unread := judge_unread(event, now, lists, max_event_bytes)) is not None:
        return _refused(unread)
    return parse(event)


def _refused(verdict: Verdict) -> Answer:
    return Answer(Outcome.REFUSED, verdict.message, verdict.lacks, transient=verdict.transient)


def _to_lock(parsed: Parsed) -> frozenset[str]:
    """The event's id, address and identifiers; of a deletion also what it names."""
    found = {parsed.event.id, *parsed.identifiers}
    if (address := address_text(parsed.event)) is not None:
        found.add(address)
    if isinstance(parsed, Deletion):
        found.update(parsed.ids, parsed.addresses)
    return frozenset(found)


def _entry_of(parsed: Parsed, verdict: Verdict, origin: Origin, now: float) -> HeldEvent | None:
    """What is journaled before anything else: all that waits, if only for its release."""
    if isinstance(parsed, State | PullRequest):
        waits = verdict.action in (Action.HOLD, Action.SERVE)
        return as_hunted(parsed, origin, now) if waits else None
    if isinstance(parsed, Announcement) and verdict.action is Action.HOLD:
        return HeldAnnouncement(origin, now, parsed)
    return None


def _unruled(parsed: Parsed, verdict: Verdict, targets: Targets) -> tuple[str, ...]:
    """The identifiers of announcements and states that left (B 3.4, 3.8).

    Another state may rule there now: a member went, or a key on the path of lead pointers.
    """
    left = {*verdict.deletes, *verdict.evicts}
    gone = [
        each
        for each in targets.all
        if each.event.id in left and isinstance(each, Announcement | State)
    ]
    taken_off = [parsed] if left and isinstance(parsed, Announcement) else []
    return tuple(dict.fromkeys(each.identifier for each in (*gone, *taken_off)))
