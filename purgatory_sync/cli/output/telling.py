"""What the node answers, in words for a terminal; every reason is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from ...engine.keeping.caretaker import ListedDeleted, ListedRepository
from ...engine.keeping.prs_keeping import ListedPrs, ListedRef
from ...engine.keeping.purging import Purged
from ...engine.status.models import DomainStatus, Fate, HeldStatus, SourceStatus
from ...node.operator.node_status import NodeStatus
from ...node.operator.wording import (
    ago,
    counter,
    ends,
    from_now,
    held_back,
    lasting,
    tone,
    utc,
    words,
)
from ...node.upstream import RelayStatus

_WAITS = {
    "announcement": "waits for a state or pull request with its data",
    "soft-expired": "no data came: its repository is gone, a state revives it",
}
STANDINGS = {
    "served": "served",
    "held": "waits for data",
    "expired": "no data came in time",
    "none": "not announced",
}
REF_STANDINGS = {
    "served": "served",
    "held": "its event is held",
    "waiting": "waits for its event",
    "unexplained": "no event explains it",
}
REF_STYLES = {"served": "green", "held": "", "waiting": "yellow", "unexplained": "red"}
STYLES = {"good": "green", "wait": "yellow", "bad": "red"}
_IDS_SHOWN = 10


def plain(text: str) -> str:
    """A stranger's text without what would steer the terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def tell_status(look: NodeStatus) -> Text:
    """The whole node."""
    held = ", ".join(f"{count} {kind}" for kind, count in look.held.items())
    lines = [
        Text(f"held: {held}", style="bold"),
        Text(f"repositories: {look.queued} queued, {look.hunting} being hunted"),
    ]
    for event in look.events:
        lines += [Text(), *_event(event, look.at)]
    if look.events_total > len(look.events):
        lines += [Text(), Text(f"the newest {len(look.events)} of {look.events_total}")]
    if look.domains:
        lines += [Text(), Text("git servers", style="bold")]
        lines += [line for domain in look.domains for line in _domain(domain, look.at)]
    if look.relays:
        lines += [Text(), Text("relays", style="bold")]
        lines += [line for relay in look.relays for line in _relay(relay, look.at)]
    counted = ", ".join(f"{counter(n)} {count}" for n, count in look.last_hour.counts.items())
    since = lasting(look.last_hour.since, look.at)
    lines += [Text(), Text(f"counted in the last {since}", style="bold"), Text(f"  {counted}")]
    return Text("\n").join(lines)


def tell_why(looks: Iterable[HeldStatus], now: float) -> Text:
    """Some held events with all that is known of them; `now` in Unix seconds."""
    blocks = [Text("\n").join([*_event(look, now), *_no_source(look)]) for look in looks]
    return Text("\n\n").join(blocks)


def tell_fate(fate: Fate, now: float) -> Text:
    """What became of an event that is not held; `now` in Unix seconds."""
    when = "" if fate.at is None else f" {utc(fate.at)} ({from_now(fate.at, now)})"
    if fate.outcome == "served":
        return Text(f"served since{when}" if when else "served, since before the last start")
    if fate.outcome == "pushed":
        end = "" if fate.until is None else f", and it goes {from_now(fate.until, now)}"
        return Text(f"{plain(fate.reason)}: pushed{when}{end}")
    told = f"expired at{when} without data"
    if fate.reason:
        told = f"ended at{when}: {plain(fate.reason)}"
    if fate.next_at is not None:
        told += f", asked again every hour, next at {utc(fate.next_at)}"
    if fate.until is not None:
        told += f"; until {utc(fate.until)} it is taken from users only"
    return Text(told)


