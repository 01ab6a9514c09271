from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from purgatory_sync.errors import ConfigurationError
from purgatory_sync.node.process.service_key import FILE, service_key
from purgatory_sync.settings import RelaySettings, Settings
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

ALICE = Author.from_seed(1).key


def settings_in(folder: Path, nsec: str | None = None) -> Settings:
    return Settings(relay_data_path=folder / "relay", relay=RelaySettings(owner_nsec=nsec))


def test_a_given_key_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert service_key(settings_in(tmp_path, ALICE.nsec)).pubkey == ALICE.pubkey
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    first = service_key(settings_in(tmp_path))
    path = tmp_path / "relay" / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == f"{first.nsec}\n"
    assert service_key(settings_in(tmp_path)).pubkey == first.pubkey
    assert [each.name for each in path.parent.iterdir()] == [FILE]


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    one, other = (service_key(settings_in(tmp_path / name)).pubkey for name in "ab")
    assert one != other


def test_a_store_in_memory_leaves_no_file(tmp_path: Path) -> None:
    settings = attrs.evolve(settings_in(tmp_path), database_backend="memory")
    assert service_key(settings).pubkey != service_key(settings).pubkey
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        service_key(settings_in(tmp_path))
    assert list((tmp_path / "relay").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"nsec1abc", b"\xff" * 63, ALICE.npub.encode()])
def test_a_bad_file_is_a_sentence_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay" / FILE
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"service\.nsec holds no key: put the nsec1…"):
        service_key(settings_in(tmp_path))
    assert path.read_bytes() == content


def test_a_file_that_is_a_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "relay" / FILE).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"service\.nsec cannot be used"):
        service_key(settings_in(tmp_path))


def test_a_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    made = service_key(settings_in(tmp_path))
    (tmp_path / "relay" / FILE).chmod(0o640)
    with capture_logs() as logs:
        assert service_key(settings_in(tmp_path)).pubkey == made.pubkey
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_a_bad_setting_is_a_sentence_without_the_secret(tmp_path: Path) -> None:
    secret = ALICE.nsec[:-1] + "q"
    with pytest.raises(ConfigurationError, match="NGIT_RELAY_OWNER_NSEC is an nsec with") as caught:
        service_key(settings_in(tmp_path, secret))
    assert secret not in str(caught.value)
