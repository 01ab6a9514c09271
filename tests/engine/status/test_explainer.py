"""Why an event is held, as the engine tells an operator (N6)."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync
from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.engine.status import explainer
from purgatory_sync.engine.status.explainer import Explainer, Hunted
from purgatory_sync.engine.status.models import Fate, HeldStatus
from purgatory_sync.engine.status.served_recently import ServedRecently
from purgatory_sync.errors import NaughtyScope, ResultClass
from purgatory_sync.nostr.event import Event
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import add_pack, history
from ..test_engine import MAIN, NOW, OWNER, SERVICE, Home, announce

FAR = "https://far.example.com/repo.git"
OID = "1" * 40


async def hold(engine: PurgatorySync) -> str:
    """An announcement with one source elsewhere, and a state whose object no server has."""
    await engine.offer(announce(OWNER, FAR), "user")
    state = events.state(OWNER, "repo", {MAIN: OID}, created_at=NOW - 50)
    await engine.offer(state, "user")
    return state.id


async def why(engine: PurgatorySync, name: str, kind: str) -> HeldStatus:
    (look,) = [each for each in await engine.explainer.why(name) if each.kind == kind]
    return look


async def test_before_the_hunt(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with Home(tmp_path).running() as engine:
        state_id = await hold(engine)
        look = await why(engine, "repo", "state")
        assert look == await why(engine, state_id, "state")
        assert (look.event_id, look.author, look.identifiers) == (
            state_id,
            OWNER.pubkey,
            ("repo",),
        )
        assert (look.missing, look.missing_total) == ((OID,), 1)
        assert look.accepted_at == pytest.approx(NOW, abs=1)
        assert look.until == look.accepted_at + 1800
        assert look.at_the_latest == look.accepted_at + 86400
        assert look.next_attempt == pytest.approx(NOW + 180, abs=1)
        assert not look.hunting
        (source,) = look.sources
        assert (source.url, source.at, source.result, source.naughty_until) == (
            FAR,
            None,
            None,
            None,
        )
        held = await why(engine, "repo", "announcement")
        assert (held.missing_total, held.next_attempt, held.at_the_latest) == (None, None, None)
        assert await engine.explainer.why("other") == ()


async def test_b_8_9_the_latest_end_is_that_of_the_sweep_after_the_machine_slept(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await hold(engine)
        home.set_by = 25 * 3600.0
        await trio.sleep(60)
        look = await why(engine, "repo", "state")
        assert look.at_the_latest == pytest.approx(engine.explainer.clock.now() + 86400, abs=60)


async def test_why_nothing_would_release_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    """What stays held although nothing is missing says why (B 1.3, 3.5, 4.1, 7.2)."""
    bob, stranger = Author.from_seed(2), Author.from_seed(3)
    empty = events.state(OWNER, "repo", {}, created_at=NOW - 50)
    senseless = events.state(OWNER, "repo", {MAIN: "nonsense"}, created_at=NOW - 49)
    from_bob = events.state(bob, "repo", {MAIN: OID}, created_at=NOW - 48)
    waiting = events.state(OWNER, "repo", {MAIN: OID}, created_at=NOW - 47)
    request = events.pull_request(bob, [OWNER.coordinate("repo")], OID, created_at=NOW)

    def announced(clone: str, at: int, *maintainers: Author, lead: Author = OWNER) -> Event:
        tags = [("d", "repo"), ("clone", clone, FAR), ("relays", f"wss://{SERVICE}")]
        roles = [("M", lead.pubkey), *(("m", each.pubkey) for each in maintainers)]
        return OWNER.sign(30617, "", [*tags, *roles], at)

    accepts = bob.sign(
        30617, "", [("d", "repo"), ("M", OWNER.pubkey), ("m", bob.pubkey)], NOW - 100
    )

    async with Home(tmp_path).running() as engine:

        async def obstacles() -> list[str | None]:
            found = {each.event_id: each for each in await engine.explainer.why("repo")}
            return [found[each.id].obstacle for each in offered]

        async def remedies() -> list[str]:
            found = {each.event_id: each for each in await engine.explainer.why("repo")}
            return [found[each.id].remedy or "" for each in offered]

        ours = f"https://{SERVICE}/{OWNER.npub}/repo.git"
        offered = (empty, senseless, from_bob, waiting, request)
        for event in (announced(ours, NOW - 100, bob), accepts, *offered):
            assert (await engine.offer(event, "user")).accepted
        assert await obstacles() == ["no_refs", "unsatisfiable", None, None, None]
        await engine.offer(announced(ours, NOW - 90), "user")
        assert await obstacles() == ["no_refs", "unsatisfiable", "unauthorised", None, None]
        assert "names you no more" in (await remedies())[2]
        await engine.offer(announced(ours, NOW - 85, OWNER, lead=stranger), "user")
        path = "path"
        assert await obstacles() == [path, "unsatisfiable", path, path, "unannounced"]
        said = await remedies()
        assert all(stranger.npub in said[at] for at in (0, 2, 3))
        await engine.offer(announced(ours, NOW - 84, bob), "user")
        left = bob.sign(30617, "", [("d", "repo"), ("m", bob.pubkey, "1", "2")], NOW - 83)
        await engine.offer(left, "user")
        assert await obstacles() == ["no_refs", "unsatisfiable", "unauthorised", None, None]
        assert "ended your role" in (await remedies())[2]
        await engine.offer(bob.sign(5, "", [("e", left.id)], NOW), "user")
        assert await obstacles() == ["no_refs", "unsatisfiable", "invited", None, None]
        assert f"invited by {OWNER.npub}" in (await remedies())[2]
        await engine.offer(announced(FAR, NOW - 80), "user")
        outsider = "unauthorised"
        assert await obstacles() == [outsider, "unsatisfiable", outsider, outsider, "unannounced"]


async def test_sources_are_those_of_the_event(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A pull request's own clone URLs serve its commit and nothing else (B 8.1)."""
    fork = "https://fork.example.com/repo.git"
    async with Home(tmp_path).running() as engine:
        await hold(engine)
        request = events.pull_request(
            Author.from_seed(2), [OWNER.coordinate("repo")], "2" * 40, clone=[fork], created_at=NOW
        )
        assert (await engine.offer(request, "user")).outcome is Outcome.HELD
        of_state = await why(engine, "repo", "state")
        of_request = await why(engine, "repo", "pr")
        assert [source.url for source in of_state.sources] == [FAR]
        assert [source.url for source in of_request.sources] == [FAR, fork]