def tell_repositories(listed: Sequence[ListedRepository]) -> Text:
    """Each repository in a line, then how many there are."""
    lines = []
    for each in listed:
        line = Text(f"{each.npub}/{plain(each.identifier)}  ")
        line.append(STANDINGS[each.standing], style="green" if each.standing == "served" else "")
        made = "made here" if each.made else "adopted"
        line.append(f", {made}, {'with data' if each.has_data else 'empty'}")
        if each.refs:
            line.append(f", {each.refs} refs, {each.size} bytes")
        if each.state_at is not None:
            line.append(f", state of {utc(each.state_at)}")
        if each.pushed_at is not None:
            line.append(f", pushed {utc(each.pushed_at)}")
        if each.hunted_at is not None and each.hunt_result is not None:
            result = each.hunt_result.value
            line.append(f", hunted {utc(each.hunted_at)}: ")
            line.append(words(result), style=STYLES[tone(result)])
        if each.lags is not None:
            line.append(f", lags: {plain(each.lags)}", style="yellow")
        if each.problem is not None:
            line.append(f": {plain(each.problem)}", style="red")
        lines.append(line)
    served = sum(each.standing == "served" for each in listed)
    adopted = sum(not each.made for each in listed)
    lines.append(Text(f"{len(listed)} repositories: {served} served, {adopted} adopted"))
    return Text("\n").join(lines)


def tell_deleted(listed: Sequence[ListedDeleted]) -> Text:
    """Each deleted repository in a line, then how many there are."""
    lines = []
    for each in listed:
        leaves = "leaves by no time" if each.leaves_at is None else f"leaves {utc(each.leaves_at)}"
        line = f"{each.npub}/{plain(each.identifier)}  deleted {utc(each.deleted_at)}, {leaves}"
        lines.append(Text(f"{line}, {each.size} bytes"))
    lines.append(Text(f"{len(listed)} deleted repositories are kept"))
    return Text("\n").join(lines)


def tell_prs(listed: Sequence[ListedPrs], now: float) -> Text:
    """Each repository below `/prs/` in a line, its refs below it; `now` in Unix seconds."""
    lines = []
    for each in listed:
        line = Text(f"prs/{each.npub}/{plain(each.identifier)}  {each.size} bytes")
        line.append(f", {len(each.refs)} refs")
        if each.problem is not None:
            line.append(f": {plain(each.problem)}", style="red")
        lines += [line, *(_ref_below_prs(ref, now) for ref in each.refs)]
    size = sum(each.size for each in listed)
    lines.append(Text(f"{len(listed)} repositories below /prs/: {size} bytes"))
    return Text("\n").join(lines)


def _ref_below_prs(ref: ListedRef, now: float) -> Text:
    line = Text(f"  {plain(ref.name)}  {ref.oid}  ")
    line.append(REF_STANDINGS[ref.standing], style=REF_STYLES[ref.standing])
    if ref.at is not None:
        line.append(f", {'pushed' if ref.standing == 'waiting' else 'of'} {utc(ref.at)}")
    if ref.ends_at is not None:
        line.append(f", ends {from_now(ref.ends_at, now)}")
    return line


def tell_purged(purged: Purged) -> Text:
    """What went, or would go."""
    return Text("\n").join(_purged(purged))


def _purged(purged: Purged) -> Iterator[Text]:
    did = "removed" if purged.executed else "would remove"
    for name in purged.repositories:
        yield Text(f"{did} the repository {plain(name)} with all its data")
    yield Text(f"{did} {purged.served} served events and {purged.held} held ones")
    if purged.waiting:
        yield Text(f"{did} {purged.waiting} refs that waited for their events")
    for event_id in purged.event_ids[:_IDS_SHOWN]:
        yield Text(f"  {event_id}")
    if (more := purged.served + purged.held - _IDS_SHOWN) > 0:
        yield Text(f"  … and {more} more")
    if purged.kept:
        yield Text("repositories with data are kept for a time: `list --deleted`, or add --at-once")
    if not purged.executed:
        yield Text("nothing was changed: --execute does it")
    else:
        yield Text(
            "relays that are followed send it again, unless a blacklist names it"
            " (NGIT_EVENT_BLACKLIST, NGIT_REPOSITORY_BLACKLIST)"
        )


