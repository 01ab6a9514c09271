"""What every Nostr client and every relay is put to."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from subprocess import PIPE
from typing import Any, Final

import attrs
import httpx
import trio

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.testing import events
from purgatory_sync.testing.node_process import free_port
from purgatory_sync.testing.nostr_client import nostr_client

from .installing import Command
from .table import Row
from .trial import row_of
from .world import ENVIRONMENT, Failed, Home, answered, git, history, home, program

CLIENT: Final = "publishes, sees nothing while it is held, hears of the release, asks for it"
RELAY: Final = "200 issues of a repository; live: 5 answers"
DELETION: Final = "live: a deletion of an issue"
MANAGEMENT: Final = "signs calls of the management API (NIP-86); each counts once"
ISSUE: Final = 1621
COMMENT: Final = 1111
_ISSUES: Final = 200
_ANSWERS: Final = 5
_LIVE_SECS: Final = 60
Serve = Callable[[int], Command]


async def try_nostr_client(software: str, command: Command) -> Row:
    """Try a client of the node's relay; `foreign/nostr_main.mjs` says what the command takes."""
    return await row_of(software, "Nostr client", CLIENT, partial(_held_and_released, command))


async def try_management(software: str, command: Command) -> Row:
    """Try whether calls that a client signs are taken by the management API, and only once."""
    return await row_of(software, "NIP-98 signer", MANAGEMENT, partial(_manage, command))


async def _manage(command: Command) -> None:
    secret = secrets.token_bytes(32)
    admin = SecretKey(secret)
    spammer = SecretKey(secrets.token_bytes(32)).pubkey
    async with home(NGIT_ADMIN_PUBKEYS=admin.npub) as here:
        url = here.node.http_url
        for method, params in (("banpubkey", [spammer, "spam"]), ("listbannedpubkeys", [])):
            body = json.dumps({"method": method, "params": params}, separators=(",", ":"))
            header = await answered(command, "token", url, secret.hex(), body)
            said = await _call(url, header, body)
            again = await _call(url, header, body)
            if again != (401, {"error": "this call was made already: sign each call anew"}):
                raise Failed(f"the second time: {again}")
        if said != (200, {"result": [{"pubkey": spammer, "reason": "spam"}]}):
            raise Failed(f"the answer: {said}")


async def _call(url: str, header: str, body: str) -> tuple[int, Any]:
    headers = {"authorization": header, "content-type": "application/nostr+json+rpc"}
    async with httpx.AsyncClient(trust_env=False) as http:
        said = await http.post(url, content=body.encode(), headers=headers)
    return said.status_code, said.json()


async def try_relay(software: str, serve: Serve, *, tells_deletions: bool = True) -> list[Row]:
    """Try a relay that the node follows.

    Args:
      serve: makes its command for a port.
      tells_deletions: whether its subscribers hear of deletion requests at all.
    """
    rows = [await row_of(software, "relay", RELAY, partial(_follow, serve, _answers))]
    if tells_deletions:
        rows.append(await row_of(software, "relay", DELETION, partial(_follow, serve, _deletion)))
    else:
        rows.append(Row(software, "relay", DELETION, "skipped: it tells none to its subscribers"))
    return rows


async def _held_and_released(command: Command) -> None:
    async with home() as here:
        tree = here.folder / "tree"
        drafts = [here.announced(), here.state(await history(tree, 10))]
        wanted = {"kinds": [kinds.ANNOUNCEMENT, kinds.STATE], "authors": [here.owner.pubkey]}
        ask = partial(answered, command, "query", here.node.relay_url, json.dumps(wanted))
        async with _listening(command, here, wanted) as heard:
            ids = await _published(command, here, drafts)
            if found := await ask():
                raise Failed(f"{len(found)} held events are shown")
            await git("-C", tree, "push", "-q", here.url, "main")
            if sorted(await heard()) != sorted(ids):
                raise Failed("other events were heard than were published")
        if sorted(await ask()) != sorted(ids):
            raise Failed("the query does not find what was released")


