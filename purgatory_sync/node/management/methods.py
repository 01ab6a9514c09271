"""What the operator's keys may ask for: the methods of NIP-86 that have a meaning here (B 10.6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from ...engine.keeping.caretaker import Caretaker
from ...engine.lists.list_keeper import ListKeeper
from ...engine.status.explainer import Explainer
from ...errors import ConfigurationError, InvalidKey
from ...nostr.keys import decode_npub, encode_npub
from ...settings import RelaySettings

AUTHORS: Final = "event-blacklist"
ALLOWED: Final = "repository-whitelist"
EVENTS: Final = "banned-events"
ADDRESSES: Final = "blocked-addresses"
MAX_WORD_CHARS: Final = 2_000

Params = Sequence[object]
Method = Callable[[Params], Awaitable[Any]]


class BadCall(Exception):
    """A call that cannot be done; the sentence is for the client."""


@attrs.frozen
class Methods:
    """Does what calls ask for.

    Attributes:
      settings: what they say of the relay is not changed by a call.
    """

    lists: ListKeeper
    explainer: Explainer
    caretaker: Caretaker
    settings: RelaySettings

    async def call(self, method: str, params: Params) -> Any:
        """The result of a call, as JSON has it.

        Raises:
          BadCall: there is no such method, or it does not take these parameters.
          ConfigurationError: a setting rules what it would change.
          PurgatorySyncError: the node failed.
        """
        if method not in self._methods:
            raise BadCall(f"no method {method!a}: ask supportedmethods")
        return await self._methods[method](params)

    @property
    def _methods(self) -> dict[str, Method]:
        return {
            "supportedmethods": self._supported,
            "banpubkey": self._ban,
            "unbanpubkey": self._unban,
            "listbannedpubkeys": self._banned,
            "allowpubkey": self._allow,
            "unallowpubkey": self._disallow,
            "listallowedpubkeys": self._allowed,
            "banevent": self._ban_event,
            "allowevent": self._allow_event,
            "listbannedevents": self._banned_events,
            "listeventsneedingmoderation": self._nothing,
            "blockip": self._block,
            "unblockip": self._unblock,
            "listblockedips": self._blocked,
            "changerelayname": self._rename,
            "changerelaydescription": self._describe,
            "changerelayicon": self._change_icon,
            "purgatory_hunt": self._hunt,
            "purgatory_repositories": self._repositories,
        }

    async def _supported(self, params: Params) -> list[str]:
        return list(self._methods)

    async def _nothing(self, params: Params) -> list[object]:
        return []

    async def _ban(self, params: Params) -> bool:
        return await self._add(AUTHORS, _npub(params), params)

    async def _unban(self, params: Params) -> bool:
        return await self._remove(AUTHORS, _npub(params))

    async def _banned(self, params: Params) -> list[dict[str, str]]:
        found = self.lists.show(AUTHORS)
        return [{"pubkey": decode_npub(e.entry), "reason": e.reason} for e in found]

    async def _allow(self, params: Params) -> bool:
        if not self.lists.show(ALLOWED):
            raise BadCall(
                "every author is taken here, and the first that is allowed would shut out all"
                f" others: begin with `list-edit add {ALLOWED}`, or lift a ban with unbanpubkey"
            )
        return await self._add(ALLOWED, _npub(params), params)

    async def _disallow(self, params: Params) -> bool:
        npub = _npub(params)
        if [each.entry for each in self.lists.show(ALLOWED)] == [npub]:
            raise BadCall(
                "it is the last that is allowed, and without one every author is taken: end the"
                f" whitelist with `list-edit remove {ALLOWED}`"
            )
        return await self._remove(ALLOWED, npub)

    async def _allowed(self, params: Params) -> list[dict[str, str]]:
        found = [e for e in self.lists.show(ALLOWED) if _is_npub(e.entry)]
        return [{"pubkey": decode_npub(e.entry), "reason": e.reason} for e in found]

    async def _ban_event(self, params: Params) -> bool:
        return await self._add(EVENTS, _text(params, "an event id"), params)

    async def _allow_event(self, params: Params) -> bool:
        return await self._remove(EVENTS, _text(params, "an event id"))

    async def _banned_events(self, params: Params) -> list[dict[str, str]]:
        return [{"id": e.entry, "reason": e.reason} for e in self.lists.show(EVENTS)]

    async def _block(self, params: Params) -> bool:
        return await self._add(ADDRESSES, _text(params, "an address"), params)

    async def _unblock(self, params: Params) -> bool:
        return await self._remove(ADDRESSES, _text(params, "an address"))

    async def _blocked(self, params: Params) -> list[dict[str, str]]:
        return [{"ip": _bare(e.entry), "reason": e.reason} for e in self.lists.show(ADDRESSES)]

    async def _rename(self, params: Params) -> bool:
        _require_unset(self.settings.name, "NGIT_RELAY_NAME")
        return await self._say("relay-name", _text(params, "a name"))

    async def _describe(self, params: Params) -> bool:
        _require_unset(self.settings.description, "NGIT_RELAY_DESCRIPTION")
        return await self._say("relay-description", _text(params, "a description"))

    async def _change_icon(self, params: Params) -> bool:
        url = _text(params, "the URL of an icon")
        if url and (urlsplit(url).scheme not in ("http", "https") or not url.isprintable()):
            raise BadCall("an icon is named by an http or https URL")
        return await self._say("relay-icon", url)

    async def _hunt(self, params: Params) -> Any:
        hunted = await self.explainer.hunt(_text(params, "an identifier or an event id"))
        if hunted is None:
            raise BadCall("nothing is held under this name that is hunted for")
        return hunted

    async def _repositories(self, params: Params) -> Any:
        return await self.caretaker.list()

    async def _add(self, name: str, entry: str, params: Params) -> bool:
        reason = params[1] if len(params) > 1 else ""
        if not isinstance(reason, str | None):
            raise BadCall("the second parameter is a reason, as text")
        await self.lists.add(name, [entry], " ".join((reason or "").split()))
        return True

    async def _remove(self, name: str, entry: str) -> bool:
        await self.lists.remove(name, [entry])
        return True

    async def _say(self, name: str, text: str) -> bool:
        if len(text) > MAX_WORD_CHARS:
            raise BadCall(f"more than {MAX_WORD_CHARS} characters")
        await self.lists.say(name, text)
        return True


def _text(params: Params, what: str) -> str:
    if not params or not isinstance(params[0], str):
        raise BadCall(f"the first parameter is {what}, as text")
    return params[0].strip()


def _npub(params: Params) -> str:
    text = _text(params, "a public key in hex")
    try:
        return encode_npub(decode_npub(text.lower()) if _is_npub(text) else text.lower())
    except (InvalidKey, ValueError) as error:
        raise BadCall(f"{text[:100]!a} is no public key") from error


def _is_npub(text: str) -> bool:
    return text.lower().startswith("npub1") and "/" not in text


def _bare(network: str) -> str:
    """A single address without the length of its prefix."""
    return network.removesuffix("/128" if ":" in network else "/32")


def _require_unset(value: str | None, variable: str) -> None:
    if value is not None:
        raise ConfigurationError(f"{variable} rules it: change it there, and restart the node")
