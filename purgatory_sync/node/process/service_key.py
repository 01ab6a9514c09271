"""The key of the service: given, or made once and kept beside the store."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from ...errors import ConfigurationError, InvalidKey
from ...nostr.keys import SecretKey, encode_npub
from ...runtime.logger import get_logger
from ...settings import Settings

FILE: Final = "service.nsec"
CREDENTIAL: Final = "relay_owner_nsec"
_VARIABLE: Final = "NGIT_RELAY_OWNER_NSEC"
_FOR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST_BYTES: Final = 1024
_NEW_IDENTITY: Final = "start once with --new-identity if this service is to have another identity"

log = get_logger(__name__)


@attrs.frozen
class Found:
    """A key and the setting or file that it comes from."""

    source: str
    key: SecretKey


def service_key(
    settings: Settings,
    environ: Mapping[str, str],
    known: str | None,
    *,
    new_identity: bool = False,
) -> Found:
    """The key whose public half NIP-11 names, and its source (B 13.1); quick file work.

    It comes from the systemd credential `relay_owner_nsec`, NGIT_RELAY_OWNER_NSEC_FILE,
    NGIT_RELAY_OWNER_NSEC or `service.nsec` beside the store. Where none of them is there, a key
    is made (0600), but only for a store that knows none; a store in memory gets a new one at each
    start.

    Args:
      environ: names the folder of systemd's credentials.
      known: the public key that the store knows the service by, in hex; None before there was any.
      new_identity: the operator wants the store to take another key.

    Raises:
      ConfigurationError: a source is empty, cannot be read or is no key; two differ; or the store
        knows another key.
    """
    chosen = present_key(settings, environ)
    if chosen is None:
        path, in_memory = settings.relay_data_path / FILE, settings.database_backend == "memory"
        chosen = _new(path, known, in_memory=in_memory, new_identity=new_identity)
    if known is not None and known != chosen.key.pubkey and not new_identity:
        raise ConfigurationError(
            f"{chosen.source} holds the key of {chosen.key.npub}, but the store knows this service"
            f" as {encode_npub(known)}: set that key, or {_NEW_IDENTITY}"
        )
    return chosen


def present_key(settings: Settings, environ: Mapping[str, str]) -> Found | None:
    """The key that is there, given or kept; None where the first start would make one.

    Raises as `service_key`, but for what the store knows.
    """
    in_memory = settings.database_backend == "memory"
    kept = [] if in_memory else _kept(settings.relay_data_path / FILE)
    found = [*_given(settings, environ), *kept]
    for other in found[1:]:
        if other.key.pubkey != found[0].key.pubkey:
            raise ConfigurationError(
                f"{found[0].source} and {other.source} hold two different keys: remove the one"
                " that is not this service's"
            )
    return found[0] if found else None


def take_over_key(file: Path, settings: Settings) -> Found:
    """Keep another server's key as this service's, in `service.nsec` beside the store (0600).

    Args:
      file: holds an nsec or 64 hex digits; it stays as it is.

    Raises:
      ConfigurationError: it cannot be read or is no key, or another one is kept already.
    """
    given, path = read_key(file, "--key-file"), settings.relay_data_path / FILE
    for kept in _kept(path):
        if kept.key.pubkey != given.key.pubkey:
            raise ConfigurationError(
                f"{path} holds another key, that of {kept.key.npub}, than {file}: remove the one"
                " that is not this service's"
            )
        return kept
    try:
        _write(path, given.key)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror or error}): let this user write it, or set"
            f" {_VARIABLE}_FILE"
        ) from error
    return Found(str(path), given.key)


def _given(settings: Settings, environ: Mapping[str, str]) -> Iterator[Found]:
    """The keys that the operator gave, strongest first."""
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / CREDENTIAL
        if credential.exists():
            yield read_key(credential, f"the systemd credential {CREDENTIAL}")
    if settings.relay.owner_nsec_file is not None:
        yield read_key(settings.relay.owner_nsec_file, f"{_VARIABLE}_FILE")
    if settings.relay.owner_nsec is not None:
        try:
            yield Found(_VARIABLE, SecretKey.parse(settings.relay.owner_nsec))
        except InvalidKey as error:
            raise ConfigurationError(
                f"{_VARIABLE} is {error}: set an nsec1… or 64 lower-case hex digits, or"
                f" leave it unset for a key of its own ({FILE} in NGIT_RELAY_DATA_PATH)"
            ) from error


def read_key(path: Path, source: str) -> Found:
    """The key in a file.

    Args:
      path: holds an nsec or 64 hex digits.
      source: what names the file, for sentences.

    Raises:
      ConfigurationError: it cannot be read or holds no key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"{source}: {path} cannot be read ({error.strerror or error}): let this user read it,"
            " or name another file"
        ) from error
    try:
        return Found(source, SecretKey.parse(text.decode("ascii").strip()))
    except (InvalidKey, UnicodeDecodeError) as error:
        empty = "is empty" if not text.strip() else "holds no key"
        raise ConfigurationError(
            f"{source}: {path} {empty}: write an nsec1… or 64 lower-case hex digits into it"
        ) from error


def _kept(path: Path) -> list[Found]:
    """The key beside the store, if there is one; its file is closed to others."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & _FOR_OTHERS:
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
            log.warning("others could read the key of the service: closed to them", path=str(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(
            f"{path} can be read by others, and this user cannot change that"
            f" ({error.strerror or error}): make this user its owner and chmod 600 it"
        ) from error
    return [read_key(path, str(path))]


def _new(path: Path, known: str | None, *, in_memory: bool, new_identity: bool) -> Found:
    if in_memory:
        return Found("made for this start only", _new_key())
    if known is not None and not new_identity:
        raise ConfigurationError(
            f"the store knows this service as {encode_npub(known)}, but its key is gone: put"
            f" {path} back, or set {_VARIABLE}_FILE, or {_NEW_IDENTITY}"
        )
    key = _new_key()
    try:
        _write(path, key)
        return Found(str(path), key)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror or error}): let this user write it, or set"
            f" {_VARIABLE}_FILE"
        ) from error


def _new_key() -> SecretKey:
    while True:
        try:
            return SecretKey(secrets.token_bytes(32))
        except InvalidKey:  # zero or beyond the curve's order: once in 2^128
            continue


def _write(path: Path, key: SecretKey) -> None:
    """Show the file of a key whole: a crash leaves none or all of it; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(file, "w") as writing:
            writing.write(f"{key.nsec}\n")
            writing.flush()
            os.fsync(file)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
