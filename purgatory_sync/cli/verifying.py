"""`purgatory-sync verify`: is all that a node stores whole? And ngit-grasp's names of commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from ..engine.keeping.caretaker import ListedRepository
from ..engine.verifying.findings import Flaw, Verified
from ..errors import ConfigurationError, PurgatorySyncError, StoreError
from ..settings import Settings
from ..version import PROGRAM
from .asking import Asker
from .keeping import GitFolder, ask_or_open, remove_by_hand, settings_of
from .operating import AsJson, Folder, print_json, print_text
from .output.printing import printing, showing
from .output.telling import plain

FINDINGS: Final = 1
COULD_NOT_LOOK: Final = 3

Execute = Annotated[bool, Parameter(negative=(), help="Do it; else it is only told.")]
Identifier = Annotated[str, Parameter(name="--identifier", help="The identifier of repositories.")]
_ENDED: Final = ("none", "expired")


def add_verifying_command(app: App) -> None:
    """Let the program know the command."""
    said = "Look whether repositories, store and events are whole; exit 0 yes, 1 no, 3 cannot say."
    app.command(verify_by_hand, name="verify", help=said)


def verify_by_hand(
    *repositories: Annotated[
        str, Parameter(help="Identifiers, or npub1…/identifier; everything when absent.")
    ],
    all: Annotated[bool, Parameter(negative=(), help="Everything, as when none is named.")] = False,
    repair: Annotated[
        bool, Parameter(negative=(), help="Align refs, and get what is missing, where it is.")
    ] = False,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    """Verify and tell; the exit code (B 13.7)."""
    if all and repositories:
        raise ConfigurationError("--all means every repository: leave out the names, or --all")
    settings = settings_of(relay_data_path, git_data_path)
    try:
        with showing("verifying") as tell:
            found = ask_or_open(
                settings,
                lambda node: node.verify(repositories, repair, tell),
                lambda keepers: keepers.verifier.verify(repositories, repair=repair, tell=tell),
            )
    except PurgatorySyncError as error:
        if isinstance(error, ConfigurationError) and not isinstance(error, StoreError):
            raise
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return COULD_NOT_LOOK
    print_json(found) if json else print_text(tell_verified(found))
    if found.left:
        return FINDINGS
    return COULD_NOT_LOOK if found.not_looked else 0


def tell_verified(found: Verified) -> Text:
    """Each finding with its remedy, what could not be looked at, then how many there are."""
    lines = [line for each in found.findings for line in _finding(each)]
    if found.found > len(found.findings):
        lines.append(Text(f"… and {found.found - len(found.findings)} more"))
    lines += [Text(f"not looked at: {plain(each)}", style="yellow") for each in found.not_looked]
    looked = f"{found.repositories} repositories and {found.events} events looked at"
    repaired = found.found - found.left
    said = f"{found.left} findings" + (f", {repaired} repaired" if repaired else "")
    not_looked = f", {len(found.not_looked)} could not be" if found.not_looked else ""
    lines.append(Text(f"{looked}{not_looked}: {said}"))
    return Text("\n").join(lines)


def _finding(each: Flaw) -> Iterator[Text]:
    style = "green" if each.repaired else "red"
    done = "repaired, " if each.repaired else ""
    yield Text(f"{plain(each.where)}  {done}{each.what}: {plain(each.detail)}", style=style)
    if not each.repaired:
        yield Text(f"  {each.remedy}")


def add_peer_names(app: App) -> None:
    """Let the program know them."""
    for command, name, said in (
        (_integrity_check, "integrity-check", "As `verify`, of one identifier."),
        (
            _event_integrity_check,
            "event-integrity-check",
            "Bad events of `verify`, a line each.",
        ),
        (_cleanup_empty_repos, "cleanup-empty-repos", "Remove empty repositories not announced."),
        (_holding_eject, "holding-eject", "As `remove`, of a repository not announced any more."),
    ):
        app.command(command, name=name, help=f"{said} (ngit-grasp's name)")


def _integrity_check(
    *,
    identifier: Identifier,
    repair: Annotated[bool, Parameter(negative=(), help="As that of `verify`.")] = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    return verify_by_hand(
        identifier, repair=repair, relay_data_path=relay_data_path, git_data_path=git_data_path
    )


def _event_integrity_check(
    *, execute: Execute = False, relay_data_path: Folder = None, git_data_path: GitFolder = None
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    found = ask_or_open(
        settings,
        lambda node: node.verify((), False, lambda _: None),
        lambda keepers: keepers.verifier.verify(),
    )
    bad = [each for each in found.findings if each.what == "event"]
    for each in bad:
        line = {"id": each.where, "problem": each.detail, "removed": execute}
        if execute:
            _purge(settings, each.where)
        with printing():
            sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    return FINDINGS if bad and not execute else 0


def _purge(settings: Settings, event_id: str) -> None:
    ask_or_open(
        settings,
        lambda node: node.purge(event_id, execute=True, at_once=False),
        lambda keepers: keepers.purger.purge(event_id, execute=True),
    )


def _cleanup_empty_repos(
    *,
    execute: Execute = False,
    purge_orphans: Annotated[
        bool, Parameter(negative=(), help="Also those with data that no announcement names.")
    ] = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    listed = ask_or_open(settings, Asker.list, lambda keepers: keepers.caretaker.list())
    chosen = [each for each in listed if _may_go(each, purge_orphans)]
    for each in chosen:
        name = f"{each.npub}/{each.identifier}"
        if execute:
            remove_by_hand(settings, name)
        print_text(Text(f"{'removed' if execute else 'would remove'} {plain(name)}"))
    told = "" if execute else "; nothing was changed: --execute does it"
    print_text(Text(f"{len(chosen)} of {len(listed)} repositories{told}"))
    return 0


def _may_go(each: ListedRepository, orphans: bool) -> bool:
    if each.standing not in _ENDED or each.problem is not None:
        return False
    return orphans or not each.has_data


def _holding_eject(
    *,
    owner: Annotated[str, Parameter(name="--owner", help="npub1…")],
    identifier: Identifier,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    name = f"{owner}/{identifier}"
    remove_by_hand(settings_of(relay_data_path, git_data_path), name)
    print_text(Text(f"removed {plain(name)}"))
    return 0
