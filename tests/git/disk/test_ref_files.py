from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.ref_files import PackedRef, format_packed, read_refs

from ..local_repos import new_repository, write_loose_ref

A, B, C = "a" * 40, "b" * 40, "c" * 40


def test_packed_refs_are_written_sorted_by_bytes_and_peeled() -> None:
    packed = {
        "refs/tags/v1": PackedRef(A, B),
        "refs/heads/ü": PackedRef(B),
        "refs/heads/z": PackedRef(C),
    }
    assert format_packed(packed).decode() == (
        "# pack-refs with: peeled fully-peeled sorted \n"
        f"{C} refs/heads/z\n"
        f"{B} refs/heads/ü\n"
        f"{A} refs/tags/v1\n"
        f"^{B}\n"
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    packed = {"refs/tags/v1": PackedRef(A, B), "refs/heads/\udcff": PackedRef(B)}
    (path / "packed-refs").write_bytes(format_packed(packed))
    files = read_refs(path)
    assert files.packed == packed
    assert files.fully_peeled


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1),
        st.sampled_from([PackedRef(A), PackedRef(A, B)]),
    )
)
def test_any_map_survives(
    tmp_path_factory: pytest.TempPathFactory, packed: dict[str, PackedRef]
) -> None:
    path = tmp_path_factory.mktemp("refs")
    (path / "packed-refs").write_bytes(format_packed(packed))
    assert read_refs(path).packed == packed


def test_files_of_others_need_not_be_peeled(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    for header in ("", "# pack-refs with: peeled\n"):
        (path / "packed-refs").write_text(f"{header}{A} refs/tags/v1\n")
        assert read_refs(path).packed == {"refs/tags/v1": PackedRef(A)}
        assert not read_refs(path).fully_peeled


@pytest.mark.parametrize(
    "damage", ["garbage\n", f"{A} refs/heads/x", f"{A[1:]} refs/heads/x\n", "\n"]
)
def test_damage_is_said_with_its_line(tmp_path: Path, damage: str) -> None:
    path = new_repository(tmp_path)
    header = "# pack-refs with: peeled fully-peeled sorted \n"
    (path / "packed-refs").write_text(f"{header}{A} refs/heads/a\n{damage}")
    with pytest.raises(RepositoryError, match=r"packed-refs is damaged in line 3"):
        read_refs(path)


def test_loose_files_are_told_apart(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    write_loose_ref(path, "refs/heads/plain", A.upper())
    write_loose_ref(path, "refs/heads/in/folder", f"{B} with a remark")
    write_loose_ref(path, "refs/heads/link", "ref: refs/heads/plain")
    write_loose_ref(path, "refs/heads/loop", "ref: refs/heads/loop")
    write_loose_ref(path, "refs/heads/null", "0" * 40)
    write_loose_ref(path, "refs/heads/short", A[1:])
    write_loose_ref(path, "refs/heads/plain.lock", B)
    (path / "refs" / "heads" / "empty").touch()
    (path / "refs" / "heads" / "nothing" / "in").mkdir(parents=True)
    (path / "packed-refs").write_text(
        f"{C} refs/heads/plain\n{C} refs/heads/short\n{C} refs/heads/loop\n{C} refs/heads/z\n"
    )
    files = read_refs(path)
    assert files.loose == {"refs/heads/plain": A, "refs/heads/in/folder": B}
    assert files.symbolic == {
        "refs/heads/link": "refs/heads/plain",
        "refs/heads/loop": "refs/heads/loop",
    }
    assert files.broken == {"refs/heads/null", "refs/heads/short", "refs/heads/empty"}
    assert files.folders == ("refs/heads/in", "refs/heads/nothing/in", "refs/heads/nothing")
    assert files.resolved() == {
        "refs/heads/plain": A,
        "refs/heads/in/folder": B,
        "refs/heads/link": A,
        "refs/heads/z": C,
    }
