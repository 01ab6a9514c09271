"""B 2.2 (a), 2.9: what archive mode wants is treated as listed (GRASP-05)."""

from __future__ import annotations

import attrs
import pytest

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.policy.rules.hosting import NO_LISTS, hosts, is_read_only
from purgatory_sync.policy.rules.known_facts import Known
from purgatory_sync.policy.rules.references import anchors
from purgatory_sync.policy.rules.verdict import HELD_MESSAGE, Action, Verdict
from purgatory_sync.settings import CurationSettings, PurgatorySettings

from ..support import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    SERVICE,
    A,
    announcement,
    data,
    judge_offer,
    known,
    make,
    pull_request,
    state,
)

HELD, SERVED = Standing.HELD, Standing.SERVED
NPUB_A, NPUB_B = encode_npub(ALICE), encode_npub(BOB)
WRITABLE = CurationSettings(archive_all=True, archive_read_only=False)
READ_ONLY = CurationSettings(archive_whitelist=(f"{NPUB_A}/repo",))
COPIES = attrs.evolve(READ_ONLY, archive_read_only=True)
NOT_NAMED = "blocked: only repositories that the operator named are taken here: ask the operator"


def verdict_on(
    event: Event, snapshot: Known, lists: CurationSettings, origin: str = "sync"
) -> Verdict:
    return judge_offer(event, origin, snapshot, PurgatorySettings(), lists)  # type: ignore[arg-type]


def test_b_2_10_a_private_repository_is_hosted_nowhere() -> None:
    """One that came before the tag was read, too: it has no page, and git is told nothing."""
    private = Announcement.parse(make(ALICE, 30617, [*announcement().tags, ["private", "true"]]))
    assert private.lists(SERVICE)
    for lists in (CurationSettings(), WRITABLE, READ_ONLY):
        assert not hosts(private, SERVICE, lists)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, False),
        ({"archive_all": True}, True),
        ({"archive_whitelist": (NPUB_A,)}, True),
        ({"archive_whitelist": (f"{NPUB_A}/repo",)}, True),
        ({"archive_whitelist": ("repo",)}, True),
        ({"archive_whitelist": (f"{NPUB_A}/other", NPUB_B, "other")}, False),
        ({"archive_grasp_services": ("elsewhere.example",)}, True),
        ({"archive_grasp_services": ("ELSEWHERE.example:443",)}, True),
        ({"archive_grasp_services": ("elsewhere.example:8443", "where.example")}, False),
        ({"archive_read_only": False}, False),
    ],
)
def test_b_2_2_a_what_archive_mode_wants_is_held_with_a_repository(
    fields: dict[str, object], wanted: bool
) -> None:
    verdict = verdict_on(announcement(listed=False), known(), CurationSettings(**fields))  # type: ignore[arg-type]
    if wanted:
        assert verdict == Verdict(Action.HOLD, HELD_MESSAGE, with_repository=True)
    else:
        assert verdict.action is Action.REFUSE


def test_b_2_2_a_a_service_counts_where_clone_and_relays_list_it() -> None:
    lists = CurationSettings(archive_grasp_services=("elsewhere.example",))
    tags = [["d", "repo"], ["clone", "https://elsewhere.example/x/repo.git"]]
    for relays, wanted in ((["relays", "wss://other.example"], False), (["relays"], False)):
        event = make(ALICE, kinds.ANNOUNCEMENT, [*tags, relays])
        assert hosts(Announcement.parse(event), SERVICE, lists) is wanted


def test_b_2_2_a_what_is_served_is_replaced_at_once_as_a_listed_one_is() -> None:
    old, new = announcement(listed=False, created_at=NOW - 10), announcement(listed=False)
    snapshot = known(data((old, SERVED)), newest_served=old)
    assert verdict_on(new, snapshot, WRITABLE) == Verdict(Action.SERVE, with_repository=True)


def test_b_2_2_a_an_owner_who_leaves_this_service_stays_in_an_archive() -> None:
    old, new = announcement(created_at=NOW - 10), announcement(listed=False)
    snapshot = known(data((old, HELD)), held_announcement=old)
    verdict = verdict_on(new, snapshot, WRITABLE)
    assert (verdict.action, verdict.replaces, verdict.evicts) == (Action.HOLD, (old.id,), ())


