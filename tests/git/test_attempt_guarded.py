"""Where attempts never go, whatever announcements, names and redirects say (mission N4)."""

from pathlib import Path

import pytest

from purgatory_sync.errors import (
    Forbidden,
    RedirectRefused,
)

from .attempts import (
    GET,
    POST,
    TIP,
    URL,
    failure,
    moved,
)
from .scripted import (
    Observed,
    redirect,
    world,
)


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
        place.answer = lambda seen: redirect(
            f"/{len(place.seen)}/info/refs?service=git-upload-pack"
        )
        assert isinstance(await failure(place, repository), RedirectRefused)
        assert len(place.seen) == 1 + 6