def _event(look: HeldStatus, now: float) -> Iterator[Text]:
    names = ", ".join(plain(identifier) for identifier in look.identifiers)
    yield Text.assemble((names, "bold"), f"  {look.kind}  {look.event_id}")
    times = f"  accepted {from_now(look.accepted_at, now)}, "
    times += f"{ends(look.until, now)} {from_now(look.until, now)}"
    if look.at_the_latest is not None:
        latest = from_now(look.at_the_latest, now)
        times += f", not before each source was asked once; at the latest {latest}"
    elif look.kind == "announcement":
        times += ", not while a state or pull request of it is held"
    yield Text(times)
    if look.kind in _WAITS:
        yield Text(f"  {_WAITS[look.kind]}")
    if look.obstacle is not None:
        remedy = f": {look.remedy}" if look.remedy else ""
        yield Text(f"  {held_back(look.obstacle)}{remedy}", style="yellow")
    if look.missing_total == 0:
        due = look.obstacle is None and look.error is None
        yield Text(f"  nothing is missing{': its release is due' if due else ''}")
    elif look.missing_total is not None:
        objects = "object" if look.missing_total == 1 else "objects"
        some = ", ".join(look.missing[:3]) + (", …" if look.missing_total > 3 else "")
        colon = ": " if some else ""
        yield Text(f"  {look.missing_total} {objects} missing{colon}{some}")
    if look.hunting:
        yield Text("  being hunted now", style="green")
    elif look.next_attempt is not None:
        yield Text(f"  next try {from_now(look.next_attempt, now)}")
    if look.error is not None:
        yield Text(f"  could not be released: {plain(look.error)}", style="red")
    for each in look.paths:
        yield Text(f"  {plain(each.path)}  {plain(each.says)}")
    for source in look.sources:
        yield _source(source, now)


def _no_source(look: HeldStatus) -> Iterator[Text]:
    """For a look that has all sources, those not asked yet too."""
    if look.missing_total and not (look.sources or look.paths) and look.obstacle is None:
        yield Text("  no clone URL is known to ask: a push can bring it, or a new announcement")


def _source(look: SourceStatus, now: float) -> Text:
    line = Text(f"  {plain(look.url)}  ")
    if look.result is None or look.at is None:
        line.append("not asked yet")
    else:
        style = STYLES[tone(look.result.value)]
        line.append(f"{words(look.result.value)} {from_now(look.at, now)}", style=style)
        if look.detail:
            line.append(f": {plain(look.detail)}")
    if look.naughty_until is not None:
        why = plain(look.naughty_reason or "")
        line.append(f"; left alone for {lasting(look.naughty_until, now)}: {why}", style="red")
    return line


def _domain(look: DomainStatus, now: float) -> Iterator[Text]:
    parts = []
    if (limits := look.limits) is not None:
        parts.append(
            f"{limits.in_flight} in flight, {limits.tokens} tokens, {limits.queued} queued"
        )
        if limits.resting_until is not None:
            parts.append(f"resting for {lasting(limits.resting_until, now)}")
    yield Text(f"  {plain(look.domain)}  {'; '.join(parts)}".rstrip())
    for ban in look.naughty:
        left = lasting(ban.until, now)
        key, why = plain(ban.key), plain(ban.reason)
        yield Text(f"    {ban.scope} {key} left alone for {left}: {why}", style="red")


def _relay(look: RelayStatus, now: float) -> Iterator[Text]:
    line = Text(f"  {plain(look.url)}  ")
    if look.connected_since is not None:
        line.append(f"connected for {lasting(look.connected_since, now)}", style="green")
    elif look.retry_at is not None and look.found == "outbox" and not look.failures:
        line.append(f"visited again {from_now(look.retry_at, now)}", style="green")
    elif look.retry_at is not None:
        line.append(f"lost, tried again {from_now(look.retry_at, now)}", style="yellow")
        line.append(f"; {look.failures} in a row did not last")
    else:
        line.append("being connected")
    owners = f"announced by {look.owners} owner{'' if look.owners == 1 else 's'}"
    parts = ["named by the operator"] if look.found == "operator" else []
    parts += ["named by participants"] if look.found == "outbox" else []
    parts += [owners] if look.owners else []
    parts += ["history by negentropy"] if look.history == "negentropy" else []
    parts += ["history by REQ"] if look.history == "req" else []
    yield line
    yield Text(f"    {', '.join(parts)}")
    if look.last_event_at is not None:
        came = f"{look.received} events came, the last {ago(look.last_event_at, now)}"
        yield Text(f"    {came}; {look.accepted} new taken, {look.refused} refused")
    for what in look.not_followed:
        yield Text(f"    not followed: {plain(what)}", style="yellow")
    if look.trouble is not None and look.trouble_at is not None:
        what = f"    {words(look.trouble)} {ago(look.trouble_at, now)}: {plain(look.reason)}"
        yield Text(what, style=STYLES[tone(look.trouble)])
