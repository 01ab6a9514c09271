"""One attempt at one URL: from a reservation to what became of it."""

from __future__ import annotations

from pathlib import Path

import attrs
import trio

from ..errors import AttemptFailed, NaughtyScope, RateLimited, RedirectRefused, ResultClass
from ..runtime.logger import get_logger
from .limits.domain_throttle import Place
from .limits.shared_limits import Throttles
from .limits.sync_context import SyncContext
from .source_choice import Reservation, survey

log = get_logger(__name__)

_NONE: frozenset[str] = frozenset()
# The server talked git with us, so that it does not limit us any more (B 8.6).
_SUCCEEDED = (ResultClass.SUCCESS, ResultClass.PARTIAL, ResultClass.NOTHING)


@attrs.frozen
class AttemptEnd:
    """What became of an attempt.

    Attributes:
      obtained: those of the OIDs asked for that joined the repository.
      counted: a start counts against the limits; else place and token are given back.
      tried: the URL is tried for what it was asked for (B 8.3).
      skipped: the URL is not looked at again in this hunt (B 8.2).
      error: what to put on the naughty list and how long to rest, when it failed.
    """

    result: ResultClass
    detail: str = ""
    obtained: frozenset[str] = _NONE
    counted: bool = True
    tried: bool = False
    skipped: bool = False
    error: AttemptFailed | None = None


@attrs.define(eq=False)
class ReservationObserver:
    """What the fetch tells of itself, brought to those who count by it (B 8.2, 8.5).

    Attributes:
      elsewhere: the places at other domains, to which redirects led.
      last_domain: the domain that was asked last.
      begun: Trio's time at which the attempt began.
    """

    _reservation: Reservation
    was_contacted: bool = False
    was_answered: bool = False
    redirect_refused: str | None = None
    elsewhere: dict[str, Place] = attrs.field(factory=dict)
    last_domain: str = attrs.field(init=False)
    begun: float = attrs.field(factory=trio.current_time)

    def __attrs_post_init__(self) -> None:
        self.last_domain = self._reservation.domain

    def contacted(self) -> None:
        """A connection is about to begin: the start counts."""
        self.was_contacted = True

    def answered(self) -> None:
        """The server has seen the request: its token's 60 seconds begin."""
        if not self.was_answered:
            self.was_answered = True
            self._reservation.throttles.answered(self._reservation.place)
        for place in self.elsewhere.values():
            self._reservation.throttles.answered(place)

    def received(self, pack_bytes: int) -> None:
        """More of the pack is here."""
        self._reservation.flight.progress.received(pack_bytes, trio.current_time())

    def body_ended(self) -> None:
        """What follows does not depend on the server."""
        self._reservation.flight.progress.ended()

    def redirected(self, domain: str) -> bool:
        """Take a place at the domain to which the server points, if one is free there."""
        if domain != self._reservation.domain and domain not in self.elsewhere:
            throttles = self._reservation.throttles
            place = None if throttles.is_throttled(domain) else throttles.start_request(domain)
            if place is None:
                self.redirect_refused = domain
                return False
            self.elsewhere[domain] = place
        self.last_domain = domain
        return True


async def sync_identifier_from_url(
    ctx: SyncContext, reservation: Reservation, throttles: Throttles
) -> int:
    """Ask one URL for what is needed at this moment, and release what became satisfiable (S7).

    Returns the number of OIDs obtained; 0 when it failed, and with no start counted when nothing
    is missing any more. Place and flight are free afterwards in every case, cancellation and
    crashes included. A crash of the context is logged and counts as our own failure.
    """
    hunt = reservation.hunt
    try:
        renewed = await _renewed(reservation, ctx)
        if renewed is None:
            return 0
        reservation = renewed
        target, outcome = await _fetch(ctx, reservation, throttles)
        if outcome.obtained and target is not None:
            await _release(ctx, reservation, target, outcome.obtained)
        return len(outcome.obtained)
    finally:
        if reservation.place.open:
            throttles.give_back(reservation.place)
        hunt.arrive(reservation.flight)
        if not ctx.has_pending_events(hunt.identifier):
            throttles.dequeue(hunt.identifier)
        throttles.hunts.drop_if_over(hunt)


