"""`purgatory-sync list-edit`: the operator's lists, of a running node or one that is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.text import Text

from ..engine.lists.list_keeper import Edited
from ..engine.lists.merging import Listed
from ..policy.rules.list_entries import LISTS
from .keeping import GitFolder, ask_or_open, settings_of
from .operating import AsJson, Folder, print_json, print_text
from .output.telling import plain

_NAMED: Final = f"The list: {', '.join(LISTS)}."

Name = Annotated[str, Parameter(help=_NAMED)]
Entries = Annotated[str, Parameter(help="Entries of the list, each a word.", negative=())]


def add_list_command(app: App) -> None:
    """Let the program know the command."""
    said = "Show and change who and what is taken, without a restart."
    lists = App(name="list-edit", help=said, help_format="plaintext")
    lists.command(_show, name="show", help="Show a list, or all: each entry and what names it.")
    lists.command(_add, name="add", help="Add entries to a list; it rules at once.")
    lists.command(_remove, name="remove", help="Take entries from a list that were added to it.")
    app.command(lists)


def _show(
    name: Annotated[str, Parameter(help=f"{_NAMED} All when absent.", show_default=False)] = "",
    /,
    *,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    listed = ask_or_open(
        settings_of(relay_data_path, git_data_path),
        lambda node: node.entries(name),
        lambda keepers: _shown(keepers.lists.show(name)),
        looks=True,
    )
    print_json(listed) if json else print_text(_told(listed))
    return 0


async def _shown(listed: Sequence[Listed]) -> tuple[Listed, ...]:
    return tuple(listed)


def _add(
    name: Name,
    /,
    *entries: Entries,
    reason: Annotated[str, Parameter(help="Why, for yourself.", show_default=False)] = "",
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    edited = ask_or_open(
        settings_of(relay_data_path, git_data_path),
        lambda node: node.add_to_list(name, entries, reason),
        lambda keepers: keepers.lists.add(name, entries, reason),
    )
    _tell(edited, "added", "there already", as_json=json)
    return 0


def _remove(
    name: Name,
    /,
    *entries: Entries,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    edited = ask_or_open(
        settings_of(relay_data_path, git_data_path),
        lambda node: node.remove_from_list(name, entries),
        lambda keepers: keepers.lists.remove(name, entries),
    )
    _tell(edited, "removed", "not there", as_json=json)
    return 0


def _told(listed: Sequence[Listed]) -> Text:
    if not listed:
        return Text("no entries")
    lines = []
    for name in dict.fromkeys(each.name for each in listed):
        lines.append(name)
        for each in (each for each in listed if each.name == name):
            why = f": {plain(each.reason)}" if each.reason else ""
            lines.append(f"  {plain(each.entry)}  ({each.source}{why})")
    return Text("\n".join(lines))


def _tell(edited: Edited, done: str, known: str, *, as_json: bool) -> None:
    if as_json:
        print_json(edited)
        return
    lines = [f"{done}: {plain(each)}" for each in edited.changed]
    lines += [f"{known}: {plain(each)}" for each in edited.unchanged]
    if edited.ended is None:
        lines.append("no node runs: what is held and blocked ends at the next start")
    elif edited.ended:
        lines.append(f"{edited.ended} held events ended")
    print_text(Text("\n".join(lines)))
