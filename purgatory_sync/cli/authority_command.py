"""`purgatory-sync authority`: who rules each repository, of a running node or a stopped one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from ..engine.upkeep.authority_report import RefMove, RepositoryAuthority
from .keeping import GitFolder, ask_or_open, settings_of
from .operating import AsJson, Folder, print_json, print_text
from .output.telling import plain

_DIGITS = 10


def add_authority_command(app: App) -> None:
    """Let the program know the command."""
    said = "Show who rules each repository, who is invited, and what an upgrade changes."
    app.command(_authority, name="authority", help=said)


def _authority(
    repository: Annotated[
        str, Parameter(help="An identifier, or npub1…/identifier; all when absent.")
    ] = "",
    /,
    *,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    found = ask_or_open(
        settings,
        lambda node: node.authority(repository),
        lambda keepers: keepers.caretaker.authority(repository),
        looks=True,
    )
    print_json(found) if json else print_text(tell_authority(found))
    return 0 if found or not repository else 1


def tell_authority(found: Sequence[RepositoryAuthority]) -> Text:
    """Each repository with all keys that have a role in it, then how many repositories change."""
    lines = [line for each in found for line in _repository(each)]
    lost = sum(bool(each.lost) for each in found)
    no_authority = sum(each.no_authority is not None for each in found)
    moved = sum(bool(each.moves_total) for each in found)
    lines.append(
        Text(
            f"{len(found)} repositories: {lost} where a maintainer is only listed, "
            f"{no_authority} where no key rules, {moved} whose refs the next start moves"
        )
    )
    return Text("\n").join(lines)


def _repository(each: RepositoryAuthority) -> Iterator[Text]:
    yield Text.assemble((f"{each.npub}/{plain(each.identifier)}", "bold"), f"  {each.standing}")
    if each.no_authority is not None:
        yield Text(f"  no key rules: {each.no_authority}", style="red")
    if each.forwarded_to is not None:
        yield Text(f"  forwarded to {each.forwarded_to}: its owner is no member", style="yellow")
    for key in each.maintainers:
        yield Text(f"  {'lead' if key == each.lead else 'maintainer'} {key}")
    for key in each.moderators:
        yield Text(f"  moderator {key}")
    for key, by in each.invited.items():
        yield Text(f"  invited {key}, by {by}: has no authority before accepting", style="yellow")
    for key in each.left:
        yield Text(f"  left {key}")
    for key in each.lost:
        yield Text(f"  no authority any more: {key} (listed one way)", style="yellow")
    state = each.ruled_by
    if state is None:
        yield Text("  no state rules: refs stay as they are")
    else:
        yield Text(f"  ruled by state {state.event_id} of {state.npub}")
    for move in each.moves:
        yield Text(f"  moves: {_move(move)}", style="yellow")
    if each.moves_total > len(each.moves):
        yield Text(f"  and {each.moves_total - len(each.moves)} refs more")


def _move(move: RefMove) -> str:
    now = move.now[:_DIGITS] if move.now else "absent"
    then = move.then[:_DIGITS] if move.then else "deleted"
    return f"{plain(move.ref)} from {now} to {then}"
