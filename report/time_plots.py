"""Plots of time: scaling in double logarithms, scores against seconds, and times to a target.

Frames hold display units. The caller owns size and saving.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite, log2, log10
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from report.axes import name_rows, padded, short
from report.frames import records
from report.learning import spread
from report.palette import CONTEXT, INK, PAPER, SERIES
from report.time_words import unit_of

LEAST_REACH = 1e-3  # of an axis of scores, as a share of the largest
LEAST_GAP = 0.18  # between two ticks, as a share of the axis
STEPS: Final[tuple[tuple[float, ...], ...]] = (
    *((1,), (1, 3), (1, 2, 5), (2, 3, 5), (2, 4), (1, 2, 4, 7), (1, 1.5, 2, 3, 5, 7)),
    *((2, 2.5, 3, 3.5, 4), (1, 1.2, 1.5, 1.8), (5, 6, 7, 8), (2.6, 2.8, 3, 3.2, 3.4)),
)


def time_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round seconds between two limits, as many as `most` and never too near to each other."""
    first, last = int(np.floor(log10(low))) - 1, int(np.ceil(log10(high))) + 1
    found: list[float] = []
    for apart, steps in [(3, (1.0,)), (2, (1.0,)), *((1, steps) for steps in STEPS)]:
        ticks = [step * 10.0**decade for decade in range(first, last) for step in steps]
        ticks = ticks[::apart] if apart > 1 else ticks
        ticks = [tick for tick in ticks if low <= tick <= high]
        gaps = [log10(b / a) / log10(high / low) for a, b in pairwise(ticks)]
        if len(ticks) <= most and min(gaps, default=1.0) >= LEAST_GAP and len(ticks) > len(found):
            found = ticks
    return found


def time_label(seconds: float) -> str:
    """`200 µs`, `1 ms`."""
    unit, factor = unit_of(seconds * (1 + 1e-9))
    return f"{seconds * factor:.3g} {unit}"


def plot_scaling(
    ax: Axes, lines: pd.DataFrame, *, colours: Mapping[str, str], is_log: bool, name: str
) -> None:
    """Seconds of one call against a size, a line per task with intervals; the baseline a ring.

    Args:
        lines: columns `task`, `size`, `seconds`, `low`, `high`, `is_baseline`.
        colours: of every task.
        is_log: whether sizes are spaced by ratio; depths, which begin at 0, are not.
        name: of the size, printed on the x axis.
    """
    for task, line in lines.groupby("task", sort=False):
        colour = colours[str(task)]
        ax.plot(line["size"], line["seconds"], color=colour, linewidth=1.5)
        for row in records(line):
            ax.plot([row["size"]] * 2, [row["low"], row["high"]], color=colour, linewidth=2.4)
            face = PAPER if row["is_baseline"] else colour
            ax.plot(row["size"], row["seconds"], "o", color=face, mec=colour, mew=1.4, ms=5)
    sizes = sorted(set(lines["size"]))
    if is_log:
        ax.set_xscale("log", base=2)
        low, high = (2.0**side for side in padded(log2(sizes[0]), log2(sizes[-1]), 0.06))
        ax.set_xlim(low, high)
    else:
        ax.set_xlim(*padded(sizes[0], sizes[-1], 0.06))
    shown = _apart(sizes, is_log=is_log)
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
    ax.set_xlabel(name)


def _apart(sizes: Sequence[float], *, is_log: bool) -> list[float]:
    """Sizes far enough from each other for their labels, the last one first."""
    places = [np.log2(size) if is_log else size for size in sizes]
    least = (places[-1] - places[0]) / 8 if len(places) > 1 else 0
    kept: list[float] = []
    last = np.inf
    for size, place in zip(reversed(sizes), reversed(places), strict=True):
        if last - place >= least:
            kept.append(size)
            last = place
    return sorted(kept)


def fit_times(ax: Axes, low: float, high: float, *, vertical: bool, name: str) -> None:
    """A logarithmic axis of seconds with ticks in readable units."""
    axis = ax.yaxis if vertical else ax.xaxis
    (ax.set_yscale if vertical else ax.set_xscale)("log")
    low, high = (10.0**side for side in padded(log10(low), log10(high), 0.08))
    (ax.set_ylim if vertical else ax.set_xlim)(low, high)
    axis.set_major_locator(FixedLocator(time_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda seconds, _: time_label(seconds)))
    (ax.set_ylabel if vertical else ax.set_xlabel)(name)