async def _renewed(reserved: Reservation, ctx: SyncContext) -> Reservation | None:
    """The reservation for what is still missing; given back and skipped if nothing is."""
    if reserved.is_current:
        return reserved
    seen = await survey(ctx, reserved.hunt.identifier)
    source = seen.source(reserved.url, reserved.oids) if seen is not None else None
    oids = reserved.oids & source.oids if source is not None else frozenset()
    if seen is None or source is None or not oids:
        reserved.hunt.skipped[reserved.url] = None
        ctx.record_attempt(
            reserved.hunt.identifier,
            reserved.source.event_ids,
            reserved.url,
            ResultClass.NOTHING,
            "nothing is missing any more",
        )
        reserved.give_back()
        return None
    reserved.flight.oids = oids
    return attrs.evolve(reserved, seen=seen, source=source)


async def _fetch(
    ctx: SyncContext, reservation: Reservation, throttles: Throttles
) -> tuple[Path | None, AttemptEnd]:
    observer = ReservationObserver(reservation)
    outcome = AttemptEnd(ResultClass.CANCELLED, "cancelled")
    target: Path | None = None
    try:
        target = ctx.find_target_repo(reservation.seen.data, reservation.source)
        if target is None:
            outcome = _passed_over("no repository here to put it into")
        else:
            with reservation.flight.scope:
                obtained = await ctx.fetch_oids(target, reservation.url, reservation.oids, observer)
                outcome = _obtained(reservation.oids, obtained & reservation.oids)
    except AttemptFailed as error:
        outcome = _failed(error, observer, throttles)
    except Exception as error:
        log.exception(
            "attempt crashed", identifier=reservation.hunt.identifier, url=reservation.url
        )
        outcome = AttemptEnd(
            ResultClass.LOCAL,
            f"internal error: {type(error).__name__}",
            counted=observer.was_contacted,
            tried=True,
            skipped=not observer.was_contacted,
        )
    finally:
        if outcome.result is ResultClass.CANCELLED and not observer.was_contacted:
            outcome = attrs.evolve(outcome, counted=False)
        _settle(ctx, reservation, throttles, observer, outcome)
    return target, outcome


def _obtained(asked: frozenset[str], obtained: frozenset[str]) -> AttemptEnd:
    if obtained == asked:
        return AttemptEnd(ResultClass.SUCCESS, "", obtained, tried=True)
    detail = f"{len(asked) - len(obtained)} of {len(asked)} objects are not there"
    result = ResultClass.PARTIAL if obtained else ResultClass.NOTHING
    return AttemptEnd(result, detail, obtained, tried=True)


def _failed(
    error: AttemptFailed, observer: ReservationObserver, throttles: Throttles
) -> AttemptEnd:
    counted = error.contacted or observer.was_answered
    limited = isinstance(error, RateLimited)
    refused = observer.redirect_refused if isinstance(error, RedirectRefused) else None
    resting = refused is not None and throttles.is_resting(refused)
    return AttemptEnd(
        ResultClass.RATE_LIMITED if resting else error.result,
        str(error),
        counted=counted,
        tried=counted and not limited and refused is None,
        skipped=bool(observer.elsewhere) if limited else not counted or refused is not None,
        error=error,
    )


def _passed_over(why: str) -> AttemptEnd:
    return AttemptEnd(ResultClass.NOTHING, why, counted=False, skipped=True)


