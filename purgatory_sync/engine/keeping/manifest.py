"""What a backup says of itself: `manifest.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from ...errors import ConfigurationError

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
RELAY, GIT = "relay", "git"
"""The folders of a backup: those of NGIT_RELAY_DATA_PATH and NGIT_GIT_DATA_PATH."""


class Manifest(msgspec.Struct, frozen=True):
    """A backup that is complete.

    Attributes:
      format: of the backup, raised when an older program could not restore it.
      version: of the program that made it.
      begun_at: Unix seconds: what was answered OK before is in it.
      ended_at: Unix seconds.
      service_key: the public key of the service in hex; None where there was none yet.
      held: events in purgatory.
      served: events that are served.
      repositories: bare repositories.
      sha256: of each file that is not part of a repository, by its path in the backup.
    """

    format: int
    version: str
    begun_at: float
    ended_at: float
    service_key: str | None
    held: int
    served: int
    repositories: int
    sha256: dict[str, str]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it into a backup, for people too; raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """What a backup says of itself, and that its files are those that were written.

    Raises:
      ConfigurationError: it is no backup, a half one, one of a newer program, or damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{folder} is no backup, or one that was not finished: {MANIFEST} is missing"
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise ConfigurationError(
            f"{folder} is a backup of format {manifest.format}, made by version {manifest.version}:"
            " restore it with that version or a newer one"
        )
    for name, expected in manifest.sha256.items():
        try:
            found = digest(folder / name)
        except OSError as error:
            raise ConfigurationError(
                f"the backup in {folder} lacks {name} ({error.strerror}): it is damaged"
            ) from error
        if found != expected:
            raise ConfigurationError(f"{folder / name} is not what was backed up: it is damaged")
    return manifest


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
