"""Connections never take the files that the node itself needs."""

from __future__ import annotations

import resource

import pytest

from purgatory_sync.node.process.open_files import RESERVED, allow_connections
from purgatory_sync.testing.log_capture import capture_logs

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "limit"),
    [
        (1024, 1_000_000, 10_000, 10_000 + RESERVED),
        (1024, INFINITE, 10_000, 10_000 + RESERVED),
        (20_000, 20_000, 10_000, 20_000),
        (1024, 4096, 4096 - RESERVED, 4096),
        (256, 256, 128, 256),
        (INFINITE, INFINITE, 10_000, INFINITE),
    ],
)
def test_the_limit_is_raised_and_then_kept_to(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, allowed: int, limit: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    with capture_logs() as logs:
        assert allow_connections(10_000) == allowed
    assert limits[-1] == (limit, hard)
    assert [entry["log_level"] for entry in logs] == ["warning"] * (allowed < 10_000)


def test_a_limit_that_cannot_be_raised_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, _new: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, INFINITE))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert allow_connections(10_000) == 512
    assert allow_connections(100) == 100
