"""The files of deploy/: whole, harmless, and true to the settings (issue of packaging)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from purgatory_sync.settings_loader import all_settings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
UNIT: Final = DEPLOY / "purgatory-sync.service"
BACKUP: Final = DEPLOY / "purgatory-sync-backup.service"
TIMER: Final = DEPLOY / "purgatory-sync-backup.timer"
CERTIFICATE: Final = ROOT / "tests" / "git" / "git.example.pem"
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
def test_systemd_takes_the_timer_and_its_service(tmp_path: Path) -> None:
    for unit in (BACKUP, TIMER, UNIT):
        text = unit.read_text().replace("/opt/purgatory-sync/bin/purgatory-sync", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / TIMER.name, tmp_path / BACKUP.name],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_each_backup_has_a_folder_of_its_own_and_old_ones_go(tmp_path: Path) -> None:
    """The commands of the unit as systemd gives them to the programs."""
    program, backups = tmp_path / "purgatory-sync", tmp_path / "backups"
    program.write_text('#!/bin/sh\nmkdir "$2"\n')
    program.chmod(0o755)
    named = ("ExecStartPre=", "ExecStart=", "ExecStartPost=")
    lines = [line for line in BACKUP.read_text().splitlines() if line.startswith(named)]
    (tmp_path / "backups" / "old").mkdir(parents=True)
    (tmp_path / "backups" / "fresh").mkdir()
    for name, days in (("old", 15), ("fresh", 12)):
        then = time.time() - days * 86400
        os.utime(backups / name, (then, then))
    for line in lines:
        command = line.partition("=")[2].replace("%%", "%").replace("${BACKUPS}", str(backups))
        command = command.replace("/opt/purgatory-sync/bin/purgatory-sync", str(program))
        done = subprocess.run(
            shlex.split(command), check=True, env={**os.environ, "BACKUPS": str(backups)}
        )
        assert done.returncode == 0
    left = sorted(path.name for path in backups.iterdir())
    assert len(left) == 2
    assert left[1] == "fresh"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}", left[0])


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx is installed")
@pytest.mark.parametrize("newer", [False, True])
def test_nginx_takes_the_whole_file(tmp_path: Path, newer: bool) -> None:
    """With TLS and port 80, which the tests of tests/node/proxies do without."""
    site = (DEPLOY / "nginx.conf").read_text()
    site = re.sub(r"(ssl_certificate(?:_key)?) +\S+;", rf"\1 {CERTIFICATE};", site)
    if newer:
        site = site.replace("listen 443 ssl http2;", "listen 443 ssl; http2 on;")
        site = site.replace("listen [::]:443 ssl http2;", "listen [::]:443 ssl;")
        told = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
        version = tuple(map(int, re.findall(r"\d+", told)[:3]))
        if version < (1, 25, 1):
            pytest.skip("this nginx is older than `http2 on;`")
    main = re.findall(r"(?m)^#     (.*)$", site.partition("map ")[0])
    whole = [*main, f"pid {tmp_path}/pid; error_log {tmp_path}/log;", f"http {{\n{site}\n}}"]
    (tmp_path / "nginx.conf").write_text("\n".join(whole))
    done = subprocess.run(
        ["nginx", "-t", "-e", tmp_path / "log", "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
