"""The commands that talk to the running node: status, why, hunt (N6)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeAlias

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..nostr.address import is_hex_key
from ..settings_loader import load_settings
from ..version import PROGRAM
from .asking import Asker
from .output.printing import printing
from .output.telling import plain, tell_fate, tell_status, tell_why

WATCH_SECS: Final = 2.0

Folder: TypeAlias = Annotated[
    Path | None,
    Parameter(
        name="--relay-data-path",
        help="The data folder of the running node; NGIT_RELAY_DATA_PATH when absent.",
        show_default=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


def add_operating_commands(app: App) -> None:
    """Let the program know the commands."""
    app.command(_status, name="status", help="Show what the running node holds, and why.")
    said = "Show why events are held, and who was asked; or what became of an event."
    app.command(_why, name="why", help=said)
    app.command(_hunt, name="hunt", help="Hunt now, sources that are left alone included.")


def _status(
    *,
    watch: Annotated[bool, Parameter(negative=(), help="Show it again and again.")] = False,
    json: AsJson = False,
    relay_data_path: Folder = None,
) -> int:
    with Asker(_folder(relay_data_path)) as node:
        if not watch:
            look = node.status()
            print_json(look) if json else print_text(tell_status(look))
            return 0
        try:
            _watch(node, json=json)
        except KeyboardInterrupt:
            return 0


def _watch(node: Asker, *, json: bool) -> NoReturn:
    while json or not sys.stdout.isatty():
        look = node.status()
        print_json(look, indent=0) if json else print_text(Text.assemble(tell_status(look), "\n"))
        time.sleep(WATCH_SECS)
    with Live(tell_status(node.status()), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECS)
            live.update(tell_status(node.status()), refresh=True)


def _why(
    name: Annotated[str, Parameter(help="The identifier of a repository, or the id of an event.")],
    /,
    *,
    json: AsJson = False,
    relay_data_path: Folder = None,
) -> int:
    with Asker(_folder(relay_data_path)) as node:
        looks = node.why(name)
        fate = None if looks else node.fate(name)
    if json:
        print_json(looks if fate is None else fate)
    elif looks:
        print_text(tell_why(looks, time.time()))
    elif fate is not None:
        told = tell_fate(fate, time.time())
        print_text(told if fate.event_id == name else Text(f"{fate.event_id} ") + told)
    if looks or fate is not None:
        return 0
    if is_hex_key(name):
        return _say(
            f"no event {name} is held, served or remembered as expired: it did not come, was "
            "refused, or was replaced or deleted"
        )
    return _say(
        f"nothing is held under {plain(name)}: what was announced under it is served, has ended or "
        "never came (ask with the id of an event to learn which)"
    )


def _hunt(
    identifier: Annotated[str, Parameter(help="The identifier of a repository.")],
    /,
    *,
    relay_data_path: Folder = None,
) -> int:
    with Asker(_folder(relay_data_path)) as node:
        hunted = node.hunt(identifier)
    if hunted is None:
        return _say(
            f"nothing is hunted for under {plain(identifier)}: no state and no pull request of it "
            "waits here"
        )
    print_text(Text(f"hunting for {plain(identifier)} now"))
    for url in hunted.forgiven:
        print_text(Text(f"  asked again although it was left alone: {plain(url)}"))
    return 0


def _folder(given: Path | None) -> Path:
    flags = {} if given is None else {"relay_data_path": str(given)}
    return load_settings(flags, os.environ).settings.relay_data_path


def _say(sentence: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {sentence}\n")
    return 1


def print_text(text: Text) -> None:
    """Print for a person; raises PurgatorySyncError when it cannot be printed."""
    with printing():
        Console(highlight=False).print(text, soft_wrap=True)


def print_json(value: Any, *, indent: int = 2) -> None:
    """Print for a program; raises as `print_text` does."""
    line = msgspec.json.format(msgspec.json.encode(value), indent=indent)
    with printing():
        sys.stdout.write(line.decode() + "\n")
