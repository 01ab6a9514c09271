"""When waiting ends (B 2.7, 4.3, 8.9); pure functions of Unix seconds."""

from __future__ import annotations

import enum
from collections.abc import Collection

import attrs

from ..records import Placeholder
from ..settings import PurgatorySettings
from .entries import HeldAnnouncement, HuntedEvent


@attrs.frozen
class Outlook:
    """What is known of the chances of one held state or pull request.

    Attributes:
      sources: the URLs that may have what it lacks; empty when nothing is missing.
      excused: those of them that need no try: naughty ones, and those that have no target.
      push_in_hand: a push that it authorises is being received (B 6.7).
      release_failed: every object is here, and its release failed here (B 7.4).
      in_hand: its identifier is being hunted at this moment.
    """

    sources: Collection[str] = ()
    excused: Collection[str] = ()
    push_in_hand: bool = False
    release_failed: bool = False
    in_hand: bool = False


def time_is_up(held: HuntedEvent, now: float, settings: PurgatorySettings) -> bool:
    """Whether the 30 minutes are over, so that its outlook is worth finding out.

    One that expired before has none: it waits for one round of its sources (B 8.12).
    """
    return held.again or is_old(held, now, settings) or has_expired(held, now)


def is_old(held: HuntedEvent, now: float, settings: PurgatorySettings) -> bool:
    """Whether it was accepted 30 minutes ago; `now` in Unix seconds."""
    return now >= held.accepted_at + settings.expiry_secs


def has_expired(held: HuntedEvent, now: float) -> bool:
    """Whether its author wants it served no more (NIP-40); then no source is tried first."""
    return held.event.expires_at is not None and held.event.expires_at <= now


def untried_sources(held: HuntedEvent, outlook: Outlook) -> tuple[str, ...]:
    """The sources that must be tried once before the event may end (N2)."""
    if held.unsatisfiable:
        return ()
    return tuple(
        url
        for url in outlook.sources
        if url not in outlook.excused
        and not ((tried := held.tried.get(url)) is not None and tried.counted)
    )


def last_moment(held: HuntedEvent, started_at: float, settings: PurgatorySettings) -> float:
    """Unix seconds at which the event ends even if untried: 24 hours after acceptance.

    Args:
      started_at: Unix seconds of the node's start. What was (nearly) that old by then because of
        a long stop gets the same time again, so that one full round of its sources fits in.
    """
    end = held.accepted_at + settings.max_age_secs
    if end < started_at + settings.expiry_secs:
        return started_at + settings.max_age_secs
    return end


def event_ends(
    held: HuntedEvent,
    outlook: Outlook,
    now: float,
    started_at: float,
    settings: PurgatorySettings,
) -> bool:
    """Whether a held state or pull request expires now (B 8.9); all times in Unix seconds."""
    if outlook.push_in_hand or outlook.release_failed or not time_is_up(held, now, settings):
        return False
    if not untried_sources(held, outlook):
        return not outlook.in_hand or is_old(held, now, settings)
    return now >= last_moment(held, started_at, settings)


class AnnouncementStep(enum.Enum):
    """What becomes of a held announcement (B 2.7)."""

    KEEP = "keep"
    SOFT_EXPIRE = "soft-expire"
    FORGET = "forget"


def announcement_step(
    held: HeldAnnouncement, *, concerned: bool, now: float, settings: PurgatorySettings
) -> AnnouncementStep:
    """Whether its repository goes (30 minutes), and the announcement itself (24 hours later).

    Args:
      concerned: a state or pull request that concerns it, or half of one, still waits.
      now: Unix seconds.
    """
    if held.soft_expired_at is not None:
        over = now >= held.soft_expired_at + settings.soft_expiry_secs
        return AnnouncementStep.FORGET if over else AnnouncementStep.KEEP
    if concerned or now < held.accepted_at + settings.expiry_secs:
        return AnnouncementStep.KEEP
    return AnnouncementStep.SOFT_EXPIRE


def placeholder_ends(placeholder: Placeholder, now: float, settings: PurgatorySettings) -> bool:
    """Whether no event came in time (B 4.3: 20 minutes), so that its ref is deleted."""
    return now >= placeholder.at + settings.placeholder_expiry_secs
