"""Attempts at servers in memory whose answers are written here, on virtual time."""

from pathlib import Path

import pytest
import trio
import trio.testing

from purgatory_sync.errors import (
    AttemptFailed,
    BadPack,
    BadStatus,
    ConnectFailed,
    Forbidden,
    NotGit,
    NotHttp,
    ObjectsRefused,
    ProtocolBroken,
    RateLimited,
    RedirectRefused,
    RepositoryUnavailable,
    TimedOut,
    TooLarge,
)
from purgatory_sync.git.repository import present_oids
from purgatory_sync.settings import HuntSettings

from .local_repos import MADE_UP, add_pack, history, new_repository, tag_of
from .scripted import (
    ADVERTISEMENT,
    HANG,
    RESULT,
    Answer,
    Observed,
    Reply,
    Seen,
    World,
    err,
    info_v2,
    pack_of,
    redirect,
    refs_v0,
    refs_v2,
    seconds,
    v0_pack,
    v2_pack,
    world,
)

STEPS = history(3)
OBJECTS = [item for step in STEPS for item in step.objects]
TIP = STEPS[-1].oid
PACK = pack_of(OBJECTS)
REFS = {"refs/heads/main": TIP}
URL = "http://git.example/a.git"
POST = "POST git.example/a.git/git-upload-pack"
GET = "GET git.example/a.git/info/refs"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty bare repository, made without the fsyncs of a real one."""
    path = tmp_path / "r.git"
    (path / "objects" / "pack").mkdir(parents=True)
    (path / "refs").mkdir()
    (path / "HEAD").write_text("ref: refs/heads/none\n")
    return path


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


def smart(refs: dict[str, str], has: set[str], refusal: Reply) -> Answer:
    """A v2 server that gives the pack to whoever wants nothing that it has not."""

    def answer(seen: Seen) -> Reply:
        if seen.method == "GET":
            return info_v2()
        if b"command=ls-refs" in seen.body:
            return refs_v2(refs)
        return v2_pack(PACK) if set(seen.wants) <= has else refusal

    return answer


async def failure(place: World, repository: Path, url: str = URL) -> AttemptFailed:
    """The error of an attempt that must fail and leave nothing behind."""
    with pytest.raises(AttemptFailed) as caught:
        await place.client.fetch_oids(repository, url, [TIP])
    assert place.left_behind() == []
    return caught.value


# One request where one is enough


async def test_one_post_is_enough(repository: Path, tmp: Path) -> None:
    observer = Observed()
    async with world(tmp) as place:
        place.answer = lambda seen: v2_pack(PACK)
        async with await place.client.fetch_oids(repository, URL, [TIP], observer) as proven:
            assert proven.obtained == {TIP}
            assert proven.objects == 9
            assert proven.pack_bytes == len(PACK) == observer.pack_bytes
            await proven.join()
        assert place.asked == [POST]
        assert observer.log == ["contacted", "answered", "body ended"]
    assert present_oids(repository, [TIP]) == {TIP}


async def test_connections_are_kept_and_told_of_all_the_same(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: v2_pack(PACK)
        for url in (URL, "http://git.example/b.git", "http://git.example:8080/c.git"):
            observer = Observed()
            await place.client.fetch_oids(repository, url, [TIP], observer)
            assert observer.log == ["contacted", "answered", "body ended"]
        assert place.connections == 2


async def test_a_kept_connection_that_ended_meanwhile_is_replaced(
    repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: (
            v2_pack(PACK) if len(place.seen) != 2 else Reply(raw=b"", then="cut")
        )
        for _ in range(2):
            await place.client.fetch_oids(repository, URL, [TIP])
        assert place.connections == 2
        assert place.asked == [POST] * 3


async def test_bytes_after_an_answer_are_no_answer_to_the_next_request(
    repository: Path, tmp: Path
) -> None:
    body = v2_pack(PACK).body
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    whole = head % (RESULT.encode(), len(body)) + body
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(raw=whole + whole, then="hang")
        for _ in range(2):
            await place.client.fetch_oids(repository, URL, [TIP])
        assert place.connections == 2
        assert len(place.seen) == 2


async def test_few_idle_connections_are_kept(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("purgatory_sync.runtime.transport.MAX_IDLE", 3)
    async with world(tmp) as place:
        place.answer = lambda seen: v2_pack(PACK)
        for host in ("a", "b", "c", "d", "a"):
            await place.client.fetch_oids(repository, f"http://{host}.example/a.git", [TIP])
            await trio.testing.wait_all_tasks_blocked()
            assert place.open <= 3
        assert place.connections == 5
    assert place.open == 0


async def test_idle_connections_are_closed_after_a_while(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: v2_pack(PACK)
        await place.client.fetch_oids(repository, URL, [TIP])
        await trio.sleep(91)
        await place.client.fetch_oids(repository, "http://other.example/b.git", [TIP])
        assert place.open == 1


async def test_what_is_here_is_said_and_a_thin_pack_taken(repository: Path, tmp: Path) -> None:
    add_pack(repository, [item for step in STEPS[:2] for item in step.objects])
    (repository / "refs" / "nostr").mkdir(parents=True)
    (repository / "refs" / "nostr" / ("1" * 64)).write_text(STEPS[1].oid + "\n")
    async with world(tmp) as place:
        place.answer = lambda seen: v2_pack(pack_of(STEPS[2].objects))
        proven = await place.client.fetch_oids(repository, URL, [TIP])
        assert proven.objects == 3
        assert b"have " + STEPS[1].oid.encode() in place.seen[0].body
        assert b"thin-pack" in place.seen[0].body


async def test_requests_say_who_we_are_and_bring_no_cookies(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        cookie = (("set-cookie", "a=b; Path=/"),)
        place.answer = lambda seen: Reply(v2_pack(PACK).body, headers=cookie)
        for _ in range(2):
            await place.client.fetch_oids(repository, URL, [TIP])
        headers = place.seen[1].headers
        assert headers["user-agent"].startswith("purgatory-sync/")
        assert headers["accept-encoding"] == "identity"
        assert "cookie" not in headers


# Servers that speak protocol v0


def v0_server(refs: dict[str, str], capabilities: str = "side-band-64k") -> Answer:
    def answer(seen: Seen) -> Reply:
        if seen.method == "GET":
            return refs_v0(refs, capabilities)
        if seen.is_v2:
            return Reply(b"")
        return v0_pack(PACK) if set(seen.wants) <= set(refs.values()) else err("not our ref")

    return answer


async def test_a_v0_server_is_learnt_once(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = v0_server(REFS)
        observer = Observed()
        for _ in range(2):
            await place.client.fetch_oids(repository, URL, [TIP], observer)
        assert place.asked == [POST, GET, POST, POST]
        assert [seen.is_v2 for seen in place.seen] == [True, True, False, False]
        assert observer.log.count("contacted") == 2


@pytest.mark.parametrize("status", [400, 405, 500, 501])
async def test_a_v0_server_may_answer_v2_with_an_error(
    status: int, repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        v0 = v0_server(REFS)
        place.answer = lambda seen: (
            Reply(status=status) if seen.is_v2 and seen.method == "POST" else v0(seen)
        )
        assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}


async def test_a_v0_server_is_not_asked_for_what_it_does_not_show(
    repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = v0_server(REFS)
        proven = await place.client.fetch_oids(repository, URL, [TIP, MADE_UP])
        assert proven.obtained == {TIP}
        assert place.asked == [POST, GET, POST]
        assert place.seen[2].wants == [TIP]


async def test_a_v0_server_with_sha1_in_want_is_asked_for_everything(
    repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = v0_server(REFS, "side-band-64k allow-reachable-sha1-in-want")
        proven = await place.client.fetch_oids(repository, URL, [TIP, MADE_UP])
        assert proven.obtained == {TIP}
        assert [seen.wants for seen in place.seen] == [
            [TIP, MADE_UP],
            [],
            [TIP, MADE_UP],
            [TIP],
        ]


async def test_an_empty_v0_repository_refuses(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        empty = Reply(b"001e# service=git-upload-pack\n00000000", content_type=ADVERTISEMENT)
        place.answer = lambda seen: empty if seen.method == "GET" else Reply(b"")
        assert isinstance(await failure(place, repository), ObjectsRefused)


# Servers that lack something


@pytest.mark.parametrize(
    "refusal",
    [
        err("upload-pack: not our ref " + MADE_UP),
        err("want 12 not valid"),
        Reply(b"0000"),
        Reply(b""),
        Reply(status=500),
        Reply(status=422),
        Reply(b"<p>sorry", content_type="text/html"),
        Reply(b"000dpackfile\n000c\x03sorry\n\n"),
    ],
)
async def test_a_server_without_some_yields_the_rest_in_few_round_trips(
    refusal: Reply, repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = smart(REFS, {TIP}, refusal)
        others = [f"{number:040x}" for number in range(50)]
        proven = await place.client.fetch_oids(repository, URL, [*others, TIP])
        assert proven.obtained == {TIP}
        assert len(place.seen) <= 4


async def test_an_object_behind_the_tips_is_found(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = smart(REFS, {TIP}, err("not our ref"))
        proven = await place.client.fetch_oids(repository, URL, [STEPS[0].oid, MADE_UP])
        assert proven.obtained == {STEPS[0].oid}
        assert place.asked == [POST, POST, POST]


async def test_a_commit_behind_a_tag_is_asked_for_by_its_tag(repository: Path, tmp: Path) -> None:
    tag = tag_of(STEPS[-1].commit)
    pack, oid = pack_of([*OBJECTS, tag]), tag.id.decode()
    refs = {"refs/tags/v1": oid, "refs/tags/v1^{}": TIP}
    async with world(tmp) as place:

        def answer(seen: Seen) -> Reply:
            if seen.method == "GET":
                return refs_v0(refs)
            return v0_pack(pack) if seen.wants == [oid] else Reply(status=500)

        place.answer = answer
        assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}


async def test_nothing_useful_is_a_refusal_in_the_servers_words(
    repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = smart({}, set(), err("upload-pack: not our ref"))
        error = await failure(place, repository)
        assert isinstance(error, ObjectsRefused)
        assert error.server_message == "upload-pack: not our ref"
        assert place.asked == [POST, POST]


async def test_a_request_is_not_repeated_as_it_was(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = smart(REFS, set(), err("no"))
        assert isinstance(await failure(place, repository), ObjectsRefused)
        assert place.asked == [POST, POST]
        assert len({seen.body for seen in place.seen}) == 2


async def test_a_pack_without_what_is_wanted_is_a_refusal(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = smart(REFS, {MADE_UP, TIP}, err("no"))
        with pytest.raises(ObjectsRefused):
            await place.client.fetch_oids(repository, URL, [MADE_UP])
        assert place.left_behind() == []


async def test_no_sha1_names_no_request(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        with pytest.raises(ObjectsRefused):
            await place.client.fetch_oids(repository, URL, ["a" * 64, "main", "A" * 40, ""])
        assert place.connections == 0


# Answers that end an attempt


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(status=401), RepositoryUnavailable),
        (Reply(status=404, body=b"<html>" * 1000), RepositoryUnavailable),
        (Reply(status=429), RateLimited),
        (Reply(status=503), RateLimited),
        (Reply(raw=b"SSH-2.0-OpenSSH_9\r\n", then="hang"), NotHttp),
        (Reply(raw=b"HTTP/1.1 zzz\r\n\r\n", then="hang"), NotHttp),
        (Reply(raw=b"HTTP/2 200 OK\r\n\r\n", then="hang"), NotHttp),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000), NotHttp),
        (Reply(raw=b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), NotHttp),
        (Reply(raw=b"", then="cut"), ConnectFailed),
        (Reply(raw=b"HTTP", then="cut"), ConnectFailed),
        (v2_pack(b"PACK" + bytes(20)), BadPack),
        (v2_pack(PACK[:-1] + b"x"), BadPack),
        (v2_pack(pack_of(OBJECTS[3:])), BadPack),
        (Reply(v2_pack(PACK).body[:-4]), ProtocolBroken),
        (Reply(v2_pack(PACK).body, then="cut"), ProtocolBroken),
        (Reply(v2_pack(PACK).body + b"0000"), ProtocolBroken),
    ],
)
async def test_answers_that_end_an_attempt(
    reply: Reply, expected: type[AttemptFailed], repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: reply
        assert isinstance(await failure(place, repository), expected)
        assert place.asked == [POST]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(status=500), BadStatus),
        (Reply(status=204), BadStatus),
        (Reply(b"<html>", content_type="text/html"), NotGit),
        (Reply(b"x", headers=(("content-encoding", "gzip"),)), NotGit),
        (Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 50), ProtocolBroken),
    ],
)
async def test_unclear_answers_are_followed_by_one_look_at_the_refs(
    reply: Reply, expected: type[AttemptFailed], repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: reply
        assert isinstance(await failure(place, repository), expected)
        assert place.asked == [POST, GET]


async def test_the_rest_is_as_long_as_the_server_says(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(status=429, headers=(("Retry-After", "17"),))
        error = await failure(place, repository)
        assert isinstance(error, RateLimited)
        assert error.retry_after_secs == 17


async def test_a_404_to_a_name_without_git_is_confirmed(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:

        def answer(seen: Seen) -> Reply:
            if seen.target.startswith("/a.git/"):
                return v2_pack(PACK) if seen.method == "POST" else info_v2()
            if seen.method == "GET" and seen.target.startswith("/a/"):
                return redirect("/a.git/info/refs?service=git-upload-pack")
            return Reply(status=404)

        place.answer = answer
        url = "http://git.example/a"
        assert (await place.client.fetch_oids(repository, url, [TIP])).obtained == {TIP}
        assert len(place.seen) == 4
        assert (await place.client.fetch_oids(repository, url, [TIP])).obtained == {TIP}
        assert place.asked[4:] == [POST]
        error = await failure(place, repository, "http://git.example/b")
        assert isinstance(error, RepositoryUnavailable)


async def test_short_refusals_leave_the_connection_open(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(status=404, body=b"no such repository")
        await failure(place, repository)
        await failure(place, repository)
        assert place.connections == 1


# Redirects


def moved(target: str, status: int = 301) -> Answer:
    """Everything at git.example is elsewhere."""

    def answer(seen: Seen) -> Reply:
        if seen.host == "git.example" and seen.target.startswith("/a.git/"):
            return redirect(f"{target}/info/refs?service=git-upload-pack", status)
        return v2_pack(PACK) if seen.method == "POST" else info_v2()

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_learnt_by_get_and_remembered(
    status: int, repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = moved("/moved/a.git", status)
        observer = Observed()
        await place.client.fetch_oids(repository, URL, [TIP], observer)
        there = "git.example/moved/a.git"
        again = f"POST {there}/git-upload-pack"
        assert place.asked == [POST, GET, f"GET {there}/info/refs", again]
        assert observer.log == ["contacted", "answered", "body ended"]
        await place.client.fetch_oids(repository, URL, [TIP])
        assert place.asked[4:] == [again]


async def test_another_domain_is_entered_with_a_place_there(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = moved("http://other.example/b")
        for _ in range(2):
            observer = Observed()
            await place.client.fetch_oids(repository, URL, [TIP], observer)
            assert "redirected other.example" in observer.log
        assert place.asked.count("POST other.example/b/git-upload-pack") == 2


async def test_another_domain_without_a_place_is_not_contacted(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = moved("http://other.example/b")
        with pytest.raises(RedirectRefused):
            await place.client.fetch_oids(repository, URL, [TIP], Observed(places=False))
        assert place.asked == [POST, GET]


async def test_redirects_are_judged_like_first_urls(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        for target, expected in (
            ("http://inside.example/x", Forbidden),
            ("http://127.0.0.1/x", Forbidden),
            ("http://169.254.169.254/latest", Forbidden),
            ("http://user:pw@other.example/x", RedirectRefused),
            ("file:///etc", RedirectRefused),
            ("http://[::1", RedirectRefused),
        ):
            place.answer = moved(target)
            assert type(await failure(place, repository)) is expected
        assert set(place.asked) == {POST, GET}


async def test_redirects_end_after_five(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: redirect(f"/{len(place.seen)}/info/refs")
        assert isinstance(await failure(place, repository), RedirectRefused)
        assert len(place.seen) == 1 + 6


# Limits of time and size


@pytest.mark.parametrize(
    "reply",
    [
        HANG,
        Reply(raw=b"HTTP/1.1 200 OK\r\n", then="hang"),
        Reply(v2_pack(PACK).body[:100], then="hang"),
    ],
)
async def test_silence_ends_an_attempt(
    reply: Reply, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: reply
        with seconds(30):
            assert isinstance(await failure(place, repository), TimedOut)


async def test_a_drip_ends_an_attempt_after_its_whole_time(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        drip = [bytes([byte]) for byte in v2_pack(PACK).body]
        place.answer = lambda seen: Reply(pieces=drip, secs_between=20)
        with seconds(600):
            assert isinstance(await failure(place, repository), TimedOut)


async def test_hung_servers_delay_nobody(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place, trio.open_nursery() as nursery:
        place.answer = lambda seen: HANG if seen.host.startswith("hung") else v2_pack(PACK)
        for number in range(101):
            url = f"http://hung{number}.example/a.git"
            nursery.start_soon(place.client.fetch_oids, repository, url, [TIP])
        await trio.testing.wait_all_tasks_blocked()
        with seconds(0):
            assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}
        nursery.cancel_scope.cancel()


LARGE = v2_pack(bytes(3_000_000)).body[:-4]


async def test_what_came_of_a_large_pack_is_removed(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(LARGE)
        assert isinstance(await failure(place, repository), ProtocolBroken)


@pytest.mark.parametrize(
    "reply",
    [HANG, Reply(v2_pack(PACK).body[:100], then="hang"), Reply(LARGE, then="hang")],
)
async def test_cancelling_ends_an_attempt_at_once(
    reply: Reply, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: reply
        with seconds(5), trio.move_on_after(5):
            await place.client.fetch_oids(repository, URL, [TIP])
        await trio.testing.wait_all_tasks_blocked()
        assert place.open == 0
        assert place.left_behind() == []


async def test_a_pack_is_bounded(repository: Path, tmp: Path) -> None:
    async with world(tmp, HuntSettings(min_free_bytes=0, max_pack_bytes=len(PACK) - 1)) as place:
        place.answer = lambda seen: v2_pack(PACK)
        assert isinstance(await failure(place, repository), TooLarge)


@pytest.mark.parametrize("answer", [v0_server(REFS), smart(REFS, set(), err("no"))])
async def test_advertised_refs_are_bounded(answer: Answer, repository: Path, tmp: Path) -> None:
    async with world(tmp, HuntSettings(min_free_bytes=0, max_refs_bytes=50)) as place:
        place.answer = answer
        assert isinstance(await failure(place, repository), TooLarge)


# What is never contacted


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git.example/a.git",
        "http://user:pw@git.example/a.git",
        "http://git.example/a.git?x=y",
        "http://inside.example/a.git",
        "http://127.0.0.1/a.git",
        "http://[::1]/a.git",
        "https://10.0.0.1/a.git",
    ],
)
async def test_forbidden_urls_are_not_contacted(url: str, repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        observer = Observed()
        with pytest.raises(Forbidden):
            await place.client.fetch_oids(repository, url, [TIP], observer)
        assert observer.log == []
        assert place.connections == 0


async def test_whatever_goes_wrong_here_is_an_attempt_that_failed(
    tmp_path: Path, tmp: Path
) -> None:
    broken = tmp_path / "broken.git"
    new_repository(tmp_path).rename(broken)
    (broken / "config").write_text("[extensions]\nobjectformat = sha256\n")
    async with world(tmp) as place:
        error = await failure(place, broken)
        assert error.result == "local"
        assert place.connections == 0
