"""Names on disk are bytes of UTF-8 under every locale, and what is printed is UTF-8 (B 1.1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from purgatory_sync.filenames import from_file_name, to_file_name
from purgatory_sync.testing.events import Author

ALICE = Author.from_seed(1)
NAME = "ü 🦀 é"
LOCALES = [
    {},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"},
]
# Makes a repository with a ref, or reads what another process made.
SCRIPT = """
import json, sys, trio
from pathlib import Path
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.release.index.repositories import Repositories
from tests.git.local_repos import add_pack, history, write_loose_ref
owner, name, folder, makes = json.loads(sys.argv[1])
repositories = Repositories(Path(folder), trio.CapacityLimiter(1))
path = repositories.path(owner, name)
if makes:
    (step,) = history(1)
    repositories.create(owner, name)
    add_pack(path, step.objects)
    update_refs(path, {f"refs/heads/{name.replace(' ', '-')}": step.oid})
    assert b"refs/heads/" + name.replace(" ", "-").encode() in (path / "packed-refs").read_bytes()
sys.stdout.write(json.dumps([repositories.all_named(), list_refs(path)]))
"""


def environment(locale: dict[str, str]) -> dict[str, str]:
    ours = ("LC_", "LANG", "PYTHONUTF8", "PYTHONIOENCODING", "NGIT_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent), **locale}


def made_or_found(folder: Path, locale: dict[str, str], *, makes: bool) -> object:
    given = json.dumps([ALICE.pubkey, NAME, str(folder), makes])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given],
        env=environment(locale),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_b_1_1_what_one_locale_wrote_another_finds(tmp_path: Path, locale: dict[str, str]) -> None:
    made = made_or_found(tmp_path / "a", locale, makes=True)
    assert made == made_or_found(tmp_path / "a", {}, makes=False)
    there = [[ALICE.pubkey, NAME]]
    assert made_or_found(tmp_path / "a", locale, makes=False) == [there, made[1]]  # type: ignore[index]
    (folder,) = os.listdir(os.fsencode(tmp_path / "a" / ALICE.npub))
    assert folder == f"{NAME}.git".encode()


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_commands_speak_utf_8_under_every_locale(tmp_path: Path, locale: dict[str, str]) -> None:
    """Also of what is in arguments and in the environment."""
    program = [sys.executable, "-m", "purgatory_sync"]
    done = subprocess.run(
        [*program, "settings", "--relay-description", NAME],
        env={**environment(locale), "NGIT_RELAY_NAME": NAME, "NGIT_GIT_DATA_PATH": NAME},
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr.decode()
    for line in ("NGIT_RELAY_NAME", "NGIT_RELAY_DESCRIPTION", "NGIT_GIT_DATA_PATH"):
        assert f'{line}="{NAME}"'.encode() in done.stdout


def test_bytes_that_are_no_utf_8_are_kept() -> None:
    for raw in (b"caf\xe9", NAME.encode(), b"\xff"):
        assert os.fsencode(to_file_name(raw.decode("utf-8", "surrogateescape"))) == raw
        assert from_file_name(os.fsdecode(raw)).encode("utf-8", "surrogateescape") == raw
