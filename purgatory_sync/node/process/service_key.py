"""The key of the service: given, or made once and kept beside the store."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError, InvalidKey
from ...nostr.keys import SecretKey
from ...runtime.logger import get_logger
from ...settings import Settings

FILE: Final = "service.nsec"
_READ_BY_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST_BYTES: Final = 1024

log = get_logger(__name__)


def service_key(settings: Settings) -> SecretKey:
    """The key whose public half NIP-11 names; quick file work, done at start.

    Without NGIT_RELAY_OWNER_NSEC it is `service.nsec` beside the store, made (0600) when there
    is none yet; a store in memory gets a new key at each start.

    Raises:
      ConfigurationError: the setting or the file is no key, or the file cannot be used.
    """
    if settings.relay.owner_nsec is not None:
        try:
            return SecretKey.parse(settings.relay.owner_nsec)
        except InvalidKey as error:
            raise ConfigurationError(
                f"NGIT_RELAY_OWNER_NSEC is {error}: set an nsec1… or 64 lower-case hex digits, or"
                f" leave it unset for a key of its own ({FILE} in NGIT_RELAY_DATA_PATH)"
            ) from error
    if settings.database_backend == "memory":
        return _new_key()
    path = settings.relay_data_path / FILE
    try:
        return _kept(path) or _made(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be used ({error.strerror or error}): let this user read and write it,"
            " or set NGIT_RELAY_OWNER_NSEC"
        ) from error


def _new_key() -> SecretKey:
    while True:
        try:
            return SecretKey(secrets.token_bytes(32))
        except InvalidKey:  # zero or beyond the curve's order: once in 2^128
            continue


def _kept(path: Path) -> SecretKey | None:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _READ_BY_OTHERS:
                log.warning("others can read the key of the service: chmod 600 it", path=str(path))
            text = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return None
    try:
        return SecretKey.parse(text.decode("ascii").strip())
    except (InvalidKey, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} holds no key: put the nsec1… of the service there, or remove the file and"
            " a new key is made"
        ) from error


def _made(path: Path) -> SecretKey:
    """Make a key and show its file whole: a crash leaves none or all of it."""
    key = _new_key()
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
    return key
