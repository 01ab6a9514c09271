"""Draws event-way.svg, the picture of an event's way: `python -m docs.pictures.event_way`."""

from __future__ import annotations

from html import escape
from pathlib import Path

WIDTH, HEIGHT, BOX, GAP, TOP = 920, 190, 150, 40, 40
STEPS = (
    ("offered", "a signed event comes", "by a client or a relay"),
    ("held", "on disk, not served:", "its commits are missing"),
    ("hunted", "clone URLs are asked,", "5 at a time, 30 a minute"),
    ("proven", "packs are verified", "in quarantine"),
    ("released", "refs aligned, event", "served, clients told"),
)
NOTES = (
    (1, "30 minutes without data: it expires, and clients may send it again"),
    (3, "a push brings the data as well, and is verified the same way"),
)
STYLE = (
    "text{font:13px sans-serif;fill:#24292f}.name{font-weight:bold;font-size:15px}"
    ".box{fill:#eef4ff;stroke:#4a6fa5}.note{fill:#57606a}.line{stroke:#4a6fa5;fill:none}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.box{fill:#1b2a41}.note{fill:#9da7b3}}"
)


def draw() -> str:
    """The picture as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>An event is offered, held, hunted for, proven and released</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8"'
        ' markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#4a6fa5"/></marker></defs>',
    ]
    for number, (name, *lines) in enumerate(STEPS):
        left = 5 + number * (BOX + GAP)
        middle = left + BOX // 2
        parts.append(f'<rect class="box" x="{left}" y="{TOP}" width="{BOX}" height="80" rx="8"/>')
        parts.append(_text(middle, TOP + 26, name, "name"))
        parts += [_text(middle, TOP + 46 + 18 * at, line) for at, line in enumerate(lines)]
        if number:
            start = left - GAP
            parts.append(
                f'<path class="line" marker-end="url(#a)" d="M{start} {TOP + 40}H{left - 2}"/>'
            )
    for number, note in NOTES:
        middle = 5 + number * (BOX + GAP) + BOX // 2
        y = HEIGHT - 40 if number == 1 else TOP - 16
        parts.append(_text(max(middle, 240), y, note, "note"))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: int, y: int, text: str, name: str = "") -> str:
    return f'<text class="{name}" x="{x}" y="{y}" text-anchor="middle">{escape(text)}</text>'


if __name__ == "__main__":
    Path(__file__).with_name("event-way.svg").write_text(draw())
