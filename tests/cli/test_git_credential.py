from __future__ import annotations

import io
import stat
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from purgatory_sync.cli.clients.git_credential import answer
from purgatory_sync.cli.program import main
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.nostr.event import decode_event
from purgatory_sync.nostr.http_auth.signed_access import check_access
from purgatory_sync.testing.events import Author

ALICE = Author.from_seed(1)
NOW = 1_700_000_000.5
ASKED = (
    "capability[]=authtype\nprotocol=https\nhost=example.org\npath=npub1x/my%20r.git\nwwwauth[]=x\n"
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{ALICE.key.nsec}\n")
    path.chmod(stat.S_IRUSR)
    return path


def facts(said: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in said.splitlines())


def test_b_16_3_git_gets_a_password_for_one_repository_and_a_minute(key: Path) -> None:
    told = facts(answer(ASKED, key, NOW))
    event = decode_event(b64decode(told["password"]))
    url = "https://example.org/npub1x/my%20r.git"
    check_access(event, lambda named: named == url, lambda signer: signer == ALICE.pubkey, NOW)
    assert told["username"]
    assert int(told["password_expiry_utc"]) == int(NOW) + 60


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("protocol=https\nhost=example.org\n", "useHttpPath true"),
        ("protocol=https\nhost=example.org\npath=/\n", "useHttpPath true"),
        ("protocol=ssh\nhost=example.org\npath=a\n", "no http or https"),
        ("protocol=https\npath=a\n", "no http or https"),
        ("", "no http or https"),
    ],
)
def test_git_has_to_say_which_repository_it_asks_for(key: Path, said: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        answer(said, key, NOW)


def test_a_file_without_a_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--key-file: .* cannot be read"):
        answer(ASKED, tmp_path / "none", NOW)
    (tmp_path / "empty").write_text("")
    with pytest.raises(ConfigurationError, match="is empty"):
        answer(ASKED, tmp_path / "empty", NOW)


@pytest.mark.parametrize("operation", ["store", "erase"])
def test_nothing_is_kept_for_git(
    key: Path, operation: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(ASKED))
    with pytest.raises(SystemExit) as ended:
        main(["git-credential", "--key-file", str(key), operation])
    assert ended.value.code == 0
    assert capsys.readouterr().out == ""


def test_another_word_than_git_says_is_an_error(
    key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(ASKED))
    with pytest.raises(SystemExit) as ended:
        main(["git-credential", "--key-file", str(key), "what"])
    assert ended.value.code == 2
    assert "not for 'what'" in capsys.readouterr().err
