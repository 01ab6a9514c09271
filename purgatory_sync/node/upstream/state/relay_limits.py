"""What one relay lets us ask: told by NIP-11, or learnt from what it refused (B 10.5).

A question has a form: what it asks by (its shape), how many values it carries, and whether it names
kinds. A form that was refused is not asked for again; what was asked goes on in smaller parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from ....errors import PurgatorySyncError
from ....nostr import kinds
from ....nostr.filters import Filter
from .filters_wanted import MAX_CHARS, MAX_VALUES

PRIVATE: Final = "GRASP-08"
# Of relays that do not tell (strfry allows 20).
ASSUMED_SUBSCRIPTIONS: Final = 20
MAX_SUBSCRIPTIONS: Final = 100
WALKS_AT_ONCE: Final = 4
PAGE_EVENTS: Final = 500
RETRY_SECS, LIVE_RETRY_SECS = 60.0, 3600.0
POLICY_SECS: Final = 86400.0
COOLDOWN_SECS, MAX_COOLDOWN_SECS = 65.0, 3600.0
PACE_SECS, MAX_PACE_SECS = 1.0, 30.0
# So many answers in a row are good work: what was limited before begins anew.
GOOD_WORK, GOOD_WORK_FOR_PACE = 100, 2_000
# Of what may refer to repositories; named where a relay wants kinds in each filter.
RELATED_KINDS: Final = frozenset(
    {kinds.DELETION, 6, 7, 16, 1111, kinds.PATCH, kinds.PULL_REQUEST, kinds.PULL_REQUEST_UPDATE}
    | {1621, 1622, 1624, 1630, 1631, 1632, 1633, 1984, 1985, 9735}
    | {kinds.USER_GRASP_LIST, kinds.ANNOUNCEMENT, kinds.STATE}
)


_SHAPES: Final = {
    "kinds": "announcements, states and grasp lists",
    "ids": "events by id",
    "authors": "profiles and relay lists by author",
    **{letter: f"what refers to a repository by `{letter}`" for letter in "aA"},
    **{letter: f"what refers to an event by `{letter}`" for letter in "eE"},
    "q": "what quotes a repository or an event",
}


class InvalidDocument(PurgatorySyncError):
    """What a relay shows as its NIP-11 document is none."""


def shape_of(condition: Filter) -> str:
    """What a filter asks by: a letter, `ids`, `authors` or `kinds`."""
    if condition.tags:
        return "".join(sorted(condition.tags))
    if condition.ids is not None:
        return "ids"
    return "authors" if condition.authors is not None else "kinds"


def values_of(condition: Filter) -> frozenset[Any]:
    """The values that a filter may be cut by."""
    for values in condition.tags.values():
        return values
    for asked in (condition.ids, condition.authors, condition.kinds):
        if asked is not None:
            return asked
    return frozenset()


@attrs.define(eq=False)
class Form:
    """How a relay takes questions of one shape.

    Attributes:
      values: the most of them.
      with_kinds: whether kinds have to be named.
      refused_until: Unix seconds of the next try, after the smallest form was refused.
      retry_secs: how long the next such refusal lasts that is no policy.
      by_policy: whether it is one.
      reason: of the last refusal.
    """

    values: int = MAX_VALUES
    with_kinds: bool = False
    refused_until: float | None = None
    retry_secs: float = RETRY_SECS
    by_policy: bool = False
    reason: str = ""

    def fit(self, condition: Filter) -> list[Filter]:
        """The same question in forms that may be asked."""
        if self.with_kinds and condition.kinds is None:
            condition = attrs.evolve(condition, kinds=RELATED_KINDS)
        values = sorted(values_of(condition))
        if len(values) <= self.values:
            return [condition]
        cuts = [values[start : start + self.values] for start in range(0, len(values), self.values)]
        return [_with_values(condition, frozenset(cut)) for cut in cuts]

    def refused(self, condition: Filter, reason: str, *, wants_kinds: bool) -> bool:
        """Whether there is a smaller form of the question; from now on it is the form to ask in."""
        self.reason = reason
        lacks_kinds = condition.kinds is None and not self.with_kinds
        if lacks_kinds and wants_kinds:
            self.with_kinds = True
        elif (count := len(values_of(condition))) > 1:
            self.values = min(self.values, max(1, count // 4))
        elif lacks_kinds:
            self.with_kinds = True
        else:
            return condition.kinds is None and self.with_kinds
        return True

    def refuse(self, now: float, *, by_policy: bool) -> None:
        """No form is taken: the next try is after a day, or twice as long after as the last one."""
        self.by_policy = by_policy
        self.refused_until = now + (POLICY_SECS if by_policy else self.retry_secs)
        self.retry_secs = min(2 * self.retry_secs, POLICY_SECS)

    def answered(self) -> None:
        """A question was answered."""
        if self.refused_until is not None:
            self.refused_until, self.values, self.with_kinds = None, MAX_VALUES, False
        self.retry_secs = RETRY_SECS


def _with_values(condition: Filter, values: frozenset[Any]) -> Filter:
    if condition.tags:
        return attrs.evolve(condition, tags=dict.fromkeys(condition.tags, values))
    if condition.ids is not None:
        return attrs.evolve(condition, ids=values)
    if condition.authors is not None:
        return attrs.evolve(condition, authors=values)
    return attrs.evolve(condition, kinds=values)


@attrs.define(eq=False)
class RelayLimits:
    """The limits of one relay; outlives its connections. Times in Unix seconds.

    Attributes:
      subscriptions: how many may be open on one connection.
      filters: how many one subscription may have.
      chars: of values in one filter.
      page: how many events a question may want.
      rests_until: the relay wants no question before.
      pace_secs: between two questions.
      operator_knows: whether it was logged what is not followed.
      asked_document_at: when it was last asked for its NIP-11 document.
      is_private: whether that lists GRASP-08.
      pubkey: of the service, as that has it.
    """

    subscriptions: int = ASSUMED_SUBSCRIPTIONS
    filters: int = 3
    chars: int = MAX_CHARS
    page: int = PAGE_EVENTS
    rests_until: float = 0.0
    pace_secs: float = 0.0
    asked_document_at: float | None = None
    operator_knows: bool = False
    is_private: bool = False
    pubkey: str = ""
    _forms: dict[str, Form] = attrs.field(factory=dict)
    _live: dict[str, Form] = attrs.field(factory=dict)
    _cooldown_secs: float = COOLDOWN_SECS
    _good: int = 0

    def form(self, shape: str) -> Form:
        """How questions of a shape are taken."""
        return self._forms.setdefault(shape, Form())

    def refuse_live(self, shapes: str, now: float) -> None:
        """No form of a live subscription is taken: another try after a while, up to a day."""
        self._live.setdefault(shapes, Form(retry_secs=LIVE_RETRY_SECS)).refuse(now, by_policy=False)

    def refuses_live(self, shapes: str, now: float) -> bool:
        """Whether no live subscription of these shapes is to be tried."""
        form = self._live.get(shapes)
        return form is not None and (form.refused_until or 0.0) > now

    @property
    def walks(self) -> int:
        """How many of the subscriptions are for walks."""
        return WALKS_AT_ONCE if self.subscriptions >= ASSUMED_SUBSCRIPTIONS else 1

    @property
    def live(self) -> int:
        """How many live subscriptions there may be."""
        return max(1, self.subscriptions - self.walks)

    def not_followed(self, polled: int) -> tuple[str, ...]:
        """In words: what the relay does not let us follow, or only now and then.

        Args:
          polled: values for which it is asked now and then.
        """
        said = [f"{_SHAPES.get(shape, shape)}: refused" for shape in self.refused]
        if any(form.with_kinds for form in self._forms.values()):
            said.append("kinds that NIP-34 does not know: it wants kinds in each question")
        if polled:
            said.append(
                f"{polled} repositories and events: asked for every 10 min only, since it allows "
                f"{self.subscriptions} subscriptions"
            )
        return tuple(said)

    @property
    def refused(self) -> Mapping[str, str]:
        """The shapes of which no form is taken, with the reasons."""
        return {
            shape: form.reason
            for shape, form in sorted(self._forms.items())
            if form.refused_until is not None
        }

    def new_connection(self) -> None:
        """What was no more than an error may be over by now."""
        for form in self._forms.values():
            if form.refused_until is not None and not form.by_policy:
                form.refused_until, form.values = None, MAX_VALUES

    def ask_less(self, values: int) -> None:
        """A question was not answered: from now on all have fewer values."""
        for form in self._forms.values():
            form.values = min(form.values, values)

    def told(self, document: bytes) -> None:
        """Take what the relay says of itself (NIP-11).

        Raises:
          InvalidDocument: it is no JSON object.
        """
        try:
            said = msgspec.json.decode(document)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InvalidDocument("its NIP-11 document is no JSON") from error
        self._told_who(said if isinstance(said, dict) else {})
        limitation = said.get("limitation") if isinstance(said, dict) else None
        if not isinstance(limitation, dict):
            return
        told = {name: n for name, n in limitation.items() if type(n) is int and n > 0}
        if "max_subscriptions" in told:
            self.subscriptions = min(told["max_subscriptions"], MAX_SUBSCRIPTIONS)
        self.filters = min(self.filters, told.get("max_filters", self.filters))
        self.page = min(self.page, told.get("max_limit", self.page))
        if (length := told.get("max_message_length")) is not None:
            self.chars = max(100, min(self.chars, (length - 1024) // 4))

    def _told_who(self, said: dict[str, Any]) -> None:
        grasps, pubkey = said.get("supported_grasps"), said.get("pubkey")
        listed = grasps if isinstance(grasps, list) else []
        self.is_private = any(isinstance(g, str) and g.upper() == PRIVATE for g in listed)
        self.pubkey = pubkey if isinstance(pubkey, str) else ""

    def too_many_open(self, stand: int) -> bool:
        """So many subscriptions stand, and there was one too many; whether fewer may now."""
        before, fewer = self.subscriptions, min(self.subscriptions - 1, stand)
        self.subscriptions = min(before, max(2, fewer))
        return self.subscriptions < before

    def limited(self, now: float) -> None:
        """The relay says that we ask too much (`rate-limited: `): it rests, longer each time."""
        if now < self.rests_until <= now + MAX_COOLDOWN_SECS:
            return
        self.rests_until = now + self._cooldown_secs
        self._cooldown_secs = min(2 * self._cooldown_secs, MAX_COOLDOWN_SECS)
        self.pace_secs = min(max(PACE_SECS, 2 * self.pace_secs), MAX_PACE_SECS)
        self._good = 0

    def answered(self) -> None:
        """A question was answered to its end."""
        self._good += 1
        if self._good == GOOD_WORK:
            self._cooldown_secs = COOLDOWN_SECS
        elif self._good >= GOOD_WORK_FOR_PACE:
            self._good = 0
            self.pace_secs = self.pace_secs / 2 if self.pace_secs > PACE_SECS else 0.0
