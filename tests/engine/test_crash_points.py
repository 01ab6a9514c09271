"""Killed before any change of the disk, in all that a node does: a start heals it (N1).

One engine does everything that writes. Before each single change its folder is copied as a kill at
that moment would leave it; then a node starts on each copy, and does again what was interrupted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.upkeep import repacker
from purgatory_sync.engine.upkeep.garbage_collector import AT_MOST_EVERY_SECS
from purgatory_sync.engine.upkeep.repacker import Repacker
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.git.disk.repository import list_refs, present_oids, read_head
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.release.index.repositories import PROVEN_MARKER
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.children import ProcessIdentity
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings, PurgatorySettings, Settings
from purgatory_sync.store.sqlite import SqliteStore
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import clock_at

from ..git.local_repos import Step, git, history
from .pushes.pushing_support import pack

SERVICE: Final = "grasp.example.com"
NOW: Final = 1_800_000_000
MAIN, DEV, TAG = "refs/heads/main", "refs/heads/dev", "refs/tags/v1"
OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
CHANGES: Final = ("mkdir", "rename", "replace", "link", "symlink", "unlink", "rmdir", "utime")
SETTLING_SECS: Final = 5
NOT_BARRED: Final = 600
# What expired is not kept: a start would hold it once more.
ENDS_SOON: Final = PurgatorySettings(
    expiry_secs=180, soft_expiry_secs=1800, placeholder_expiry_secs=120, expired_max_bytes=1
)

(STRAY,) = history(1, "stray")

Act = Callable[[PurgatorySync], Awaitable[None]]
Look = Mapping[str, object]


def offering(*offered: Event, accepted: bool = True) -> Act:
    async def act(engine: PurgatorySync) -> None:
        for event in offered:
            answer = await engine.offer(event, "user")
            assert answer.accepted == accepted, answer.message

    return act


def pushing(changes: Mapping[str, str | None], *steps: Step) -> Act:
    async def act(engine: PurgatorySync) -> None:
        await engine.pusher.receive(RepositoryId(OWNER.pubkey, "repo"), changes, pack(steps))

    return act


def waiting(secs: float) -> Act:
    async def act(engine: PurgatorySync) -> None:
        await trio.sleep(secs)

    return act


async def purge(engine: PurgatorySync) -> None:
    with suppress(ConfigurationError):  # done before: nothing of it is here
        await engine.keepers.purger.purge(f"{OWNER.npub}/repo", execute=True)


async def repack(engine: PurgatorySync) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repacker, "MANY_PACKS", 2)
        await Repacker(engine._core, engine._releaser, 0).look()


def listing(author: Author, identifier: str, at: int, *maintainers: Author) -> Event:
    return events.announcement(
        author,
        identifier,
        clone=[f"https://{SERVICE}/{author.npub}/{identifier}.git"],
        relays=[f"wss://{SERVICE}"],
        maintainers=maintainers,
        created_at=NOW + at,
    )


def state(identifier: str, at: int, refs: Mapping[str, str]) -> Event:
    return events.state(OWNER, identifier, refs, head=MAIN, created_at=NOW + at)


def acts() -> dict[str, Act]:
    """All that writes, in an order in which each finds what it needs."""
    one, two, three, four, five = history(5)
    first, second = {MAIN: one.oid, DEV: one.oid}, {MAIN: two.oid, TAG: one.oid}
    early, late, other = (
        events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW + at)
        for at, step in enumerate((three, four, five))
    )
    ref = {request: f"refs/nostr/{request.id}" for request in (early, late, other)}
    spare = state("spare", 6, {MAIN: one.oid})
    unlisted = events.announcement(OWNER, "evicted", created_at=NOW + 8)
    deletion = events.deletion(OWNER, addresses=[f"30617:{OWNER.pubkey}:repo"], created_at=NOW + 12)
    return {
        "announce": offering(listing(OWNER, "repo", 0, MAINTAINER)),
        "hold a state": offering(state("repo", 1, first)),
        "push": pushing(dict(first), one),
        "announce as a co-maintainer": offering(listing(MAINTAINER, "repo", 2, OWNER)),
        "move refs without a push": offering(state("repo", 2, {MAIN: one.oid})),
        "hold a newer state": offering(state("repo", 3, second)),
        "push it": pushing({**second, DEV: None}, two),
        "push a pull request": pushing({ref[early]: three.oid}, three),
        "release it by its event": offering(early),
        "hold a pull request": offering(late),
        "release it by a push": pushing({ref[late]: four.oid}, four),
        "push what its event will not name": pushing({ref[other]: four.oid}),
        "hold its event": offering(other),
        "announce more": offering(listing(OWNER, "spare", 5)),
        "hold a state of it": offering(spare),
        "announce it anew": offering(listing(OWNER, "spare", 6)),
        "delete what is held": offering(events.deletion(OWNER, ids=[spare.id])),
        "delete what is served": offering(events.deletion(STRANGER, ids=[early.id])),
        "repack": repack,
        "push what no event will name": pushing({f"refs/nostr/{'5' * 64}": STRAY.oid}, STRAY),
        "announce and": offering(listing(OWNER, "evicted", 7)),
        "evict": offering(unlisted, accepted=False),
        "wait for many ends": waiting(250),
        "revive": offering(state("spare", 10, {MAIN: five.oid})),
        "wait for its second end": waiting(430),
        "wait until it is forgotten": waiting(1900),
        "delist": offering(events.announcement(MAINTAINER, "repo", created_at=NOW + 11)),
        "delete the announcement": offering(deletion),
        "announce it once more": offering(listing(OWNER, "repo", NOT_BARRED, MAINTAINER)),
        "publish its state": offering(state("repo", NOT_BARRED + 1, second)),
        "purge": purge,
    }


NAMES: Final = tuple(acts())
# Their transaction comes before the alignment that they bring (B 9).
ALIGNED_LATER: Final = ("announce as a co-maintainer", "delist")


@attrs.frozen
class Moment:
    """A kill.

    Attributes:
      act: which one it interrupted.
      folder: what was on disk.
      wall: Unix seconds.
      change: what was not done any more.
    """

    act: int
    folder: Path
    wall: float
    change: str

    def __str__(self) -> str:
        return f"{NAMES[self.act]!r}, before {self.change} ({self.folder.name})"


@attrs.define
class Film:
    """Copies a node's folder before each change that it makes.

    Attributes:
      moments: those copied.
      act: the act that is being done.
    """

    folder: Path
    copies: Path
    clock: WallClock
    moments: list[Moment] = attrs.field(factory=list)
    act: int = 0
    _changed: bool = False
    _copying: bool = False

    @contextmanager
    def running(self, engine: PurgatorySync) -> Iterator[None]:
        """Copy while in the block, and at its end."""
        assert isinstance(engine.store, SqliteStore)
        connection = engine.store._connection
        with pytest.MonkeyPatch.context() as patch:
            for name in (*CHANGES, "open"):
                patch.setattr(os, name, self._filming(name))
            connection.set_trace_callback(self._executing)
            yield
            connection.set_trace_callback(None)
        self._copy("nothing")

    def _filming(self, name: str) -> Callable[..., Any]:
        change = getattr(os, name)

        def before(*args: Any, **kwargs: Any) -> Any:
            writes = name != "open" or args[1] & os.O_CREAT
            if writes and not self._copying:
                # What is built, judged or deleted beside the repositories is not seen.
                paths = [str(each) for each in args if isinstance(each, str | Path)]
                seen = any(p.startswith(f"{self.folder}/") and "/.tmp" not in p for p in paths)
                if seen or self._changed:
                    self._copy(f"{name} {' '.join(paths)}".replace(f"{self.folder}/", ""))
                self._changed = seen
            return change(*args, **kwargs)

        return before

    def _executing(self, statement: str) -> None:
        if statement == "COMMIT":
            self._copy(statement)
            self._changed = True

    def _copy(self, change: str) -> None:
        self._copying = True
        copy = self.copies / str(len(self.moments))
        subprocess.run(["cp", "-a", self.folder, copy], check=True)
        self.moments.append(Moment(self.act, copy, self.clock.now(), change))
        self._copying = self._changed = False


@asynccontextmanager
async def running(folder: Path, clock: WallClock) -> AsyncIterator[PurgatorySync]:
    async def unreachable(*_: object) -> Any:
        raise OSError("nobody is there")

    async with open_engine(
        Settings(
            domain=SERVICE,
            git_data_path=folder / "git",
            relay_data_path=folder / "relay",
            hunt=HuntSettings(min_free_bytes=0),
            purgatory=ENDS_SOON,
        ),
        gate=Gate(resolve=unreachable, connect=unreachable),
        clock=clock,
    ) as engine:
        yield engine


async def look(engine: PurgatorySync) -> Look:
    """All that a node promised, by what it is of."""
    journal, served = await engine.store.load(), await engine.store.query([Filter()], 1000)
    seen: dict[str, object] = {f"event {event.id}": "served" for event in served}
    for row in journal.held:
        soft = row.soft_expired_at is not None
        seen[f"event {row.event.id}"] = "softly expired" if soft else "held"
    for each in journal.placeholders:
        seen[f"placeholder {each.owner} {each.event_id}"] = each.oid
    for path in engine.settings.git_data_path.glob("npub1*/*"):
        proven = (path / PROVEN_MARKER).exists()
        seen[f"repository {path.parent.name}/{path.name}"] = (
            list_refs(path),
            read_head(path),
            proven,
        )
    for path in engine.settings.git_data_path.glob(".deleted/npub1*/*"):
        seen[f"deleted {path.parent.name}/{path.stem}"] = list_refs(path)
    return seen


async def play(folder: Path, copies: Path) -> tuple[list[Look], list[Moment]]:
    """Let a node do everything; what it looked like before and after each act, and all moments."""
    clock = clock_at(NOW)
    film = Film(folder, copies, clock)
    async with running(folder, clock) as engine:
        looks = [await look(engine)]
        for film.act, act in enumerate(acts().values()):
            with film.running(engine):
                await act(engine)
            looks.append(await look(engine))
    return looks, film.moments


def require_between(found: Look, old: Look, new: Look, act: str) -> None:
    """All of an act is done or nothing, except for what may be done one after another."""
    together = not act.startswith("wait")
    sides = set()
    for what in found.keys() | old.keys() | new.keys():
        is_old, is_new = found.get(what) == old.get(what), found.get(what) == new.get(what)
        assert is_old or is_new, f"{what} is {found.get(what)}"
        # A placeholder without its ref ends like one with it.
        if together and is_old != is_new and not what.startswith("placeholder"):
            sides.add(is_new)
    assert len(sides) < 2, "half of it is done"


async def require_healed(moment: Moment, old: Look, new: Look) -> None:
    """A start heals what the kill left, and what was interrupted can be done again."""
    clock = clock_at(moment.wall)
    async with running(moment.folder, clock) as engine:
        await trio.sleep(SETTLING_SECS)
        found = await look(engine)
        require_between(found, old, new, NAMES[moment.act])
        git_data = moment.folder / "git"
        assert [*git_data.glob(".tmp/*")] == []
        for path in git_data.glob("npub1*/*.git"):
            git(path, "fsck", "--connectivity-only")
        await acts()[NAMES[moment.act]](engine)
        again = await look(engine)
        if moment.act == NAMES.index("wait for many ends"):
            await trio.sleep(2 * AT_MOST_EVERY_SECS)  # what goes next may have to wait for it
            assert not any(present_oids(each, [STRAY.oid]) for each in git_data.glob("npub1*/*"))
    assert again == new, "done again it comes to something else"


@pytest.mark.real
async def test_n1_killed_before_any_change_of_the_disk(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    with blocking_in_place():
        with monkeypatch.context() as patch:
            dead = ProcessIdentity(os.getpid(), 1)
            patch.setattr(ProcessIdentity, "current", lambda: dead)
            looks, moments = await play(tmp_path / "live", copies)
        for moment in moments:
            try:
                with capture_logs() as logs:
                    await require_healed(moment, looks[moment.act], looks[moment.act + 1])
                assert [each for each in logs if each["log_level"] not in ("debug", "info")] == []
                if NAMES[moment.act] not in ALIGNED_LATER:
                    assert "brought up" not in [each["event"] for each in logs]
            except BaseException as error:
                error.add_note(f"killed in {moment}")
                raise
    assert any("purgatory-sync-era" in moment.change for moment in moments)
    assert {moment.act for moment in moments} == set(range(len(NAMES)))
