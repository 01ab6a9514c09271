"""The program's flags and commands, each flag a setting."""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ..errors import ConfigurationError
from ..settings_loader import Loaded, SetBy, Setting, all_settings, load_settings
from ..settings_values import NEVER
from ..version import PROGRAM, __version__
from .adopting import add_adopting_command
from .authority_command import add_authority_command
from .clients.git_credential import add_git_credential_command
from .export_command import add_exporting_command
from .fetching import fetch_by_hand
from .import_command import add_import_command
from .keeping import add_keeping_commands
from .list_command import add_list_command
from .operating import add_operating_commands
from .output.printing import printing
from .output.telling import plain
from .verifying import add_peer_names, add_verifying_command

Run: TypeAlias = Callable[..., int]

_HELP = (
    "A GRASP node: a Nostr relay and a git server in one. It holds events until the git data they "
    "name are here and proven, hunts for the data on the clone URLs that announcements give, and "
    "serves both from then on."
)
_EPILOGUE = (
    "Each flag is also an environment variable (--git-data-path is NGIT_GIT_DATA_PATH) and a line "
    "of a .env file in the working folder; flags win, then the environment. Sizes take units "
    "(500MB, 1GiB), lists commas."
)


_FETCHED = (
    inspect.Parameter(
        "url",
        inspect.Parameter.POSITIONAL_ONLY,
        annotation=Annotated[str, Parameter(help="A clone URL, http or https.")],
    ),
    inspect.Parameter(
        "oids",
        inspect.Parameter.VAR_POSITIONAL,
        annotation=Annotated[
            str, Parameter(help="Names of objects: 40 hexadecimal digits each.", negative=())
        ],
    ),
    inspect.Parameter(
        "into",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[Path, Parameter(help="The bare repository; made when it is missing.")],
    ),
)


def run_arguments(arguments: Sequence[str], run: Run) -> int:
    """Do what the arguments ask for; the exit code.

    Args:
      run: the node, for flags without a command.

    Raises:
      ConfigurationError: the arguments or a setting cannot be used.
      PurgatorySyncError: it had to end.
    """
    app = _app(run)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise ConfigurationError(_sentence(error)) from error
    return code if isinstance(code, int) else 0


def _sentence(error: CycloptsError) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        said = f"Unknown command or argument: {plain(' '.join(error.unused_tokens))}."
    asked = " ".join([PROGRAM, *(error.command_chain or ()), "--help"])
    return f"{said} See {asked}."


def _app(run: Run) -> App:
    app = App(
        name=PROGRAM,
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version=f"{PROGRAM} {__version__}",
    )
    said = "Let the store take another key of the service than the one it knows."
    node = _with_settings_as_flags(
        run, new_identity=Annotated[bool, Parameter(negative=(), help=said)]
    )
    app.default(node)
    app.command(node, name="serve", help="Run the node, as without a command.")
    show = _with_settings_as_flags(
        _show,
        json=Annotated[bool, Parameter(negative=(), help="Print JSON.")],
        env=Annotated[bool, Parameter(negative=(), help="Print a .env file.")],
    )
    app.command(show, name="settings", help="Print all settings: value, source and meaning.")
    add_operating_commands(app)
    add_keeping_commands(app)
    add_list_command(app)
    add_authority_command(app)
    add_verifying_command(app)
    add_peer_names(app)
    add_exporting_command(app)
    add_import_command(app)
    add_adopting_command(app)
    add_git_credential_command(app)
    fetch = _with_settings_as_flags(fetch_by_hand, *_FETCHED, room="hunt")
    usage = f"Usage: {PROGRAM} fetch URL OID… --into PATH [OPTIONS]"
    app.command(fetch, name="fetch", help="Fetch objects by hand, as a hunt does.", usage=usage)
    return app


def _with_settings_as_flags(
    command: Callable[..., int], *first: inspect.Parameter, room: str | None = None, **more: Any
) -> Callable[..., int]:
    """A command whose parameters are `first`, the settings (all, or a room's) as text, `more`."""

    def called(*words: str, **given: Any) -> int:
        flags = {each.key: given.pop(each.key) for each in declared if each.key in given}
        texts = {key: _as_text(value) for key, value in flags.items()}
        return command(load_settings(texts, os.environ), *words, **given)

    declared = [each for each in all_settings() if room is None or each.room == room]
    groups: dict[str, Group] = {}
    parameters = list(first)
    for setting in declared:
        title = setting.room.capitalize() or "Node"
        group = groups.setdefault(title, Group(title, sort_key=len(groups)))
        parameters.append(_parameter(setting.key, _flag_of(setting, group)))
    parameters += [_parameter(name, kind) for name, kind in more.items()]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _as_text(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _parameter(name: str, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind | None
    )


def _flag_of(setting: Setting, group: Group) -> Any:
    default = setting.show(setting.default)
    kind = bool if isinstance(setting.default, bool) else str
    return Annotated[
        kind | None,
        Parameter(
            name=setting.flag,
            group=group,
            help=f"{setting.meaning} [{default}]" if default else setting.meaning,
            metavar=None if kind is bool else setting.reader.metavar,
            show_default=False,
        ),
    ]


def _show(loaded: Loaded, json: bool | None = None, env: bool | None = None) -> int:
    for warning in loaded.warnings:
        sys.stderr.write(f"{PROGRAM}: {warning}\n")
    with printing():
        if json:
            sys.stdout.write(_as_json(loaded))
        elif sys.stdout.isatty() and not env:
            Console().print(_as_table(loaded))
        else:
            sys.stdout.write(_as_env_file(loaded))
    return 0


def _as_json(loaded: Loaded) -> str:
    listed = []
    for setting in all_settings():
        value = setting.value_in(loaded.settings)
        listed.append(
            {
                "variable": setting.variable,
                "flag": setting.flag,
                "value": setting.show(value) if setting.secret and value else _plain(value),
                "source": loaded.sources[setting.variable],
                "default": _plain(setting.default),
                "meaning": setting.meaning,
            }
        )
    return json.dumps(listed, indent=2) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if value == math.inf:  # which JSON does not have
        return NEVER
    return str(value) if isinstance(value, Path | IPv4Network | IPv6Network) else value


def _as_table(loaded: Loaded) -> Table:
    table = Table(Column("variable", no_wrap=True), "value", "source", "meaning")
    for setting, value, source in _rows(loaded):
        style = "dim" if source == "default" else "bold"
        # As text: a value or a meaning with brackets is no markup.
        words = (setting.variable, value or "unset", source, setting.meaning)
        table.add_row(*map(Text, words), style=style)
    return table


def _as_env_file(loaded: Loaded) -> str:
    lines = []
    for setting, value, source in _rows(loaded):
        is_default = loaded.sources[setting.variable] is SetBy.DEFAULT
        says_nothing = not value and not setting.empty_is_none
        off = "# " if is_default or says_nothing or setting.secret else ""
        lines.append(f"{off}{setting.variable}={_quoted(value)}  # {source}: {setting.meaning}\n")
    return "".join(lines)


def _quoted(value: str) -> str:
    if not any(char in value for char in " '\"#\\"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _rows(loaded: Loaded) -> list[tuple[Setting, str, str]]:
    return [
        (each, each.show(each.value_in(loaded.settings)), loaded.sources[each.variable].value)
        for each in all_settings()
    ]