async def test_b_2_7_the_end_of_what_expired_softly(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with Home(tmp_path).running() as engine:
        await engine.offer(announce(OWNER, FAR), "user")
        assert (await why(engine, "repo", "announcement")).until == pytest.approx(NOW + 1800, abs=1)
        await trio.sleep(1900)
        look = await why(engine, "repo", "soft-expired")
        assert look.until == pytest.approx(NOW + 1860 + 86400, abs=61)


async def test_why_tells_no_more_than_its_bounds(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explainer, "EVENTS_SHOWN", 2)
    monkeypatch.setattr(explainer, "SOURCES_SHOWN", 3)
    far = [f"https://far{number}.example.com/r.git" for number in range(5)]
    async with Home(tmp_path).running() as engine:
        await engine.offer(announce(OWNER, *far), "user")
        for number in range(3):
            refs = {MAIN: f"{number + 1}" * 40}
            await engine.offer(events.state(OWNER, "repo", refs, created_at=NOW + number), "user")
        looks = await engine.explainer.why("repo")
        assert [each.kind for each in looks] == ["announcement", "state"]
        assert len(looks[1].sources) == 3
        await trio.sleep(200)
        shown = (await engine.explainer.look()).events
        assert [len(each.sources) for each in shown if each.kind == "state"] == [3]


async def test_during_and_after_the_hunt(tmp_path: Path, autojump_clock: MockClock) -> None:
    home = Home(tmp_path)
    home.outside.hangs = True
    async with home.running() as engine:
        await hold(engine)
        await trio.sleep(185)
        look = await why(engine, "repo", "state")
        assert (look.hunting, look.next_attempt) == (True, None)
        assert not (await why(engine, "repo", "announcement")).hunting
        await trio.sleep(20)
        look = await why(engine, "repo", "state")
        (source,) = look.sources
        assert source.result is ResultClass.TIMEOUT
        assert source.detail == "no connection within 10 s"
        assert look.next_attempt is not None


async def test_the_whole_look(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with Home(tmp_path).running() as engine:
        state_id = await hold(engine)
        await trio.sleep(182)
        look = await engine.explainer.look()
        assert look.at == pytest.approx(NOW + 182, abs=1)
        assert look.held == {"announcement": 1, "soft-expired": 0, "state": 1, "pr": 0}
        assert (look.queued, look.events_total, look.domains_total) == (1, 2, 1)
        assert {each.kind: each.missing_total for each in look.events} == {
            "state": 1,
            "announcement": None,
        }
        assert look.last_hour.counts == {
            "attempts.unreachable": 1,
            "offered.held": 2,
            "expired": 0,
        }
        (domain,) = look.domains
        assert domain.domain == "far.example.com"
        assert domain.limits is not None
        assert (domain.limits.tokens, domain.limits.requests_total) == (29, 1)
        await trio.sleep(1900)
        look = await engine.explainer.look()
        assert look.last_hour.counts["expired"] == 1
        assert state_id not in [each.event_id for each in look.events]


async def test_b_10_3_however_many_ask_the_disk_is_asked_once_in_two_seconds(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with Home(tmp_path).running() as engine:
        first = await engine.explainer.look()
        await trio.sleep(1.9)
        assert await engine.explainer.look() is first
        await trio.sleep(0.2)
        assert await engine.explainer.look() is not first


async def test_b_10_3_a_slow_look_is_shown_ten_times_as_long(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Home(tmp_path).running() as engine:
        real = Explainer._look

        async def slow(self: Explainer) -> object:
            await trio.sleep(3)
            return await real(self)

        monkeypatch.setattr(Explainer, "_look", slow)
        first = await engine.explainer.look()
        await trio.sleep(29)
        assert await engine.explainer.look() is first
        await trio.sleep(2)
        assert await engine.explainer.look() is not first


async def test_b_8_7_a_hunt_by_hand_asks_naughty_sources_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await hold(engine)
        throttles = engine.explainer.throttles
        throttles.note_naughty(FAR, NaughtyScope.HOST, "no such name")
        look = await why(engine, "repo", "state")
        assert look.sources[0].naughty_reason == "no such name"
        assert look.sources[0].naughty_until == pytest.approx(NOW + 12 * 3600, abs=1)
        started = trio.current_time()
        assert await engine.explainer.hunt("repo") == Hunted("repo", (FAR,))
        await trio.sleep(2)
        assert len(home.outside.attempts) == 1
        assert home.outside.attempts[0][0] - started <= 1.001
        assert await engine.explainer.hunt("other") is None


async def test_what_became_of_an_event(tmp_path: Path, autojump_clock: MockClock) -> None:
    home = Home(tmp_path)
    steps = history(1)
    async with home.running() as engine:
        state_id = await hold(engine)
        assert await engine.explainer.fate(state_id) is None
        good = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW)
        add_pack(home.path(), steps[0].objects)
        await trio.sleep(10)
        assert (await engine.offer(good, "user")).outcome is Outcome.SERVED
        fate = await engine.explainer.fate(good.id)
        assert fate is not None
        assert (fate.outcome, fate.until) == ("served", None)
        assert fate.at == pytest.approx(NOW + 10, abs=1)
        for unknown in ("repo", "f" * 64, ""):
            assert await engine.explainer.fate(unknown) is None
        other = events.state(OWNER, "repo", {MAIN: OID}, created_at=NOW + 20)
        assert (await engine.offer(other, "user")).outcome is Outcome.HELD
        await trio.sleep(1900)
        fate = await engine.explainer.fate(other.id)
        assert fate is not None
        assert fate.outcome == "expired"
        assert fate.at is not None
        assert fate.at == pytest.approx(NOW + 1840, abs=65)
        assert (fate.until, fate.next_at) == (None, fate.at + 3600)
    async with home.running() as engine:
        assert await engine.explainer.fate(good.id) == Fate(good.id, "served", None)
        again = await engine.explainer.fate(other.id)
        assert again is not None
        assert again.next_at is not None
        assert attrs.evolve(again, next_at=fate.next_at) == fate


def test_when_events_became_served_is_forgotten_at_last() -> None:
    lately = ServedRecently(most=2)
    for number in range(3):
        lately.note(str(number), number)
    assert [lately.since(each) for each in "012"] == [None, 1, 2]


async def test_b_6_4_the_page_of_a_repository(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with Home(tmp_path).running() as engine:
        assert await engine.repository(OWNER.npub, "repo") is None
        await engine.offer(announce(), "user")
        look = await engine.repository(OWNER.npub, "repo")
        assert look is not None
        assert (look.name, look.is_served, look.scheme, look.relay) == (
            "repo",
            False,
            "https",
            "grasp.example.com",
        )
        assert await engine.repository("npub1nonsense", "repo") is None
        tags = [("d", "long"), ("name", "n" * 201), ("description", "d" * 2001)]
        tags += [("clone", f"https://{SERVICE}/{OWNER.npub}/x.git"), ("relays", f"wss://{SERVICE}")]
        await engine.offer(OWNER.sign(30617, "", tags, NOW - 100), "user")
        look = await engine.repository(OWNER.npub, "long")
        assert look is not None
        assert (look.name, look.description) == ("n" * 199 + "…", "d" * 1999 + "…")
        clone = f"http://{SERVICE}/{OWNER.npub}/x.git"
        tags = [("d", "open"), ("clone", clone), ("relays", f"ws://{SERVICE}")]
        await engine.offer(OWNER.sign(30617, "", tags, NOW - 100), "user")
        look = await engine.repository(OWNER.npub, "open")
        assert look is not None
        assert (look.name, look.scheme, look.relay) == ("", "http", f"ws://{SERVICE}")


async def test_the_page_shows_and_looks_at_no_more_than_its_bounds(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explainer, "EVENTS_SHOWN", 3)
    monkeypatch.setattr(explainer, "OIDS_LOOKED_AT", 3)
    monkeypatch.setattr(explainer, "MISSING_SHOWN", 1)
    async with Home(tmp_path).running() as engine:
        await engine.offer(announce(OWNER, FAR), "user")
        for number in range(1, 5):
            refs = {MAIN: f"{number}" * 40, "refs/heads/b": "f" * 40}
            await trio.sleep(1)
            await engine.offer(events.state(OWNER, "repo", refs, created_at=NOW + number), "user")
        look = await engine.explainer.look()
        assert look.events_total == 5
        shown = [(round(each.accepted_at - NOW), each.missing_total) for each in look.events]
        assert shown == [(4, 2), (3, None), (2, None)]
        assert look.events[0].missing == ("4" * 40,)


async def test_b_10_3_the_figures_of_an_hour_outlast_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await hold(engine)
        await trio.sleep(310)  # what was counted last is written down by then
        (before,) = (await engine.explainer.look()).hours
        assert before.held == {"announcement": 1, "soft-expired": 0, "state": 1, "pr": 0}
        assert before.counts["attempts.unreachable"] > 0
        assert list(before.domains) == ["far.example.com"]
    async with home.running() as engine:
        hours = (await engine.explainer.look()).hours
        assert before.counts.items() <= hours[0].counts.items()
