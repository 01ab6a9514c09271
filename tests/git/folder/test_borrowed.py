"""Objects that a repository borrows are taken in, so that git and our look-up agree (B 3.6)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from purgatory_sync.errors import RepositoryError, RepositoryUnusable
from purgatory_sync.git.disk.layout import ALTERNATES
from purgatory_sync.git.disk.repository import list_refs, present_oids
from purgatory_sync.git.folder.borrowed import take_in_borrowed

from ..local_repos import add_loose, add_pack, history, new_repository

STEPS = history(3)
PACKED, LOOSE = STEPS[0], STEPS[1]


def lend(lender: Path, borrower: Path, how: bytes | None = None) -> None:
    file = borrower / ALTERNATES
    file.parent.mkdir(exist_ok=True)
    file.write_bytes((how or os.fsencode(lender / "objects")) + b"\n")


@pytest.fixture
def lender(tmp_path: Path) -> Path:
    path = new_repository(tmp_path, "lender")
    add_pack(path, PACKED.objects)
    add_loose(path, LOOSE.objects)
    return path


@pytest.fixture
def borrower(tmp_path: Path) -> Path:
    return new_repository(tmp_path, "borrower")


def test_b_3_6_packs_and_loose_objects_are_taken_in(lender: Path, borrower: Path) -> None:
    lend(lender, borrower)
    oids = {PACKED.oid, LOOSE.oid}
    with pytest.raises(RepositoryUnusable, match=r"borrows objects .*repack -a -d"):
        present_oids(borrower, oids)
    assert take_in_borrowed(borrower)
    assert present_oids(borrower, oids) == oids
    assert not (borrower / ALTERNATES).exists()
    assert not take_in_borrowed(borrower)


@pytest.mark.parametrize(
    "how", [b"../../lender.git/objects", b"# a word\n../../lender.git/objects"]
)
def test_paths_are_read_as_git_reads_them(lender: Path, borrower: Path, how: bytes) -> None:
    lend(lender, borrower, how)
    assert take_in_borrowed(borrower)
    assert present_oids(borrower, {PACKED.oid}) == {PACKED.oid}


def test_lenders_that_borrow_are_followed(tmp_path: Path, lender: Path, borrower: Path) -> None:
    between = new_repository(tmp_path, "between")
    lend(lender, between)
    lend(between, borrower)
    assert take_in_borrowed(borrower)
    assert present_oids(borrower, {PACKED.oid}) == {PACKED.oid}
    assert (between / ALTERNATES).exists()


@pytest.mark.parametrize("how", [b"/nowhere/objects", b'"quoted"'])
def test_what_is_not_there_is_refused_by_name(borrower: Path, how: bytes) -> None:
    lend(borrower, borrower, how)
    with pytest.raises(RepositoryError, match=r"borrower\.git borrows .*put that back"):
        take_in_borrowed(borrower)
    assert (borrower / ALTERNATES).exists()
    with pytest.raises(RepositoryError, match="borrows objects"):
        list_refs(borrower)


def test_who_borrows_from_itself_is_refused_by_name(borrower: Path) -> None:
    lend(borrower, borrower)
    with pytest.raises(RepositoryError, match="cannot be followed"):
        take_in_borrowed(borrower)


def test_an_empty_list_borrows_nothing(borrower: Path) -> None:
    lend(borrower, borrower, b"# nothing")
    assert not take_in_borrowed(borrower)
    assert list_refs(borrower) == {}


def test_shallow_and_partial_ones_are_refused_by_name(borrower: Path) -> None:
    (borrower / "shallow").write_text(f"{PACKED.oid}\n")
    with pytest.raises(RepositoryError, match=r"shallow.*--unshallow"):
        take_in_borrowed(borrower)
    (borrower / "shallow").unlink()
    (borrower / "objects/pack/pack-x.promisor").touch()
    with pytest.raises(RepositoryError, match=r"partial clone.*--mirror"):
        take_in_borrowed(borrower)
