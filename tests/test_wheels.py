"""The step of `make check` that looks for wheels, with a folder of wheels as its index."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.tree

_spec = importlib.util.spec_from_file_location("wheels", ROOT / ".ci" / "wheels.py")
assert _spec is not None
assert _spec.loader is not None
wheels = importlib.util.module_from_spec(_spec)
sys.modules["wheels"] = wheels
_spec.loader.exec_module(wheels)

GLIBC, _, _, _, _, ARM = wheels.PLATFORMS


def wheel(folder: Path, name: str, tag: str) -> str:
    """Put an empty package there; its line of the lock without the name."""
    path = folder / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        file.writestr(f"{info}/RECORD", "")
    return f"--hash=sha256:{sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_what_has_no_wheel_is_named(index: Path) -> None:
    pure = wheel(index, "everywhere", "py3-none-any")
    first = wheel(index, "some", "cp311-cp311-manylinux_2_17_x86_64")
    second = wheel(index, "some", "cp312-abi3-macosx_11_0_arm64")
    lock = f"everywhere==1.0 \\\n    {pure}\nsome==1.0 \\\n    {first} \\\n    {second}\n"
    locked = wheels.read_lock(lock)
    assert list(wheels.missing(locked, "3.11", GLIBC)) == []
    assert list(wheels.missing(locked, "3.15", ARM)) == []
    assert list(wheels.missing(locked, "3.15", GLIBC)) == ["some"]


def test_a_marker_counts_for_the_platform_not_for_this_machine(index: Path) -> None:
    lock = "gone==1.0 ; sys_platform == 'win32' --hash=sha256:" + "0" * 64
    lock += "\ngone==1.0 ; python_full_version < '3.15' --hash=sha256:" + "0" * 64
    locked = wheels.read_lock(lock)
    assert list(wheels.missing(locked, "3.15", GLIBC)) == []
    assert list(wheels.missing(locked, "3.14", GLIBC)) == ["gone"]


def test_without_an_index_nothing_fails_and_nothing_is_recorded(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock, kept = index / "lock.txt", index / "record.txt"
    lock.write_text("gone==1.0 --hash=sha256:" + "0" * 64)
    assert wheels.main(lock, kept) == 0
    assert "not checked, pip reaches no index" in capsys.readouterr().err
    assert not kept.exists()


def test_what_is_on_record_is_not_asked_again_unless_it_changes(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock, kept = index / "lock.txt", index / "record.txt"
    lock.write_text("gone==1.0 --hash=sha256:" + "0" * 64)
    kept.write_text(wheels.record(lock.read_text(), wheels.claimed_pythons()))
    assert wheels.main(lock, kept) == 0
    assert capsys.readouterr().err == ""
    lock.write_text("gone==1.1 --hash=sha256:" + "0" * 64)
    assert wheels.main(lock, kept) == 0
    assert "not checked" in capsys.readouterr().err


def test_the_pythons_are_those_of_the_classifiers() -> None:
    assert wheels.claimed_pythons() == ["3.11", "3.12", "3.13", "3.14", "3.15"]
