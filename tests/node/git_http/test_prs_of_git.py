"""GRASP-06 with the stock client: what grasp-audit asks of a server, and more (B 12)."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import PrsSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from .git_support import ENVIRONMENT
from .push_support import CONTRIBUTOR, OWNER, Home, home_in

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("git") is None, reason="git serves clones"),
]
STRANGER = Author.from_seed(7)
ON = PrsSettings(enabled=True)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with home_in(tmp_path, prs=ON) as place:
        yield place


def below(home: Home, author: Author = CONTRIBUTOR, identifier: str = "repo") -> str:
    return f"http://{home.address}/prs/{author.npub}/{identifier}.git"


def request(
    home: Home, commit: str, clone: str, owner: Author = OWNER, identifier: str = "repo"
) -> Event:
    return events.pull_request(
        CONTRIBUTOR,
        [RepositoryId(owner.pubkey, identifier)],
        commit,
        clone=[clone],
        created_at=home.tick(),
    )


async def publish(home: Home, event: Event) -> str:
    accepted, message = await home.relay.publish(event)
    return message if accepted else f"no: {message}"


def kept(home: Home) -> list[str]:
    folder = home.settings.git_data_path / "prs"
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*.git"))


async def listed(home: Home, url: str) -> dict[str, str]:
    """What `git ls-remote` shows."""
    command = ["git", "ls-remote", url]
    done = await trio.run_process(command, env=ENVIRONMENT, capture_stdout=True)
    lines = (line.split("\t") for line in done.stdout.decode().splitlines())
    return {name: oid for oid, name in lines}


async def serve_repository(home: Home) -> str:
    """Let the announced repository have a commit on main, so that it is served."""
    commit = home.commit("base")
    await home.state("refs/heads/main")
    await home.push("main")
    return commit


async def test_b_12_1_an_unknown_path_clones_empty_and_leaves_nothing(home: Home) -> None:
    url = below(home, STRANGER, str(uuid.uuid4()))
    await home.git("clone", "-q", url, str(home.tree.parent / "clone"))
    assert await listed(home, url) == {}
    assert kept(home) == []
    assert not (home.settings.git_data_path / "prs").exists()


async def test_b_12_1_nip_11_lists_the_profile_and_what_is_taken(home: Home) -> None:
    async with httpx.AsyncClient() as http:
        accept = {"accept": "application/nostr+json"}
        document = (await http.get(f"http://{home.address}/", headers=accept)).json()
    assert "GRASP-06" in document["supported_grasps"]
    assert "/prs/" in document["repo_acceptance_criteria"]


async def test_b_12_1_where_it_is_off_every_path_is_404_and_the_profile_is_not_listed(
    tmp_path: Path,
) -> None:
    async with home_in(tmp_path) as home, httpx.AsyncClient() as http:
        for path in ("info/refs?service=git-upload-pack", "info/refs?service=git-receive-pack", ""):
            answer = await http.get(f"{below(home)}/{path}", headers={"accept": "text/html"})
            assert answer.status_code == 404
        assert (await http.post(f"{below(home)}/git-receive-pack")).status_code == 404
        assert (await http.options(below(home))).status_code == 204
        accept = {"accept": "application/nostr+json"}
        document = (await http.get(f"http://{home.address}/", headers=accept)).json()
        assert "GRASP-06" not in document["supported_grasps"]


async def test_b_12_4_an_id_that_nobody_knows_is_taken_and_claimed_by_its_event(
    home: Home,
) -> None:
    await serve_repository(home)
    commit, url = home.commit("x"), below(home)
    event = request(home, commit, url)
    await home.git("push", url, f"HEAD:refs/nostr/{event.id}")
    assert await listed(home, url) == {f"refs/nostr/{event.id}": commit}
    assert kept(home) == [f"{CONTRIBUTOR.pubkey}/repo.git"]
    assert await publish(home, event) == ""
    assert await home.relay.has(event.id)
    assert home.refs()[f"refs/nostr/{event.id}"] == commit


async def test_b_12_4_heads_and_bad_ids_are_refused_with_a_sentence(home: Home) -> None:
    home.commit("x")
    bad = ("refs/heads/main", "refs/nostr/abc", f"refs/nostr/{'A' * 64}", "refs/tags/v1")
    for ref in bad:
        said = await home.git("push", below(home), f"HEAD:{ref}", check=False)
        assert "only pull requests are taken here" in said
        assert "404" not in said
    both = ("HEAD:refs/heads/main", f"HEAD:refs/nostr/{'a' * 64}")
    said = await home.git("push", below(home), *both, check=False)
    assert "only pull requests are taken here" in said
    assert kept(home) == []


async def test_b_12_3_an_orphan_is_held_and_served_when_it_is_pushed(home: Home) -> None:
    commit, url = home.commit("x"), below(home, identifier="elsewhere")
    event = request(home, commit, url, STRANGER, "elsewhere")
    assert (await publish(home, event)).startswith("purgatory: ")
    assert not await home.relay.has(event.id)
    await home.git("push", url, f"HEAD:refs/nostr/{event.id}")
    assert await home.relay.has(event.id)
    assert await listed(home, url) == {f"refs/nostr/{event.id}": commit}


async def test_b_12_3_a_foreign_host_is_not_enough(home: Home) -> None:
    url = f"https://elsewhere.example.com/prs/{CONTRIBUTOR.npub}/x.git"
    event = request(home, "1" * 40, url, STRANGER, "x")
    assert (await publish(home, event)).startswith("no: invalid: ")


async def test_b_12_6_event_first_both_places_have_the_commit(home: Home) -> None:
    await serve_repository(home)
    commit, url = home.commit("x"), below(home)
    event = request(home, commit, url)
    assert (await publish(home, event)).startswith("purgatory: ")
    await home.git("push", url, f"HEAD:refs/nostr/{event.id}")
    assert await home.relay.has(event.id)
    ref = f"refs/nostr/{event.id}"
    assert (await listed(home, url), home.refs()[ref]) == ({ref: commit}, commit)
    clone = home.tree.parent / "clone"
    await home.git("clone", "-q", url, str(clone))
    await home.git("fetch", "-q", url, ref)


async def test_b_12_6_nothing_goes_the_other_way(home: Home) -> None:
    await serve_repository(home)
    commit, url = home.commit("x"), below(home)
    event = request(home, commit, url)
    assert (await publish(home, event)).startswith("purgatory: ")
    await home.push(f"HEAD:refs/nostr/{event.id}")
    assert await home.relay.has(event.id)
    assert (await listed(home, url), kept(home)) == ({}, [])


async def test_b_12_4_a_wrong_commit_leaves_no_ref_and_serves_nothing(home: Home) -> None:
    await serve_repository(home)
    right = home.commit("right")
    url = below(home)
    event, other = request(home, right, url), request(home, right, url)
    assert (await publish(home, event)).startswith("purgatory: ")
    home.commit("wrong")
    said = await home.git("push", url, f"HEAD:refs/nostr/{event.id}", check=False)
    assert "names another commit" in said
    await home.git("push", url, f"HEAD:refs/nostr/{other.id}")
    assert (await publish(home, other)).startswith("purgatory: ")
    assert (await listed(home, url), kept(home)) == ({}, [])
    assert not await home.relay.has(event.id)
    assert not await home.relay.has(other.id)


async def test_b_12_6_a_client_sends_only_what_the_served_repository_lacks(home: Home) -> None:
    for number in range(30):
        (home.tree / f"f{number}").write_bytes(b"%d" % number * 5_000)
    await serve_repository(home)
    commit, url = home.commit("x"), below(home)
    event = request(home, commit, url)
    said = await home.git("push", "--progress", url, f"HEAD:refs/nostr/{event.id}")
    assert "Enumerating objects: 3, done." in said
    await home.git("clone", "-q", url, str(home.tree.parent / "clone"))


async def test_b_12_1_below_a_base_path(tmp_path: Path) -> None:
    async with home_in(tmp_path, prs=ON, base="/services/grasp") as home:
        commit, url = home.commit("x"), below(home, identifier="%C3%A9%20x")
        assert "/services/grasp/prs/" in url
        event = request(home, commit, url, STRANGER, "é x")
        assert (await publish(home, event)).startswith("purgatory: ")
        await home.git("push", url, f"HEAD:refs/nostr/{event.id}")
        assert await home.relay.has(event.id)
        outside = url.replace("/services/grasp", "")
        said = await home.git("ls-remote", outside, check=False)
        assert "not found" in said
        other = request(home, commit, outside, STRANGER, "é x")
        assert (await publish(home, other)).startswith("no: invalid: ")


async def test_b_12_1_a_thousand_looks_at_once_leave_no_file(home: Home) -> None:
    folder = home.settings.git_data_path
    before = sorted(folder.rglob("*"))
    async with httpx.AsyncClient(timeout=60) as http, trio.open_nursery() as nursery:
        places, found = trio.CapacityLimiter(50), []

        async def look(service: str) -> None:
            url = f"{below(home, STRANGER, str(uuid.uuid4()))}/info/refs?service={service}"
            async with places:
                found.append((await http.get(url)).status_code)

        for number in range(1_000):
            nursery.start_soon(look, f"git-{'receive' if number % 10 == 0 else 'upload'}-pack")
    assert found == [200] * 1_000
    assert sorted(folder.rglob("*")) == before


async def test_b_12_1_a_wish_of_an_empty_repository_is_gits_own_refusal(home: Home) -> None:
    want = b"0032want " + b"1" * 40 + b"\n00000009done\n"
    listing = b"0014command=ls-refs\n0000"
    headers = {"content-type": "application/x-git-upload-pack-request"}
    async with httpx.AsyncClient() as http:
        url = f"{below(home)}/git-upload-pack"
        answer = await http.post(url, content=want, headers=headers)
        assert (answer.status_code, answer.content[4:]) == (
            200,
            b"ERR upload-pack: not our ref " + b"1" * 40,
        )
        assert (await http.post(url, content=listing, headers=headers)).content == b"0000"
        wrong = await http.get(url)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, OPTIONS")


async def test_b_12_10_pages_and_metrics_tell_of_what_is_there(home: Home) -> None:
    commit, url = home.commit("x"), below(home)
    event = request(home, commit, url, STRANGER, "repo")
    async with httpx.AsyncClient(headers={"accept": "text/html"}) as http:
        assert (await http.get(url)).status_code == 404
        assert (await publish(home, event)).startswith("purgatory: ")
        status = msgspec.json.decode((await http.get(f"http://{home.address}/purgatory.json")).text)
        (held,) = [each for each in status["events"] if each["event_id"] == event.id]
        assert (held["via"], held["obstacle"]) == ("prs", None)
        await home.git("push", url, f"HEAD:refs/nostr/{event.id}", f"HEAD:refs/nostr/{'5' * 64}")
        page = (await http.get(url)).text
        assert event.id in page
        assert f"{STRANGER.npub}/repo" in page
        assert "1 more commit was pushed" in page
        metrics = (await http.get(f"http://{home.address}/metrics")).text
    for line in (
        "purgatory_prs_repositories 1.0",
        'purgatory_prs_refs{state="claimed"} 1.0',
        'purgatory_prs_refs{state="unclaimed"} 1.0',
        'purgatory_prs_pushes_total{result="accepted"} 1.0',
        'purgatory_prs_events_total{result="held"} 1.0',
        'purgatory_prs_events_total{result="served"} 1.0',
    ):
        assert line in metrics
    assert CONTRIBUTOR.npub not in metrics
