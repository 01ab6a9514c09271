"""From flags, environment and `.env` to settings; a bad value is one sentence."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

import attrs

from . import settings_values as values
from .env_file import read_env_file
from .errors import ConfigurationError
from .foreign_settings import HINTS
from .policy.private_service import judge_private
from .policy.rules.list_entries import Unacceptable
from .settings import Settings

PREFIX: Final = "NGIT_"
MASK: Final = "***"
NODE: Final = ""

_ZERO_MAKES_SENSE: Final = frozenset(
    f"NGIT_{name}"
    for name in (
        "ANNOUNCEMENT_SOFT_EXPIRY_SECS",
        "EXPIRED_MEMORY_SECS",
        "HUNT_HEDGE_SECS",
        "HUNT_MAX_DELTA_DEPTH",
        "HUNT_MAX_INFLATED_RATIO",
        "HUNT_MAX_REDIRECTS",
        "HUNT_MIN_BYTES_PER_SEC",
        "HUNT_MIN_FREE_BYTES",
        "NAUGHTY_LIST_EXPIRATION_HOURS",
        "PUSH_KEEPALIVE_SECS",
        "RELAY_EVENTS_PER_MINUTE",
        "SHUTDOWN_DELAY_SECS",
        "SHUTDOWN_GRACE_SECS",
        "SYNC_DEFAULT_DELAY_SECS",
        "SYNC_IMMEDIATE_DELAY_MS",
        "VERIFY_INTERVAL_DAYS",
    )
)
_READERS: Final = {
    "NGIT_ADMIN_PUBKEYS": values.AUTHORS,
    "NGIT_ARCHIVE_GRASP_SERVICES": values.SERVICES,
    "NGIT_ARCHIVE_WHITELIST": values.REPOSITORIES,
    "NGIT_BANNED_EVENTS": values.EVENT_IDS,
    "NGIT_BASE_PATH": values.BASE_PATH,
    "NGIT_BIND_ADDRESS": values.ADDRESS,
    "NGIT_DELETED_RETENTION_DAYS": values.DAYS,
    "NGIT_DOMAIN": values.SERVICE,
    "NGIT_EVENT_BLACKLIST": values.AUTHORS,
    "NGIT_GRASP06_WHITELIST": values.AUTHORS,
    "NGIT_HUNT_PROXY": values.PROXY,
    "NGIT_HUNT_USER_AGENT": values.HEADER,
    "NGIT_METRICS_BIND_ADDRESS": values.ADDRESS,
    "NGIT_PRIVATE_MEMBERS": values.AUTHORS,
    "NGIT_PRIVATE_PEERS": values.PEERS,
    "NGIT_PRIVATE_PUBLIC_ORIGIN": values.ORIGIN,
    "NGIT_REPOSITORY_BLACKLIST": values.REPOSITORIES,
    "NGIT_REPOSITORY_WHITELIST": values.REPOSITORIES,
    "NGIT_SYNC_BOOTSTRAP_RELAY_URL": values.RELAY,
    "NGIT_USER_INDEX_RELAYS": values.RELAYS,
    "NGIT_SYNC_PLUS_FALLBACK_RELAYS": values.RELAYS,
}
_HINTS: Final = {
    ("NGIT_DATABASE_BACKEND", "lmdb"): (
        "an LMDB database cannot be read here: start with sqlite and an empty "
        "NGIT_RELAY_DATA_PATH, and let NGIT_SYNC_BOOTSTRAP_RELAY_URL bring the events again"
    )
}
_KEY: Final = "relay_owner_nsec"
_KEY_AS_FLAG: Final = (
    "--relay-owner-nsec shows the key to every user who lists processes, and the next release takes"
    " it no more: use NGIT_RELAY_OWNER_NSEC_FILE, a systemd credential, or the environment"
)
_MOST_SECRET_BYTES: Final = 4096
_CREDENTIALS = re.compile(r"(\A[a-z]*://)?.*@", re.IGNORECASE | re.DOTALL)
_SHOWN_CHARS = 80


class SetBy(enum.StrEnum):
    """Where a setting's value comes from, strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    ENV_FILE = ".env"
    DEFAULT = "default"


