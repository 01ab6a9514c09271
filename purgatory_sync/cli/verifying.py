"""`purgatory-sync verify`: is all that a node stores whole and true?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.text import Text

from ..engine.verifying.findings import Flaw, Verified
from ..errors import ConfigurationError, PurgatorySyncError, StoreError
from ..version import PROGRAM
from .keeping import GitFolder, ask_or_open, settings_of
from .operating import AsJson, Folder, print_json, print_text
from .printing import showing
from .telling import plain

FINDINGS: Final = 1
COULD_NOT_LOOK: Final = 3


def add_verifying_command(app: App) -> None:
    """Let the program know the command."""
    said = "Look whether repositories, store and events are whole; exit 0 yes, 1 no, 3 cannot say."
    app.command(_verify, name="verify", help=said)


def _verify(
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
