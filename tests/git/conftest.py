from pathlib import Path

import pytest

from purgatory_sync.git.ingest import large_pack, sink
from purgatory_sync.settings import HuntSettings

from .ingest.judges import NOTHING_IS_SMALL, Way, in_this_process
from .packs import make_repository


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


@pytest.fixture(params=["small", "dulwich", pytest.param("git", marks=pytest.mark.real)])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Way:
    """Each of the three ways to judge packs; that of git is real."""
    name = request.param
    if name == "dulwich":
        monkeypatch.setattr(sink, "SMALL_LIMITS", NOTHING_IS_SMALL)
        monkeypatch.setattr(large_pack, "index_with_dulwich", in_this_process)
    return Way(
        HuntSettings(min_free_bytes=0, ingest="auto" if name == "small" else name),
        make_repository(tmp_path / "r.git"),
        tmp_path / "tmp",
    )
