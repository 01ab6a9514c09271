"""What commands list, as tables for a person at a terminal; programs get lines, or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, Protocol, TypeVar

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...engine.keeping.caretaker import ListedDeleted, ListedRepository
from ...engine.keeping.prs_keeping import ListedPrs
from ...node.operator.wording import ago, from_now, size, tone, words
from .telling import REF_STANDINGS, REF_STYLES, STANDINGS, STYLES, plain

Row = Sequence[str | Text]


class _Owned(Protocol):
    @property
    def npub(self) -> str: ...

    @property
    def identifier(self) -> str: ...


Each = TypeVar("Each", bound=_Owned)

LEAST_WIDTH: Final = 100
"""Columns of a terminal; narrower ones get lines, which cut nothing off."""

_NUMBERS: Final = ("refs", "size")


def repositories_table(listed: Sequence[ListedRepository], now: float) -> RenderableType:
    """The repositories of each owner; `now` in Unix seconds."""
    columns = ("repository", "standing", "refs", "size", "state", "last push", "last hunt")

    def rows(each: ListedRepository) -> Iterator[Row]:
        standing = Text(STANDINGS[each.standing], "green" if each.standing == "served" else "")
        standing.append("" if each.made else ", adopted", style="dim")
        yield (
            *(plain(each.identifier), standing, str(each.refs), size(each.size)),
            *(_ago(each.state_at, now), _ago(each.pushed_at, now), _hunt(each, now)),
        )

    def remarks(each: ListedRepository) -> Iterator[Text]:
        if each.lags is not None:
            yield Text(f"lags: {plain(each.lags)}", style="yellow")
        if each.problem is not None:
            yield Text(plain(each.problem), style="red")

    served = sum(each.standing == "served" for each in listed)
    adopted = sum(not each.made for each in listed)
    total = f"{len(listed)} repositories: {served} served, {adopted} adopted"
    return _by_owner(listed, columns, rows, remarks, total)


def deleted_table(listed: Sequence[ListedDeleted], now: float) -> RenderableType:
    """The deleted repositories of each owner; `now` in Unix seconds."""

    def rows(each: ListedDeleted) -> Iterator[Row]:
        leaves = "by no time" if each.leaves_at is None else from_now(each.leaves_at, now)
        yield plain(each.identifier), size(each.size), _ago(each.deleted_at, now), leaves

    columns = ("repository", "size", "deleted", "leaves")
    total = f"{len(listed)} deleted repositories are kept"
    return _by_owner(_grouped(listed), columns, rows, _nothing, total)


def prs_table(listed: Sequence[ListedPrs], now: float) -> RenderableType:
    """The repositories below `/prs/` of each key; `now` in Unix seconds."""
    columns = ("repository", "size", *REF_STANDINGS, "newest")

    def rows(each: ListedPrs) -> Iterator[Row]:
        counts = Counter[str](ref.standing for ref in each.refs)
        newest = max((ref.at for ref in each.refs if ref.at is not None), default=None)
        counted = (
            Text(str(counts[name] or ""), style=REF_STYLES[name], justify="right")
            for name in REF_STANDINGS
        )
        yield plain(each.identifier), size(each.size), *counted, _ago(newest, now)

    def remarks(each: ListedPrs) -> Iterator[Text]:
        if each.problem is not None:
            yield Text(plain(each.problem), style="red")

    total = f"{len(listed)} repositories below /prs/: {size(sum(each.size for each in listed))}"
    return _by_owner(listed, columns, rows, remarks, total)


def _nothing(each: object) -> Iterator[Text]:
    return iter(())


def _grouped(listed: Sequence[Each]) -> list[Each]:
    """Those of one owner beside each other; owners, and theirs, in the order in which they came."""
    places: dict[str, int] = {}
    for each in listed:
        places.setdefault(each.npub, len(places))
    return sorted(listed, key=lambda each: places[each.npub])


def _by_owner(
    listed: Sequence[Each],
    columns: Sequence[str],
    rows: Callable[[Each], Iterable[Row]],
    remarks: Callable[[Each], Iterable[Text]],
    total: str,
) -> RenderableType:
    """A table for each owner, below the whole npub: it is what other commands take."""
    parts: list[RenderableType] = []
    for npub, found in groupby(listed, key=lambda each: each.npub):
        theirs, said = list(found), list[Text]()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
        for name in columns:
            right = name in _NUMBERS or name in REF_STANDINGS
            table.add_column(
                name,
                justify="right" if right else "left",
                ratio=1 if name == "repository" else None,
                min_width=len(name),
                overflow="fold",
            )
        for each in theirs:
            for row in rows(each):
                table.add_row(*row)
            of = Text(f"  {plain(each.identifier)}: ")
            said += [of + remark for remark in remarks(each)]
        parts += [Text(npub, style="bold"), table, *said, Text()]
    return Group(*parts, Text(total))


def _ago(at: float | None, now: float) -> str:
    return "" if at is None else ago(at, now)


def _hunt(each: ListedRepository, now: float) -> Text:
    if each.hunted_at is None or each.hunt_result is None:
        return Text()
    result = each.hunt_result.value
    return Text.assemble(f"{ago(each.hunted_at, now)}: ", (words(result), STYLES[tone(result)]))
