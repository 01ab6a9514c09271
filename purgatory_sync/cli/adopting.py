"""`purgatory-sync adopt`: take the place of another server, such as ngit-grasp, that still runs."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import trio
from cyclopts import App, Parameter
from rich.text import Text

from ..node.adopting.adopted import Adopted, NotTaken
from ..node.adopting.adoption import OldServer, adopt
from ..node.process.service_key import take_over_key
from ..node.upstream.one_reading import RelayUnread
from ..settings import Settings
from ..version import PROGRAM
from .keeping import GitFolder, settings_of
from .operating import AsJson, Folder, print_json, print_text
from .output.printing import showing
from .output.telling import plain

DIFFERS: Final = 1
COULD_NOT_READ: Final = 3
_SHOWN: Final = 20


def add_adopting_command(app: App) -> None:
    """Let the program know the command."""
    said = "Take events, git data and key of another server, such as ngit-grasp, that still runs."
    app.command(_adopt, name="adopt", help=said)


def _adopt(
    *,
    relay: Annotated[str, Parameter(help="The old server's relay, such as ws://127.0.0.1:7335.")],
    git: Annotated[str, Parameter(help="What its clone URLs begin with: http://127.0.0.1:7335.")],
    key_file: Annotated[
        Path | None, Parameter(help="The old server's key, kept as this one's from now on.")
    ] = None,
    new_identity: Annotated[
        bool, Parameter(negative=(), help="Have another key than the old server.")
    ] = False,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    old = OldServer.at(relay, git)
    if key_file is not None:
        take_over_key(key_file, settings)
    try:
        adopted = _work(settings, old, new_identity=new_identity)
    except RelayUnread as error:
        sys.stderr.write(
            f"{PROGRAM}: {plain(str(error))}; what came is kept: begin the command again, and it"
            " goes on\n"
        )
        return COULD_NOT_READ
    print_json(adopted) if json else print_text(tell_adopted(adopted))
    return 0 if adopted.is_whole else DIFFERS


def _work(settings: Settings, old: OldServer, *, new_identity: bool) -> Adopted:
    with showing("adopting") as tell:

        async def work() -> Adopted:
            return await adopt(settings, os.environ, old, tell, new_identity=new_identity)

        return trio.run(work)


def tell_adopted(adopted: Adopted) -> Text:
    """The events by kind, then all that is not here as it was there, then one sentence."""
    return Text("\n").join(_lines(adopted))


def _lines(adopted: Adopted) -> Iterator[Text]:
    for each in adopted.kinds:
        parts = [f"{each.served} served"]
        parts += [f"{each.held} held"] if each.held else []
        parts += [f"{each.refused} refused"] if each.refused else []
        parts += [f"{each.superseded} replaced or deleted"] if each.superseded else []
        yield Text(f"kind {each.kind}: {each.there} there, here {', '.join(parts)}")
    yield from _by_reason("refused", adopted.refused)
    yield from _by_reason("waits", adopted.held)
    for difference in adopted.differences[:_SHOWN]:
        there, here = (oid or "absent" for oid in (difference.there, difference.here))
        where = f"{plain(difference.repository)} {plain(difference.ref)}"
        yield Text(f"{where}: there {there}, here {here}", style="yellow")
        yield Text(f"  {plain(difference.why)}")
    if (more := len(adopted.differences) - _SHOWN) > 0:
        yield Text(f"… and {more} refs more (--json has all)")
    for failure in adopted.not_compared[:_SHOWN]:
        yield Text(f"not compared: {plain(failure)}", style="yellow")
    if adopted.key_there is None:
        yield Text("the old server names no key in its NIP-11 document", style="yellow")
    elif adopted.key_there != adopted.key_here:
        told = f"the old server's key is {adopted.key_there}, this one's {adopted.key_here}"
        yield Text(told, style="yellow")
    compared = f"{adopted.repositories} repositories have been compared with the old server"
    left = "all is here" if adopted.is_whole else "what differs is named above"
    yield Text(f"{compared}: {left}; begun again, the command takes what came since")


def _by_reason(word: str, events: Sequence[NotTaken]) -> Iterator[Text]:
    """What is told of many events once, with their ids."""
    found: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for each in events:
        found[each.kind, each.reason].append(each.event_id)
    for (kind, reason), ids in found.items():
        yield Text(f"{word}: {len(ids)} of kind {kind}: {plain(reason)}", style="yellow")
        yield from (Text(f"  {event_id}") for event_id in ids[:_SHOWN])
        if (more := len(ids) - _SHOWN) > 0:
            yield Text(f"  … and {more} more (--json has all)")
