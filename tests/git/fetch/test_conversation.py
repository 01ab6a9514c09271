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
    NotGit,
    NotHttp,
    ObjectsRefused,
    ProtocolBroken,
    RateLimited,
    RepositoryUnavailable,
)
from purgatory_sync.git.disk.repository import present_oids

from ..local_repos import MADE_UP, add_pack, new_repository
from ..scripted import (
    ADVERTISEMENT,
    RESULT,
    Observed,
    Reply,
    Seen,
    info_v2,
    pack_of,
    redirect,
    v0_pack,
    v2_pack,
    world,
)
from .attempts import (
    GET,
    OBJECTS,
    PACK,
    POST,
    REFS,
    STEPS,
    TIP,
    URL,
    failure,
    v0_server,
)

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
    monkeypatch.setattr("purgatory_sync.runtime.net.transport.MAX_IDLE", 3)
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


async def test_requests_say_who_we_are_and_bring_no_cookies(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        cookie = (("set-cookie", "a=b; Path=/"),)
        place.answer = lambda seen: Reply(v2_pack(PACK).body, headers=cookie)
        for _ in range(2):
            await place.client.fetch_oids(repository, URL, [TIP])
        headers = place.seen[1].headers
        assert headers["user-agent"].startswith("git/purgatory-sync-")
        assert headers["accept-encoding"] == "identity"
        assert "cookie" not in headers


# Servers that speak protocol v0


async def test_a_v0_server_is_learnt_once(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = v0_server(REFS)
        observer = Observed()
        for _ in range(2):
            await place.client.fetch_oids(repository, URL, [TIP], observer)
        assert place.asked == [POST, GET, POST, POST]
        assert [seen.is_v2 for seen in place.seen] == [True, False, False, False]
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


async def test_b_8_3_a_v0_server_is_asked_by_name_before_all_that_it_shows(
    repository: Path, tmp: Path
) -> None:
    """It may give what is reachable without saying so."""
    refs = {"refs/heads/main": "78" * 20, "refs/heads/more": "56" * 20}
    with_all = v0_server(refs)

    def answer(seen: Seen) -> Reply:
        return v0_pack(PACK) if not seen.is_v2 and seen.wants == [TIP] else with_all(seen)

    async with world(tmp) as place:
        place.answer = answer
        assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}
        assert [seen.wants for seen in place.seen] == [[TIP], [], [TIP]]


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


async def test_no_sha1_names_no_request(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        with pytest.raises(ObjectsRefused):
            await place.client.fetch_oids(repository, URL, ["a" * 64, "main", "A" * 40, ""])
        assert place.connections == 0


# Answers that end an attempt


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
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
        (Reply(status=401), RepositoryUnavailable),
        (Reply(status=404, body=b"<html>" * 1000), RepositoryUnavailable),
        (Reply(status=500), BadStatus),
        (Reply(status=204), BadStatus),
        (Reply(b"<html>", content_type="text/html"), NotGit),
        (Reply(b"x", headers=(("content-encoding", "gzip"),)), ProtocolBroken),
        (Reply(b"x", headers=(("content-encoding", "br"),)), ProtocolBroken),
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


async def test_a_local_failure_is_an_attempt_that_failed(tmp_path: Path, tmp: Path) -> None:
    broken = tmp_path / "broken.git"
    new_repository(tmp_path).rename(broken)
    (broken / "config").write_text("[extensions]\nobjectformat = sha256\n")
    async with world(tmp) as place:
        error = await failure(place, broken)
        assert error.result == "local"
        assert place.connections == 0
