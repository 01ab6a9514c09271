"""status, why and hunt, as a user runs them: the real program beside a real node."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from threading import Thread

import httpx
import pytest
import trio

from purgatory_sync.cli import asking, run_command
from purgatory_sync.node.operator.control import SOCKET
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client

ALICE = Author.from_seed(1)
INSIDE = "http://127.0.0.1:1/r.git"
# Programs are started one after another, beside other work of the machine.
HANGING_SECS = 240
SECRET_REASON = "an address of the host is not public"


@asynccontextmanager
async def node_with_a_held_state(folder: Path) -> AsyncIterator[tuple[NodeProcess, str]]:
    node = NodeProcess(folder, {"NGIT_SYNC_DEFAULT_DELAY_SECS": "900"})
    try:
        await node.start()
        async with nostr_client(node.relay_url) as client:
            announcement = events.announcement(
                ALICE,
                "r",
                clone=[f"{node.http_url}/{ALICE.npub}/r.git", INSIDE],
                relays=[node.relay_url],
            )
            state = events.state(ALICE, "r", {"refs/heads/main": "1" * 40})
            for event in (announcement, state):
                accepted, message = await client.publish(event)
                assert accepted, message
        yield node, state.id
    finally:
        await node.aclose()


def program(folder: Path, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "purgatory_sync",
        *arguments,
        "--relay-data-path",
        str(folder / "data/relay"),
    ]


async def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """What the program says and its exit code; in this process, for its start takes a second."""

    def in_a_thread() -> tuple[int, str, str]:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run_command([*arguments, "--relay-data-path", str(folder / "data/relay")])
        return code, out.getvalue(), err.getvalue()

    return await trio.to_thread.run_sync(in_a_thread)


@pytest.mark.real
async def test_b_10_3_the_operator_asks_why_and_hunts(tmp_path: Path) -> None:
    with trio.fail_after(HANGING_SECS):
        async with node_with_a_held_state(tmp_path) as (node, state_id):
            ended = await trio.run_process(program(tmp_path, "status"), capture_stdout=True)
            told = ended.stdout.decode()
            assert told.splitlines()[0] == "held: 1 announcement, 0 soft-expired, 1 state, 0 pr"
            code, out, _ = await run(tmp_path, "why", "r")
            assert code == 0
            assert f"  {INSIDE}  not asked yet" in out.splitlines()
            code, out, _ = await run(tmp_path, "hunt", "r")
            assert (code, out) == (0, "hunting for r now\n")

            why = ""
            while SECRET_REASON not in why:
                await trio.sleep(0.2)
                _, why, _ = await run(tmp_path, "why", state_id)
            assert f"  1 object missing: {'1' * 40}" in why
            code, out, _ = await run(tmp_path, "why", "r", "--json")
            by_kind = {each["kind"]: each for each in json.loads(out)}
            assert by_kind["state"]["sources"][0]["result"] == "forbidden"

            served = ALICE.sign(10317, "", [], int(time.time()))
            async with nostr_client(node.relay_url) as client:
                assert await client.publish(served) == (True, "")
            code, out, _ = await run(tmp_path, "why", served.id)
            assert (code, out[:15]) == (0, "served since 20")
            code, out, _ = await run(tmp_path, "why", served.id, "--json")
            assert json.loads(out)["outcome"] == "served"

            async with httpx.AsyncClient(
                base_url=node.http_url, trust_env=False, timeout=60
            ) as http:
                browser = {"accept": "text/html"}
                for path in ("/purgatory", "/purgatory.json"):
                    page = (await http.get(path, headers=browser)).text
                    assert state_id in page
                    for secret in ("127.0.0.1:1/", "public", "forbidden"):
                        assert secret not in page
                page = (await http.get(f"/{ALICE.npub}/r.git", headers=browser)).text
                assert f"git clone {node.http_url}/{ALICE.npub}/r.git" in page
            assert await node.stop() == 0
            assert not (tmp_path / "data/relay" / SOCKET).exists()


@pytest.mark.real
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
async def test_answers_that_cannot_be_printed_are_one_sentence(tmp_path: Path) -> None:
    with trio.fail_after(HANGING_SECS):
        async with node_with_a_held_state(tmp_path):
            for command in (["status"], ["status", "--json"], ["status", "--watch"], ["why", "r"]):
                with Path("/dev/full").open("w") as full:  # noqa: ASYNC230
                    done = await trio.run_process(
                        program(tmp_path, *command), stdout=full, capture_stderr=True, check=False
                    )
                said = "purgatory-sync: standard output: No space left on device\n"
                assert (done.returncode, done.stderr.decode()) == (1, said)


@pytest.mark.real
async def test_nothing_held_and_watching(tmp_path: Path) -> None:
    with trio.fail_after(HANGING_SECS):
        async with node_with_a_held_state(tmp_path):
            for command, name, said in (
                ("why", "other", "nothing is held under other: what was announced under it is "
                 "served, has ended or never came (ask with the id of an event to learn which)"),
                ("why", "a" * 64, f"no event {'a' * 64} is held, served or remembered as expired: "
                 "it did not come, was refused, or was replaced or deleted"),
                ("hunt", "other", "nothing is hunted for under other: no state and no pull request "
                 "of it waits here"),
            ):  # fmt: skip
                assert await run(tmp_path, command, name) == (1, "", f"purgatory-sync: {said}\n")
            watch = partial(trio.lowlevel.open_process, stdin=subprocess.DEVNULL)
            watching = await watch(
                program(tmp_path, "status", "--watch", "--json"), stdout=subprocess.PIPE
            )
            assert watching.stdout is not None
            data = b""
            while data.count(b"\n") < 2:
                data += await watching.stdout.receive_some()
            assert [json.loads(line)["held"]["state"] for line in data.splitlines()[:2]] == [1, 1]
            watching.send_signal(signal.SIGINT)
            assert await watching.wait() == 0

            ours, theirs = pty.openpty()
            watching = await watch(program(tmp_path, "status", "--watch"), stdout=theirs)
            os.close(theirs)
            async with trio.lowlevel.FdStream(ours) as terminal:
                shown = b""
                while b"held: 1 announcement" not in shown:
                    shown += await terminal.receive_some()
            watching.send_signal(signal.SIGINT)
            await watching.wait()


@pytest.mark.parametrize("arguments", [["status"], ["why", "x"], ["hunt", "x"]])
def test_without_a_node_it_is_one_sentence_and_exit_code_1(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / SOCKET))
    for folder in (tmp_path, tmp_path / "none"):
        assert run_command([*arguments, "--relay-data-path", str(folder)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == (
            f"purgatory-sync: no node runs on {folder}: start it, or name the data folder of the"
            " one that runs (--relay-data-path, NGIT_RELAY_DATA_PATH)\n"
        )


def test_a_folder_whose_name_is_too_long_for_a_socket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("long" * 60)
    assert run_command(["status", "--relay-data-path", str(folder)]) == 1
    assert capsys.readouterr().err == (
        f"purgatory-sync: {folder / SOCKET} is longer than a socket's name may be: choose a"
        " shorter NGIT_RELAY_DATA_PATH\n"
    )


@pytest.mark.parametrize("answer", [b"", b"{}\n", b'{"result": {"at": 1}}\n', b"nonsense\n"])
def test_a_node_that_answers_strangely_is_one_sentence(
    answer: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as strange:
        strange.bind(str(tmp_path / SOCKET))
        strange.listen()
        answering = Thread(target=_answer_once, args=(strange, answer))
        answering.start()
        assert run_command(["status", "--relay-data-path", str(tmp_path)]) == 1
        answering.join()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_node_that_says_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECS", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / SOCKET))
        silent.listen()
        assert run_command(["status", "--relay-data-path", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said == "purgatory-sync: the node does not answer: timed out\n"


def _answer_once(listening: socket.socket, answer: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(answer)
