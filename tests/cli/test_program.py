from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from purgatory_sync import __version__
from purgatory_sync.cli import program, run_command
from purgatory_sync.errors import StoreError
from purgatory_sync.settings import Settings
from purgatory_sync.settings_loader import all_settings, load_settings

SECRET = "nsec1verysecret"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, no settings in the environment, a wide terminal."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("NGIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")


def test_help_names_every_flag_with_its_meaning_by_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for setting in all_settings():
        assert f"{setting.flag} " in text
        assert setting.meaning.split("(")[0].strip() in text
    for room in ("Node", "Hunt", "Sync", "Purgatory", "Relay", "Listener"):
        assert f"─ {room} ─" in text
    assert "NGIT_GIT_DATA_PATH" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"purgatory-sync {__version__}\n"


def test_settings_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NGIT_RELAY_OWNER_NSEC", SECRET)
    monkeypatch.setenv("NGIT_HUNT_PROXY", f"http://{SECRET}:{SECRET}@10.0.0.1:3128")
    monkeypatch.setenv("NGIT_HUNT_ALLOW_ADDRESSES", "127.0.0.0/8")
    Path(".env").write_text("NGIT_HUNT_MAX_PACK_BYTES=1KiB\n")
    flags = ["--git-data-path", "x/y", "--no-metrics-enabled"]
    assert run_command(["settings", "--json", *flags]) == 0
    out = capsys.readouterr().out
    assert SECRET not in out
    found = {each["variable"]: each for each in json.loads(out)}
    assert list(found) == [setting.variable for setting in all_settings()]
    assert {
        name.removeprefix("NGIT_"): (found[name]["value"], found[name]["source"])
        for name in found
        if found[name]["source"] != "default"
    } == {
        "GIT_DATA_PATH": ("x/y", "flag"),
        "METRICS_ENABLED": (False, "flag"),
        "RELAY_OWNER_NSEC": ("***", "environment"),
        "HUNT_PROXY": ("http://***@10.0.0.1:3128", "environment"),
        "HUNT_ALLOW_ADDRESSES": (["127.0.0.0/8"], "environment"),
        "HUNT_MAX_PACK_BYTES": (1024, ".env"),
    }
    assert found["NGIT_DOMAIN"]["value"] is None
    assert found["NGIT_GIT_DATA_PATH"]["default"] == "data/git"


def test_settings_in_a_pipe_are_an_env_file(capsys: pytest.CaptureFixture[str]) -> None:
    name = r'a "quoted" \ name # here'
    assert run_command(["settings", "--relay-name", name, "--bind-address", "[::1]:80"]) == 0
    path = Path("copy.env")
    path.write_text(capsys.readouterr().out)
    loaded = load_settings({}, {}, path)
    given = load_settings({"relay_name": name, "bind_address": "[::1]:80"}, {})
    assert loaded.settings == given.settings
    assert loaded.settings.relay.name == name
    assert loaded.warnings == ()


def test_settings_on_a_terminal_are_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    secrets = ["--relay-owner-nsec", SECRET, "--hunt-proxy", f"socks5://{SECRET}:{SECRET}@h:1"]
    assert run_command(["settings", *secrets, "--relay-name", "a [/name] [bold]"]) == 0
    out = capsys.readouterr().out
    assert SECRET not in out
    assert "[/name]" in out
    assert out.startswith("┏")
    assert all(setting.variable in out for setting in all_settings())


def test_settings_warn_of_what_has_no_effect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "NGIT_SYNC_DISCONNECT_CHECK_INTERVAL_SECS"
    monkeypatch.setenv(variable, "9")
    assert run_command(["settings"]) == 0
    assert capsys.readouterr().err.startswith(f"purgatory-sync: {variable} has no effect here: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nope"], "Unknown option: --nope."),
        (["nope"], "Unknown command or argument: nope. See purgatory-sync --help."),
        (["--git-data-path"], "Parameter --git-data-path requires an argument."),
        (["--metrics-enabled=maybe"], "Invalid value for --metrics-enabled"),
        (
            ["--sync-domain-concurrent", "-5"],
            "NGIT_SYNC_DOMAIN_CONCURRENT (from --sync-domain-concurrent): invalid value '-5':"
            " expected a whole number, 1 or more",
        ),
        (
            ["why", "a", "b\x1b["],
            "Unknown command or argument: b\ufffd[. See purgatory-sync why --help.",
        ),
        (["settings", "--log-level", "x"], "NGIT_LOG_LEVEL (from --log-level): invalid value 'x'"),
    ],
)
def test_a_bad_flag_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"purgatory-sync: {sentence}")
    assert captured.err.count("\n") == 1


def test_a_store_that_fails_is_a_sentence_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(settings: Settings, *, new_identity: bool) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(program, "run_node", failing)
    monkeypatch.setattr(program, "configure_logging", lambda level: None)
    assert run_command([]) == 1
    assert capsys.readouterr().err == "purgatory-sync: no space left\n"


def test_an_interrupt_before_the_node_runs_is_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "load_settings", interrupted)
    assert run_command([]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.real
def test_a_run_without_flags_does_not_pay_for_them() -> None:
    code = (
        "import sys; from purgatory_sync.cli import program; program._run = lambda loaded: 0;"
        "assert program.run_command([]) == 0; assert 'cyclopts' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


@pytest.mark.real
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_settings_that_cannot_be_printed_are_one_sentence(json: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "purgatory_sync", "settings", *json],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "purgatory-sync: standard output: No space left on device\n"


@pytest.mark.real
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"NGIT_HUNT_MAX_OBJECTS": "0"}, "NGIT_HUNT_MAX_OBJECTS (from the environment): invalid"),
        ({"NGIT_RELAY_OWNER_NSEC": SECRET}, "NGIT_RELAY_OWNER_NSEC is not an nsec"),
    ],
)
def test_the_program_ends_with_code_2_and_one_sentence(
    environment: dict[str, str], sentence: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "purgatory_sync", "--bind-address", "127.0.0.1:1"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"purgatory-sync: {sentence}")
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr
    assert done.stdout == ""
