"""Response against learning rate, one small panel a cell, all panels in one `Axes`.

Twenty axes would take matplotlib two seconds a figure; one axes with tiles takes a fifth of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from report.axes import padded, short
from report.palette import CONTEXT, EDGE, GRID, MUTED, PAPER, SERIES

LEFT, BOTTOM, TOP = 0.62, 0.36, 0.05  # inches around all panels
TITLE, GAP_X, GAP_Y = 0.24, 0.16, 0.14  # inches around one panel


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Where a panel lies, in inches, and what its axes span."""

    x: float
    y: float
    width: float
    height: float
    rates: tuple[float, float]  # decades
    values: tuple[float, float]

    def across(self, rates: "pd.Series[float]") -> "pd.Series[float]":
        """Places of learning rates along x."""
        low, high = self.rates
        return rates.map(np.log10).sub(low).mul(self.width / (high - low)).add(self.x)

    def up(self, values: "pd.Series[float]") -> "pd.Series[float]":
        """Places of responses along y, cut at the panel's edges."""
        low, high = self.values
        return self.y + self.height * (values.clip(low, high) - low) / (high - low)


def plot_rate_sensitivity(
    ax: Axes,
    rates: pd.DataFrame,
    *,
    colours: Mapping[str, str],
    response: str,
    columns: int,
    size: tuple[float, float],
) -> None:
    """One panel per label: its curve in colour, the others grey; ring: chosen, cross: diverged.

    Args:
        rates: columns `label`, `learning_rate`, `value`, `low`, `high`, `n`, `diverged`, `chosen`.
        response: what the y axis shows, with its unit.
        columns: panels side by side.
        size: of the whole in inches.
    """
    labels = list(dict.fromkeys(rates["label"]))
    panels = _panels(rates, len(labels), columns, size)
    for place, (label, panel) in enumerate(zip(labels, panels, strict=True)):
        colour = MUTED if colours[label] == CONTEXT else colours[label]
        _grid(ax, panel, left=place % columns == 0, bottom=place + columns >= len(labels))
        others = [o for name, o in rates.groupby("label", sort=False) if name != label]
        _strokes(
            ax,
            [(panel.across(o["learning_rate"]), panel.up(o["value"])) for o in others],
            colour=EDGE,
            width=0.6,
        )
        _curve(ax, panel, rates[rates["label"] == label].sort_values("learning_rate"), colour)
        room = int((panel.width + GAP_X) / 0.08)  # bold letters of 7.5 points, the wide ones
        ax.text(
            panel.x, panel.y + panel.height + 0.08, short(label, room), weight="bold",
            fontsize=7.5, color=colour,
        )  # fmt: skip
    middle = LEFT + (size[0] - LEFT) / 2
    ax.text(middle, 0.04, "learning rate", ha="center", color=MUTED)
    ax.text(0.02, size[1] / 2, response, rotation=90, va="center", color=MUTED)
    ax.set_xlim(0, size[0])
    ax.set_ylim(0, size[1])
    ax.set_axis_off()


def grid_size(labels: int, columns: int, *, width: float) -> tuple[float, float]:
    """Width and height in inches of the panels of so many labels."""
    rows = -(-labels // columns)
    return width, BOTTOM + TOP + rows * (0.86 + TITLE + GAP_Y)


def _panels(
    rates: pd.DataFrame, count: int, columns: int, size: tuple[float, float]
) -> Sequence[Panel]:
    rows = -(-count // columns)
    width = (size[0] - LEFT - 0.12) / columns
    height = (size[1] - BOTTOM - TOP) / rows
    decades = np.log10(rates["learning_rate"])
    span = (float(decades.min()) - 0.15, float(decades.max()) + 0.15)
    values = _window(rates)
    return [
        Panel(
            x=LEFT + (i % columns) * width,
            y=BOTTOM + (rows - 1 - i // columns) * height + GAP_Y,
            width=width - GAP_X,
            height=height - TITLE - GAP_Y,
            rates=span,
            values=values,
        )
        for i in range(count)
    ]


def _window(rates: pd.DataFrame) -> tuple[float, float]:
    """Limits of the means, so that one hopeless rate does not flatten the rest."""
    values = rates["value"][np.isfinite(rates["value"])]
    if values.empty:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    high = min(high, low + 4 * (float(values.median()) - low) + 1e-9)
    return padded(low, high, 0.12)


def _strokes(
    ax: Axes, lines: Sequence[tuple[ArrayLike, ArrayLike]], *, colour: str, width: float
) -> None:
    """Many lines as one, which keeps the file small."""
    broken = [np.append(np.column_stack(line), [[np.nan, np.nan]], axis=0) for line in lines]
    if broken:
        x, y = np.concatenate(broken).T
        ax.plot(x, y, color=colour, linewidth=width, zorder=0.6, clip_on=False)


def _grid(ax: Axes, panel: Panel, *, left: bool, bottom: bool) -> None:
    """Axes, grid and, at the outer panels, the numbers."""
    low, high = panel.values
    ticks = [t for t in MaxNLocator(nbins=3).tick_values(low, high) if low <= t <= high]
    places = panel.up(pd.Series(ticks))
    right = panel.x + panel.width
    ends = np.array([panel.x, right])
    _strokes(ax, [(ends, np.full(2, p)) for p in places], colour=GRID, width=0.7)
    ax.plot(
        [panel.x, panel.x, right],
        [panel.y + panel.height, panel.y, panel.y],
        color=EDGE,
        lw=0.8,
        clip_on=False,
    )
    if left:
        for tick, place in zip(ticks, places, strict=True):
            ax.text(
                panel.x - 0.05, place, f"{tick:.4g}", ha="right", va="center", fontsize=7.5,
                color=MUTED,
            )  # fmt: skip
    first, last = int(np.ceil(panel.rates[0])), int(np.floor(panel.rates[1]))
    step = 1 if panel.width / max(last - first, 1) > 0.34 else 2
    for decade in range(first, last + 1):
        place = panel.x + panel.width * (decade - panel.rates[0]) / (
            panel.rates[1] - panel.rates[0]
        )
        ax.plot([place, place], [panel.y, panel.y - 0.035], color=EDGE, lw=0.8, clip_on=False)
        if bottom and (decade - first) % step == 0:
            ax.text(
                place, panel.y - 0.07, f"{10.0**decade:g}", ha="center", va="top", fontsize=7.5,
                color=MUTED,
            )  # fmt: skip


def _curve(ax: Axes, panel: Panel, own: pd.DataFrame, colour: str) -> None:
    across, up = panel.across(own["learning_rate"]), panel.up(own["value"])
    sure = own["n"] >= 3  # an interval of two seeds is thirteen times their standard error
    ax.fill_between(
        across[sure], panel.up(own["low"][sure]), panel.up(own["high"][sure]),
        color=colour, alpha=0.15, linewidth=0, clip_on=False,
    )  # fmt: skip
    ax.plot(across, up, "o-", color=colour, ms=3, clip_on=False)
    chosen = own["chosen"].astype(bool)
    ax.plot(
        across[chosen],
        up[chosen],
        "o",
        color=PAPER,
        mec=colour,
        mew=2,
        ms=8,
        zorder=5,
        clip_on=False,
    )
    lost = own["diverged"] > 0
    floor = np.full(int(lost.sum()), panel.y)
    ax.plot(across[lost], floor, "x", color=SERIES[1], mew=1.6, ms=5, clip_on=False)
