from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.layout import (
    is_repository,
    local_failure,
    require_format,
    write_durably,
)

from ..local_repos import new_repository


def configure(path: Path, text: str) -> None:
    with open(path / "config", "a") as file:
        file.write(text)


def test_a_repository_of_our_own_is_accepted(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    require_format(path)
    configure(path, "[extensions]\n\tobjectFormat = sha1\n\trefStorage = files\n")
    require_format(path)


def test_a_repository_without_config_is_accepted(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (path / "config").unlink()
    require_format(path)


def test_sha256_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    configure(path, "[extensions]\n\tobjectFormat = sha256\n")
    with pytest.raises(RepositoryError, match="objectformat sha256; only sha1 is supported: conv"):
        require_format(path)


def test_refs_that_are_not_in_files_are_refused(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    configure(path, "[extensions]\n\trefStorage = reftable\n")
    with pytest.raises(RepositoryError, match="refstorage reftable"):
        require_format(path)


def test_a_config_that_cannot_be_understood_is_refused(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    configure(path, "[extensions\n")
    with pytest.raises(RepositoryError, match="config"):
        require_format(path)


@pytest.mark.parametrize("lacking", ["HEAD", "objects", "refs"])
def test_half_a_repository_is_none(tmp_path: Path, lacking: str) -> None:
    path = new_repository(tmp_path)
    (path / lacking).rename(path / "elsewhere")
    assert not is_repository(path)
    with pytest.raises(RepositoryError, match="no git repository"):
        require_format(path)


def test_write_durably_replaces_longer_content(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"long content")
    write_durably(tmp_path / "file", b"short")
    assert (tmp_path / "file").read_bytes() == b"short"


def test_a_local_failure_says_what_to_do() -> None:
    error = local_failure("make the repository x", OSError(28, "No space left on device"))
    assert str(error) == (
        "cannot make the repository x: No space left on device; free some disk space"
    )