@attrs.frozen
class Setting:
    """One setting as settings.py declares it.

    Attributes:
      room: the field of Settings that holds its class; NODE for Settings itself.
      field: its name there.
      variable: the environment variable.
      size: whether it counts bytes.
      secret: whether texts for it are never repeated; values are, when they mask themselves.
      empty_is_fatal: whether an empty text is an error, and not the default.
      empty_is_none: whether an empty text is a list without entries, and not the default.
    """

    room: str
    field: str
    variable: str
    meaning: str
    default: Any
    reader: values.Reader
    size: bool
    secret: bool
    empty_is_fatal: bool
    empty_is_none: bool

    @property
    def key(self) -> str:
        """The variable in lower case without prefix: what a parameter of that name is called."""
        return self.variable.removeprefix(PREFIX).lower()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.key.replace("_", "-")

    def value_in(self, settings: Settings) -> Any:
        """The value that the settings hold."""
        return getattr(getattr(settings, self.room) if self.room else settings, self.field)

    def show(self, value: Any) -> str:
        """The value as an operator would write it, masked when it is a secret."""
        if self.secret and isinstance(value, str):
            return MASK
        return values.shown(value, size=self.size)

    def read(self, text: str, origin: str) -> Any:
        """Read a text; an empty one means the default, where it does not mean none.

        Args:
          origin: where it was found, for the error.

        Raises:
          ConfigurationError: one sentence with variable, value and what is accepted.
        """
        if not text.strip():
            if self.empty_is_fatal:
                raise ConfigurationError(
                    f"{self.variable} ({origin}) is empty: give it a value, or remove it"
                )
            return () if self.empty_is_none else self.default
        try:
            text.encode()
            return self.reader.read(text.strip())
        except ValueError as error:
            why = _HINTS.get((self.variable, text.strip().lower()))
            if why is None and isinstance(error, Unacceptable):
                why = str(error)
            because = f" ({why})" if why else ""
            raise ConfigurationError(
                f"{self.variable} ({origin}): invalid value {self._quote(text)}{because}: "
                f"expected {self.reader.accepted}"
            ) from error

    def _quote(self, text: str) -> str:
        if self.secret:
            return MASK
        text = _CREDENTIALS.sub(rf"\1{MASK}@", text)
        return ascii(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


@attrs.frozen
class Loaded:
    """Settings and how they came about.

    Attributes:
      sources: variable → where its value comes from.
      warnings: a sentence for each variable that has no effect.
    """

    settings: Settings
    sources: Mapping[str, SetBy]
    warnings: tuple[str, ...]


def all_settings() -> tuple[Setting, ...]:
    """Every setting, in the order of settings.py."""
    return _settings_of(Settings, NODE)


def _settings_of(declared: type[Any], room: str) -> tuple[Setting, ...]:
    kinds = get_type_hints(declared)
    found: list[Setting] = []
    for field in attrs.fields(declared):
        kind = kinds[field.name]
        if attrs.has(kind):
            found += _settings_of(kind, field.name)
            continue
        variable = field.metadata["env"]
        size = bool(field.metadata.get("size"))
        reader = _READERS.get(variable) or values.reader_for(
            kind, size=size, zero=variable in _ZERO_MAKES_SENSE
        )
        found.append(
            Setting(
                room=room,
                field=field.name,
                variable=variable,
                meaning=field.metadata["meaning"],
                default=field.default,
                reader=reader,
                size=size,
                secret=bool(field.metadata.get("secret")),
                empty_is_fatal=bool(field.metadata.get("empty_is_fatal")),
                empty_is_none=bool(field.metadata.get("empty_is_none")),
            )
        )
    return tuple(found)


def load_settings(
    flags: Mapping[str, str], environ: Mapping[str, str], env_file: Path = Path(".env")
) -> Loaded:
    """Read all settings, each from the strongest source that names it.

    Args:
      flags: what the command line gave, by Setting.key.
      environ: the environment.
      env_file: read when it exists.

    Raises:
      ConfigurationError: a value cannot be used, alone or beside another, or the file cannot be
        read.
    """
    from_file = read_env_file(env_file)
    declared = all_settings()
    sources: dict[str, SetBy] = {}
    rooms: dict[str, dict[str, Any]] = {}
    for setting in declared:
        layers = (
            (SetBy.FLAG, flags.get(setting.key), f"from {setting.flag}"),
            (SetBy.ENVIRONMENT, environ.get(setting.variable), "from the environment"),
            (SetBy.ENV_FILE, from_file.get(setting.variable), f"from {env_file.name}"),
        )
        source, text, origin = next(
            (layer for layer in layers if layer[1] is not None), (SetBy.DEFAULT, None, "")
        )
        sources[setting.variable] = source
        if text is not None:
            rooms.setdefault(setting.room, {})[setting.field] = setting.read(text, origin)
    settings = Settings()
    for room, changed in rooms.items():
        if room != NODE:
            settings = attrs.evolve(
                settings, **{room: attrs.evolve(getattr(settings, room), **changed)}
            )
    settings = attrs.evolve(settings, **rooms.get(NODE, {}))
    settings = _with_proxy_of_file(settings, declared)
    _judge_together(settings)
    named = dict.fromkeys(name for name in (*from_file, *environ) if name.startswith(PREFIX))
    warnings = _warnings(named, {each.variable for each in declared})
    if _KEY in flags:
        warnings = (_KEY_AS_FLAG, *warnings)
    return Loaded(settings, sources, warnings)


def _with_proxy_of_file(settings: Settings, declared: Iterable[Setting]) -> Settings:
    path = settings.hunt.proxy_file
    if path is None:
        return settings
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_SECRET_BYTES).decode().strip()
    except OSError as error:
        raise ConfigurationError(
            f"NGIT_HUNT_PROXY_FILE: {path} cannot be read ({error.strerror or error}): let this"
            " user read it, or name another file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"NGIT_HUNT_PROXY_FILE: {path} is no text") from error
    setting = next(each for each in declared if each.variable == "NGIT_HUNT_PROXY")
    if not text:
        raise ConfigurationError(f"NGIT_HUNT_PROXY_FILE: {path} is empty: write the proxy into it")
    proxy = setting.read(text, "from NGIT_HUNT_PROXY_FILE")
    if settings.hunt.proxy not in (None, proxy):
        raise ConfigurationError(
            "NGIT_HUNT_PROXY and NGIT_HUNT_PROXY_FILE name two proxies: remove one of them"
        )
    return attrs.evolve(settings, hunt=attrs.evolve(settings.hunt, proxy=proxy))


def _judge_together(settings: Settings) -> None:
    """Refuse values that make no sense beside each other."""
    archives = settings.curation.archives or settings.list_files.archive_whitelist is not None
    if settings.curation.archive_read_only and not archives:
        raise ConfigurationError(
            "NGIT_ARCHIVE_READ_ONLY cannot be true where nothing is archived: set NGIT_ARCHIVE_ALL,"
            " NGIT_ARCHIVE_WHITELIST or NGIT_ARCHIVE_GRASP_SERVICES too"
        )
    if settings.prs.enabled and settings.curation.read_only:
        raise ConfigurationError(
            "NGIT_GRASP06_ENABLE cannot be true on an archive that takes no pushes: set"
            " NGIT_ARCHIVE_READ_ONLY=false too, or turn one of them off"
        )
    if settings.prs.enabled and settings.prs.max_pack_bytes > settings.push.max_pack_bytes:
        raise ConfigurationError(
            "NGIT_PRS_MAX_PACK_BYTES cannot be more than NGIT_PUSH_MAX_PACK_BYTES"
            f" ({settings.push.max_pack_bytes} bytes)"
        )
    judge_private(settings)


def _warnings(named: Iterable[str], known: set[str]) -> tuple[str, ...]:
    """A sentence for every variable with our prefix that changes nothing."""
    found = []
    for variable in sorted(named):
        if variable in known:
            continue
        if (hint := HINTS.get(variable)) is not None:
            found.append(f"{variable} has no effect here: {hint}")
            continue
        near = difflib.get_close_matches(variable, sorted(known | HINTS.keys()), n=1)
        guess = f": did you mean {near[0]}?" if near else ""
        found.append(f"{variable}: unknown setting, ignored{guess}")
    return tuple(found)
