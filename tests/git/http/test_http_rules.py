import pytest

from purgatory_sync.errors import (
    AttemptFailed,
    BadStatus,
    NotGit,
    ProtocolBroken,
    RateLimited,
    RedirectRefused,
    RepositoryUnavailable,
)
from purgatory_sync.git.http.http_rules import (
    RESULT,
    coding_of,
    judge_content,
    redirect_target,
    rest_secs,
    status_failure,
)
from purgatory_sync.urls import parse_web_url

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "secs"),
    [
        (None, 60),
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("99999", 3600),
        ("999999999999999999", 60),
        ("-5", 60),
        ("1e3", 60),
        ("soon", 60),
        ("", 60),
        ("Tue, 14 Nov 2023 22:14:50 GMT", 90),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
        ("Tue, 14 Nov 2033 22:13:20 GMT", 3600),
        ("Tue, 99 Nov 2023 22:13:20 GMT", 60),
        ("Tue, 14 Nov 99999 22:13:20 GMT", 60),
    ],
)
def test_rest(value: str | None, secs: float) -> None:
    assert rest_secs(value, NOW) == secs


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, RepositoryUnavailable),
        (403, RepositoryUnavailable),
        (404, RepositoryUnavailable),
        (410, RepositoryUnavailable),
        (429, RateLimited),
        (503, RateLimited),
        (204, BadStatus),
        (206, BadStatus),
        (400, BadStatus),
        (500, BadStatus),
        (502, BadStatus),
    ],
)
def test_statuses(status: int, expected: type[AttemptFailed]) -> None:
    assert type(status_failure(status, {}, NOW)) is expected


def test_200_is_no_failure_and_retry_after_is_read() -> None:
    assert status_failure(200, {}, NOW) is None
    failure = status_failure(429, {"retry-after": "30"}, NOW)
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_secs == 30


def test_content_types_are_gits_exactly() -> None:
    judge_content({"content-type": RESULT}, RESULT)
    judge_content({"content-type": f"{RESULT}; charset=utf-8"}, RESULT)
    for bad in ("text/html", "", RESULT + "x", "application/x-git-upload-pack-advertisement"):
        with pytest.raises(NotGit):
            judge_content({"content-type": bad}, RESULT)


@pytest.mark.parametrize(
    ("said", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        (" X-GZip", "x-gzip"),
        ("deflate", "deflate"),
    ],
)
def test_b_8_4_codings_that_are_taken_though_not_asked_for(said: str, coding: str | None) -> None:
    assert coding_of({"content-encoding": said}) == coding


@pytest.mark.parametrize("said", ["br", "zstd", "gzip, gzip", "compress"])
def test_b_8_4_other_codings_are_refused(said: str) -> None:
    with pytest.raises(ProtocolBroken):
        coding_of({"content-encoding": said})


BASE = parse_web_url("https://git.example/a/b")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/a/b.git/info/refs?service=git-upload-pack", "https://git.example/a/b.git"),
        ("/a/c/../d/info/refs?service=git-upload-pack", "https://git.example/a/d"),
        ("//other.example/x/info/refs?service=git-upload-pack", "https://other.example/x"),
        (
            "https://OTHER.example:8443/x/info/refs?service=git-upload-pack",
            "https://other.example:8443/x",
        ),
    ],
)
def test_redirects_to_info_refs_are_followed(location: str, target: str) -> None:
    assert redirect_target(BASE, location).text == target


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "/login",
        "/a/b/info/refs",
        "/a/b/info/refs?",
        "/a/b/info/refs?service=git-upload-pack&x=y",
        "/a/b/info/refs?x=y&service=git-upload-pack",
        "/login?next=/a/b/info/refs",
        "/a/b/info/refs?service=git-receive-pack",
        "/a/b/info/refs?service=git-upload-pack#x",
        "http://git.example/a/b/info/refs?service=git-upload-pack",
        "ftp://git.example/a/b/info/refs?service=git-upload-pack",
        "https://user:pw@git.example/a/b/info/refs?service=git-upload-pack",
        "https://git.example/a/%0ab/info/refs?service=git-upload-pack",
        "https://git.example/-x/info/refs?service=git-upload-pack",
        "https://[::1/info/refs",
        "https://git.example/" + "x" * 3000 + "/info/refs",
    ],
)
def test_other_redirects_are_refused(location: str | None) -> None:
    with pytest.raises(RedirectRefused):
        redirect_target(BASE, location)


def test_http_may_become_https() -> None:
    base, asked = parse_web_url("http://git.example/a/b"), "/info/refs?service=git-upload-pack"
    assert redirect_target(base, f"https://git.example/a/b{asked}").scheme == "https"