def plot_bargains(ax: Axes, cells: pd.DataFrame, *, response: str) -> None:
    """Score against seconds per step, both with intervals; what no other dominates is named.

    A score that would flatten all others is an arrow at the edge.

    Args:
        cells: columns `brief`, `value`, `low`, `high`, `seconds`, `seconds_low`, `seconds_high`,
            `is_baseline`, `on_front`.
        response: printed on the y axis with its unit.
    """
    bottom, top = score_window(cells)
    for row in sorted(records(cells), key=lambda row: (row["on_front"], row["is_baseline"])):
        colour = SERIES[0] if row["on_front"] else INK if row["is_baseline"] else CONTEXT
        x, y = row["seconds"], min(max(row["value"], bottom), top)
        is_far = y != row["value"]
        if row["low"] <= row["high"] and not is_far:
            ax.plot([x, x], [row["low"], row["high"]], color=colour, lw=1, alpha=0.6)
        if row["seconds_low"] <= row["seconds_high"]:
            ends = [row["seconds_low"], row["seconds_high"]]
            ax.plot(ends, [y, y], color=colour, lw=1, alpha=0.6)
        mark = ("v" if row["value"] < y else "^") if is_far else "s" if row["is_baseline"] else "o"
        ax.plot(x, y, mark, color=colour, ms=5 if is_far else 4.5, mec=colour)
    ax.set_ylim(*padded(bottom, top, 0.05))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.grid(visible=True, axis="both")
    ax.set_ylabel(response)


def score_window(cells: pd.DataFrame) -> tuple[float, float]:
    """Scores worth drawing: without those that dwarf the others, if at most a third do."""
    away = (cells["value"] - cells["value"].median()).abs()
    far = away > 6 * max(float(away.median()), 1e-12)
    near = cells[~far] if far.mean() <= 1 / 3 else cells
    least, most = float(near["value"].min()), float(near["value"].max())
    reach = max(0.5 * (most - least), LEAST_REACH * abs(most))
    low = max(float(near["low"].fillna(near["value"]).min()), least - reach)
    return low, min(float(near["high"].fillna(near["value"]).max()), most + reach)


def time_window(cells: pd.DataFrame) -> tuple[float, float]:
    """Seconds worth drawing: every median, and intervals that do not dwarf the medians."""
    low, high = float(cells["seconds"].min()), float(cells["seconds"].max())
    room = max(high / low, 1.2) ** 0.35
    ends = cells[["seconds_low", "seconds_high"]]
    least, most = float(ends["seconds_low"].min()), float(ends["seconds_high"].max())
    low = max(least, low / room) if isfinite(least) else low / room
    return low, min(most, high * room) if isfinite(most) else high * room


def name_front(ax: Axes, cells: pd.DataFrame, *, points: float, longest: int) -> None:
    """Name the front and the baseline at the right edge, linked to their points, moved apart.

    Args:
        points: height of the axes in points, before any layout has run.
        longest: characters of a name.
    """
    named = cells[cells["on_front"].astype(bool) | cells["is_baseline"].astype(bool)]
    named = named.sort_values("value")
    low, high = ax.get_ylim()
    bottom, top = score_window(cells)
    ends = [min(max(float(value), bottom), top) for value in named["value"]]
    places = spread(ends, gap=(high - low) * 11 / points, low=low, high=high)
    across = ax.get_yaxis_transform()
    for row, end, place in zip(records(named), ends, places, strict=True):
        colour = SERIES[0] if row["on_front"] else INK
        link = [row["seconds"], ax.get_xlim()[1]]
        ax.plot(link, [end, end], color=colour, lw=0.5, ls=(0, (1, 2)), alpha=0.6)
        ax.plot([1.0, 1.03], [end, place], color=colour, lw=0.7, transform=across, clip_on=False)
        value = "" if end == row["value"] else f" {row['value']:.3g}".replace("-", "−")
        name = short(row["brief"], longest) + value
        ax.text(1.04, place, name, color=colour, va="center", fontsize=8, transform=across)


def plot_targets(ax: Axes, rows: pd.DataFrame, *, labels: Sequence[str], edge: float) -> None:
    """Seconds until the target, fastest on top; an arrow where half the trials never reached it.

    Args:
        rows: columns `brief`, `value`, `low`, `high` (seconds, may be infinite), `reached`.
        labels: top to bottom, so that panels align.
        edge: seconds at which arrows stand.
    """
    order = {label: len(labels) - 1 - i for i, label in enumerate(labels)}
    for row in records(rows):
        y = order[row["brief"]]
        if not isfinite(row["value"]):
            ax.plot(edge, y, ">", color=CONTEXT, ms=6)
            continue
        colour = INK if row["is_baseline"] else SERIES[0]
        if row["low"] <= row["high"]:
            ax.plot([row["low"], min(row["high"], edge)], [y, y], color=colour, linewidth=2)
        if row["high"] > edge:
            ax.plot(edge, y, ">", color=colour, ms=5, clip_on=False)
        ax.plot(row["value"], y, "o", color=colour)
    name_rows(ax, labels[::-1])
