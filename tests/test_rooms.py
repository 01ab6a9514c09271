"""Imports go one way only: the table of docs/architecture.md is what the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
PACKAGE = TREE / "purgatory_sync"
ENTRY = {"cli", "demo", "__main__", "settings_loader", "settings_values", "env_file"}

pytestmark = pytest.mark.tree


def table() -> dict[str, set[str]]:
    """Room → what it may import, beside the base: rooms, or modules of rooms."""
    text = (TREE / "docs" / "architecture.md").read_text()
    allowed: dict[str, set[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 4 or cells[0] in ("room", "---"):
            continue
        named = {name.rstrip("/") for name in re.findall(r"`([a-z/]+)`", cells[2])}
        above = set(allowed) if "all above" in cells[2] else set()
        name = "entry" if "entry" in cells[0] else "base" if "base" in cells[0] else ""
        allowed[name or cells[0].strip("`/ ")] = named | above
    return allowed


def room(module: tuple[str, ...]) -> str:
    first = module[0]
    if first in ENTRY:
        return "entry"
    return first if (PACKAGE / first).is_dir() else "base"


def imports() -> Iterator[tuple[str, str, str]]:
    """Room, imported module with its room in front, and where."""
    for file in sorted(PACKAGE.rglob("*.py")):
        module = file.relative_to(PACKAGE).with_suffix("").parts
        if module == ("__init__",):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = module[: len(module) - node.level]
                names = [tuple(node.module.split("."))] if node.module else []
                for name in names or [(alias.name,) for alias in node.names]:
                    yield room(module), "/".join((*above, *name)), str(file.relative_to(TREE))


def test_the_table_names_every_room() -> None:
    folders = {each.name for each in PACKAGE.iterdir() if (each / "__init__.py").exists()}
    assert set(table()) == (folders - ENTRY) | {"base", "entry"}


def test_no_room_imports_what_it_may_not() -> None:
    allowed, wrong = table(), []
    for importer, module, where in imports():
        there = room(tuple(module.split("/")))
        may = allowed[importer] | {"base", importer}
        if there not in may and not any(f"{module}/".startswith(f"{each}/") for each in may):
            wrong.append(f"{where}: {module}")
    assert wrong == []


def test_nobody_imports_the_package_by_its_name() -> None:
    """Relative imports are what the table is read against."""
    for file in PACKAGE.rglob("*.py"):
        assert not re.search(r"^\s*(?:from|import) purgatory_sync", file.read_text(), re.MULTILINE)
