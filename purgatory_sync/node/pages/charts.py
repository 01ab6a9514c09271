"""Figures of the last day as shapes: what the server draws, so that no script is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from ...engine.status.hourly import HOUR, HOURS_SHOWN, Hour, slowest_of
from ..operator.wording import words

HEIGHT: Final = 60
STEP: Final = 10
BAR: Final = 8
SERIES_SHOWN: Final = 4
OTHER: Final = "other"
_ATTEMPTS: Final = "attempts."
_RELEASED: Final = "released."


@attrs.frozen
class Series:
    """One colour of a chart.

    Attributes:
      total: the sum of the day; of what is held, the newest figure.
      path: its bars as an SVG path, empty where there are none.
    """

    name: str
    total: int
    path: str


@attrs.frozen
class Chart:
    """Bars upon each other, one column for each of 24 hours, the newest on the right.

    Attributes:
      says: the whole in a sentence, for those who do not see it.
      top: the height of the highest column, as a figure.
    """

    title: str
    says: str
    top: int
    series: tuple[Series, ...]


@attrs.frozen
class SlowDomain:
    """A git domain of the last day.

    Attributes:
      secs: of one attempt, on average.
      share: of the slowest one's, in hundredths, at least 1.
    """

    domain: str
    attempts: int
    secs: float
    share: int


def charts_of(hours: Sequence[Hour], now: float) -> tuple[Chart, ...]:
    """The charts of the status page; `now` in Unix seconds. None where nothing is counted."""
    slots = _slots(hours, now)
    charts = [
        _chart("Held events", slots, lambda hour: hour.held, newest=True),
        _chart("Released and expired events, by hour", slots, _ended),
        _chart("Attempts by result, by hour", slots, _attempts),
    ]
    return tuple(chart for chart in charts if chart.top)


def slow_domains(hours: Sequence[Hour]) -> tuple[SlowDomain, ...]:
    """The slowest git servers of the last day, slowest first."""
    means = [(name, n, secs / n) for name, (n, secs) in slowest_of(hours).items() if n]
    most = max((mean for _, _, mean in means), default=0.0) or 1.0
    return tuple(
        SlowDomain(name, n, round(mean, 1), max(round(100 * mean / most), 1))
        for name, n, mean in means
    )


def _slots(hours: Sequence[Hour], now: float) -> list[Hour]:
    last = int(now // HOUR) * HOUR
    known = {hour.at: hour for hour in hours}
    starts = [last - HOUR * back for back in reversed(range(HOURS_SHOWN))]
    return [known.get(at) or Hour(at) for at in starts]


def _ended(hour: Hour) -> dict[str, int]:
    released = {
        f"{name.removeprefix(_RELEASED)} released": count
        for name, count in hour.counts.items()
        if name.startswith(_RELEASED)
    }
    return {**released, "expired": hour.counts.get("expired", 0)}


def _attempts(hour: Hour) -> dict[str, int]:
    return {
        words(name.removeprefix(_ATTEMPTS)): count
        for name, count in hour.counts.items()
        if name.startswith(_ATTEMPTS)
    }


def _chart(
    title: str,
    slots: Sequence[Hour],
    figures: Callable[[Hour], Mapping[str, int]],
    *,
    newest: bool = False,
) -> Chart:
    columns = [figures(hour) for hour in slots]
    sums: Counter[str] = Counter()
    for column in columns:
        sums.update(column)
    names = [name for name, total in sums.most_common() if total]
    shown = names if len(names) <= SERIES_SHOWN + 1 else names[:SERIES_SHOWN]
    columns = [_gathered(column, shown) for column in columns]
    shown = [*shown, *([OTHER] if len(shown) < len(names) else [])]
    top = max(sum(column.values()) for column in columns)
    totals = columns[-1] if newest else _total(columns)
    paths = _paths(columns, shown, top)
    series = tuple(Series(name, totals.get(name, 0), paths[name]) for name in shown)
    told = ", ".join(f"{each.name} {each.total}" for each in series)
    when = "now" if newest else "in the last 24 hours"
    return Chart(title, f"{title}; {when}: {told}; at most {top} in one hour", top, series)


def _gathered(column: Mapping[str, int], shown: Sequence[str]) -> dict[str, int]:
    mine = {name: column[name] for name in shown if column.get(name)}
    others = sum(count for name, count in column.items() if name not in shown)
    return {**mine, **({OTHER: others} if others else {})}


def _total(columns: Sequence[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for column in columns:
        total.update(column)
    return total


def _paths(columns: Sequence[Mapping[str, int]], names: Sequence[str], top: int) -> dict[str, str]:
    parts: dict[str, list[str]] = {name: [] for name in names}
    for number, column in enumerate(columns):
        base = 0
        for name in names:
            count = column.get(name, 0)
            low, high = (HEIGHT - HEIGHT * y / (top or 1) for y in (base, base + count))
            if count:
                bar = f"M{number * STEP} {low:.3g}V{high:.3g}h{BAR}V{low:.3g}z"
                parts[name].append(bar)
            base += count
    return {name: "".join(bars) for name, bars in parts.items()}
