"""`python -m purgatory_sync.demo`: offline, in one terminal, under a minute."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

import trio

from ..cli import exit_without_extra

try:
    from rich.console import Console
    from rich.markup import escape
except ModuleNotFoundError as missing:
    exit_without_extra(missing)

from ..cli.output.logs import configure_logging
from ..testing.node_process import NodeFailed
from ..testing.nostr_client import RelayFailed
from .git import GitFailed, git_version
from .story import StepFailed, build_world, tell

MOST_SECS: Final = 60.0


def main() -> int:
    """Tell the story; 0 when every step was as it should be, else 1."""
    configure_logging("error")
    console = Console(highlight=False)
    if (version := git_version()) is None:
        console.print("[red]git is not installed:[/] the demo needs it as server and client")
        return 1
    console.print(f"purgatory_sync beside {version}; everything happens in a temporary folder")
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="purgatory-sync-demo-") as folder:
        try:
            trio.run(_tell, console, Path(folder))
        except* (StepFailed, GitFailed, NodeFailed, RelayFailed, OSError) as group:
            failures += map(str, _leaves(group))
        except* trio.TooSlowError:
            failures.append(f"the demo took longer than {MOST_SECS:g} s")
    for failure in failures:
        console.print(f"[bold red]✗[/] {escape(failure)}")
    if not failures:
        console.rule("[bold green]every step was as it should be")
    return 1 if failures else 0


async def _tell(console: Console, folder: Path) -> None:
    started = trio.current_time()
    with trio.fail_after(MOST_SECS):
        async with build_world(console, folder) as world:
            await tell(world)
    console.print(f"  took {trio.current_time() - started:.1f} s")


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


if __name__ == "__main__":
    sys.exit(main())
