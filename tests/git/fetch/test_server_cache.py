import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.errors import BadPack, ObjectsRefused
from purgatory_sync.git.fetch.advertisement import Server
from purgatory_sync.git.fetch.fruitless import MEMORY_SECS, Fruitless
from purgatory_sync.git.fetch.server_cache import HABIT_SECS, Habit, KnownServers
from purgatory_sync.records import ServerNote
from purgatory_sync.urls import parse_web_url

V0 = Server(0, frozenset({b"side-band-64k"}))


def test_servers_are_known_by_scheme_host_and_port() -> None:
    known = KnownServers()
    known.note_server(parse_web_url("https://git.example/a"), V0)
    assert known.server(parse_web_url("https://git.example:443/b")) == V0
    assert known.server(parse_web_url("https://git.example:8443/a")) is None
    assert known.server(parse_web_url("http://git.example:443/a")) is None


def test_redirects_within_a_host_are_remembered_and_others_are_not() -> None:
    known = KnownServers()
    url = parse_web_url("https://git.example/a")
    same, other = (parse_web_url(f"https://{host}/b") for host in ("git.example", "x.example"))
    known.note_place(url, same)
    assert known.place(url) == same
    known.note_place(url, other)
    assert known.place(url) == url


def test_memory_is_bounded_and_forgets_what_was_not_used() -> None:
    known = KnownServers(limit=3)
    urls = [parse_web_url(f"https://h{number}.example/a") for number in range(4)]
    for url in urls[:3]:
        known.note_server(url, V0)
    assert known.server(urls[0]) == V0
    known.note_server(urls[3], V0)
    assert len(known) == 3
    assert known.server(urls[1]) is None
    assert known.server(urls[0]) == V0


NOW = 1_800_000_000.0
URL = "https://git.example/a.git"
REFUSED = ObjectsRefused("no", "said so"), ["12" * 20, "34" * 20], b"refs", ("56" * 20,)


def noting(known: KnownServers, notes: dict[str, str] | None = None) -> dict[str, str]:
    """What a store would have of it."""
    notes = {} if notes is None else notes

    def note(key: str, text: str | None) -> None:
        if text is None:
            notes.pop(key, None)
        else:
            notes[key] = text

    known.on_note = note
    return notes


def after_a_restart(notes: dict[str, str], age: float) -> KnownServers:
    known = KnownServers()
    noting(known, notes)
    known.restore([ServerNote(key, text, NOW - age) for key, text in notes.items()], NOW)
    return known


async def test_b_8_3_what_brought_nothing_is_known_after_a_restart(
    autojump_clock: MockClock,
) -> None:
    notes = noting(before := KnownServers())
    before.fruitless.note(URL, Fruitless.of(*REFUSED))
    before.fruitless.note("https://bad.example/b", Fruitless.of(BadPack("odd"), ["a"], b"x", ()))
    known = after_a_restart(notes, age=3600.0)
    found = known.fruitless.find(URL, ["12" * 20])
    assert found is not None
    assert (found.refs, found.tips, found.at) == (b"refs", ("56" * 20,), -3600.0)
    assert found.server_message == "said so"
    bad = known.fruitless.find("https://bad.example/b", ["a"])
    assert bad is not None
    assert type(bad.again()) is BadPack
    await trio.sleep(MEMORY_SECS - 3600.0)
    assert known.fruitless.find(URL, ["12" * 20]) is None
    assert list(notes) == ["fruitless https://bad.example/b"]
    known.fruitless.forget("https://bad.example/b")
    assert notes == {}


async def test_b_8_4_habits_are_known_after_a_restart(autojump_clock: MockClock) -> None:
    notes = noting(before := KnownServers())
    base = parse_web_url("https://[2001:db8::1]:8443/a")
    before.note_habit(base, Habit.IN_ORDER)
    assert after_a_restart(notes, age=60.0).habit(base) is Habit.IN_ORDER
    assert after_a_restart(notes, age=HABIT_SECS).habit(base) is None
    assert notes == {}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("habit https a", "slow"),
        ("habit https a x", "slow"),
        ("habit https a 443", "fast"),
        ("fruitless u", "no JSON"),
        ("fruitless u", "[]"),
        ("fruitless u", "{}"),
        ("fruitless u", '{"wanted": 1, "kind": "BadPack"}'),
        ("what", "ever"),
    ],
)
async def test_what_cannot_be_read_is_forgotten(
    key: str, text: str, autojump_clock: MockClock
) -> None:
    notes = {key: text}
    assert len(after_a_restart(notes, age=1.0)) == 0
    assert notes == {}


async def test_what_makes_room_is_forgotten_on_disk_too(autojump_clock: MockClock) -> None:
    notes = noting(known := KnownServers(limit=2))
    for number in range(3):
        base = parse_web_url(f"https://h{number}.example/a")
        known.note_habit(base, Habit.SLOW)
        known.fruitless.note(base.text, Fruitless.of(*REFUSED))
    assert sorted(notes) == [
        "fruitless https://h1.example/a",
        "fruitless https://h2.example/a",
        "habit https h1.example 443",
        "habit https h2.example 443",
    ]
