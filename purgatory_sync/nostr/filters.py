"""Filters of REQ and COUNT (NIP-01, every field)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

import attrs

from ..errors import InvalidFilter
from .event import Event

_HEX = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r"#[A-Za-z]")

TagsOf: TypeAlias = Mapping[str, AbstractSet[str]]


def tags_of(event: Event) -> TagsOf:
    """The first values of an event's tags of one letter, by that letter."""
    found: dict[str, set[str]] = {}
    for tag in event.tags:
        if len(tag) > 1 and len(tag[0]) == 1:
            found.setdefault(tag[0], set()).add(tag[1])
    return found


@attrs.frozen
class Filter:
    """Conditions that must all hold (NIP-01); a field that is None is no condition.

    Attributes:
      ids, authors: 64 lower-case hex digits each.
      tags: letter → values; some tag of that letter has one of the values first.
      since, until: bounds of `created_at`, Unix seconds, both included.
      limit: how many stored events are wanted, newest first.
    """

    ids: frozenset[str] | None = None
    authors: frozenset[str] | None = None
    kinds: frozenset[int] | None = None
    tags: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    since: int | None = None
    until: int | None = None
    limit: int | None = None

    def matches(self, event: Event, tags: TagsOf | None = None) -> bool:
        """Whether the event fulfils every condition (`limit` is none).

        Args:
          tags: what `tags_of` says, for callers that ask many filters about one event.
        """
        return (
            (self.ids is None or event.id in self.ids)
            and (self.authors is None or event.pubkey in self.authors)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.since is None or event.created_at >= self.since)
            and (self.until is None or event.created_at <= self.until)
            and (not self.tags or self._matches_tags(tags_of(event) if tags is None else tags))
        )

    def _matches_tags(self, tags: TagsOf) -> bool:
        # Disjointness costs as much as the smaller set has: both may have thousands of values.
        return all(
            letter in tags and not wanted.isdisjoint(tags[letter])
            for letter, wanted in self.tags.items()
        )

    def to_json(self) -> dict[str, Any]:
        """The filter as the object that REQ carries."""
        plain: dict[str, Any] = {
            name: sorted(value)
            for name in ("ids", "authors", "kinds")
            if (value := getattr(self, name)) is not None
        }
        plain |= {f"#{letter}": sorted(values) for letter, values in sorted(self.tags.items())}
        plain |= {
            name: value
            for name in ("since", "until", "limit")
            if (value := getattr(self, name)) is not None
        }
        return plain


def parse_filter(value: object) -> Filter:
    """Read one filter from what a JSON decoder made of it.

    Raises:
      InvalidFilter: not an object, an unknown field, or a value of the wrong type.
    """
    if not isinstance(value, dict):
        raise InvalidFilter("a filter is a JSON object")
    fields: dict[str, Any] = {}
    tags: dict[str, frozenset[str]] = {}
    for name, wanted in value.items():
        if name in ("ids", "authors"):
            fields[name] = frozenset(_hex(name, item) for item in _list(name, wanted))
        elif name == "kinds":
            fields[name] = frozenset(_number(name, item) for item in _list(name, wanted))
        elif name in ("since", "until", "limit"):
            fields[name] = _number(name, wanted)
        elif isinstance(name, str) and _TAG.fullmatch(name):
            tags[name[1]] = frozenset(_text(name, item) for item in _list(name, wanted))
        else:
            raise InvalidFilter(f"unknown filter field {str(name)[:40]!r}: remove it")
    return Filter(tags=tags, **fields)


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidFilter(f"{name} must be a list")
    return value


def _hex(name: str, value: object) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise InvalidFilter(f"{name} must hold 64 lower-case hex digits each")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidFilter(f"{name} must hold strings")
    return value


def _number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidFilter(f"{name} must be a whole number that is not negative")
    return value