def _settle(
    ctx: SyncContext,
    reservation: Reservation,
    throttles: Throttles,
    observer: ReservationObserver,
    outcome: AttemptEnd,
) -> None:
    """Record the outcome in tried URLs, queue, limits, statistics and journal, in one step."""
    hunt, url, domain = reservation.hunt, reservation.url, reservation.domain
    limited = isinstance(outcome.error, RateLimited) and not outcome.skipped
    # What wants to be left alone for the second time in this hunt waits for the next one: as long
    # as the identifier waited for it alone, the domain's other URLs, tried in vain, would not be
    # asked again.
    asked_enough = outcome.tried or (limited and _was_limited(reservation, throttles))
    if limited:
        hunt.tried.note_limited(url)
    if asked_enough:
        hunt.tried.mark(url, reservation.oids)
    if outcome.skipped:
        hunt.skipped[url] = None
    if asked_enough or outcome.skipped:
        throttles.mark_url_tried(domain, hunt.identifier, url, reservation.oids)
    _judge_server(reservation, throttles, observer, outcome)
    places = (reservation.place, *observer.elsewhere.values())
    for place in places:
        if outcome.counted:
            throttles.complete_request(place, succeeded=outcome.result in _SUCCEEDED)
        else:
            throttles.give_back(place)
    throttles.count_attempt(outcome.result, len(outcome.obtained))
    if outcome.counted:
        throttles.count_time(domain, trio.current_time() - observer.begun)
    _record(ctx, reservation, outcome)
    _log(reservation, throttles, outcome)


def _record(ctx: SyncContext, reservation: Reservation, outcome: AttemptEnd) -> None:
    """Tell the context; a crash there ends neither a cancellation nor the other attempts."""
    identifier, url = reservation.hunt.identifier, reservation.url
    events = reservation.source.event_ids if outcome.skipped else reservation.event_ids
    try:
        ctx.record_attempt(identifier, events, url, outcome.result, outcome.detail)
    except Exception:
        log.exception("attempt not recorded", identifier=identifier, url=url)


def _was_limited(reservation: Reservation, throttles: Throttles) -> bool:
    """Whether the URL wanted to be left alone in this hunt before."""
    url, hunt = reservation.url, reservation.hunt
    queued = throttles.tried_at(reservation.domain, hunt.identifier)
    return hunt.tried.was_limited(url) or queued.was_limited(url)


def _judge_server(
    reservation: Reservation,
    throttles: Throttles,
    observer: ReservationObserver,
    outcome: AttemptEnd,
) -> None:
    error, identifier = outcome.error, reservation.hunt.identifier
    if isinstance(error, RateLimited):
        throttles.rest(observer.last_domain, error.retry_after_secs)
        if not outcome.skipped:
            tried = reservation.hunt.tried.for_domain(reservation.domain)
            throttles.enqueue_identifier(reservation.domain, identifier, tried)
    elif error is not None and error.naughty is not NaughtyScope.NONE:
        # What failed behind a redirect says nothing about the host that redirects.
        scope = NaughtyScope.URL if observer.elsewhere else error.naughty
        throttles.note_naughty(reservation.url, scope, str(error))
    elif outcome.obtained:
        throttles.naughty.forgive(reservation.url)


async def _release(
    ctx: SyncContext, reservation: Reservation, target: Path, obtained: frozenset[str]
) -> None:
    """Release; a crash there is logged and leaves what is held to the backoff."""
    identifier = reservation.hunt.identifier
    try:
        result = await ctx.process_newly_available_git_data(target, obtained)
    except Exception:
        log.exception("release crashed", identifier=identifier, url=reservation.url)
        return
    if result.released:
        log.info(
            "released",
            identifier=identifier,
            event_id=[*result.states_released, *result.prs_released],
            ready_count=result.released,
        )


def _log(reservation: Reservation, throttles: Throttles, outcome: AttemptEnd) -> None:
    """Tell the operator what went wrong at a URL, once and not at each retry."""
    fields = {
        "identifier": reservation.hunt.identifier,
        "url": reservation.url,
        "domain": reservation.domain,
    }
    if outcome.error is not None:
        said = str(outcome.error)
        tell = log.warning if throttles.is_news(reservation.url, said) else log.debug
        tell("attempt failed", error=said, **fields)
    else:
        throttles.forget_news(reservation.url)
        log.debug(
            "tried",
            oids_fetched=len(outcome.obtained),
            missing=len(reservation.oids - outcome.obtained),
            **fields,
        )
