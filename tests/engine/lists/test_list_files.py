"""Files with entries of the operator's lists (B 5.5)."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from purgatory_sync.engine.lists import list_files
from purgatory_sync.engine.lists.list_files import read_files
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.settings import ListFileSettings
from purgatory_sync.testing.events import Author

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)


def read(path: Path, text: bytes, field: str = "event_blacklist") -> tuple[str, ...]:
    path.write_bytes(text)
    ((name, entries),) = read_files(attrs.evolve(ListFileSettings(), **{field: path})).items()
    assert name == field.replace("_", "-")
    return entries


def test_b_5_5_a_file_has_one_entry_a_line(tmp_path: Path) -> None:
    text = f"# spam\n\n  {ALICE.npub}\t# why\r\n{BOB.npub.upper()}\n{ALICE.npub}#\n".encode()
    with pytest.raises(ConfigurationError, match="line 5"):
        read(tmp_path / "list", text)
    assert read(tmp_path / "list", text.replace(b"#\n", b" #\n")) == (ALICE.npub, BOB.npub)
    assert read(tmp_path / "list", b"") == ()
    assert read_files(ListFileSettings()) == {}


def test_b_5_5_every_list_has_its_form(tmp_path: Path) -> None:
    path = tmp_path / "list"
    named = f"{ALICE.npub}/a b#c"
    assert read(path, f"{named}\nrepo".encode(), "repository_blacklist") == (named, "repo")
    assert read(path, b"A" * 64, "banned_events") == ("a" * 64,)
    text = b"192.0.2.7\n2001:DB8::/32 # a whole network"
    assert read(path, text, "blocked_addresses") == ("192.0.2.7/32", "2001:db8::/32")


@pytest.mark.parametrize(
    ("field", "text", "why"),
    [
        ("event_blacklist", b"npub1x", "line 1 of .*: write npub1… there"),
        ("event_blacklist", b"\xff", "is no text"),
        ("repository_blacklist", b"a\na/b", "line 2"),
        ("banned_events", b"a" * 63, "64 hexadecimal digits"),
        ("blocked_addresses", b"10.0.0.1/8", "no address and no network"),
        ("repository_whitelist", b"# later\n", "an empty whitelist lets every repository in"),
    ],
)
def test_b_5_5_a_bad_file_is_one_sentence(
    tmp_path: Path, field: str, text: bytes, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        read(tmp_path / "list", text, field)
    assert str(caught.value).startswith(f"NGIT_{field.upper()}_FILE: ")


def test_b_5_5_a_file_that_is_not_there_or_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_files(ListFileSettings(event_blacklist=tmp_path / "none"))
    monkeypatch.setattr(list_files, "MAX_FILE_BYTES", 3)
    with pytest.raises(ConfigurationError, match="more than 3 bytes"):
        read(tmp_path / "list", b"# 12")
