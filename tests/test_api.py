"""docs/api.md lists what the package exports, each once, and the modules that it names exist."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import purgatory_sync
from purgatory_sync import errors, settings, testing

PAGE = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
SECTIONS = dict(re.findall(r"^## `([\w.]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

pytestmark = pytest.mark.tree


def exported(module: ModuleType) -> set[str]:
    """What a package re-exports; of a plain module, the classes that it defines."""
    public = {
        name: value
        for name, value in vars(module).items()
        if not inspect.ismodule(value) and (not name.startswith("_") or name == "__version__")
    }
    if hasattr(module, "__path__"):
        return set(public)
    return {
        name
        for name, value in public.items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("module", [purgatory_sync, errors, settings, testing])
def test_the_page_lists_each_export_once(module: ModuleType) -> None:
    listed = re.findall(r"^- `(\w+)`: ", SECTIONS[module.__name__], re.MULTILINE)
    assert sorted(listed) == sorted(exported(module))


def test_the_modules_that_the_page_names_have_what_it_says() -> None:
    named = re.findall(r"^- `(purgatory_sync[\w.]+)`:(?: `(\w+)`)?", PAGE, re.MULTILINE)
    assert len(named) > 5
    for module, name in named:
        found = importlib.import_module(module)
        assert not name or hasattr(found, name)


def test_each_section_is_a_module_that_was_looked_at() -> None:
    assert set(SECTIONS) == {each.__name__ for each in (purgatory_sync, errors, settings, testing)}
