"""What only its author may bring, what proves who a client is, what is passed on (B 10.4)."""

from __future__ import annotations

import pytest

from purgatory_sync.nostr import kinds
from purgatory_sync.policy.judge import PASSING, PROOF, PROTECTED
from purgatory_sync.policy.rules.verdict import Action, refuse
from purgatory_sync.settings import PurgatorySettings

from .support import ALICE, judge_offer, known, make

SETTINGS = PurgatorySettings()


@pytest.mark.parametrize("tag", [["-"], ["-", "x"]])
def test_b_10_4_a_protected_event_is_taken_from_no_relay(tag: list[str]) -> None:
    event = make(ALICE, 1, [tag])
    assert judge_offer(event, "sync", known(referenced=True), SETTINGS) == refuse(PROTECTED)
    assert judge_offer(event, "user", known(referenced=True), SETTINGS).action is Action.SERVE


@pytest.mark.parametrize("tags", [[["t", "-"]], [[]], [["--"]]])
def test_b_10_4_other_tags_protect_nothing(tags: list[list[str]]) -> None:
    event = make(ALICE, 1, tags)
    assert judge_offer(event, "sync", known(referenced=True), SETTINGS).action is Action.SERVE


@pytest.mark.parametrize("origin", ["user", "sync"])
def test_b_10_4_a_proof_is_never_an_event_among_others(origin: str) -> None:
    proof = make(ALICE, kinds.CLIENT_AUTH, [["relay", "wss://h"], ["challenge", "c"]])
    verdict = judge_offer(proof, origin, known(referenced=True), SETTINGS)  # type: ignore[arg-type]
    assert verdict == refuse(PROOF)


@pytest.mark.parametrize("kind", [20_000, 29_999])
def test_b_10_4_ephemeral_events_are_passed_on_for_users_only(kind: int) -> None:
    event = make(ALICE, kind, [])
    assert judge_offer(event, "user", known(referenced=True), SETTINGS).action is Action.SERVE
    assert judge_offer(event, "sync", known(referenced=True), SETTINGS) == refuse(PASSING)
