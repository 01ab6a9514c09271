"""Private services as they are in real life: stock git, and two of them that exchange data."""

from __future__ import annotations

import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest
import trio

from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.nostr.http_auth.signed_access import access_event
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import NodeProcess, free_port
from purgatory_sync.testing.nostr_client import nostr_client

from .support import (
    ALICE,
    BOB,
    ENVIRONMENT,
    MAIN,
    Network,
    make_tree,
    network,
    repository_url,
)

pytestmark = pytest.mark.real
KEYS = SecretKey(b"\x21" * 32), SecretKey(b"\x22" * 32)


def token(author: Author, url: str) -> str:
    return b64encode(encode_event(access_event(author.key, url, time.time()))).decode()


async def git_as(header: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Stock git with one more header for each request, out of its arguments; empty: with none."""
    extra = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: {header}" if header else "",
    }
    with trio.fail_after(120):
        return await trio.run_process(
            ["git", *map(str, arguments)],
            env={**ENVIRONMENT, **extra},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )


async def publish_as(author: Author, node: NodeProcess, *offered: Event) -> None:
    async with nostr_client(node.relay_url) as client:
        await client.prove(author.key, node.relay_url)
        for event in offered:
            accepted, message = await client.publish(event)
            assert accepted, message


async def serves(node: NodeProcess, event: Event) -> None:
    async with nostr_client(node.relay_url) as client:
        await client.prove(ALICE.key, node.relay_url)
        with trio.move_on_after(40) as waiting:
            await client.wait_for(event.id)
        if waiting.cancelled_caught:
            raise node.failed("not served within 40 s")


async def start(net: Network, name: str, key: SecretKey, **more: str) -> NodeProcess:
    settings = {
        "NGIT_PRIVATE_MODE": "true",
        "NGIT_PRIVATE_MEMBERS": ALICE.npub,
        "NGIT_RELAY_OWNER_NSEC": key.nsec,
        "NGIT_HUNT_ALLOW_ADDRESSES": "127.0.0.0/8",
        **more,
    }
    return await net.node(name, settings, follows="")


async def test_b_16_3_stock_git_clones_and_pushes_with_a_header_or_a_password(
    tmp_path: Path,
) -> None:
    tree = tmp_path / "tree"
    first = await make_tree(tree)
    async with network(tmp_path) as net:
        node = await start(net, "here", KEYS[0])
        url = repository_url(node, ALICE)
        await publish_as(ALICE, node, net.announce(ALICE, node), net.state(ALICE, {MAIN: first}))
        for header in ("Bearer x", f"Nostr {token(BOB, url)}"):
            refused = await git_as(header, "-C", tree, "push", url, "main")
            assert refused.returncode
        pushed = await git_as(f"Nostr {token(ALICE, url)}", "-C", tree, "push", url, "main")
        assert not pushed.returncode, pushed.stderr
        assert (await git_as("X: y", "clone", url, tmp_path / "no")).returncode
        password = b64encode(f"x:{token(ALICE, url)}".encode()).decode()
        cloned = await git_as(f"Basic {password}", "clone", url, tmp_path / "one")
        assert not cloned.returncode, cloned.stderr


async def test_b_16_3_stock_git_clones_and_pushes_with_our_credential_helper(
    tmp_path: Path,
) -> None:
    tree, key = tmp_path / "tree", tmp_path / "key"
    first = await make_tree(tree)
    key.write_text(ALICE.key.nsec)
    helper = f"!'{sys.executable}' -m purgatory_sync git-credential --key-file '{key}'"
    as_alice = ("-c", f"credential.helper={helper}", "-c", "credential.useHttpPath=true")
    async with network(tmp_path) as net:
        node = await start(net, "here", KEYS[0])
        url = repository_url(node, ALICE)
        await publish_as(ALICE, node, net.announce(ALICE, node), net.state(ALICE, {MAIN: first}))
        pushed = await git_as("", *as_alice, "-C", tree, "push", url, "main")
        assert not pushed.returncode, pushed.stderr
        cloned = await git_as("", *as_alice, "clone", url, tmp_path / "one")
        assert not cloned.returncode, cloned.stderr
        key.write_text(BOB.key.nsec)
        refused = await git_as("", *as_alice, "clone", url, tmp_path / "two")
        assert refused.returncode


async def test_b_16_11_two_private_services_exchange_events_and_git_data(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    first = await make_tree(tree)
    async with network(tmp_path) as net:
        place = f"127.0.0.1:{free_port()}"
        peer = f"http://{place} {KEYS[1].npub}"
        here = await start(net, "here", KEYS[0], NGIT_PRIVATE_PEERS=peer)
        peer = f"{here.http_url} {KEYS[0].npub}"
        more = {"NGIT_BIND_ADDRESS": place, "NGIT_PRIVATE_PEERS": peer}
        there = await start(net, "there", KEYS[1], **more)
        url = repository_url(here, ALICE)
        announced, state = net.announce(ALICE, here, there), net.state(ALICE, {MAIN: first})
        await publish_as(ALICE, here, announced, state)
        pushed = await git_as(f"Nostr {token(ALICE, url)}", "-C", tree, "push", url, "main")
        assert not pushed.returncode, pushed.stderr
        await serves(there, state)
        mirror = repository_url(there, ALICE)
        found = await git_as(f"Nostr {token(ALICE, mirror)}", "ls-remote", mirror, MAIN)
        assert found.stdout.split()[0].decode() == first
