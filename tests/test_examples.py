"""The examples run as they stand in the tree."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
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

from .git.local_repos import add_pack, git, history, new_repository

EXAMPLES = Path(__file__).parent.parent / "examples"
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
            here = engine.hosted(owner.npub, "repo")
            assert here is not None
            assert git(here, "rev-parse", MAIN).strip() == steps[-1].oid
            nursery.cancel_scope.cancel()
