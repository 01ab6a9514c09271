"""A `.env` file: `KEY=VALUE` lines as shells and service managers write them."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import ConfigurationError

_LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")
_SINGLE = re.compile(r"'([^']*)'(?:[ \t]*|[ \t]+#.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"(?:[ \t]*|[ \t]+#.*)')
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "`": "`"}


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file; none when there is no such file (a folder of that name is none).

    Raises:
      ConfigurationError: it cannot be read, or a line is no assignment (the line is named, its
        content never repeated: it may be a secret).
    """
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): let this user read it, or remove it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8: save it as UTF-8") from error
    return parse_env(text, str(path))


def parse_env(text: str, name: str = ".env") -> dict[str, str]:
    """The variables of a text; the last assignment of a name wins.

    Single quotes keep everything as it stands; within double quotes `\\n`, `\\t`, `\\"` and `\\\\`
    are escapes; a `#` after a space begins a comment, unless it is quoted.

    Args:
      name: the file's name, for errors.

    Raises:
      ConfigurationError: a line is no assignment or a quote is not closed.
    """
    found = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        assignment = _LINE.fullmatch(line)
        value = _value(assignment[2]) if assignment else None
        if assignment is None or value is None:
            what = "a quote is not closed" if assignment else "not KEY=VALUE"
            raise ConfigurationError(
                f"{name}, line {number}: {what}: write KEY=VALUE, KEY='VALUE' or a # comment"
            )
        found[assignment[1]] = value
    return found


def _value(written: str) -> str | None:
    """What an assignment assigns; None when its quotes do not match."""
    if written.startswith("'"):
        single = _SINGLE.fullmatch(written)
        return single[1] if single else None
    if written.startswith('"'):
        double = _DOUBLE.fullmatch(written)
        return _ESCAPE.sub(_unescape, double[1]) if double else None
    return _COMMENT.sub("", written).rstrip()


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[0])
