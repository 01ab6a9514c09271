"""Judging who may read and write git by a signed event (NIP-98 as GRASP-08 relaxes it).

One event is good for both verbs, for every request below a repository, and for two minutes: git
sends the same header again. So `payload` and the query say nothing here, and no event is used up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ...errors import InvalidEvent
from .. import kinds
from ..event import Event, verify_event
from ..keys import SecretKey

METHOD: Final = "GET"
MAX_SKEW_SECS: Final = 60


def access_event(key: SecretKey, url: str, now: float) -> Event:
    """Sign that one may use a repository.

    Args:
      url: of the repository, without what git puts behind it.
      now: Unix seconds.
    """
    return key.sign(kinds.HTTP_AUTH, "", [("u", url), ("method", METHOD)], int(now))


def check_access(
    event: Event, names: Callable[[str], bool], is_member: Callable[[str], bool], now: float
) -> None:
    """Judge whether an event lets its author in here, now; cheap questions come first.

    Args:
      event: its form is right, its proof is checked here.
      names: whether a URL is what was asked for.
      is_member: whether a public key, in hex, may come in.
      now: Unix seconds; the event's time may differ by a minute.

    Raises:
      InvalidEvent: it does not, with the reason.
    """
    if event.kind != kinds.HTTP_AUTH:
        raise InvalidEvent(f"the Authorization header has an event of kind {kinds.HTTP_AUTH}")
    if abs(event.created_at - now) > MAX_SKEW_SECS:
        raise InvalidEvent("created_at is more than a minute off: set the clock, sign anew")
    if not is_member(event.pubkey):
        raise InvalidEvent("this key is no member's")
    if _only(event, "method") != METHOD:
        raise InvalidEvent(f"the tag method has to say {METHOD} for every request")
    if not names(_only(event, "u")):
        raise InvalidEvent("the tag u names something else than what is asked for")
    verify_event(event)


def _only(event: Event, name: str) -> str:
    """The value of the one tag of that name, which has nothing else.

    Raises:
      InvalidEvent: there is none, there are several, or it has another form.
    """
    found: Sequence[Sequence[str]] = [tag for tag in event.tags if tag and tag[0] == name]
    if len(found) != 1 or len(found[0]) != 2:
        raise InvalidEvent(f"the signed event needs exactly one tag {name} with one value")
    return found[0][1]
