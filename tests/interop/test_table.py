"""What `make interop` writes into docs/compatibility.md; its trials are no part of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.table import BEGIN, END, Row, written

DOCUMENT = Path(__file__).parents[2] / "docs/compatibility.md"
ROW = Row("it 1.0", "git client", "a push", "works")


def test_only_what_stands_between_the_markers_changes() -> None:
    before = f"# By hand\n\n{BEGIN}\nold\n{END}\n\nmore\n"
    once = written(before, [ROW], "2026-01-02")
    assert once == (
        f"# By hand\n\n{BEGIN}\n\nLast run: 2026-01-02.\n\n"
        "| software | as | what was tried | result |\n| --- | --- | --- | --- |\n"
        f"| it 1.0 | git client | a push | works |\n\n{END}\n\nmore\n"
    )
    assert written(once, [ROW], "2026-01-02") == once


def test_a_cell_stays_one_cell_of_one_line() -> None:
    failed = Row("it", "relay", "all", "fails: a|b\nc" + "x" * 500)
    line = written(f"{BEGIN}{END}", [failed], "today").splitlines()[6]
    assert line.startswith("| it | relay | all | fails: a\\|b cxxx")
    assert line.endswith("x… |")
    assert len(line) < 200


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="each once"):
        written(text, [ROW], "today")


@pytest.mark.tree
def test_the_document_can_be_written() -> None:
    assert "it 1.0" in written(DOCUMENT.read_text(encoding="utf-8"), [ROW], "today")
