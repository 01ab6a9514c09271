"""The files of deploy/: whole, harmless, and true to the settings (issue of packaging)."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from purgatory_sync.settings_loader import all_settings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
UNIT: Final = DEPLOY / "purgatory-sync.service"
KNOWN: Final = {setting.variable for setting in all_settings()}

pytestmark = pytest.mark.tree


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, lines that go on joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(None, 1)[1]) for line in lines]


def test_every_setting_that_deploy_names_exists() -> None:
    named = {
        variable
        for path in DEPLOY.iterdir()
        for variable in re.findall(r"NGIT_[A-Z0-9_]+", path.read_text())
    }
    assert named
    assert named <= KNOWN


def test_the_image_copies_what_is_there_and_runs_as_nobody_else_than_10001() -> None:
    found = instructions()
    final = found[max(i for i, (name, _) in enumerate(found) if name == "FROM") :]
    assert ("USER", "10001:10001") in final
    after = [name for name, _ in final[final.index(("USER", "10001:10001")) :]]
    assert "RUN" not in after
    copied = [shlex.split(rest)[:-1] for name, rest in found if name == "COPY"]
    for sources in copied:
        if not sources[0].startswith("--from="):
            assert all((ROOT / each).exists() for each in sources)
    assert ("STOPSIGNAL", "SIGTERM") in final
    assert ("VOLUME", "/data") in final
    assert any(name == "HEALTHCHECK" and "/healthz" in rest for name, rest in final)


def test_no_file_of_deploy_holds_a_key() -> None:
    for path in DEPLOY.iterdir():
        assert not re.search(r"nsec1[a-z0-9]{20,}|\b[0-9a-f]{64}\b", path.read_text()), path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_unit_and_finds_it_tight(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", UNIT.read_text()))
    verified = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-300:]
