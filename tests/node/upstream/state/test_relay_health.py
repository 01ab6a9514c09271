from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.http11 import Response

from purgatory_sync import errors
from purgatory_sync.node.upstream.state.relay_health import Ending, Health, RelayStatus, Trouble

NOW = 1_800_000_000.0


def status(code: int) -> InvalidStatus:
    return InvalidStatus(Response(code, "", Headers()))


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (errors.Forbidden("x"), Trouble.FORBIDDEN),
        (errors.NameUnknown("x"), Trouble.FORBIDDEN),
        (errors.ResolverFailed("x"), Trouble.UNREACHABLE),
        (errors.ConnectFailed("x"), Trouble.UNREACHABLE),
        (errors.TlsFailed("x"), Trouble.UNREACHABLE),
        (errors.TimedOut("x"), Trouble.TIMEOUT),
        (errors.NotHttp("x"), Trouble.NO_RELAY),
        (TimeoutError("x"), Trouble.TIMEOUT),
        (ConnectionResetError("x"), Trouble.UNREACHABLE),
        (status(302), Trouble.REFUSED),
        (status(403), Trouble.REFUSED),
        (status(429), Trouble.RATE_LIMITED),
        (status(503), Trouble.RATE_LIMITED),
        (InvalidMessage("x"), Trouble.NO_RELAY),
        (ConnectionClosedError(None, None), Trouble.CLOSED),
    ],
)
def test_errors_by_class(error: Exception, trouble: Trouble) -> None:
    ending = Ending.of(error)
    assert ending.trouble is trouble
    assert ending.reason != ""


def test_reasons_are_bounded() -> None:
    assert len(Ending.of(OSError("x" * 9_999)).reason) == 300
    assert Ending.of(OSError()).reason == "OSError"


def look(health: Health) -> RelayStatus:
    return health.look("wss://a.example", pinned=False, owners=1)


def test_b_10_3_until_it_is_known_that_the_gate_lets_it_through_a_relay_is_not_public() -> None:
    health = Health()
    assert look(health).never_shown
    health.lost(Ending(Trouble.FORBIDDEN, "x"), NOW)
    assert look(health).never_shown
    health.lost(Ending(Trouble.UNREACHABLE, "the name could not be looked up"), NOW)
    assert look(health).never_shown, "that would tell that its name sometimes leads inside"
    health.connected(NOW)
    assert not look(health).never_shown
    health.lost(Ending(Trouble.CLOSED, "x"), NOW)
    assert not look(health).never_shown
    health.lost(Ending(Trouble.FORBIDDEN, "x"), NOW)
    assert look(health).never_shown


def test_a_connection_clears_what_was_wrong() -> None:
    health = Health()
    health.lost(Ending(Trouble.TIMEOUT, "slow"), NOW)
    health.retry_at = NOW + 5
    seen = look(health)
    assert (seen.connected, seen.trouble, seen.reason, seen.trouble_at) == (
        False,
        Trouble.TIMEOUT,
        "slow",
        NOW,
    )
    health.connected(NOW + 6)
    seen = look(health)
    assert (seen.connected_since, seen.retry_at, seen.trouble, seen.reason) == (
        NOW + 6,
        None,
        None,
        "",
    )
