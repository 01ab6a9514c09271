from pathlib import Path

import pytest


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty bare repository, made without the fsyncs of a real one."""
    path = tmp_path / "r.git"
    (path / "objects" / "pack").mkdir(parents=True)
    (path / "refs").mkdir()
    (path / "HEAD").write_text("ref: refs/heads/none\n")
    return path


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"
