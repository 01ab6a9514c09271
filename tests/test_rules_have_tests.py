"""Every rule of docs/behaviour.md has a test named after its number, and no test has another's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RULE = re.compile(r"^\*\*(\d+\.\d+)\*\* ", re.MULTILINE)
CHAPTER = re.compile(r"^## (\d+)\. (.*)\n", re.MULTILINE)
# Chapters that say what must not be done, and what is not done so far.
WITHOUT_RULES = {"11", "14"}


def rules() -> set[str]:
    """The numbers that the document gives to rules."""
    text = (ROOT / "docs/behaviour.md").read_text()
    chapters = {each[1] for each in CHAPTER.finditer(text)} - WITHOUT_RULES
    numbers = set(RULE.findall(text))
    whole = {each for each in chapters if not any(n.startswith(f"{each}.") for n in numbers)}
    return numbers | whole | ({"5", "10"} & chapters)


def not_built() -> set[str]:
    """The chapters that are not built so far, as the last one names them."""
    last = (ROOT / "docs/behaviour.md").read_text().partition("\n## 14.")[2]
    return set(re.findall(r"^- (\d+) ", last, re.MULTILINE))


def numbers_in_names() -> set[str]:
    """The numbers in names of tests."""
    found = set()
    contract = (ROOT / "purgatory_sync" / "testing" / "store_contract").glob("*.py")
    for file in [*(ROOT / "tests").rglob("test_*.py"), *contract]:
        for name in re.findall(r"def test_b_(\d+(?:_\d+)?)_[a-z]", file.read_text()):
            found.add(name.replace("_", "."))
    return found


@pytest.mark.tree
def test_every_rule_has_a_test_named_after_its_number() -> None:
    missing = {
        each for each in rules() - numbers_in_names() if each.partition(".")[0] not in not_built()
    }
    assert missing == set()


@pytest.mark.tree
def test_no_test_is_named_after_a_rule_that_is_none() -> None:
    assert numbers_in_names() - rules() == set()


@pytest.mark.tree
def test_prose_is_wrapped_at_100_columns() -> None:
    """So a diff shows what changed; tables, code and addresses cannot be wrapped."""
    long = []
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for line in page.read_text().splitlines():
            whole = line.startswith(("|", "    ", "<")) or " " not in line.strip()
            if len(line) > 100 and not whole:
                long.append(f"{page.name}: {line[:60]}")
    assert long == []


@pytest.mark.tree
def test_readme_can_be_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900
