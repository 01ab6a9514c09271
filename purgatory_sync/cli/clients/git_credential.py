"""`purgatory-sync git-credential`: lets stock git into a private service (GRASP-08, B 16.3)."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from ...errors import ConfigurationError
from ...node.process.service_key import read_key
from ...nostr.http_auth.header import token_of
from ...nostr.http_auth.signed_access import MAX_SKEW_SECS, access_event

GET: Final = "get"
_USER: Final = "nostr"
_MOST_CHARS: Final = 64 * 1024
_OTHERS: Final = ("store", "erase")
_FLAG: Final = "--key-file"

KeyFile = Annotated[
    Path,
    Parameter(name=_FLAG, help="A file with your key: an nsec or 64 hex digits."),
]
Operation = Annotated[
    str, Parameter(help="What git adds by itself: get; store and erase do nothing.")
]


def add_git_credential_command(app: App) -> None:
    """Let the program know the command."""
    said = "Answer git, as its credential helper, with a signed event for a private service."
    app.command(_git_credential, name="git-credential", help=said)


def _git_credential(operation: Operation, /, *, key_file: KeyFile) -> int:
    said = sys.stdin.read(_MOST_CHARS)
    if operation == GET:
        sys.stdout.write(answer(said, key_file, time.time()))
    elif operation not in _OTHERS:
        raise ConfigurationError(
            f"git asks its helpers for {GET}, {' or '.join(_OTHERS)}, not for {operation!a}"
        )
    return 0


def answer(said: str, key_file: Path, now: float) -> str:
    """What git is told: a password for one repository, good for a minute.

    Args:
      said: what git says of the repository, a line `name=value` for each fact.
      key_file: holds the key that signs.
      now: Unix seconds.

    Raises:
      ConfigurationError: git does not say which repository it is, or the key cannot be read.
    """
    event = access_event(read_key(key_file, _FLAG).key, _repository(_facts(said)), now)
    password = token_of(event)
    until = int(now) + MAX_SKEW_SECS
    # Git from 2.40 on passes the time on to helpers that keep passwords.
    return f"username={_USER}\npassword={password}\npassword_expiry_utc={until}\n"


def _facts(said: str) -> Mapping[str, str]:
    lines = (line.partition("=") for line in said.split("\n"))
    return {name: value for name, equals, value in lines if equals}


def _repository(facts: Mapping[str, str]) -> str:
    protocol, host = facts.get("protocol", ""), facts.get("host", "")
    path = facts.get("path", "").strip("/")
    if protocol not in ("http", "https") or not host:
        raise ConfigurationError("git names no http or https URL: this helper knows no other")
    if not path:
        raise ConfigurationError(
            "git does not say which repository it asks for: "
            "git config --global credential.useHttpPath true"
        )
    return f"{protocol}://{host}/{path}"
