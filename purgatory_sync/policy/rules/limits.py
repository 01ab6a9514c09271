"""Limits that need no knowledge of repositories: time, size, room in purgatory (B 1.7, 1.9)."""

from __future__ import annotations

from ...nostr import kinds
from ...nostr.event import Event, encode_event
from ...settings import KIB, MIB, PurgatorySettings, RelaySettings
from .known_facts import Known
from .verdict import Verdict, refuse

MAX_SECONDS_AHEAD = 15 * 60
MAX_EVENT_BYTES, MAX_STATE_BYTES = RelaySettings().max_event_bytes, MIB
MAX_EVENT_TAGS, MAX_STATE_TAGS = 5_000, 20_000

AHEAD = "invalid: created_at is more than 15 minutes ahead: check the clock"


def judge_form(event: Event, now: float, max_event_bytes: int = MAX_EVENT_BYTES) -> Verdict | None:
    """Refuse what is too large, expired or from the future (B 1.7, 5.3); else None.

    Cheap: it needs no snapshot.

    Args:
      now: Unix seconds.
      max_event_bytes: of what is no state (settings).
    """
    if event.created_at > now + MAX_SECONDS_AHEAD:
        return refuse(AHEAD, transient=True)
    if event.expires_at is not None and event.expires_at <= now:
        return refuse("invalid: expired")
    is_state = event.kind == kinds.STATE
    max_tags = MAX_STATE_TAGS if is_state else MAX_EVENT_TAGS
    if len(event.tags) > max_tags:
        return refuse(f"invalid: more than {max_tags} tags: send fewer")
    max_bytes = max(MAX_STATE_BYTES, max_event_bytes) if is_state else max_event_bytes
    if len(encode_event(event)) > max_bytes:
        return refuse(f"invalid: larger than {max_bytes // KIB} KiB: send a smaller event")
    return None


def judge_room(
    event: Event, known: Known, settings: PurgatorySettings, instead_of: Event | None = None
) -> Verdict | None:
    """Refuse what purgatory has no room for (B 1.9); nothing else that is held is pushed out.

    Args:
      instead_of: the held event whose place it takes.
    """
    more = 0 if instead_of else 1
    grows = len(encode_event(event)) - (len(encode_event(instead_of)) if instead_of else 0)
    if _is_over(known.held_total, more, settings.max_events) or _is_over(
        known.held_bytes, grows, settings.max_bytes
    ):
        return refuse(
            "rate-limited: too many events wait for git data here: try again later", transient=True
        )
    if _is_over(known.held_by_author, more, settings.max_events_per_author) or _is_over(
        known.held_bytes_by_author, grows, settings.max_bytes_per_author
    ):
        return refuse(
            "rate-limited: too many events of this author wait for git data: "
            "push the data, or try again later",
            transient=True,
        )
    return None


def _is_over(held: int, more: int, limit: int) -> bool:
    return more > 0 and held + more > limit
