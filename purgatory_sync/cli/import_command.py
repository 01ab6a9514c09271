"""`purgatory-sync import`: events of a file, an exported folder or a relay, and their git data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import attrs
import trio
from cyclopts import App, Parameter
from rich.text import Text

from ..engine import open_engine
from ..errors import ConfigurationError
from ..node.importing.imported import Imported
from ..node.importing.importer import Importer, Tell
from ..settings import Settings
from .asking import Asker, NoNode
from .keeping import GitFolder, settings_of
from .operating import AsJson, Folder, print_json, print_text
from .output.printing import showing
from .output.telling import plain

REFUSED: Final = 1
COULD_NOT_READ: Final = 3
_SHOWN: Final = 20
_NOT_NOW_SECS: Final = 24 * 3600


def add_import_command(app: App) -> None:
    """Let the program know the command."""
    said = "Take in events of a file, an exported folder or a relay, judged as sync judges them."
    app.command(_import, name="import", help=said)


def _import(
    source: Annotated[
        str, Parameter(help="A folder of `export`, a file with an event a line, or a ws URL.")
    ],
    /,
    *,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    named = source if "://" in source else str(Path(source).absolute())
    with showing("importing") as tell:
        try:
            with Asker(settings.relay_data_path) as node:
                imported = node.take_in(named, tell)
        except NoNode:
            imported = trio.run(_stopped, settings, named, tell)
    print_json(imported) if json else print_text(tell_imported(imported))
    if imported.broken_off is not None:
        return COULD_NOT_READ
    return 0 if imported.is_whole else REFUSED


async def _stopped(settings: Settings, named: str, tell: Tell) -> Imported:
    """Under the locks of a node that does not run; nothing is hunted for meanwhile."""
    if settings.domain is None:
        raise ConfigurationError(
            "no node runs: set NGIT_DOMAIN and the other settings of the node, by which events are"
            " judged, or start it first"
        )
    sync = attrs.evolve(
        settings.sync,
        default_delay_secs=float(_NOT_NOW_SECS),
        immediate_delay_ms=_NOT_NOW_SECS * 1000,
    )
    async with open_engine(attrs.evolve(settings, sync=sync), begins=tell) as engine:
        return await Importer(engine).take_in(named, tell)


def tell_imported(imported: Imported) -> Text:
    """What was not taken, then one sentence with the counts."""
    return Text("\n").join(_lines(imported))


def _lines(imported: Imported) -> Iterator[Text]:
    for line in imported.broken[:_SHOWN]:
        yield Text(f"line {line.line}: {plain(line.reason)}", style="yellow")
    if (more := imported.broken_lines - _SHOWN) > 0:
        yield Text(f"… and {more} lines more (--json has 1,000)")
    for each in imported.refusals:
        told = f"refused: {each.count} of kind {each.kind}: {plain(each.reason)}"
        yield Text(told, style="yellow")
        yield from (Text(f"  {event_id}") for event_id in each.event_ids[:3])
    for git in imported.git:
        name = plain(git.repository)
        if git.problem is not None:
            yield Text(f"git data of {name}: {plain(git.problem)}", style="yellow")
        else:
            yield Text(f"git data of {name}: {git.obtained} of the named objects")
    if imported.broken_off is not None:
        yield Text(
            f"{plain(imported.broken_off)}; what came is kept: begin again, and it goes on",
            style="yellow",
        )
    counts = f"{imported.served} events are served now, {imported.held} wait for git data"
    counts += f", {imported.known} were known, {imported.refused} refused"
    counts += f", {imported.gone} replaced or deleted" if imported.gone else ""
    broken = f", {imported.broken_lines} lines are no events" if imported.broken_lines else ""
    yield Text(f"imported {plain(imported.source)}: {counts}{broken}")
