"""Every property test about strangers' bytes, again and again: `python -m tests.fuzzing 600`."""

from __future__ import annotations

import importlib
import inspect
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hypothesis import is_hypothesis_test

# Relay frames and HTTP requests, pkt-lines and what is made of them, NIP-34 tags.
MODULES: Final = (
    "node.test_fuzz",
    "node.relay.test_client_messages",
    "node.git_http.test_repository_paths",
    "git.protocol.test_pktline",
    "git.protocol.test_receive_pack",
    "git.fetch.test_responses",
    "git.fetch.test_advertisement",
    "nostr.test_event",
    "nostr.test_filters",
    "nostr.test_announcement",
    "nostr.test_state",
    "nostr.test_pull_request",
    "policy.test_judge",
    "policy.rules.test_references",
    "test_urls",
)

Test = Callable[[], None]


def property_tests() -> list[Test]:
    """The property tests of MODULES that need no fixture."""
    found: list[Test] = []
    for name in MODULES:
        for test in vars(importlib.import_module(f"tests.{name}")).values():
            if is_hypothesis_test(test) and not inspect.signature(test).parameters:
                found.append(test)
    return found


def fuzz(seconds: float) -> tuple[int, float]:
    """Run all of them in turn, each time with other bytes; a failure raises with its example.

    Args:
      seconds: after which no further test is begun; each runs at least once.

    Returns how often tests ran, and by how many MiB the process has grown since each ran once.
    """
    until, tests = time.monotonic() + seconds, property_tests()
    for test in tests:
        test()
    before, runs = _resident_mib(), len(tests)
    while time.monotonic() < until:
        tests[runs % len(tests)]()
        runs += 1
    return runs, _resident_mib() - before


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    warnings.simplefilter("error")
    runs, grown = fuzz(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
    print(f"{runs} runs of {len(property_tests())} property tests, grown by {grown:.1f} MiB")  # noqa: T201
