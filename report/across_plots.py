"""Plots over several tasks: profiles as steps, mean ranks in rows, and what tuning bought."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from report.axes import name_rows, short
from report.learning import spread
from report.palette import CONTEXT, EDGE, GRID, INK, PAPER, SERIES


def plot_profiles(
    ax: Axes, profiles: pd.DataFrame, *, colours: Mapping[str, str], across: str, up: str
) -> None:
    """One line per label, each in colour named where it ends; grey ones are context.

    Args:
        profiles: columns `label`, `at` and `value` (a share from 0 to 1).
        colours: of every label.
        across, up: printed on the axes.
    """
    low, high = float(profiles["at"].min()), float(profiles["at"].max())
    named = {label: colour for label, colour in colours.items() if colour != CONTEXT}
    middles = {}
    for label, colour in sorted(colours.items(), key=lambda item: item[1] != CONTEXT):
        own = profiles[profiles["label"] == label].sort_values("at")
        grey = colour == CONTEXT
        ax.plot(
            own["at"], own["value"], drawstyle="steps-post", color=colour,
            linewidth=0.7 if grey else 1.5, zorder=1 if grey else 2,
        )  # fmt: skip
        middles[label] = float(np.interp((low + high) / 2, own["at"], own["value"]))
    ax.set_xlim(low, high)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    name_lines(ax, sorted(named, key=lambda label: middles[label]), named)


def name_lines(ax: Axes, labels: list[str], colours: Mapping[str, str]) -> None:
    """Write names beside a plot in the order of its lines, the last on top."""
    places = spread([0.5] * len(labels), gap=0.075, low=0.0, high=1.0)
    for label, place in zip(labels, places, strict=True):
        ax.text(
            1.03, place, short(label), color=colours[label], va="center", fontsize=8,
            transform=ax.transAxes,
        )  # fmt: skip


def plot_ranks(ax: Axes, ranks: pd.DataFrame, *, critical: float) -> None:
    """Mean rank of each label, the best on top, its rank on each task, and the critical difference.

    Args:
        ranks: columns `label`, `rank`, `rank_low`, `rank_high`, `ranks` (a list, one per task) and
            `is_baseline`.
        critical: the least difference of two mean ranks that Nemenyi's test resolves.
    """
    ordered = ranks.sort_values("rank", ascending=False, kind="stable").reset_index(drop=True)
    best = float(ordered["rank"].min())
    ax.axvspan(best, best + critical, color=GRID, zorder=0, alpha=0.7)
    ticks = np.array(ordered["ranks"].tolist(), float)  # (levels, tasks)
    places = np.arange(len(ordered), dtype=float)
    tall = places[:, None, None] + np.array([-0.25, 0.25, np.nan])  # of ticks, as one line
    ax.plot(np.repeat(ticks, 3), np.repeat(tall, ticks.shape[1], axis=1).ravel(), color=EDGE, lw=1)
    base = ordered["is_baseline"].to_numpy(bool)
    for rows, colour in ((~base, SERIES[0]), (base, INK)):
        own = ordered[rows]
        ends = np.column_stack([own["rank_low"], own["rank_high"], np.full(len(own), np.nan)])
        ax.plot(ends.ravel(), np.repeat(places[rows], 3), color=colour, linewidth=2)
        ax.plot(own["rank"], places[rows], "o", color=colour, mec=PAPER, mew=0.6, ms=6)
    name_rows(ax, list(ordered["label"]))
    ax.set_xlim(0.5, float(ticks.max()) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel("rank, 1 is the best", loc="right")


def plot_budgets(
    ax: Axes, budgets: pd.DataFrame, *, colours: Mapping[str, str], response: str
) -> None:
    """The expected best of so many learning rates, one line per label; grey ones are context.

    Args:
        budgets: columns `label`, `budget` and `value`.
        colours: of every label.
        response: printed on the y axis with its unit.
    """
    for label, colour in sorted(colours.items(), key=lambda item: item[1] != CONTEXT):
        own = budgets[budgets["label"] == label].sort_values("budget")
        grey = colour == CONTEXT
        ax.plot(own["budget"], own["value"], color=colour, linewidth=0.7 if grey else 1.5)
    ax.set_xlabel("learning rates tried")
    ax.set_ylabel(response)
    ax.set_xticks(sorted({1, 2, int(budgets["budget"].max())}))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
