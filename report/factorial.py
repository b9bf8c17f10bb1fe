"""Plots of crossed factors: main effects, shares of variance and interactions.

As in `figures`, each takes an `Axes` and a tidy frame, and computes nothing.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from report.axes import short
from report.learning import spread
from report.palette import CONTEXT, EDGE, INK, MUTED, SERIES


def plot_main_effects(ax: Axes, effects: pd.DataFrame, *, response: str) -> None:
    """The mean at every level of every factor, one group a factor, against the grand mean.

    Args:
        effects: columns `factor`, `level`, `value`, `low`, `high`.
        response: printed on the y axis with its unit.
    """
    place, ticks, names, heads = 0.0, [], [], []
    grand = effects.groupby("factor")["value"].mean().mean()
    ax.axhline(grand, color=EDGE, linewidth=1, zorder=1)
    for i, (factor, group) in enumerate(effects.groupby("factor", sort=False)):
        places = [place + k for k in range(len(group))]
        colour = SERIES[i % len(SERIES)]
        ax.plot(places, group["value"], "-", color=colour, linewidth=1, alpha=0.6)
        ax.vlines(places, group["low"], group["high"], color=colour, linewidth=2)
        ax.plot(places, group["value"], "o", color=colour, ms=5)
        middle = (places[0] + places[-1]) / 2
        heads.append((middle, short(str(factor)), colour))
        ticks += places
        names += [short(str(level)) for level in group["level"]]
        place = places[-1] + 1.8
    _name_groups(ax, heads, width=(ticks[-1] if ticks else 0) + 1.4)
    ax.set_xticks(ticks, names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_xlim(-0.7, (ticks[-1] if ticks else 0) + 0.7)
    ax.set_ylabel(response)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6))


def _name_groups(ax: Axes, heads: Sequence[tuple[float, str, str]], *, width: float) -> None:
    """The name of each group above it; one that would touch the name before it stands higher.

    Args:
        heads: the middle of each group, its name and its colour, from left to right.
        width: of the axis, in the unit of the middles.
    """
    figure = ax.get_figure()
    inches = 4.0 if figure is None else float(figure.bbox.width) / figure.dpi - 0.7
    letter = 0.085 * width / max(inches, 1.0)  # of bold type of 8 points
    ends = [-1e9, -1e9]  # of the last name of each row
    for middle, name, colour in heads:
        left, right = middle - letter * len(name) / 2, middle + letter * len(name) / 2
        row = 0 if left > ends[0] + letter else 1
        ends[row] = right
        ax.text(
            middle, 1.02 + 0.065 * row, name, transform=ax.get_xaxis_transform(), ha="center",
            weight="bold", color=colour, fontsize=8,
        )  # fmt: skip


def plot_shares(ax: Axes, shares: pd.DataFrame) -> None:
    """Share of the variance that each term explains, largest on top, noise in grey.

    Args:
        shares: columns `term`, `share` (percent), `noise` (the term is not of the design).
    """
    ranked = shares.iloc[::-1].reset_index(drop=True)
    colours = [CONTEXT if noise else SERIES[0] for noise in ranked["noise"]]
    ax.barh(range(len(ranked)), ranked["share"].clip(lower=0), color=colours, height=0.62)
    for place, share in enumerate(ranked["share"]):
        text = f"{share:.1f}" if share >= 0.05 else "0"
        ax.text(max(share, 0) + 0.8, place, text, va="center", fontsize=8, color=MUTED)
    ax.set_yticks(range(len(ranked)), [str(term) for term in ranked["term"]])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.set_xlabel("share of variance (%)")
    ax.set_xlim(0, max(float(ranked["share"].max()) * 1.14, 1.0))
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)


def plot_interaction(
    ax: Axes, means: pd.DataFrame, *, across: str, response: str, colours: Mapping[str, str]
) -> None:
    """Mean response at each pair of levels; lines that are not parallel are the interaction.

    Args:
        means: columns `across`, `line` (levels as text), `value`, `low`, `high`.
        across: name of the factor along the x axis.
        colours: of the levels of the other factor, which name their lines at the right.
    """
    levels = list(dict.fromkeys(means["across"]))
    ends = {}
    for i, (level, line) in enumerate(means.groupby("line", sort=False)):
        places = [
            levels.index(name) + 0.05 * (i - (len(colours) - 1) / 2) for name in line["across"]
        ]
        colour = colours[str(level)]
        ax.vlines(places, line["low"], line["high"], color=colour, linewidth=1.6, alpha=0.7)
        ax.plot(places, line["value"], "o-", color=colour, linewidth=1.6)
        ends[str(level)] = float(line["value"].iloc[-1])
    low, high = ax.get_ylim()
    names = sorted(ends, key=lambda name: ends[name])
    places = spread([ends[n] for n in names], gap=(high - low) / 13, low=low, high=high)
    for name, place in zip(names, places, strict=True):
        ax.text(
            len(levels) - 0.78, place, short(name), color=colours[name], va="center", fontsize=8
        )
    ax.set_xticks(range(len(levels)), [short(level) for level in levels])
    ax.set_xlim(-0.35, len(levels) - 0.8)
    ax.set_xlabel(across)
    ax.set_ylabel(response)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
