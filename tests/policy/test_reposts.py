from __future__ import annotations

import json

import pytest

from purgatory_sync.policy.judge import CARRIES_PROTECTED
from purgatory_sync.policy.rules.verdict import Action
from purgatory_sync.settings import PurgatorySettings

from .support import ALICE, judge_offer, known, make

PROTECTED = json.dumps({"id": "a" * 64, "kind": 1, "tags": [["t", "x"], ["-"]], "content": ""})
PUBLIC = json.dumps({"id": "a" * 64, "kind": 1, "tags": [["t", "-"]], "content": ""})


@pytest.mark.parametrize("kind", [6, 16])
def test_b_10_4_a_repost_carries_no_protected_event(kind: int) -> None:
    for content, message in (
        (PROTECTED, CARRIES_PROTECTED),
        (PUBLIC, ""),
        ("", ""),
        ("[]", ""),
        ("{", ""),
        ('{"tags": 5}', ""),
        ('{"tags": [[1]]}', ""),
    ):
        event = make(ALICE, kind, [["e", "b" * 64]], content=content)
        verdict = judge_offer(event, "user", known(referenced=True), PurgatorySettings())
        assert verdict.message == message
        assert (verdict.action is Action.SERVE) == (not message)


def test_b_10_4_what_is_no_repost_may_hold_any_text() -> None:
    event = make(ALICE, 1, [["e", "b" * 64]], content=PROTECTED)
    verdict = judge_offer(event, "user", known(referenced=True), PurgatorySettings())
    assert verdict.action is Action.SERVE
