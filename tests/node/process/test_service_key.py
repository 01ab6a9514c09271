from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from purgatory_sync.errors import ConfigurationError
from purgatory_sync.node.process.service_key import FILE, service_key
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.settings import RelaySettings, Settings
from purgatory_sync.testing.log_capture import capture_logs

HEX = "5" * 64
ALICE, BOB = SecretKey.parse(HEX), SecretKey.parse("6" * 64)
NOTHING: Mapping[str, str] = {}


def settings_in(folder: Path, nsec: str | None = None, file: Path | None = None) -> Settings:
    relay = RelaySettings(owner_nsec=nsec, owner_nsec_file=file)
    return Settings(relay_data_path=folder / "relay", relay=relay)


def key_of(
    settings: Settings,
    environ: Mapping[str, str] = NOTHING,
    known: str | None = None,
    *,
    new_identity: bool = False,
) -> SecretKey:
    return service_key(settings, environ, known, new_identity=new_identity).key


def credentials(folder: Path, text: str) -> dict[str, str]:
    (folder / "relay_owner_nsec").write_text(text)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_a_given_key_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert key_of(settings_in(tmp_path, ALICE.nsec)).pubkey == ALICE.pubkey
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    first = key_of(settings_in(tmp_path))
    path = tmp_path / "relay" / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == f"{first.nsec}\n"
    assert key_of(settings_in(tmp_path), known=first.pubkey).pubkey == first.pubkey
    assert [each.name for each in path.parent.iterdir()] == [FILE]


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    one, other = (key_of(settings_in(tmp_path / name)).pubkey for name in "ab")
    assert one != other


def test_a_store_in_memory_leaves_no_file(tmp_path: Path) -> None:
    settings = attrs.evolve(settings_in(tmp_path), database_backend="memory")
    assert key_of(settings).pubkey != key_of(settings).pubkey
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        key_of(settings_in(tmp_path))
    assert list((tmp_path / "relay").iterdir()) == []


@pytest.mark.parametrize("written", [ALICE.nsec, f" {ALICE.nsec}\n", "{hex}\n"])
@pytest.mark.parametrize("source", ["credential", "file", "kept"])
def test_b_13_1_each_file_may_hold_an_nsec_or_hex_with_blanks_around(
    tmp_path: Path, source: str, written: str
) -> None:
    written = written.replace("{hex}", HEX)
    file, environ = None, NOTHING
    if source == "credential":
        environ = credentials(tmp_path, written)
    elif source == "file":
        file = tmp_path / "secret"
        file.write_text(written)
    else:
        (tmp_path / "relay").mkdir()
        (tmp_path / "relay" / FILE).write_text(written)
    assert key_of(settings_in(tmp_path, file=file), environ).pubkey == ALICE.pubkey


@pytest.mark.parametrize("content", [b"", b" \n", b"nsec1abc", b"\xff" * 63, ALICE.npub.encode()])
@pytest.mark.parametrize("source", ["credential", "file", "kept"])
def test_b_13_1_a_source_without_a_key_ends_the_start(
    tmp_path: Path, source: str, content: bytes
) -> None:
    kept = tmp_path / "relay" / FILE
    kept.parent.mkdir()
    path = {"credential": tmp_path / "relay_owner_nsec", "file": tmp_path / "k", "kept": kept}[
        source
    ]
    path.write_bytes(content)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)} if source == "credential" else NOTHING
    settings = settings_in(tmp_path, file=path if source == "file" else None)
    said = "holds no key" if content.strip() else "is empty"
    with pytest.raises(ConfigurationError, match=rf"{path.name} {said}: write an nsec1…"):
        key_of(settings, environ)
    assert path.read_bytes() == content
    assert kept.exists() == (source == "kept")


def test_b_13_1_a_named_file_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, file=tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=r"NSEC_FILE: .*gone cannot be read \(No such"):
        key_of(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_a_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "relay" / FILE).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"service\.nsec cannot be read"):
        key_of(settings_in(tmp_path))


def test_b_13_1_two_sources_with_one_key_are_fine_and_with_two_are_not(tmp_path: Path) -> None:
    key_of(settings_in(tmp_path / "own"))
    own = (tmp_path / "own" / "relay" / FILE).read_text().strip()
    environ = credentials(tmp_path, own)
    both = settings_in(tmp_path / "own", own)
    assert key_of(both, environ).nsec == own
    with pytest.raises(ConfigurationError, match=r"credential .* and NGIT_RELAY_OWNER_NSEC hold"):
        key_of(settings_in(tmp_path / "own", ALICE.nsec), environ)
    with pytest.raises(ConfigurationError, match=r"NGIT_RELAY_OWNER_NSEC and .*service\.nsec hold"):
        key_of(settings_in(tmp_path / "own", ALICE.nsec))


def test_b_13_1_a_store_that_knows_a_key_never_gets_another_by_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"knows this service as {ALICE.npub}, but"):
        key_of(settings_in(tmp_path), known=ALICE.pubkey)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match=f"key of {BOB.npub}, but the store knows"):
        key_of(settings_in(tmp_path, BOB.nsec), known=ALICE.pubkey)


def test_b_13_1_the_operator_may_want_another_key(tmp_path: Path) -> None:
    given = settings_in(tmp_path, BOB.nsec)
    assert key_of(given, known=ALICE.pubkey, new_identity=True).pubkey == BOB.pubkey
    made = key_of(settings_in(tmp_path), known=ALICE.pubkey, new_identity=True)
    assert (tmp_path / "relay" / FILE).read_text().strip() == made.nsec


def test_b_13_1_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    made = key_of(settings_in(tmp_path))
    path = tmp_path / "relay" / FILE
    path.chmod(0o640)
    with capture_logs() as logs:
        assert key_of(settings_in(tmp_path)).pubkey == made.pubkey
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_a_bad_key_is_never_repeated(tmp_path: Path) -> None:
    secret = ALICE.nsec[:-1] + "q"
    with pytest.raises(ConfigurationError, match="NGIT_RELAY_OWNER_NSEC is an nsec with") as caught:
        key_of(settings_in(tmp_path, secret))
    assert secret not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
