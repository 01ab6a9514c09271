"""The health of relays in public: coarse classes, nothing that the gate refused."""

from __future__ import annotations

import msgspec
import pytest

from purgatory_sync.node.pages.public import RELAYS_SHOWN, public_status
from purgatory_sync.node.upstream import Trouble
from purgatory_sync.runtime.net.addresses import networks

from .support import HOSTILE, NOW, make_pages, node, relay, status_html
from .test_page_routes import ask


def shown(*relays: object) -> list[dict[str, object]]:
    public = public_status(node(), (), relays)  # type: ignore[arg-type]
    return msgspec.json.decode(msgspec.json.encode(public))["relays"]  # type: ignore[no-any-return]


def test_b_10_3_relays() -> None:
    said = ("what quotes a repository or an event: refused",)
    first = relay("wss://a.example", not_followed=said)
    assert shown(first, relay("wss://b.example", connected=False)) == [
        {
            "url": "wss://a.example",
            "found": "announcement",
            "connected_since": NOW - 3600,
            "retry_at": None,
            "last_event_at": NOW - 5,
            "taken": 7,
            "refused": 30,
            "history": "negentropy",
            "trouble": None,
            "not_followed": ["what quotes a repository or an event: refused"],
        },
        {
            "url": "wss://b.example",
            "found": "announcement",
            "connected_since": None,
            "retry_at": NOW + 60,
            "last_event_at": NOW - 5,
            "taken": 7,
            "refused": 30,
            "history": "negentropy",
            "trouble": "unreachable",
            "not_followed": [],
        },
    ]


@pytest.mark.parametrize("trouble", Trouble)
def test_b_10_3_troubles_are_told_by_class_and_never_with_a_reason(trouble: Trouble) -> None:
    look = relay("wss://a.example", connected=False, trouble=trouble)
    found = shown(look)
    assert "secret" not in str(found)
    forbidden = trouble is Trouble.FORBIDDEN
    assert [each["trouble"] for each in found] == ([] if forbidden else [trouble.value])


def test_b_10_3_what_the_gate_refuses_is_not_told_at_all() -> None:
    urls = ("ws://127.0.0.1:7777", "ws://[::1]:1", "ws://192.168.0.7", "ws://169.254.169.254")
    hidden = [relay(url) for url in urls]
    hidden.append(relay("wss://inside.example", never_shown=True))
    hidden.append(relay("wss://new.example", connected=False, never_shown=True, trouble=None))
    public = public_status(node(), (), hidden)
    assert (public.relays, public.relays_total) == ([], 0)
    (own,) = public_status(node(), networks("192.168.0.0/16"), hidden).relays
    assert own.url == "ws://192.168.0.7"


def test_what_strangers_announce_is_shown_in_part() -> None:
    public = public_status(node(), (), [relay(f"wss://r{n}.example") for n in range(150)])
    assert (len(public.relays), public.relays_total) == (RELAYS_SHOWN, 150)


async def test_the_page_tells_no_past_in_the_future() -> None:
    """The relays are those of this moment, beside a look that is shown for a while."""
    late = relay("wss://a.example", connected_since=NOW + 3, last_event_at=NOW + 5)
    page = status_html(public_status(node(), (), [late]))
    assert ">in 3 s<" not in page
    assert ">in 5 s<" not in page
    assert page.count(">now</time>") == 2


async def test_the_page_escapes_and_tells_in_words() -> None:
    look = node(
        relays=[
            relay("wss://a.example/&lt;'x'"),
            relay("wss://b.example", connected=False, trouble=Trouble.MISBEHAVED, found="operator"),
            relay("wss://c.example", retry_at=None, connected_since=None, history=None),
            relay("wss://inside.example", never_shown=True, reason=HOSTILE),
        ]
    )
    _, _, body = await ask(make_pages(look), "/purgatory")
    page = body
    assert "wss://a.example/&amp;lt;&#39;x&#39;" in page
    assert "disconnected: protocol violations" in page
    assert "tried again" in page
    assert "being made" in page
    assert "negentropy" in page
    for secret in ("inside.example", "secret", "alert(1)"):
        assert secret not in page
    _, _, body = await ask(make_pages(node()), "/purgatory")
    assert "None is followed." in body
