"""Twenty seconds of strangers' bytes; more of them by hand."""

from __future__ import annotations

import pytest

from .fuzzing import fuzz, property_tests

MAX_GROWTH_MIB = 64


def test_every_border_has_a_property_test() -> None:
    modules = {test.__module__ for test in property_tests()}
    assert {
        "tests.node.test_fuzz",
        "tests.git.protocol.test_pktline",
        "tests.policy.test_judge",
    } <= modules


@pytest.mark.real
def test_twenty_seconds_of_any_bytes_raise_nothing_and_leave_nothing() -> None:
    _, grown = fuzz(20)
    assert grown < MAX_GROWTH_MIB
