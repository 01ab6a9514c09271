import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

import purgatory_sync
from purgatory_sync.errors import (
    AttemptFailed,
    ConnectFailed,
    Forbidden,
    NameUnknown,
    ResolverFailed,
    TimedOut,
)
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.runtime.net.gate import Gate


class Net:
    """Names, and what happens at each address; notes what was contacted."""

    def __init__(self, names: dict[str, list[str]], **behaviour: str) -> None:
        self.names = names
        self.behaviour = {address.replace("_", "."): what for address, what in behaviour.items()}
        self.lookups: list[str] = []
        self.tried: list[tuple[str, float]] = []

    async def resolve(self, host: str) -> list[str]:
        self.lookups.append(host)
        return self.names[host]

    async def connect(self, address: str, port: int) -> trio.abc.HalfCloseableStream:
        self.tried.append((address, trio.current_time()))
        what = self.behaviour.get(address, "accept")
        if what == "hang":
            await trio.sleep_forever()
        if what == "refuse":
            raise ConnectionRefusedError(111, f"{address} refuses")
        return trio.testing.memory_stream_pair()[0]

    def gate(self, *allow: str, timeout_secs: float = 10.0) -> Gate:
        return Gate(
            networks(*allow),
            connect_timeout_secs=timeout_secs,
            resolve=self.resolve,
            connect=self.connect,
        )

    @property
    def addresses(self) -> list[str]:
        return [address for address, _ in self.tried]


async def test_a_public_name_is_resolved_once_and_connected_to_as_judged() -> None:
    net = Net({"git.example": ["8.8.8.8"]})
    contacts: list[list[str]] = []
    await net.gate().open_tcp("git.example", 443, lambda: contacts.append(list(net.addresses)))
    assert net.lookups == ["git.example"]
    assert net.addresses == ["8.8.8.8"]
    assert contacts == [[]]  # told before the first connection, and once


@pytest.mark.parametrize(
    "answers",
    [
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["8.8.8.8"] * 20 + ["10.0.0.1"],
        ["2606:4700::1", "::ffff:169.254.169.254"],
        ["fe80::1%eth0"],
        ["nonsense"],
    ],
)
async def test_one_answer_inside_refuses_the_name(answers: list[str]) -> None:
    net = Net({"git.example": answers})
    contacts: list[None] = []
    with pytest.raises(Forbidden) as caught:
        await net.gate().open_tcp("git.example", 443, lambda: contacts.append(None))
    assert net.addresses == []
    assert contacts == []
    assert not caught.value.contacted
    assert not any(answer in str(caught.value) for answer in answers)
    assert "git.example is" in str(caught.value.__cause__)


async def test_literal_addresses_are_judged_without_a_lookup() -> None:
    net = Net({})
    with pytest.raises(Forbidden):
        await net.gate().open_tcp("127.0.0.1", 80)
    await net.gate("127.0.0.0/8").open_tcp("127.0.0.1", 80)
    assert net.lookups == []
    assert net.addresses == ["127.0.0.1"]


async def test_an_allowed_network_admits_the_name() -> None:
    net = Net({"git.example": ["10.0.0.7", "8.8.8.8"]})
    await net.gate("10.0.0.0/24").open_tcp("git.example", 443)
    assert net.addresses == ["10.0.0.7"]


async def test_addresses_are_tried_in_turn(autojump_clock: trio.testing.MockClock) -> None:
    net = Net({"git.example": ["1.1.1.1", "8.8.8.8", "2606:4700::1"]}, **{"1_1_1_1": "refuse"})
    net.behaviour["2606:4700::1"] = "hang"
    await net.gate(timeout_secs=9).open_tcp("git.example", 443)
    assert net.addresses == ["1.1.1.1", "2606:4700::1", "8.8.8.8"]
    assert trio.current_time() == net.tried[0][1] + 4.5  # half of what is left for the second


async def test_so_many_addresses_of_a_name_are_tried_and_no_more() -> None:
    many = [f"8.8.8.{n}" for n in range(20)]
    net = Net({"git.example": many}, **{each.replace(".", "_"): "refuse" for each in many})
    with pytest.raises(ConnectFailed):
        await net.gate().open_tcp("git.example", 443)
    assert net.addresses == many[:8]


async def test_all_refused_is_a_failed_connection() -> None:
    net = Net({"git.example": ["1.1.1.1"]}, **{"1_1_1_1": "refuse"})
    with pytest.raises(ConnectFailed, match="refused") as caught:
        await net.gate().open_tcp("git.example", 443)
    assert "1.1.1.1" not in str(caught.value)


async def test_silence_times_out(autojump_clock: trio.testing.MockClock) -> None:
    net = Net({"git.example": ["1.1.1.1", "8.8.8.8"]}, **{"1_1_1_1": "hang", "8_8_8_8": "hang"})
    start = trio.current_time()
    with pytest.raises(TimedOut):
        await net.gate(timeout_secs=10).open_tcp("git.example", 443)
    assert trio.current_time() == start + 10


async def raise_oserror(host: str) -> list[str]:
    raise OSError("broken")


async def raise_unknown(host: str) -> list[str]:
    raise NameUnknown("no such name")


async def hang(host: str) -> list[str]:
    await trio.sleep_forever()
    raise AssertionError


async def answer_nothing(host: str) -> list[str]:
    return []


@pytest.mark.parametrize(
    ("resolve", "expected"),
    [
        (raise_oserror, ResolverFailed),
        (raise_unknown, NameUnknown),
        (hang, ResolverFailed),
        (answer_nothing, ResolverFailed),
    ],
)
async def test_failures_of_the_resolver_contact_no_server(
    resolve: Callable[[str], Awaitable[list[str]]],
    expected: type[AttemptFailed],
    autojump_clock: trio.testing.MockClock,
) -> None:
    net = Net({})
    gate = Gate(connect_timeout_secs=10, resolve=resolve, connect=net.connect)
    started = trio.current_time()
    with pytest.raises(expected) as caught:
        await gate.open_tcp("git.example", 443)
    assert not caught.value.contacted
    assert net.tried == []
    assert trio.current_time() - started == (10 if resolve is hang else 0)


# websockets calls so what it makes over a stream that is open.
CONNECTS = re.compile(
    r"open_tcp_stream|open_ssl_over_tcp_stream|HappyEyeballs|\.connect\(\(|create_connection(?!=_)"
    r"|urlopen|http\.client\b|import requests|HTTPTransport|httpx\.(get|post|stream|request)\b"
    r"|httpx\.Client|HttpGitClient|get_transport_and_path|porcelain"
)


@pytest.mark.tree
def test_no_other_module_opens_connections() -> None:
    """All that goes out is in `runtime/net/connectors.py`, behind the gate; testing/ is not."""
    package = Path(purgatory_sync.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if CONNECTS.search(path.read_text()) and path.relative_to(package).parts[0] != "testing"
    }
    assert found == {"runtime/net/connectors.py"}


@pytest.mark.real
async def test_real_connections_go_through() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    stream = await Gate(networks("127.0.0.0/8")).open_tcp("127.0.0.1", port)
    assert isinstance(stream, trio.SocketStream)
    assert stream.socket.getpeername() == ("127.0.0.1", port)
    await stream.aclose()
    await listeners[0].aclose()
    with pytest.raises(ConnectFailed):
        await Gate(networks("127.0.0.0/8")).open_tcp("127.0.0.1", port)
