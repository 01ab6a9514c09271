"""Policy is a pure function of (event, what is known, settings), so that it needs no sockets."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import purgatory_sync
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.push import PushKnown, judge_push
from purgatory_sync.settings import CurationSettings, PurgatorySettings

from .support import (
    ALICE,
    BOB,
    A,
    announcement,
    coordinate,
    data,
    judge_offer,
    known,
    make,
    parsed_state,
    state,
)

PACKAGE = Path(purgatory_sync.__file__).parent
# What a pure function may use: values, texts, and nothing that looks at a clock or at the world.
MAY_IMPORT = {
    "__future__", "attrs", "collections", "enum", "functools", "hashlib", "re", "typing",
    "array", "bisect", "ipaddress", "pathlib", "urllib", "idna", "msgspec", "btclib_secp256k1",
}  # fmt: skip
ROOMS = {"policy", "nostr", "settings", "errors", "urls", "refnames", "version"}
MODULES = sorted(
    [
        *(PACKAGE / "policy").glob("*.py"),
        *(PACKAGE / "nostr").glob("*.py"),
        *(PACKAGE / f"{each}.py" for each in ("settings", "errors", "urls", "refnames", "version")),
    ]
)


def imported(module: Path) -> Iterator[str]:
    """What a module imports, by the first word; from this package, by room."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            parts = module.relative_to(PACKAGE).parts[: -node.level]
            named = [node.module] if node.module else [each.name for each in node.names]
            yield from ([*parts, *(name or "").split(".")][0] for name in named)


@pytest.mark.tree
@pytest.mark.parametrize("module", MODULES, ids=lambda each: str(each.relative_to(PACKAGE)))
def test_policy_and_what_it_imports_know_no_clock_socket_or_disk(module: Path) -> None:
    assert set(imported(module)) <= MAY_IMPORT | ROOMS


EVENTS = st.builds(
    make,
    st.sampled_from([ALICE, BOB]),
    st.sampled_from([1, kinds.DELETION, kinds.ANNOUNCEMENT, kinds.STATE, kinds.PULL_REQUEST]),
    st.lists(
        st.sampled_from(
            [("d", "repo"), ("c", A), ("a", coordinate(ALICE)), ("refs/heads/main", A), ("e", A)]
        ),
        max_size=4,
    ),
)


@settings(max_examples=100, deadline=None)
@given(EVENTS, st.sampled_from(["user", "sync"]), st.booleans(), st.booleans())
def test_a_verdict_depends_on_its_arguments_only(
    event: Event, origin: str, objects_here: bool, archives: bool
) -> None:
    of = data(
        (announcement(maintainers=[BOB]), Standing.HELD), (announcement(BOB), Standing.SERVED)
    )
    snapshot = known(of, objects_here=objects_here, referenced=not objects_here)
    lists = CurationSettings(archive_all=archives, archive_read_only=False)
    before = copy.deepcopy(snapshot)
    first = judge_offer(event, origin, snapshot, PurgatorySettings(), lists)  # type: ignore[arg-type]
    again = judge_offer(event, origin, before, PurgatorySettings(), lists)  # type: ignore[arg-type]
    assert first == again
    assert snapshot == before


def test_a_push_is_judged_by_its_arguments_only() -> None:
    waiting = parsed_state()
    snapshot = PushKnown(ALICE, data((announcement(), Standing.SERVED)), {}, (waiting,))
    before = copy.deepcopy(snapshot)
    changes = {"refs/heads/main": A}
    assert judge_push(changes, snapshot) == judge_push(changes, before)
    assert snapshot == before
    assert state().id == waiting.event.id
