"""Each sentence that a user can meet has its line in docs/operating/troubleshooting.md.

The sentences are found in the source: what is raised as one of the errors below, and every text
that begins with a prefix of OK. A text that is put together from others is not looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest

from purgatory_sync.engine.status.models import Obstacle
from purgatory_sync.errors import ResultClass
from purgatory_sync.node.operator.wording import held_back, words

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "operating" / "troubleshooting.md").read_text()
GAP: Final = "…"
ERRORS: Final = {
    *("CannotName", "ConfigurationError", "NoNode", "NodeUnreachable", "OverBudget"),
    *("PurgatorySyncError", "PushRefused", "RelayUnread", "RepositoryError"),
    *("RefusedRequest", "RepositoryUnusable", "StoreBusy", "StoreCorrupt", "StoreError"),
}
PREFIX: Final = re.compile(
    r"(?:auth-required|blocked|duplicate|error|invalid|purgatory|rate-limited|restricted): "
)
# What programs of ours say to developers only.
LEFT_OUT: Final = ("testing", "demo")

pytestmark = pytest.mark.tree


def text_of(node: ast.expr, constants: dict[str, str]) -> str | None:
    """A literal, with a gap for what is filled in; of a name, what the module gives it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (each.value if isinstance(each, ast.Constant) else GAP for each in node.values)
        return "".join(map(str, parts))
    return constants.get(node.id) if isinstance(node, ast.Name) else None


def constants_of(tree: ast.Module) -> dict[str, str]:
    found = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        value = getattr(node, "value", None)
        text = text_of(value, {}) if isinstance(value, ast.expr) else None
        if isinstance(target, ast.Name) and text is not None:
            found[target.id] = text
    return found


def sentences_in(source: str) -> Iterator[str]:
    """All sentences of a module that a user can meet."""
    tree = ast.parse(source)
    constants = constants_of(tree)
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
        for part in node.values
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = getattr(node.exc.func, "id", "")
            texts = [text_of(each, constants) for each in node.exc.args] if name in ERRORS else []
            yield from (text for text in texts if text)
        elif isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in inside:
            text = text_of(node, {})
            if text is not None and PREFIX.match(text):
                yield text


def sentences() -> dict[str, str]:
    """Each sentence, and where it is; those that are all gaps say what another one says."""
    found = {}
    for file in sorted((ROOT / "purgatory_sync").rglob("*.py")):
        if not set(LEFT_OUT) & set(file.parts):
            for text in sentences_in(file.read_text()):
                if re.search(r"[a-z]{3}", PREFIX.sub("", text)):
                    found[text] = str(file.relative_to(ROOT))
    for result in ResultClass:
        found[words(result.value)] = "results of attempts"
    for obstacle in get_args(Obstacle):
        found[held_back(obstacle)] = "obstacles"
    return found


def entries(page: str) -> set[str]:
    """The pieces of sentences in the first column of the tables."""
    first = re.findall(r"(?m)^\| (`.*?`) \| .* \| .* \|$", page)
    return {piece for cell in first for piece in re.findall(r"`([^`]+)`", cell)}


def covers(entry: str, sentence: str) -> bool:
    """Whether the entry's parts are in the sentence, in their order; a single word is all of it."""
    if " " not in entry:
        return entry == sentence
    parts = [re.escape(part) for part in entry.split(GAP) if part.strip()]
    return re.search(".*".join(parts), sentence, re.DOTALL) is not None


def test_every_sentence_has_an_entry() -> None:
    listed = entries(PAGE)
    lacking = [
        f"{where}: {sentence}"
        for sentence, where in sentences().items()
        if not any(covers(entry, sentence) for entry in listed)
    ]
    assert lacking == []


def test_every_entry_is_of_a_sentence() -> None:
    found = sentences()
    stale = [each for each in entries(PAGE) if not any(covers(each, text) for text in found)]
    assert stale == []


def test_a_new_sentence_without_an_entry_is_seen() -> None:
    source = 'GONE = "blocked: %s is gone"\nraise StoreError(f"{what} has fallen into the sea")\n'
    found = "… has fallen into the sea"
    assert {*sentences_in(source)} == {"blocked: %s is gone", found}
    assert not any(covers(entry, found) for entry in entries(PAGE))
