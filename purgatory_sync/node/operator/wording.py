"""Results, counters and times in words: the same on the terminal and on pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

# Results and counters in words; all others read well with spaces for what joins them.
_WORDS: Final = {
    "success": "had all of it",
    "partial": "had a part of it",
    "nothing": "had nothing of it",
    "forbidden": "not contacted",
    "not_git": "does not speak git",
    "bad_data": "sent bad data",
    "rate_limited": "rate-limited us",
    "local": "failed here",
    "quota": "no room is left for it here",
    "closed": "closed the connection",
    "no_relay": "is no relay",
    "misbehaved": "disconnected: protocol violations",
}
_OBSTACLES: Final = {
    "unsatisfiable": "contains an invalid object id; can never be released",
    "unauthorised": "its author is neither owner nor maintainer of a repository announced here",
    "invited": "its author is invited by a maintainer and has not accepted",
    "path": "its author points at a lead, and no key has authority there",
    "unannounced": "no repository that it names is announced here",
    "no_repository": "the repository that it is for is not on this disk",
    "no_refs": "names no refs: it waits until its repository has data",
}
_GOOD, _WAIT = ("success", "partial"), ("rate_limited", "cancelled", "quota", "local", "nothing")


def utc(at: float) -> str:
    """Unix seconds as people and machines read them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_now(at: float, now: float) -> str:
    """How far away a moment is: `3 min ago`, `in 12 s`, `now`; all times in Unix seconds."""
    secs = round(at - now)
    if secs == 0:
        return "now"
    return f"in {span(secs)}" if secs > 0 else f"{span(-secs)} ago"


def ago(at: float, now: float) -> str:
    """How long ago something was, both in Unix seconds; `now` may be older than what is told."""
    return from_now(min(at, now), now)


def ends(at: float, now: float) -> str:
    """The verb for the end of a time that may be over, both in Unix seconds."""
    return "ends" if at >= now else "was to end"


def lasting(one: float, other: float) -> str:
    """How long it is from one moment to another, in any order: `3 min`."""
    return span(round(abs(one - other)))


def span(secs: int) -> str:
    """A time in its two largest units."""
    if secs < 60:
        return f"{secs} s"
    if secs < 3600:
        return f"{secs // 60} min" + (f" {secs % 60} s" if secs < 600 and secs % 60 else "")
    if secs < 86400:
        return f"{secs // 3600} h" + (f" {secs % 3600 // 60} min" if secs % 3600 >= 60 else "")
    return f"{secs // 86400} d" + (f" {secs % 86400 // 3600} h" if secs % 86400 >= 3600 else "")


def size(count: int) -> str:
    """Bytes in the unit that reads best: `3.4 MiB`."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def words(result: str) -> str:
    """A class of results in words."""
    return _WORDS.get(result, result.replace("_", " "))


def held_back(obstacle: str) -> str:
    """Why no object would release an event, in words."""
    return _OBSTACLES[obstacle]


def tone(result: str) -> str:
    """The style of a class of results."""
    return "good" if result in _GOOD else "wait" if result in _WAIT else "bad"


def counter(name: str) -> str:
    """A counter's name in words."""
    return name.replace(".", ": ", 1).replace("_", " ")
