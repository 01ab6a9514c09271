"""A node whose neighbours hang or answer 503: how much longer does everything take? (mission N3)"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from purgatory_sync.testing.node_process import free_port

from .measuring import Effort, Goal, Line
from .neighbourhood import Result, run

REPOSITORIES = 40
HEALTHY_HOSTS = 4
BAD_HOSTS = ("127.0.1.2", "127.0.1.3")
HUNG_GOAL = Goal(15.0)
BUSY_GOAL = Goal(10.0)
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n"
    b"retry-after: 60\r\n\r\n"
)


def measure_hung(effort: Effort) -> list[Line]:
    """The first clone URL of each of 40 repositories is on one of 2 hung hosts."""
    return _measure(effort, "hung", None, HUNG_GOAL)


def measure_busy(effort: Effort) -> list[Line]:
    """The same with hosts that answer 503."""
    return _measure(effort, "answering 503", BUSY, BUSY_GOAL)


def measure_three_sources(effort: Effort) -> list[Line]:
    """One source hung, one answering 503, one healthy, by the healthy one alone."""
    with _bad_host(BAD_HOSTS[0], None) as hung, _bad_host(BAD_HOSTS[1], BUSY) as busy:
        alone = run(1, 1).all_secs
        among = run(1, 1, [hung], [busy]).all_secs
    detail = f"{among:.2f} s by {alone:.2f} s alone"
    return [
        Line(
            "release beside a hung and a busy source, less 1.3 × alone",
            among - 1.3 * alone,
            "s",
            Goal(3.0),
            detail,
        )
    ]


def _measure(effort: Effort, what: str, answer: bytes | None, goal: Goal) -> list[Line]:
    count = effort.of(REPOSITORIES)
    with ExitStack() as stack:
        bad = [stack.enter_context(_bad_host(host, answer)) for host in BAD_HOSTS]
        result = run(count, HEALTHY_HOSTS, bad)
    return [
        Line(
            f"{count}, first source {what}: all served after",
            result.all_secs,
            "s",
            goal,
            _detail(result),
        )
    ]


def _detail(result: Result) -> str:
    return f"half after {result.half_secs:.1f} s, at most {result.most_attempts} starts at a host"


@contextmanager
def _bad_host(host: str, answer: bytes | None) -> Iterator[str]:
    """A host that takes every connection and says always the same, or nothing at all."""
    port = free_port(host)
    kept: list[socket.socket] = []
    with socket.create_server((host, port), backlog=128) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if answer is None:
                    kept.append(connection)
                    continue
                with connection:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"{host}:{port}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in kept:
                connection.close()