async def _published(command: Command, here: Home, drafts: list[Event]) -> list[str]:
    templates = [
        {"kind": each.kind, "content": each.content, "created_at": each.created_at}
        | {"tags": [list(tag) for tag in each.tags]}
        for each in drafts
    ]
    secret = here.secret.hex()
    said = await answered(command, "publish", here.node.relay_url, secret, json.dumps(templates))
    for _, accepted, message in said:
        if not accepted:
            raise Failed(f"publishing: {message}")
    return [each for each, _, _ in said]


@asynccontextmanager
async def _listening(
    command: Command, here: Home, wanted: dict[str, Any]
) -> AsyncIterator[Callable[[], Any]]:
    """The client as it listens for two events; what is yielded returns their ids."""
    arguments = ("listen", here.node.relay_url, json.dumps(wanted), "2")
    process = await trio.lowlevel.open_process([*command, *arguments], stdout=PIPE, env=ENVIRONMENT)
    said = _Lines(process)
    try:
        if await said.line() != "listening":
            raise Failed("the subscription did not begin")
        yield said.heard
    finally:
        process.kill()


@attrs.define
class _Lines:
    process: trio.Process
    _rest: bytes = b""

    async def line(self) -> str:
        assert self.process.stdout is not None
        with trio.move_on_after(_LIVE_SECS):
            while b"\n" not in self._rest:
                if not (more := await self.process.stdout.receive_some()):
                    break
                self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    async def heard(self) -> list[str]:
        if not (line := await self.line()):
            raise Failed("the release was not heard")
        return list(json.loads(line))


async def _follow(serve: Serve, then: Callable[[Home, str, list[Event]], Awaitable[None]]) -> None:
    """Have a node take a repository and its issues from a relay; then something live."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with program(serve(port), port), home(NGIT_SYNC_BOOTSTRAP_RELAY_URL=url) as here:
        tree = here.folder / "tree"
        state = here.state(await history(tree, 10))
        issues = [_about(here, None, ISSUE) for _ in range(_ISSUES)]
        await _publish(url, here.announced(relays=[url]), state, *issues)
        await _pushed(here, tree)
        await here.served(state, *issues)
        await then(here, url, issues)


async def _answers(here: Home, url: str, issues: list[Event]) -> None:
    answers = [_about(here, each, COMMENT) for each in issues[:: _ISSUES // _ANSWERS]]
    await _publish(url, *answers)
    await here.served(*answers)


async def _deletion(here: Home, url: str, issues: list[Event]) -> None:
    gone = issues[-1]
    deletion = events.deletion(here.owner, ids=[gone.id], created_at=here.tick())
    await _publish(url, deletion)
    await here.served(deletion)
    if await here.relay.has(gone.id):
        raise Failed("what was deleted is still served")


def _about(here: Home, root: Event | None, kind: int) -> Event:
    """An issue, or an answer to one."""
    tags = [("a", str(here.owner.coordinate("repo"))), ("subject", "x")]
    if root is not None:
        tags = [("E", root.id), ("K", str(root.kind)), ("e", root.id), ("k", str(root.kind))]
    return here.owner.sign(kind, "x", tags, here.tick())


async def _publish(url: str, *published: Event) -> None:
    async with nostr_client(url) as client:
        for each in published:
            accepted, message = await client.publish(each)
            if not accepted:
                raise Failed(f"it refused kind {each.kind}: {message}")


async def _pushed(here: Home, tree: object) -> None:
    """Push as soon as the state has come from the relay."""
    with trio.move_on_after(60):
        while True:
            try:
                await git("-C", str(tree), "push", "-q", here.url, "main")
            except Failed:
                await trio.sleep(1)
            else:
                return
    raise Failed("the announcement did not come from the relay within 60 s")
