"""`purgatory-sync fetch`, as a user runs it, against real git servers that may misbehave."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import trio
import trio.testing

from purgatory_sync.cli import run_command
from purgatory_sync.cli.output.fetch_progress import progress_on
from purgatory_sync.git.disk.repository import is_repository, present_oids
from purgatory_sync.git.fetch.observer import PackObserver
from purgatory_sync.testing import faults
from purgatory_sync.testing.faults import Fault

from ..git.local_repos import MADE_UP, git
from ..runtime.proxies import proxy_server
from .fetches import ALLOW, OIDS, TIP, Done, Scene

pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.real
async def test_what_came_is_told_and_is_there(scene: Scene) -> None:
    done = await scene.fetch(TIP.upper(), OIDS[0], TIP)
    assert done.code == 0
    told = re.sub(r"[0-9.]+ (k?bytes|kB)", "N bytes", done.out)
    assert told == (
        "got 2 of the 2 objects, with all their history: 9 objects in a pack of N bytes\n"
    )
    phases = [line.partition(" (")[0] for line in done.err.splitlines()]
    assert phases == ["connecting", "asking", "receiving", "proving", "joining"]
    assert "9 objects" in done.err
    assert present_oids(scene.into, OIDS) == set(OIDS)
    git(scene.into, "fsck", "--strict", "--full")
    assert list(scene.into.parent.iterdir()) == [scene.into]


@pytest.mark.real
async def test_what_the_server_lacks_is_told_and_is_no_success(scene: Scene) -> None:
    missing = [f"{number:040x}" for number in range(1, 31)]
    done = await scene.fetch(TIP, *missing)
    assert done.code == 1
    assert done.out.startswith("got 1 of the 31 objects")
    assert done.out.count("the server lacks 0000") == 20
    assert done.out.endswith("the server lacks 10 more\n")
    assert present_oids(scene.into, [TIP]) == {TIP}


@pytest.mark.real
async def test_what_is_here_is_not_asked_for(scene: Scene) -> None:
    assert (await scene.fetch(OIDS[0])).code == 0
    asked = len(scene.server.requests)
    done = await scene.fetch(OIDS[0])
    assert (done.code, done.err) == (0, "")
    assert done.out == "all of the 1 objects are here already: no server was asked\n"
    assert len(scene.server.requests) == asked
    done = await scene.fetch(*OIDS)
    assert done.code == 0
    assert done.out.splitlines()[1:] == ["1 more were here already"]


@pytest.mark.real
async def test_a_repository_that_was_there_stays_and_is_swept(scene: Scene) -> None:
    assert (await scene.fetch(OIDS[0])).code == 0
    left = scene.into.parent / f".{scene.into.name}.tmp" / f"pack-999999999-1-{'a' * 16}"
    left.mkdir(parents=True)
    scene.server.fail("r.git", faults.status(404))
    assert (await scene.fetch(TIP)).code == 1
    assert is_repository(scene.into)
    assert list(scene.into.parent.iterdir()) == [scene.into]


@pytest.mark.real
async def test_nothing_wanted_is_told_in_the_servers_words(scene: Scene) -> None:
    done = await scene.fetch(MADE_UP)
    assert (done.code, done.out) == (1, "")
    assert f"not our ref {MADE_UP}" in done.sentence


@pytest.mark.real
async def test_a_folder_that_is_no_repository_is_left_alone(scene: Scene) -> None:
    scene.into.mkdir(parents=True)
    (scene.into / "file").touch()
    done = await scene.fetch(TIP)
    assert done.code == 1
    assert "is not a git repository" in done.sentence
    assert (scene.into / "file").exists()
    assert scene.server.requests == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["http://127.0.0.1:1/x", "main"], 2, "main is not the name of an object"),
        (["http://127.0.0.1:1/x", "a" * 64], 2, "SHA-1 only"),
        (["http://127.0.0.1:1/x"], 2, "no object is named"),
        (["http://127.0.0.1:1/x", TIP, "--hunt-max-objects=none"], 2, "NGIT_HUNT_MAX_OBJECTS"),
        (["http://127.0.0.1:1/x", TIP], 1, "is not public"),
        (["http://me:secret@127.0.0.1/x", TIP], 1, "credentials in the URL"),
        (["ssh://git.example/x", TIP], 1, "only http and https URLs are used"),
        (["ext::sh -c id", TIP], 1, "in the URL"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["fetch", *arguments, "--into", "dir.git"]) == code
    done = Done(code, *capsys.readouterr())
    assert words in done.sentence
    assert "secret" not in done.err
    assert done.out == ""
    assert not Path("dir.git").exists()


def test_without_a_place_there_is_no_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["fetch", "http://127.0.0.1/x", TIP]) == 2
    assert "--into" in Done(2, *capsys.readouterr()).sentence


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "purgatory_sync", "fetch", *arguments]


@pytest.mark.real
async def test_settings_come_from_the_environment_too(scene: Scene) -> None:
    settings = {"NGIT_HUNT_ALLOW_ADDRESSES": "127.0.0.0/8", "NGIT_HUNT_MIN_FREE_BYTES": "0"}
    done = await trio.run_process(
        program(scene.server.url("r.git"), TIP, "--into", str(scene.into)),
        env={**os.environ, **settings, "HTTP_PROXY": "http://127.0.0.1:9"},
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"got 1 of the 1 objects")


@pytest.mark.real
async def test_a_proxy_is_used_and_told_of_when_it_fails(scene: Scene) -> None:
    async with proxy_server(("me", "hunter2")) as proxy:
        good = f"--hunt-proxy=http://me:hunter2@127.0.0.1:{proxy.port}"
        wrong = f"--hunt-proxy=socks5://me:hunter3@127.0.0.1:{proxy.port}"
        done = await scene.fetch(OIDS[0], more=(good,))
        assert (done.code, proxy.asked) == (0, [f"127.0.0.1:{scene.server.port}"])
        done = await scene.fetch(TIP, more=(wrong,))
    assert (done.code, done.out) == (1, "")
    assert done.sentence == (
        "nothing was fetched: the proxy does not take our user and password (NGIT_HUNT_PROXY)"
    )


@pytest.mark.real
async def test_an_interrupt_leaves_nothing(scene: Scene) -> None:
    scene.server.fail("r.git", faults.stall(100))
    command = program(scene.server.url("r.git"), TIP, "--into", str(scene.into), *ALLOW)
    process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = b""
    with trio.fail_after(20):
        while b"asking" not in said:
            said += await process.stderr.receive_some()
        process.send_signal(signal.SIGINT)
        async for piece in process.stderr:
            said += piece
        assert await process.wait() == 130
    assert b"Traceback" not in said
    assert list(scene.into.parent.iterdir()) == []


@pytest.mark.real
async def test_a_terminal_has_a_bar(scene: Scene) -> None:
    scene.server.fail("git-upload-pack", Fault(drip_bytes=300, drip_secs=0.3))
    command = program(scene.server.url("r.git"), TIP, "--into", str(scene.into), *ALLOW)
    ours, theirs = pty.openpty()
    shown: list[bytes] = []
    reader = Thread(target=read_all, args=(ours, shown))
    reader.start()
    done = await trio.run_process(
        command,
        stderr=theirs,
        capture_stdout=True,
        check=False,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    text = b"".join(shown).decode()
    assert done.returncode == 0, text
    assert "receiving" in text
    assert "9 objects" in text
    assert "bytes" in text
    assert done.stdout.startswith(b"got 1 of the 1 objects")


def read_all(fd: int, pieces: list[bytes]) -> None:
    try:
        while piece := os.read(fd, 4096):
            pieces.append(piece)
    except OSError:  # the other end is closed
        pass


async def test_long_transfers_are_told_of_now_and_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream = io.StringIO()
    with progress_on(stream) as progress:
        assert isinstance(progress, PackObserver)
        progress.contacted()
        progress.answered()
        progress.redirected("other.example")
        progress.pack_begun(1234)
        for _ in range(11):
            progress.received(100_000)
            await trio.sleep(1)
        progress.body_ended()
    assert stream.getvalue().splitlines() == [
        "connecting",
        "asking",
        "redirected to other.example",
        "receiving",
        "receiving: 600.0 kB, 1,234 objects",
        "receiving: 1.1 MB, 1,234 objects",
        "proving (1.1 MB, 1,234 objects)",
    ]
