"""Taking the place of a server that still runs (B 13.15): events, git data, key, and a comparison.

Nothing of its files is read, so that any version and any layout will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final

import attrs
import msgspec
import trio

from ...engine import PurgatorySync, open_engine
from ...engine.predecessor import Predecessor
from ...errors import AttemptFailed, ConfigurationError, InvalidKey, InvalidUrl, RepositoryError
from ...git.fetch.ref_list import RefLister
from ...nostr import kinds
from ...nostr.address import RepositoryId, is_hex_key
from ...nostr.filters import Filter
from ...nostr.keys import decode_npub, encode_npub
from ...runtime.net.gate import Gate
from ...runtime.net.transport import default_tls_context
from ...settings import Settings
from ...urls import GIT_SCHEMES, RELAY_SCHEMES, parse_web_url
from ..process.service_key import Found, present_key, service_key
from ..upstream.connection.document import fetch_document
from ..upstream.one_reading import RelayUnread
from ..upstream.state.relay_limits import InvalidDocument
from .adopted import Adopted, AdoptedKind, NotTaken, RefDifference
from .old_events import WITH_GIT, Heard, OldEvents
from .ref_comparison import RefComparison

LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# The old server is the operator's own, and no other one is asked meanwhile.
AT_ONCE: Final = 8
RATE_LIMIT: Final = 1_000_000
LOOK_SECS: Final = 0.2
DOCUMENT_SECS: Final = 10.0


@attrs.frozen
class OldServer:
    """Where the old server is reached: its relay, and what clone URLs begin with."""

    relay: str
    git: str

    @classmethod
    def at(cls, relay: str, git: str) -> OldServer:
        """Judge what the operator wrote.

        Raises:
          ConfigurationError: it is no such URL.
        """
        return cls(_judged("--relay", relay, RELAY_SCHEMES), _judged("--git", git, GIT_SCHEMES))


def _judged(flag: str, text: str, schemes: tuple[str, ...]) -> str:
    try:
        return parse_web_url(text, schemes).text
    except InvalidUrl as error:
        raise ConfigurationError(
            f"{flag}: {error}; write the old server's address, such as"
            f" {schemes[0]}://127.0.0.1:7335"
        ) from error


async def adopt(
    settings: Settings,
    environ: Mapping[str, str],
    old: OldServer,
    tell: Callable[[str], None],
    *,
    new_identity: bool = False,
) -> Adopted:
    """Take all that the old server serves; begun again it goes on where it ended.

    Args:
      settings: of the node that takes its place; `domain` is the name that both have.
      environ: names the folder of systemd's credentials.
      tell: told how far it is.
      new_identity: this service shall have another key than the old one.

    Raises:
      ConfigurationError: it cannot begin: no domain, a node uses the folders, or the keys differ.
      RelayUnread: the old relay is not reached or breaks off; what came stays.
      StoreError: the store failed.

    Cancelled, what came stays.
    """
    if settings.domain is None:
        raise ConfigurationError(
            "set NGIT_DOMAIN to the name by which the old server is known: what it serves is"
            " announced for that name"
        )
    allowed = _allowing(settings)
    gate, heard, keys = Gate.for_settings(allowed.hunt), Heard(), list[Found]()
    key_there = await _key_of(old, gate)
    if not new_identity:
        _require_same_key(key_there, present_key(settings, environ))

    def choose_key(known: str | None) -> str:
        keys.append(service_key(settings, environ, known, new_identity=new_identity))
        return keys[0].key.pubkey

    broken_off: RelayUnread | None = None
    async with open_engine(
        allowed,
        notify=heard.served,
        held=heard.held,
        gate=gate,
        choose_key=choose_key,
        begins=tell,
        predecessor=old.git,
    ) as engine:
        events = OldEvents(old.relay, engine, heard, keys[0].key, tell)
        async with trio.open_nursery() as nursery:
            await nursery.start(events.run)
            try:
                await _take_all(engine, events, tell)
                adopted = await _look_back(engine, events, old, tell)
            except RelayUnread as error:
                broken_off = error  # not in a group
            nursery.cancel_scope.cancel()
    if broken_off is not None:
        raise broken_off
    return attrs.evolve(adopted, key_there=key_there, key_here=keys[0].key.npub)


def _allowing(settings: Settings) -> Settings:
    """The old server may be on loopback, is asked as fast as it answers, and all may wait."""
    most = settings.purgatory
    return attrs.evolve(
        settings,
        hunt=attrs.evolve(
            settings.hunt, allow_addresses=(*settings.hunt.allow_addresses, *LOOPBACK)
        ),
        sync=attrs.evolve(
            settings.sync,
            domain_concurrent=AT_ONCE,
            domain_rate_limit=RATE_LIMIT,
            immediate_delay_ms=0,
        ),
        purgatory=attrs.evolve(
            most, max_events_per_author=most.max_events, max_bytes_per_author=most.max_bytes
        ),
    )


async def _key_of(old: OldServer, gate: Gate) -> str | None:
    """The npub that the old server's NIP-11 document names; None where it names none.

    Raises:
      RelayUnread: it is not reached.
    """
    url = parse_web_url(old.relay, RELAY_SCHEMES)
    try:
        with trio.fail_after(DOCUMENT_SECS):
            document = await fetch_document(url, gate, default_tls_context())
        said = msgspec.json.decode(document) if document is not None else None
    except (InvalidDocument, msgspec.MsgspecError, RecursionError):
        return None
    except (AttemptFailed, OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
        reason = str(error) or "no answer"
        raise RelayUnread(f"{old.relay} cannot be reached: {reason}") from error
    pubkey = said.get("pubkey") if isinstance(said, dict) else None
    return encode_npub(pubkey) if isinstance(pubkey, str) and is_hex_key(pubkey) else None


def _require_same_key(there: str | None, here: Found | None) -> None:
    if there is None or (here is not None and here.key.npub == there):
        return
    ours = "has no key yet" if here is None else f"has the key of {here.key.npub} ({here.source})"
    raise ConfigurationError(
        f"the old server is known by the key of {there}, and this one {ours}: take the old key over"
        " by --key-file (ngit-grasp has it in .relay-owner.nsec), or give --new-identity"
    )


async def _take_all(engine: PurgatorySync, events: OldEvents, tell: Callable[[str], None]) -> None:
    for of_kinds in WITH_GIT:
        names = ", ".join(map(str, sorted(of_kinds)))
        await events.read(f"events of kind {names}", Filter(kinds=of_kinds))
    for identifier in tuple(engine.purgatory.sync_queue):
        # What an earlier adoption could not get is asked for again.
        await engine.explainer.hunt(identifier)
    await _fetch_git(engine, tell)
    # Twice: the first time what is replied to may come after the reply.
    await events.read("all other events", Filter())
    events.begin_count()
    await events.read("all events, once more", Filter(), plain=True)
    await _fetch_git(engine, tell)


async def _fetch_git(engine: PurgatorySync, tell: Callable[[str], None]) -> None:
    """Wait until every repository that lacks something was asked for once at the old server."""
    queue = engine.purgatory.sync_queue
    while True:
        entries = [entry for each in tuple(queue) if (entry := queue.get(each)) is not None]
        left = sum(each.in_progress or each.attempt_count == 0 for each in entries)
        hunt = engine.statistics(events=False).hunt
        left += sum(each.queued + each.in_flight for each in hunt.domains.values())
        if not left:
            return
        tell(f"git data: {left} repositories to ask for, {hunt.oids_fetched} objects came")
        await trio.sleep(LOOK_SECS)


async def _look_back(
    engine: PurgatorySync, events: OldEvents, old: OldServer, tell: Callable[[str], None]
) -> Adopted:
    """Compare what is here with what is there."""
    fates = await events.fates()
    counted = tuple(
        AdoptedKind(
            kind,
            *(sum(map(len, attrs.astuple(each, recurse=False))), len(each.served), len(each.held)),
            *(len(each.refused), len(each.superseded)),
        )
        for kind, each in fates.items()
    )
    reasons = {event_id: reason for event_id, (_, reason) in events.refused.items()}
    refused = [
        NotTaken(event_id, kind, reasons[event_id])
        for kind, each in fates.items()
        for event_id in sorted(each.refused)
    ]
    repositories, differences, failures = await _compare(engine, old, reasons, tell)
    held = tuple(_held(engine))
    return Adopted(
        None, "", counted, tuple(refused), held, repositories, differences, tuple(failures)
    )


def _held(engine: PurgatorySync) -> list[NotTaken]:
    found = []
    for each in engine.statistics().events:
        if (entry := engine.purgatory.get(each.event_id)) is None:
            continue
        kind = entry.event.kind
        if each.error is not None:
            reason = f"could not be released: {each.error}"
        elif each.obstacle is not None:
            reason = each.remedy or each.obstacle
        elif kind == kinds.ANNOUNCEMENT:
            reason = "no state or pull request brought git data of it"
        else:
            tried = "; ".join(f"{s.url}: {s.detail or s.result}" for s in each.sources)
            reason = f"its git data is not here: {tried or 'no repository of it is at --git'}"
        found.append(NotTaken(each.event_id, kind, reason))
    return found


async def _compare(
    engine: PurgatorySync, old: OldServer, refused: Mapping[str, str], tell: Callable[[str], None]
) -> tuple[int, tuple[RefDifference, ...], list[str]]:
    """How many repositories were compared, how they differ, and which could not be."""
    lister = RefLister(engine.settings.hunt, engine.gate)
    predecessor = Predecessor(old.git, engine.settings.service)
    caretaker = engine.keepers.caretaker
    comparison = RefComparison(caretaker.core, lister, predecessor, refused)
    served = [each for each in await caretaker.list() if each.standing == "served"]
    differences: list[RefDifference] = []
    failures: list[str] = []
    try:
        for number, each in enumerate(served, 1):
            tell(f"comparing refs: {number} of {len(served)} repositories")
            repository = RepositoryId(decode_npub(each.npub), each.identifier)
            try:
                differences += await comparison.compare(repository)
            except (AttemptFailed, InvalidKey, RepositoryError) as error:
                failures.append(f"{each.npub}/{each.identifier}: {error}")
    finally:
        await lister.aclose()
    return len(served) - len(failures), tuple(differences), failures
