"""Servers that lack something, or say so in words of their own: few round trips (B 8.3)."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from purgatory_sync.errors import (
    ObjectsRefused,
)

from ..local_repos import MADE_UP, tag_of
from ..scripted import Answer, Reply, Seen, err, info_v2, pack_of, refs_v0, v0_pack, world
from .attempts import (
    OBJECTS,
    POST,
    REFS,
    STEPS,
    TIP,
    URL,
    failure,
    smart,
    v0_server,
)

# How servers say that they do not have what is wanted.
WORDS = {
    "git": err(f"upload-pack: not our ref {MADE_UP}"),
    "git, as clients print it": err(f"Server does not allow request for unadvertised {MADE_UP}"),
    "git, in band 3": Reply(b"000dpackfile\n000c\x03sorry\n\n"),
    "JGit, Gerrit": err(f"want {MADE_UP} not valid"),
    "go-git": err("object not found"),
    "in no words": err(""),
    "in unknown words": err("\x1b[31mnein\xff"),
    "a flush": Reply(b"0000"),
    "nothing": Reply(b""),
    "a page": Reply(b"<p>sorry", content_type="text/html"),
    **{f"HTTP {status}": Reply(b"no", status) for status in (400, 403, 404, 409, 410, 422, 500)},
}


async def cost(answer: Answer, wanted: Sequence[str], repository: Path, tmp: Path) -> list[int]:
    """Requests of an attempt at a server, and of the next one at a server that is known."""
    async with world(tmp) as place:
        place.answer = answer
        counts: list[int] = []
        for name in ("a", "b"):
            url = f"http://git.example/{name}.git"
            proven = await place.client.fetch_oids(repository, url, wanted)
            assert proven.obtained == {TIP}
            counts.append(len(place.seen) - sum(counts))
        return counts


def made_up(count: int) -> list[str]:
    return [f"{number:040x}" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("words", "count"), [*((words, 10) for words in WORDS), ("git", 300), ("nothing", 1)]
)
async def test_what_is_missing_costs_two_requests_with_any_refusal(
    words: str, count: int, repository: Path, tmp: Path
) -> None:
    servers: dict[str, Answer] = {
        "all versions": smart(REFS, {TIP}, WORDS[words]),
        "v0": v0_server(REFS, refusal=WORDS[words]),
        "v0, any object": v0_server(
            REFS, "side-band-64k allow-reachable-sha1-in-want", WORDS[words]
        ),
    }
    for server in servers.values():
        first, known = await cost(server, [TIP], repository, tmp)
        lacking = await cost(server, [*made_up(count), TIP], repository, tmp)
        assert lacking[0] <= first + 2
        assert lacking[1] <= known + 2


async def test_a_server_that_knows_versions_is_not_taken_for_an_old_one(
    repository: Path, tmp: Path
) -> None:
    """It failed once, its refs were asked for in v1: what it hides can be asked for in v2 later."""
    async with world(tmp) as place:
        usual = smart(REFS, {TIP, STEPS[0].oid}, Reply(status=500))
        place.answer = usual
        assert (await place.client.fetch_oids(repository, URL, [TIP, MADE_UP])).obtained == {TIP}
        assert [seen.headers.get("git-protocol") for seen in place.seen] == [
            "version=2",
            "version=1",
            None,
        ]
        await place.client.fetch_oids(repository, URL, [STEPS[0].oid])
        assert place.seen[-1].is_v2
        assert len(place.seen) == 4


async def test_a_server_that_answers_v2_to_all_questions_is_asked_for_its_refs(
    repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        usual = smart(REFS, {TIP}, Reply(status=500))
        place.answer = lambda seen: info_v2() if seen.method == "GET" else usual(seen)
        assert (await place.client.fetch_oids(repository, URL, [TIP, MADE_UP])).obtained == {TIP}


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
