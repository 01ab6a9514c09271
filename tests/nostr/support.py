"""Strategies that the property tests of this room share."""

from __future__ import annotations

from hypothesis import strategies as st

from purgatory_sync.nostr.event import Event

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
HEX = st.sampled_from(["a" * 64, "0" * 64, "A" * 64, "b" * 40, "", "z" * 64, "0" * 40])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | HEX,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)

TAG_NAMES = st.sampled_from(
    ["d", "a", "c", "clone", "relays", "maintainers", "HEAD", "refs/heads/main"]
) | st.sampled_from(
    ["refs/heads/", "refs/tags/v1", "refs/tags/v1^{}", "refs/heads/main/x", "refs/notes/x"]
)
TAG_VALUES = (
    HEX
    | st.sampled_from(["ref: refs/heads/main", "https://h/x", "https://[", f"30617:{'a' * 64}:x"])
    | ANY_TEXT
)
TAGS = st.lists(
    st.tuples(TAG_NAMES | ANY_TEXT, TAG_VALUES, TAG_VALUES).flatmap(
        lambda tag: st.integers(0, 3).map(lambda length: tag[:length])
    ),
    max_size=8,
).map(tuple)


def event(kind: int, tags: object) -> Event:
    """An event without a signature: the models judge what it says, not whose it is."""
    return Event("e" * 64, "f" * 64, 1, kind, tags, "", "0" * 128)  # type: ignore[arg-type]
