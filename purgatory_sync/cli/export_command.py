"""`purgatory-sync export`: one repository and the events about it, for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from .keeping import GitFolder, ask_or_open, settings_of
from .operating import AsJson, Folder, print_json, print_text
from .output.printing import showing
from .output.telling import plain


def add_exporting_command(app: App) -> None:
    """Let the program know the command."""
    said = "Write a repository and the signed events about it into a new folder."
    app.command(_export, name="export", help=said)


def _export(
    repository: Annotated[str, Parameter(help="npub1…/identifier, as `list` prints it.")],
    folder: Annotated[Path, Parameter(help="A folder that does not exist.")],
    /,
    *,
    bundle: Annotated[
        bool, Parameter(negative=(), help="A git bundle in place of a bare repository.")
    ] = False,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    target = folder.absolute()
    with showing("exporting") as tell:
        made = ask_or_open(
            settings,
            lambda node: node.export(repository, target, as_bundle=bundle, tell=tell),
            lambda keepers: keepers.exporter.export(
                repository, target, as_bundle=bundle, tell=tell
            ),
            looks=True,
        )
    if json:
        print_json(made)
        return 0
    where = f"{plain(made.repository)} is in {plain(made.folder)}"
    counted = f"{made.git} has {made.refs} refs, events.jsonl {made.events} events"
    print_text(Text(f"{where}: {counted}"))
    return 0
