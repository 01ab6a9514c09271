"""The examples run as they stand in the tree."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType

import pytest
import trio
from websockets.trio.client import connect

from purgatory_sync import Settings, encode_event
from purgatory_sync.settings import HuntSettings, SyncSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.git_server import GitServer
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client

from .git.local_repos import add_pack, git, history, new_repository
from .integration import support

TREE = Path(__file__).parent.parent
EXAMPLES = TREE / "examples"
MAIN = "refs/heads/main"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.real
@pytest.mark.skipif(shutil.which("git") is None, reason="serves with git http-backend")
async def test_embed(tmp_path: Path) -> None:
    steps = history(3)
    source = new_repository(tmp_path / "remote", "repo")
    add_pack(source, [o for step in steps for o in step.objects])
    git(source, "update-ref", MAIN, steps[-1].oid)
    settings = Settings(
        domain="relay.example.com",
        git_data_path=tmp_path / "git",
        relay_data_path=tmp_path / "relay",
        hunt=HuntSettings(allow_addresses=(ip_network("127.0.0.0/8"),), min_free_bytes=0),
        sync=SyncSettings(default_delay_secs=0.2),
    )
    owner = Author.from_seed(1)
    embed = load("embed")
    with trio.fail_after(30):
        async with GitServer(tmp_path / "remote") as server, trio.open_nursery() as nursery:
            engine, port = await nursery.start(embed.run, settings, 0)
            announcement = events.announcement(
                owner,
                "repo",
                clone=[
                    f"https://relay.example.com/{owner.npub}/repo.git",
                    server.url("npub/repo.git"),
                ],
                relays=["wss://relay.example.com"],
            )
            state = events.state(owner, "repo", {MAIN: steps[-1].oid}, head=MAIN)
            async with connect(f"ws://127.0.0.1:{port}", proxy=None) as client:
                await client.send(json.dumps(["REQ", "s", {"kinds": [30618]}]))
                assert json.loads(await client.recv()) == ["EOSE", "s"]
                for event in (announcement, state):
                    await client.send(json.dumps(["EVENT", json.loads(encode_event(event))]))
                    answer = json.loads(await client.recv())
                    assert answer[:3] == ["OK", event.id, True]
                    assert answer[3].startswith("purgatory: ")
                told = json.loads(await client.recv())
                assert told[:2] == ["EVENT", "s"]
                assert told[2]["id"] == state.id
            assert engine.statistics().held == dict.fromkeys(engine.statistics().held, 0)
            here = await engine.hosted(owner.npub, "repo")
            assert here is not None
            assert git(here, "rev-parse", MAIN).strip() == steps[-1].oid
            nursery.cancel_scope.cancel()


@pytest.mark.real
@pytest.mark.tree
def test_the_snippet_of_readme_runs_as_it_stands_there(tmp_path: Path) -> None:
    section = (TREE / "README.md").read_text().partition("## A library")[2]
    (snippet,) = re.findall(r"^    import trio\n(?:    .*\n|\n)+", section, re.MULTILINE)
    program = textwrap.dedent(snippet)
    assert len(program.strip().splitlines()) <= 17
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(TREE)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said, served, held = done.stdout.splitlines()
    assert said == "held purgatory: won't be served until git data arrives"
    assert served == "[]"
    assert "'announcement': 1" in held
    assert done.stderr == ""


def second_node(first: NodeProcess) -> dict[str, str]:
    """The settings of the second node, from README's words."""
    (words,) = re.findall(r'RUN_ARGS="([^"]*)"', (TREE / "README.md").read_text())
    flags = words.replace("\\\n", " ").replace("127.0.0.1:7334", first.address).split()
    named = {f.removeprefix("--").replace("-", "_").upper(): text
             for f, text in zip(flags[::2], flags[1::2], strict=True)}  # fmt: skip
    assert named.pop("BIND_ADDRESS") == "127.0.0.1:7335"
    return {f"NGIT_{name}": text for name, text in named.items()}


async def announce(tree: Path, *nodes: NodeProcess) -> tuple[list[str], list[str], list[str]]:
    """What the example prints: event ids, the push and the clones as commands."""
    command = [sys.executable, "-m", "examples.announce", str(tree), *(n.http_url for n in nodes)]
    done = await trio.run_process(
        command, cwd=TREE, env={**os.environ, "PYTHONPATH": str(TREE)}, capture_stdout=True
    )
    said = done.stdout.decode()
    ids = re.findall(r"^event ([0-9a-f]{64}): OK", said, flags=re.MULTILINE)
    (push,) = re.findall(r"^now push: +(.*)$", said, flags=re.MULTILINE)
    return ids, shlex.split(push), re.findall(r"^then clone: (.*)$", said, flags=re.MULTILINE)


@pytest.mark.real
@pytest.mark.tree
async def test_two_nodes_by_the_words_of_readme(tmp_path: Path) -> None:
    """Announced at and pushed to the first, a repository appears on the second, and its changes."""
    tree, folder = tmp_path / "my repository", tmp_path / "clone-of-the-project"
    folder.mkdir()
    tip = await support.make_tree(tree)
    first = NodeProcess(folder, {})
    second = NodeProcess(folder, second_node(first))
    try:
        with trio.fail_after(120):
            await first.start()
            await second.start()
            for turn in ("one", "two"):
                ids, push, clones = await announce(tree, first, second)
                said_by = int(time.time())
                assert len(ids) == 2
                await support.git(*push[1:])
                async with nostr_client(second.relay_url) as client:
                    for event_id in ids:
                        await client.wait_for(event_id)
                assert second.address in clones[1]
                (url,) = shlex.split(clones[1])[2:]
                assert await support.clone_and_check(url, tmp_path / turn) == {MAIN: tip}
                tip = await support.commit(tree, "more")
                # A newer state has a later second.
                await trio.sleep(max(0, said_by + 1.1 - time.time()))
    finally:
        await second.aclose()
        await first.aclose()


@pytest.mark.real
@pytest.mark.tree
def test_without_arguments_it_says_how_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.announce"],
        cwd=TREE, env={**os.environ, "PYTHONPATH": str(TREE)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "python -m examples.announce FOLDER" in done.stderr


@pytest.mark.real
@pytest.mark.tree
def test_without_a_node_it_says_so_in_one_line(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "examples.announce", str(tmp_path), url],
            cwd=TREE, env={**os.environ, "PYTHONPATH": str(TREE)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"no node answers at {url}: ")
    assert done.stderr.count("\n") == 1
