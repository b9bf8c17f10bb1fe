"""Dots with their intervals in rows: differences from the baseline, and relative times.

Frames hold display units already (percent, or r2 as it is). The caller owns size and saving.
"""

from collections.abc import Sequence
from math import log2

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from report.axes import FAINT, name_rows, padded, short
from report.frames import records
from report.palette import CONTEXT, INK, PAPER, SERIES

RATIOS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.4, 2, 3, 4, 6, 8, 12, 16, 32)  # ticks of times


def plot_contrasts(ax: Axes, contrasts: pd.DataFrame, *, unit: str, baseline: str) -> None:
    """Forest plot of differences from the baseline, largest on top, grey where not resolved.

    A difference that would flatten all others is an arrow at the edge with its value; one without
    an interval is a mark without a bar.

    Args:
        contrasts: columns `label`, `value`, `low`, `high`, `resolved` and, where some are drawn
            faint because trials are lacking, `partial`.
        unit: printed on the x axis, for instance "percentage points".
        baseline: what zero stands for.
    """
    ranked = contrasts.sort_values("value", kind="stable").reset_index(drop=True)
    low, high = contrast_window(ranked)
    ax.axvline(0, color=INK, linewidth=1, zorder=1)
    for position, row in enumerate(records(ranked)):
        colour = _sign_colour(row["value"]) if row["resolved"] else CONTEXT
        face = colour if row["resolved"] else PAPER
        alpha = FAINT if row.get("partial") else 1.0
        if not low <= row["value"] <= high:
            _arrow(
                ax, row["value"], position, edge=low if row["value"] < 0 else high, colour=colour
            )
            continue
        if row["low"] <= row["high"]:  # false where there is no interval
            ends = [max(row["low"], low), min(row["high"], high)]
            ax.plot(ends, [position, position], color=colour, linewidth=2, alpha=alpha)
        ax.plot(row["value"], position, "o", color=face, mec=colour, mew=1.4, ms=6, alpha=alpha)
    name_rows(ax, list(ranked["label"]))
    ax.set_xlim(*padded(low, high, 0.03))
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    ax.set_xlabel(f"difference from {short(baseline, 20)} ({unit})", loc="right")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))


def contrast_window(contrasts: pd.DataFrame) -> tuple[float, float]:
    """The range worth drawing: every interval, or without those that dwarf all others.

    Dwarfing: a value more than five times the median reach of the intervals from zero, if at
    most a third of them do, and that reach is not nothing, as where most cells are identical.
    """
    reach = contrasts[["low", "high", "value"]].abs().max(axis=1)
    usual = float(reach.median())
    far = contrasts["value"].abs() > 5 * usual
    kept = contrasts[~far] if far.mean() <= 1 / 3 and usual > 0 else contrasts
    low = min(float(kept[["low", "value"]].min().min()), 0.0)
    high = max(float(kept[["high", "value"]].max().max()), 0.0)
    return low, high


def _arrow(ax: Axes, value: float, position: float, *, edge: float, colour: str) -> None:
    """A mark at the edge of the axis that says how far beyond it the value lies."""
    side = "<" if value < 0 else ">"
    ax.plot(edge, position, side, color=colour, ms=7)
    ax.annotate(
        f"{value:.3g}".replace("-", "−"),
        (edge, position),
        xytext=(9 if value < 0 else -9, 0),
        textcoords="offset points",
        ha="left" if value < 0 else "right",
        va="center",
        fontsize=8,
        color=colour,
    )


def _sign_colour(value: float) -> str:
    return SERIES[0] if value > 0 else SERIES[1]


def plot_speeds(
    ax: Axes, speeds: pd.DataFrame, *, labels: Sequence[str], limits: tuple[float, float]
) -> None:
    """Seconds relative to the baseline, one dot per workload; grey where it cannot be told apart.

    Args:
        speeds: columns `label`, `value`, `low`, `high` (ratios, 1 is the baseline), `resolved`.
        labels: every label of the figure, top to bottom, so that panels align.
        limits: least and largest ratio of the figure, the same for all its panels.
    """
    ax.axvline(1, color=INK, linewidth=1, zorder=1)
    order = {label: len(labels) - 1 - i for i, label in enumerate(labels)}
    for row in records(speeds):
        y = order[row["label"]]
        colour = _sign_colour(1 - row["value"]) if row["resolved"] else CONTEXT
        ax.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2)
        ax.plot(
            row["value"], y, "o", color=colour if row["resolved"] else PAPER, mec=colour, mew=1.4
        )
    ax.set_xscale("log", base=2)
    low, high = (2.0**side for side in padded(log2(limits[0]), log2(limits[1]), 0.05))
    ax.set_xlim(low, high)
    ax.set_xticks([tick for tick in RATIOS if low <= tick <= high])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
    name_rows(ax, labels[::-1])
