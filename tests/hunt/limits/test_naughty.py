from __future__ import annotations

import pytest

from purgatory_sync.errors import NaughtyScope
from purgatory_sync.hunt.limits import naughty as module
from purgatory_sync.hunt.limits.naughty import NaughtyList
from purgatory_sync.records import NaughtyRecord

HOURS_12 = 43_200.0
URL = "https://a.example/r.git"
SAME_HOST = "https://a.example/other.git"
OTHER_PORT = "https://a.example:8443/r.git"


def test_b_8_7_the_host_when_the_name_does_not_exist() -> None:
    naughty = NaughtyList(HOURS_12)
    naughty.add(URL, NaughtyScope.HOST, "no such name", now=0.0)
    assert naughty.is_naughty(SAME_HOST, 1.0)
    assert naughty.is_naughty(OTHER_PORT, 1.0)
    assert not naughty.is_naughty("https://b.example/r.git", 1.0)


def test_b_8_7_host_and_port_for_a_bad_certificate() -> None:
    naughty = NaughtyList(HOURS_12)
    naughty.add(URL, NaughtyScope.ENDPOINT, "bad certificate", now=0.0)
    assert naughty.is_naughty(SAME_HOST, 1.0)
    assert not naughty.is_naughty(OTHER_PORT, 1.0)


def test_b_8_7_the_one_url_and_never_a_host_that_serves_thousands() -> None:
    naughty = NaughtyList(HOURS_12)
    naughty.add(URL, NaughtyScope.URL, "404", now=0.0)
    assert naughty.is_naughty(URL, 1.0)
    assert not naughty.is_naughty(SAME_HOST, 1.0)


def test_b_8_7_twelve_hours() -> None:
    forgotten: list[tuple[NaughtyScope, str]] = []
    naughty = NaughtyList(HOURS_12, on_forget=lambda *key: forgotten.append(key))
    naughty.add(URL, NaughtyScope.URL, "404", now=100.0)
    assert naughty.is_naughty(URL, 100.0 + HOURS_12 - 1)
    assert not naughty.is_naughty(URL, 100.0 + HOURS_12)
    assert forgotten == [(NaughtyScope.URL, URL)]
    assert len(naughty) == 0


def test_b_8_7_an_entry_can_be_listed_again() -> None:
    naughty = NaughtyList(HOURS_12)
    naughty.add(URL, NaughtyScope.URL, "404", now=0.0)
    assert not naughty.is_naughty(URL, HOURS_12)
    naughty.add(URL, NaughtyScope.URL, "404 again", now=HOURS_12)
    entry = naughty.why(URL, HOURS_12 + 1)
    assert entry is not None
    assert (entry.until, entry.reason) == (2 * HOURS_12, "404 again")


def test_b_8_7_cleared_by_a_success_or_by_hand() -> None:
    naughty = NaughtyList(HOURS_12)
    for scope in (NaughtyScope.HOST, NaughtyScope.ENDPOINT, NaughtyScope.URL):
        naughty.add(URL, scope, "bad", now=0.0)
    naughty.forgive(URL)
    assert len(naughty) == 0


def test_b_8_7_a_new_announcement_clears_the_url_only() -> None:
    naughty = NaughtyList(HOURS_12)
    naughty.add(URL, NaughtyScope.URL, "404", now=0.0)
    naughty.add(URL, NaughtyScope.HOST, "no such name", now=0.0)
    naughty.forgive_url(URL)
    assert [entry.scope for entry in naughty.entries()] == [NaughtyScope.HOST]


def test_scope_none_and_unusable_urls_add_nothing() -> None:
    naughty = NaughtyList(HOURS_12)
    naughty.add(URL, NaughtyScope.NONE, "time-out", now=0.0)
    naughty.add("ftp://a.example/x", NaughtyScope.URL, "odd", now=0.0)
    assert len(naughty) == 0
    naughty.add(URL, NaughtyScope.URL, "404", now=0.0)
    assert not naughty.is_naughty("ftp://a.example/x", 1.0)


def test_b_9_entries_survive_a_restart() -> None:
    rows: list[NaughtyRecord] = []
    before = NaughtyList(HOURS_12, on_add=rows.append)
    before.add(URL, NaughtyScope.URL, "404", now=0.0)
    after = NaughtyList(HOURS_12, on_add=rows.append)
    after.restore([*rows, NaughtyRecord(NaughtyScope.HOST, "b.example", 5.0, "over")], now=10.0)
    assert after.is_naughty(URL, 10.0)
    assert len(after) == 1
    assert len(rows) == 1
    after.prune(HOURS_12)
    assert len(after) == 0


def test_the_list_is_bounded_and_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    naughty = NaughtyList(HOURS_12)
    for name in "abc":
        naughty.add(f"https://{name}.example/r.git", NaughtyScope.HOST, "bad", now=0.0)
    assert [entry.key for entry in naughty.entries()] == ["b.example", "c.example"]


def test_b_8_7_a_clock_that_was_set_back_makes_no_source_naughty_for_longer() -> None:
    after = NaughtyList(12 * 3600.0)
    after.restore([NaughtyRecord(NaughtyScope.HOST, "b.example", 1e9, "wrong clock")], now=10.0)
    assert after.is_naughty("https://b.example/r.git", 10.0 + 12 * 3600.0 - 1)
    assert not after.is_naughty("https://b.example/r.git", 10.0 + 12 * 3600.0)
    after.add("https://c.example/r.git", NaughtyScope.HOST, "wrong clock", now=1e9)
    after.prune(10.0)
    assert after.is_naughty("https://c.example/r.git", 10.0 + 12 * 3600.0 - 1)
    assert not after.is_naughty("https://c.example/r.git", 10.0 + 12 * 3600.0)