def test_b_2_2_a_an_archived_announcement_anchors_others() -> None:
    served = Announcement.parse(announcement(listed=False))
    assert anchors(served, SERVICE, {}, WRITABLE)
    assert not anchors(served, SERVICE, {})


def test_b_2_2_a_blacklists_win() -> None:
    lists = attrs.evolve(WRITABLE, repository_blacklist=("repo",))
    assert verdict_on(announcement(listed=False), known(), lists).message.startswith("blocked: ")


def test_b_2_2_a_what_is_archived_need_not_be_on_the_whitelist() -> None:
    lists = CurationSettings(
        repository_whitelist=("other",), archive_whitelist=("repo",), archive_read_only=False
    )
    of = data((announcement(listed=False), SERVED))
    assert verdict_on(announcement(listed=False), known(), lists).action is Action.HOLD
    assert verdict_on(state(), known(of), lists).action is Action.HOLD
    assert verdict_on(pull_request(), known(of), lists).action is Action.HOLD
    assert verdict_on(announcement(identifier="third"), known(), lists).message == NOT_NAMED


def test_b_2_2_a_an_archive_that_may_be_written_to_takes_what_lists_it() -> None:
    lists = CurationSettings(archive_whitelist=("other",), archive_read_only=False)
    assert verdict_on(announcement(), known(), lists, "user").action is Action.HOLD


@pytest.mark.parametrize("kind", [0, 5, 1111, 1618, 10317])
@pytest.mark.parametrize("lists", [READ_ONLY, COPIES])
def test_b_2_9_an_archive_takes_users_events_as_any_node(
    kind: int, lists: CurationSettings
) -> None:
    event = make(ALICE, kind, [*announcement().tags, ("c", A)])
    snapshot = known(referenced=True)
    assert verdict_on(event, snapshot, lists, "user") == verdict_on(event, snapshot, NO_LISTS)


def test_b_2_9_what_is_here_is_a_duplicate_for_users_too() -> None:
    verdict = verdict_on(announcement(), known(served=True), READ_ONLY, "user")
    assert verdict.action is Action.DUPLICATE


def test_b_2_9_an_archive_hosts_what_lists_it_unless_copies_are_all_it_takes() -> None:
    for lists in (READ_ONLY, COPIES):
        assert verdict_on(announcement(), known(), lists).action is Action.HOLD
        assert verdict_on(announcement(BOB, listed=False), known(), lists).action is Action.REFUSE
    assert verdict_on(announcement(BOB), known(), READ_ONLY).action is Action.HOLD
    assert verdict_on(announcement(BOB), known(), COPIES).message == NOT_NAMED


@pytest.mark.parametrize(
    ("lists", "listed", "read_only"),
    [
        (READ_ONLY, False, True),
        (READ_ONLY, True, False),
        (COPIES, True, True),
        (WRITABLE, False, False),
        (CurationSettings(), True, False),
    ],
)
def test_b_2_9_what_takes_no_push(lists: CurationSettings, listed: bool, read_only: bool) -> None:
    announced = Announcement.parse(announcement(listed=listed))
    assert is_read_only(announced, SERVICE, lists) is read_only


@pytest.mark.parametrize("listed", [True, False])
def test_b_2_9_co_maintainers_of_an_archived_repository_are_served(listed: bool) -> None:
    of = data((announcement(listed=False, maintainers=[BOB]), SERVED))
    assert verdict_on(announcement(BOB, listed=listed), known(of), COPIES) == Verdict(Action.SERVE)
    assert verdict_on(announcement(CAROL, listed=listed), known(of), COPIES).action is (
        Action.REFUSE
    )


def test_b_2_9_read_only_is_what_an_archive_is_unless_told_otherwise() -> None:
    assert CurationSettings(archive_all=True).read_only
    assert CurationSettings(archive_grasp_services=("a.example",)).read_only
    assert not READ_ONLY.only_copies
    assert COPIES.only_copies
    assert not WRITABLE.read_only
    assert not CurationSettings().read_only
    assert not CurationSettings(archive_read_only=True).archives
