"""The few marks of a small drawing, written as SVG that follows the page's colours.

Coordinates are the drawing's own units, y down. Every text is escaped here, and nothing but text
comes from files.
"""

import textwrap
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Final

from matplotlib.ticker import MaxNLocator

from report.escaping import visible

WIDTH, HEIGHT = 380, 262
LETTER: Final = 6.6  # width of a letter of 13 units, about
Point = tuple[float, float]


def drawing(marks: Sequence[str], *, height: int = HEIGHT) -> str:
    """An SVG element of these marks."""
    return (
        f'<svg class="drawing" viewBox="0 0 {WIDTH} {height}" aria-hidden="true" font-size="13">'
        f"{''.join(marks)}</svg>"
    )


def text(
    at: Point, words: object, *, anchor: str = "middle", colour: str = "muted", bold: bool = False
) -> str:
    """One line of text."""
    halo = ' stroke="var(--page)" stroke-width="4" paint-order="stroke"'
    heavy = f' font-weight="600"{halo}' if bold else ""
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" {_paint("fill", colour)}'
        f"{heavy}>{escape(visible(words, 80))}</text>"
    )


def lines_of(words: str, width: float, most: int = 3) -> list[str]:
    """A name in lines that fit into a width, the last one cut."""
    letters = max(6, int(width / LETTER))
    return textwrap.wrap(visible(words), letters, max_lines=most, placeholder="…") or [""]


def wrapped(at: Point, words: str, width: float, *, bold: bool = False) -> list[str]:
    """A name in up to three lines below each other."""
    found = lines_of(words, width)
    return [
        text((at[0], at[1] + 15 * place), line, colour="ink", bold=bold)
        for place, line in enumerate(found)
    ]


def line(points: Sequence[Point], colour: str, *, width: float = 1, dashes: str = "") -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f} {y:.1f}" for x, y in points)
    broken = f' stroke-dasharray="{dashes}"' if dashes else ""
    stroke = _paint("stroke", colour)
    return f'<path d="M{path}" fill="none" {stroke} stroke-width="{width:g}"{broken}/>'


def segments(pairs: Sequence[Sequence[Point]], colour: str, *, width: float = 1) -> str:
    """Many lines as one mark."""
    paths = "".join("M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in each) for each in pairs)
    return (
        f'<path d="{paths}" fill="none" {_paint("stroke", colour)} stroke-width="{width:g}"'
        ' opacity=".6"/>'
    )


def dots(points: Sequence[Point], colour: str, *, size: float = 6) -> str:
    """Round dots, all as one mark."""
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    return (
        f'<path d="{path}" fill="none" {_paint("stroke", colour)} stroke-width="{size:g}" '
        'stroke-linecap="round" opacity=".75"/>'
    )


def box(corner: Point, opposite: Point, colour: str, *, opacity: float) -> str:
    """A shaded area, from its upper left corner to its lower right one."""
    (left, top), (right, bottom) = corner, opposite
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(0.0, right - left):.1f}" '
        f'height="{bottom - top:.1f}" {_paint("fill", colour)} opacity="{opacity:g}"/>'
    )


def _paint(attribute: str, colour: str) -> str:
    return f'{attribute}="{"currentColor" if colour == "ink" else f"var(--{colour})"}"'


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers between two limits."""
    found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(x) for x in found if low <= x <= high]


def tick_text(value: float, among: Sequence[float]) -> str:
    """A round number with a true minus, in as few digits as tell it from its neighbours."""
    step = min((b - a for a, b in pairwise(among)), default=1.0)
    shown = 0.0 if abs(value) < step * 1e-6 else value
    small = 0 < step < 1e-4 or abs(shown) >= 1e6
    return (f"{shown:.1e}" if small and shown else f"{round(shown, 12):.10g}").replace("-", "−")
