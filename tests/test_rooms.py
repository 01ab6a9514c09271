"""Imports go one way only: the table of docs/architecture.md is what the code does."""

from __future__ import annotations

import ast
import re
from collections import Counter
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
        named = {name.rstrip("/") for name in re.findall(r"`([a-z_/]+)`", cells[2])}
        above = set(allowed) if "all above" in cells[2] else set()
        name = "entry" if "entry" in cells[0] else "base" if "base" in cells[0] else ""
        allowed[name or cells[0].strip("`/ ")] = named | above
    return allowed


def inner_table() -> dict[str, set[str]]:
    """Sub-room → the sub-rooms of its room that it may import."""
    text = (TREE / "docs" / "architecture.md").read_text()
    allowed: dict[str, set[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 3 or not re.fullmatch(r"`[a-z_/]+/`", cells[0]):
            continue
        name = cells[0].strip("`/")
        inside = {each for each in allowed if each.startswith(f"{name}/")}
        named = set(re.findall(r"`([a-z_/]+)`", cells[2]))
        allowed[name] = inside if cells[2] == "all of them" else named
    return allowed


def folder(module: tuple[str, ...]) -> str:
    """The folder of an imported module, which may be a package itself."""
    if (PACKAGE.joinpath(*module).with_suffix(".py")).exists():
        return "/".join(module[:-1])
    return "/".join(module)


def room(module: tuple[str, ...]) -> str:
    first = module[0]
    if first in ENTRY:
        return "entry"
    return first if (PACKAGE / first).is_dir() else "base"


def imported_by(file: Path) -> Iterator[tuple[str, ...]]:
    """The modules of the package that a file imports."""
    module = file.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = module[: len(module) - node.level]
            names = [tuple(node.module.split("."))] if node.module else []
            for name in names or [(alias.name,) for alias in node.names]:
                yield (*above, *name)


def imports() -> Iterator[tuple[str, str, str]]:
    """Room, imported module with its room in front, and where."""
    for file in sorted(PACKAGE.rglob("*.py")):
        module = file.relative_to(PACKAGE).with_suffix("").parts
        if module == ("__init__",):
            continue
        for target in imported_by(file):
            yield room(module), "/".join(target), str(file.relative_to(TREE))


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


def test_the_inner_table_names_every_sub_room() -> None:
    packages = {each.parent.relative_to(PACKAGE) for each in PACKAGE.rglob("__init__.py")}
    inner = {str(each) for each in packages if len(each.parts) > 1}
    divided = {each.partition("/")[0] for each in inner}
    assert inner <= set(inner_table())
    assert set(inner_table()) <= inner | divided


def test_no_sub_room_imports_what_it_may_not() -> None:
    allowed, wrong = inner_table(), []
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.name == "__init__.py":
            continue
        here = str(file.parent.relative_to(PACKAGE))
        for target in imported_by(file):
            there = folder(target)
            if there.partition("/")[0] != here.partition("/")[0] or there == here:
                continue
            if there not in allowed.get(here, set()):
                wrong.append(f"{here}/{file.name}: {there}")
    assert wrong == []


def test_the_walls_have_no_circle() -> None:
    """Each sub-room imports only those that stand above it in the table."""
    seen: set[str] = set()
    for name, imported in inner_table().items():
        assert imported <= seen, name
        seen.add(name)


def test_no_folder_is_crowded() -> None:
    for package in PACKAGE.rglob("__init__.py"):
        modules = [each for each in package.parent.glob("*.py") if each.name != "__init__.py"]
        assert len(modules) <= 12, package.parent


def test_no_file_name_stands_for_two_things() -> None:
    names = Counter(each.stem for each in PACKAGE.rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} == {"__init__", "__main__"}


def test_no_module_imports_the_package_by_its_name() -> None:
    """Relative imports are what the table is read against."""
    for file in PACKAGE.rglob("*.py"):
        assert not re.search(r"^\s*(?:from|import) purgatory_sync", file.read_text(), re.MULTILINE)


def test_no_class_name_stands_for_two_things() -> None:
    found: Counter[str] = Counter()
    for file in PACKAGE.rglob("*.py"):
        nodes = ast.parse(file.read_text()).body
        found.update(node.name for node in nodes if isinstance(node, ast.ClassDef))
    assert {name for name, count in found.items() if count > 1 and name[0] != "_"} == set()
