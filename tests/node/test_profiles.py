"""NIP-11 lists what is on and nothing else: docs/profiles.md, line by line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from purgatory_sync.node.composition import describe
from purgatory_sync.node.relay.nip11 import document
from purgatory_sync.settings import Settings
from purgatory_sync.settings_loader import load_settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "profiles.md"
KEY, NO_FILE = "ab" * 32, Path("/nonexistent/.env")
# What is on by default, and the values by which it is not.
OFF = {"NGIT_BASE_PATH": "/x", "NGIT_SYNC_PLUS_ENABLED": "false"}
BESIDE = ("NGIT_ARCHIVE_ALL", "NGIT_GRASP06_ENABLE")


def rows(first: str) -> list[list[str]]:
    """The cells of the table whose head begins with that word."""
    lines = iter(DOCUMENT.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


PROFILES, FIELDS = rows("listed"), rows("setting")
NAMED = {row[0].strip("`"): row for row in FIELDS}


def named_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def said_by(settings: Settings) -> dict[str, Any]:
    return json.loads(document(describe(settings, KEY)))  # type: ignore[no-any-return]


def said(values: dict[str, str]) -> dict[str, Any]:
    if "NGIT_PRIVATE_MODE" in values:
        values = {**values, "NGIT_PRIVATE_MEMBERS": NAMED["NGIT_EVENT_BLACKLIST"][1].strip("`")}
    return said_by(load_settings({}, values, NO_FILE).settings)


def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The fields that differ; those of `limitation` by their own names."""

    def flat(whole: dict[str, Any]) -> dict[str, Any]:
        limits = {f"limitation.{name}": value for name, value in whole["limitation"].items()}
        return {**{k: v for k, v in whole.items() if k != "limitation"}, **limits}

    a, b = flat(one), flat(other)
    return {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)}


def listed(document: dict[str, Any]) -> list[str]:
    return [*document["supported_grasps"], *(f"NIP {n}" for n in document["supported_nips"])]


def test_b_10_what_is_always_on_is_listed_and_nothing_else() -> None:
    always = [row[0] for row in PROFILES if row[2] == "always"]
    below = said(OFF)
    assert sorted(listed(below)) == sorted(always)


@pytest.mark.parametrize("row", [row for row in PROFILES if row[2] != "always"], ids=lambda r: r[0])
def test_b_10_a_profile_is_listed_where_its_setting_is_on(row: list[str]) -> None:
    always = {row[0] for row in PROFILES if row[2] == "always"}
    settings = [name for name in named_in(row[2]) if name.startswith("NGIT_")]
    assert settings
    for name in settings:
        value = named_in(row[2])[-1] if name in OFF else named_in(NAMED[name][1])[0]
        too = {"GRASP-08", "NIP 98"} if name == "NGIT_PRIVATE_MODE" else set()
        assert set(listed(said({**OFF, name: value}))) == always | {row[0]} | too
        assert name not in OFF or row[0] in listed(said({}))


@pytest.mark.parametrize("row", FIELDS, ids=lambda r: r[0])
def test_b_10_a_setting_changes_the_fields_that_the_table_names(row: list[str]) -> None:
    beside = {name: "true" for name in BESIDE if name in named_in(row[1])}
    with_it = said({**beside, row[0].strip("`"): named_in(row[1])[0]})
    assert changed(said(beside), with_it) == set(named_in(row[2]))


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return ("x",) if isinstance(value, tuple) else "x"


def test_b_10_no_other_setting_changes_the_document() -> None:
    beside = {"NGIT_DOMAIN": "git.example.org"}
    settings = load_settings({}, beside, NO_FILE).settings
    before, seen = said_by(settings), 0
    for field in attrs.fields(Settings):
        room = getattr(settings, field.name)
        for each in attrs.fields(type(room)) if attrs.has(type(room)) else [field]:
            if each.metadata["env"] in NAMED:
                continue
            value = another(getattr(room if each is not field else settings, each.name))
            new = (
                {each.name: value}
                if each is field
                else {field.name: attrs.evolve(room, **{each.name: value})}
            )
            assert said_by(attrs.evolve(settings, **new)) == before, each.metadata["env"]
            seen += 1
    assert seen > 40
