"""The whole engine in virtual time: real repositories, a store in memory, no network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.errors import ResultClass
from purgatory_sync.git.disk.repository import is_repository, list_refs
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.purgatory.capacity import Load
from purgatory_sync.records import Placeholder
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.children import ProcessIdentity, _identity
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings, Proxy, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.protocol import Change, DomainRow
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import add_pack, history

SERVICE = "grasp.example.com"
NOW = 1_800_000_000
MAIN = "refs/heads/main"
OWNER, MAINTAINER = Author.from_seed(1), Author.from_seed(2)


class Outside:
    """Every connection is refused; the times of the attempts are kept."""

    def __init__(self) -> None:
        self.attempts: list[tuple[float, str]] = []
        self.hangs = False

    async def resolve(self, host: str) -> list[str]:
        return ["198.41.0.4"]

    async def connect(self, address: str, port: int) -> trio.abc.HalfCloseableStream:
        self.attempts.append((trio.current_time(), address))
        if self.hangs:
            await trio.sleep_forever()
        raise ConnectionRefusedError


class Home:
    """A node's data and what survives its stops."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(domain=SERVICE, git_data_path=folder / "git")
        self.store = MemoryStore()
        self.outside = Outside()
        self.epoch = NOW - trio.current_time()
        self.set_by = 0.0
        self.told: list[str] = []
        self.held: Callable[[Event], None] = lambda event: None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PurgatorySync]:
        gate = Gate(resolve=self.outside.resolve, connect=self.outside.connect)
        with blocking_in_place():
            async with open_engine(
                self.settings,
                store=self.store,
                notify=lambda event: self.told.append(event.id),
                held=self.held,
                gate=gate,
                clock=WallClock(self.epoch, lambda: self.set_by),
            ) as engine:
                yield engine

    def path(self, author: Author = OWNER) -> Path:
        return self.settings.git_data_path / encode_npub(author.pubkey) / "repo.git"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def announce(author: Author = OWNER, *elsewhere: str, created_at: int = NOW - 100) -> Event:
    return events.announcement(
        author,
        "repo",
        clone=[f"https://{SERVICE}/{author.npub}/repo.git", *elsewhere],
        relays=[f"wss://{SERVICE}"],
        created_at=created_at,
    )


async def held(home: Home) -> set[str]:
    return {row.event.id for row in (await home.store.load()).held}


async def served(home: Home) -> set[str]:
    return {event.id for event in await home.store.query([Filter()], 100)}


