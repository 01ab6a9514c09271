"""Profiles (kind 0) and relay lists (kind 10002) of those who take part here (B 15.1)."""

from __future__ import annotations

from typing import Final

from ...nostr.event import Event, encode_event
from ...settings import KIB
from ..rules.verdict import Action, Verdict, refuse

MAX_BYTES: Final = 64 * KIB
TOO_LARGE: Final = "invalid: a profile or relay list has at most 64 KiB: shorten it"


def judge_profile(event: Event) -> Verdict:
    """Serve it, the newest of each kind, unless it is too large."""
    if len(encode_event(event)) > MAX_BYTES:
        return refuse(TOO_LARGE)
    return Verdict(Action.SERVE)
