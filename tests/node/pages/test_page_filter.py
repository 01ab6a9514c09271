"""The filter of the status page: by repository and result, without script."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
import trio.testing

from purgatory_sync.errors import ResultClass
from purgatory_sync.node.pages.page_filter import RESULTS, PageFilter, filter_of
from purgatory_sync.node.pages.public import public_status

from .support import HOSTILE, event, make_pages, node, source, status_html
from .test_page_routes import ask

URL = "https://a.example/x.git"


def test_b_10_3_a_query_is_read() -> None:
    assert filter_of("") == PageFilter()
    assert not filter_of("repository=&result=")
    assert filter_of("repository=a+b%2Bc&result=timeout&more=1") == PageFilter("a b+c", "timeout")
    assert filter_of("repository=%20repo%20") == PageFilter("repo")
    names = filter_of("repository=repo.git").choice(lambda url: True).names
    assert names == ("repo.git", "repo")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("result=forbidden", "There is no result “forbidden”: choose one of the list."),
        ("result=" + "x" * 999, "There is no result “" + "x" * 59 + "…”"),
        ("repository=a/b", "holds a slash, backslash or control character. Give its identifier"),
        ("repository=" + "x" * 252, "longer than 251 bytes"),
        ("repository=..", "cannot be . or .."),
        ("repository=%00", "control character"),
        ("repository=%ff", "cannot be read: fill in the form"),
        ("repository=a&repository=b", "cannot be read: fill in the form"),
        ("&".join(["x=1"] * 21), "cannot be read: fill in the form"),
    ],
)
async def test_b_10_3_a_bad_filter_gets_a_sentence(
    query: str, says: str, autojump_clock: trio.testing.MockClock
) -> None:
    pages = make_pages(node(event(identifier="a")))
    status, headers, body = await ask(pages, f"/purgatory?{query}")
    assert (status, headers["cache-control"]) == (400, "no-store")
    assert f'<p class="bad" role="alert">{filter_of(query).problem}</p>' in body
    assert says in body
    assert '<section class="card"' not in body
    status, _, body = await ask(pages, f"/purgatory.json?{query}")
    assert status == 400
    assert list(json.loads(body)) == ["error"]


def test_b_10_3_every_result_can_be_chosen_but_what_the_gate_refused() -> None:
    assert set(RESULTS) == {*(each.value for each in ResultClass), "none"} - {"forbidden"}
    page = status_html(public_status(node(), ()), wanted=PageFilter("", "timeout"))
    assert '<option value="timeout" selected>timeout</option>' in page
    assert page.count("<option") == len(RESULTS) + 1
    assert 'value="forbidden"' not in page


async def test_b_10_3_what_is_chosen_is_shown_and_kept_in_links(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pages = make_pages(node(event(source(URL), identifier="a b"), event(identifier="other")))
    status, _, body = await ask(pages, "/purgatory?repository=a+b")
    assert status == 200
    assert '<h2 id="held">Held events of <bdi>a b</bdi></h2>' in body
    assert 'value="a b"' in body
    assert "other" not in body
    assert '<a href="/purgatory">everything</a>' in body
    assert 'href="/purgatory.json?repository=a%20b"' in body
    _, _, text = await ask(pages, "/purgatory.json?repository=a%20b")
    told = json.loads(text)
    assert [each["identifiers"] for each in told["events"]] == [["a b"]]
    assert told["events_total"] == 1
    both = status_html(public_status(node(event()), ()), wanted=PageFilter("repo", "timeout"))
    assert 'href="?repository=repo&amp;result=timeout"' in both
    assert 'href="/purgatory.json?repository=repo&amp;result=timeout"' in both


async def test_b_10_3_a_filter_tells_nothing_of_what_is_not_held(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One that is private, hidden or served gets the same answer as one that never was."""
    pages = make_pages(node(event(identifier="a")))
    answers = {
        (await ask(pages, f"/purgatory?repository={name}"))[2].replace(name, "")
        for name in ("itisserved", "itisprivate", "itneverwas")
    }
    assert len(answers) == 1
    assert "No held event matches." in answers.pop()


async def test_b_6_4_a_filter_is_escaped(autojump_clock: trio.testing.MockClock) -> None:
    hostile = HOSTILE.replace("/", "")
    pages = make_pages(node(event(identifier=hostile)))
    for query, own in ((f"repository={quote(hostile)}", 1), (f"result={quote(HOSTILE)}", 0)):
        _, _, body = await ask(pages, f"/purgatory?{query}")
        assert body.count("<script>") == own
        assert "alert(1)</" not in body


async def test_b_10_3_a_filter_is_answered_to_head(autojump_clock: trio.testing.MockClock) -> None:
    pages = make_pages(node(event(identifier="a")))
    for query, status in (("repository=a", 200), ("result=x", 400)):
        found = await ask(pages, f"/purgatory?{query}", method="HEAD")
        assert (found[0], found[2]) == (status, "")
        assert int(found[1]["content-length"]) > 1000