async def test_b_3_8_a_removal_survives_a_restart_where_the_owner_has_no_state(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home, (step, later) = Home(tmp_path), history(2)

    def named(*roles: tuple[str, Author], at: int) -> Event:
        tags = [*announce().tags, *((letter, who.pubkey) for letter, who in roles)]
        return OWNER.sign(30617, "", tags, NOW + at)

    accepts = MAINTAINER.sign(
        30617, "", [("d", "repo"), ("m", OWNER.pubkey), ("m", MAINTAINER.pubkey)], NOW - 90
    )
    async with home.running() as engine:
        for event in (named(("m", OWNER), ("m", MAINTAINER), at=-80), accepts):
            assert (await engine.offer(event, "user")).accepted
        add_pack(home.path(), [*step.objects, *later.objects])
        state = events.state(MAINTAINER, "repo", {MAIN: step.oid}, created_at=NOW - 70)
        assert (await engine.offer(state, "user")).outcome is Outcome.SERVED
        alone = named(("m", OWNER), at=-60)
        assert (await engine.offer(alone, "user")).outcome is Outcome.SERVED
    await trio.sleep(25 * 3600)
    async with home.running() as engine:
        await trio.sleep(25 * 3600)
        newer = events.state(MAINTAINER, "repo", {MAIN: later.oid}, created_at=NOW - 50)
        # He rules his own still, which is not here: it is held for that, and moves nothing.
        assert (await engine.offer(newer, "user")).outcome is Outcome.HELD
        assert list_refs(home.path()) == {MAIN: step.oid}
        await engine.offer(named(("m", OWNER), ("m", MAINTAINER), at=-40), "user")
        assert list_refs(home.path()) == {MAIN: later.oid}


async def test_b_3_1_states_of_non_members_are_counted_by_what_they_are(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with Home(tmp_path).running() as engine:
        tags = [*announce().tags, ("maintainers", MAINTAINER.pubkey)]
        await engine.offer(OWNER.sign(30617, "", tags, NOW), "user")
        for author in (MAINTAINER, Author.from_seed(3)):
            state = events.state(author, "repo", {MAIN: "1" * 40}, created_at=NOW - 5)
            assert (await engine.offer(state, "user")).outcome is Outcome.REFUSED
        assert engine.statistics().states_refused == {"invited": 1, "stranger": 1}


async def test_b_3_7_served_owners_that_no_key_rules_are_counted_by_why(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home, (step,) = Home(tmp_path), history(1)

    def with_tags(*tags: tuple[str, ...], at: int) -> Event:
        return OWNER.sign(30617, "", [*announce().tags, *tags], NOW + at)

    async with home.running() as engine:
        await engine.offer(announce(), "user")
        add_pack(home.path(), step.objects)
        await engine.offer(events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW), "user")
        assert engine.statistics().unruled == {}
        await engine.offer(with_tags(("m", OWNER.pubkey, "1", "2"), at=-50), "user")
        assert engine.statistics().unruled == {"inactive": 1}
        pointing = with_tags(("M", MAINTAINER.pubkey), at=-40)
        await engine.offer(pointing, "user")
        assert engine.statistics().unruled == {"lead-unknown": 1}
    async with home.running() as engine:
        await trio.sleep(1)
        assert engine.statistics().unruled == {"lead-unknown": 1}, "a start looks at all"
        await engine.offer(OWNER.sign(5, "", [("e", pointing.id)], NOW), "user")
        assert engine.statistics().unruled == {}


async def test_b_2_10_private_repositories_that_are_refused_are_counted(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with Home(tmp_path).running() as engine:
        private = OWNER.sign(30617, "", [*announce().tags, ("private", "true")], NOW)
        for number in (1, 2):
            assert (await engine.offer(private, "sync")).outcome is Outcome.REFUSED
            assert engine.statistics().private_refused == number


async def test_a_user_event_is_hunted_after_180_seconds(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        start = trio.current_time()
        await engine.offer(announce(OWNER, "https://far.example.com/repo.git"), "user")
        await engine.offer(
            events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50), "user"
        )
        await trio.sleep(179)
        assert home.outside.attempts == []
        await trio.sleep(2)
        assert [at - start for at, _ in home.outside.attempts] == [pytest.approx(180, abs=1.001)]
        (report,) = [e for e in engine.statistics().events if e.kind == "state"]
        assert [(s.url, s.result) for s in report.sources] == [
            ("https://far.example.com/repo.git", ResultClass.UNREACHABLE)
        ]


async def test_git_data_arrived_releases_and_tells(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        announcement = announce()
        steps = history(2)
        state = events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50)
        await engine.offer(announcement, "user")
        await engine.offer(state, "user")
        add_pack(home.path(), [o for s in steps[1:] for o in s.objects])
        result = await engine.git_data_arrived(home.path(), [steps[1].oid])
        assert result.states_released == ()
        add_pack(home.path(), steps[0].objects)
        result = await engine.git_data_arrived(home.path(), [steps[1].oid])
        assert result.states_released == (state.id,)
        assert home.told == [announcement.id, state.id]
        assert engine.statistics().released == {"announcement": 1, "state": 1}
        assert await engine.hosted(OWNER.npub, "repo") == home.path()


async def test_b_8_9_states_expire_after_30_minutes_and_are_remembered(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await engine.offer(announce(OWNER, "https://far.example.com/repo.git"), "user")
        state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
        await engine.offer(state, "sync")
        await trio.sleep(1799)
        assert state.id in await held(home)
        await trio.sleep(62)
        assert state.id not in await held(home)
        answer = await engine.offer(state, "sync")
        assert answer.message == ("invalid: previously expired from purgatory without git data")
        assert (await engine.offer(state, "user")).outcome is Outcome.HELD


async def test_n2_nothing_expires_untried(tmp_path: Path, autojump_clock: MockClock) -> None:
    home = Home(tmp_path)
    home.outside.hangs = True
    home.settings = attrs.evolve(
        home.settings,
        hunt=attrs.evolve(home.settings.hunt, connect_timeout_secs=4000.0),
    )
    async with home.running() as engine:
        engine.gate._timeout = 4000.0
        await engine.offer(announce(OWNER, "https://far.example.com/repo.git"), "user")
        state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
        await engine.offer(state, "sync")
        await trio.sleep(590)
        assert engine.statistics().events[-1].sources == ()
        await trio.sleep(1300)
        assert state.id not in await held(home)


async def test_b_2_7_announcement_goes_softly_and_is_revived_by_a_state(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        announcement = announce()
        await engine.offer(announcement, "user")
        await trio.sleep(1900)
        assert engine.statistics().held["soft-expired"] == 1
        assert not is_repository(home.path())
        state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW + 1800)
        assert (await engine.offer(state, "user")).outcome is Outcome.HELD
        assert engine.statistics().held["announcement"] == 1
        assert is_repository(home.path())
        (row,) = [r for r in (await home.store.load()).held if r.sort == "announcement"]
        assert row.soft_expired_at is None


async def test_b_2_7_softly_expired_announcement_is_forgotten_at_last(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    quick = attrs.evolve(home.settings.purgatory, soft_expiry_secs=3600.0)
    home.settings = attrs.evolve(home.settings, purgatory=quick)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        await trio.sleep(1800 + 3590)
        assert len(await held(home)) == 1
        await trio.sleep(130)
        assert await held(home) == set()


async def test_b_9_a_restart_restores_everything_and_queues_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    pr = events.pull_request(MAINTAINER, [OWNER.coordinate("repo")], "2" * 40, created_at=NOW)
    async with home.running() as engine:
        await engine.offer(announce(OWNER, "https://far.example.com/repo.git"), "user")
        await engine.offer(state, "user")
        await engine.offer(pr, "user")
    assert home.outside.attempts == []
    async with home.running() as engine:
        start = trio.current_time()
        assert engine.statistics().held == {
            "announcement": 1,
            "soft-expired": 0,
            "state": 1,
            "pr": 1,
        }
        await trio.sleep(3)
        assert len(home.outside.attempts) == 1
        assert home.outside.attempts[0][0] - start < 2


async def test_b_9_a_clock_that_was_set_back_during_a_stop_prolongs_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    home.epoch += 365 * 86_400
    limit = home.settings.sync.domain_rate_limit
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
        await engine.offer(state, "user")
        row = Placeholder(OWNER.pubkey, "repo", "5" * 64, "1" * 40, engine.explainer.clock.now())
        await home.store.apply(Change(placeholders=[row]))
        starts = (engine.explainer.clock.now(),) * limit
        home.store.note_domains([DomainRow("far.example.com", starts)])
    home.epoch -= 365 * 86_400
    async with home.running() as engine:
        assert engine.explainer.throttles.statistics().domains["far.example.com"].tokens == 0
        await trio.sleep(61)
        domain = engine.explainer.throttles.statistics().domains.get("far.example.com")
        assert domain is None or domain.tokens == limit
        await trio.sleep(32 * 60)
        assert state.id not in await held(home)
        assert (await home.store.load()).placeholders == ()


async def test_b_1_9_the_bounds_hold_after_a_restart_and_push_nothing_out(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    held = [
        events.state(OWNER, "repo", {MAIN: f"{n}" * 40}, created_at=NOW - n) for n in range(1, 4)
    ]
    last = events.state(OWNER, "repo", {MAIN: "9" * 40}, created_at=NOW)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        for event in held[:2]:
            assert (await engine.offer(event, "user")).outcome is Outcome.HELD
        used = engine.purgatory.room.total.size
    bounds = attrs.evolve(home.settings.purgatory, max_bytes=used)
    home.settings = attrs.evolve(home.settings, purgatory=bounds)
    async with home.running() as engine:
        assert engine.purgatory.room.total == Load(3, used)
        assert (await engine.offer(held[2], "sync")).message.startswith("rate-limited: ")
    bounds = attrs.evolve(bounds, max_bytes=1000, max_bytes_per_author=1000)
    home.settings = attrs.evolve(home.settings, purgatory=bounds)
    async with home.running() as engine:
        assert engine.purgatory.room.total == Load(3, used)
        assert (await engine.offer(last, "user")).message.startswith("rate-limited: ")


async def test_a_crash_between_refs_and_transaction_heals_at_start(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    steps = history(1)
    state = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        await engine.offer(state, "user")
    add_pack(home.path(), steps[0].objects)
    async with home.running() as engine:
        assert state.id in await served(home)
        assert list_refs(home.path()) == {MAIN: steps[0].oid}


async def test_a_start_sweeps_what_the_dead_left_and_nothing_of_the_living(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    tmp = home.settings.git_data_path / ".tmp"
    own, init = ProcessIdentity.current(), _identity(1)
    living = [f"pack-{each.pid}-{each.start_ticks}-{'a' * 16}" for each in (own, init)]
    dead = [
        f"pack-{own.pid}-{own.start_ticks + 1}-{'b' * 16}",  # its number was given to us since
        f"join-{2**22 + 1}-{own.start_ticks}-{'c' * 16}.pack",
        f"gone-{2**22 + 1}-{own.start_ticks}-{'d' * 16}",
    ]
    for name in (*living, *dead, "of somebody"):
        (tmp / name / "objects").mkdir(parents=True)
    async with home.running():
        assert sorted(path.name for path in tmp.iterdir()) == sorted([*living, "of somebody"])


async def test_b_8_2_starts_survive_a_restart(tmp_path: Path, autojump_clock: MockClock) -> None:
    home = Home(tmp_path)
    home.settings = attrs.evolve(
        home.settings, sync=attrs.evolve(home.settings.sync, domain_rate_limit=1)
    )
    async with home.running() as engine:
        await engine.offer(announce(OWNER, "https://far.example.com/repo.git"), "user")
        state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
        await engine.offer(state, "sync")
        await trio.sleep(2)
    async with home.running():
        await trio.sleep(70)
    first, second = (at for at, _ in home.outside.attempts)
    assert second - first >= 60


async def test_cancelling_the_engine_ends_running_attempts(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    home.outside.hangs = True
    async with home.running() as engine:
        await engine.offer(announce(OWNER, "https://far.example.com/repo.git"), "user")
        state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
        await engine.offer(state, "sync")
        await trio.sleep(3)
        assert len(home.outside.attempts) == 1
        before = trio.current_time()
    assert trio.current_time() == before


async def test_limits_that_are_over_are_forgotten_at_start(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    over = DomainRow("over.example.com", (), NOW - 1.0)
    home.store.note_domains([over, DomainRow("rests.example.com", (), NOW + 100.0)])
    async with home.running():
        domains = (await home.store.load()).domains
    assert [row.domain for row in domains] == ["rests.example.com"]


async def test_the_gate_is_what_the_settings_say(tmp_path: Path, autojump_clock: MockClock) -> None:
    through = HuntSettings(proxy=Proxy("http", "proxy.example", 3128))
    for hunt in (HuntSettings(), through):
        settings = Settings(git_data_path=tmp_path, hunt=hunt)
        with blocking_in_place():
            async with open_engine(settings, store=MemoryStore()) as engine:
                assert engine.gate.is_proxied is (hunt is through)
