"""Plots of one study and one task: each takes an `Axes` and a tidy frame, and computes nothing.

Frames hold display units already (percent, or r2 as it is). The caller owns size and saving.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from report.escaping import visible
from report.frames import records
from report.palette import CONTEXT, INK, PAPER, SERIES

BLUES: Colormap = LinearSegmentedColormap.from_list(
    "report-blues", ["#f3f7fa", "#b5d3e7", "#5a9cc9", "#1f6ba5", "#0a3d6b"]
)
RATIOS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.4, 2, 3, 4, 6, 8, 12, 16, 32)  # ticks of times
LONGEST_LABEL = 30  # characters of a name drawn in a figure; tables have it whole


def short(label: object, longest: int = LONGEST_LABEL) -> str:
    """A name no longer than a figure has room for, with nothing in it that cannot be drawn."""
    return visible(label, longest)


def plot_contrasts(ax: Axes, contrasts: pd.DataFrame, *, unit: str, baseline: str) -> None:
    """Forest plot of differences from the baseline, largest on top, grey where not resolved.

    A difference that would flatten all others is an arrow at the edge with its value.

    Args:
        contrasts: columns `label`, `value`, `low`, `high`, `resolved`.
        unit: printed on the x axis, for instance "percentage points".
        baseline: what zero stands for.
    """
    ranked = contrasts.sort_values("value", kind="stable").reset_index(drop=True)
    low, high = contrast_window(ranked)
    ax.axvline(0, color=INK, linewidth=1, zorder=1)
    for position, row in enumerate(records(ranked)):
        colour = _sign_colour(row["value"]) if row["resolved"] else CONTEXT
        face = colour if row["resolved"] else PAPER
        if not low <= row["value"] <= high:
            _arrow(
                ax, row["value"], position, edge=low if row["value"] < 0 else high, colour=colour
            )
            continue
        ends = [max(row["low"], low), min(row["high"], high)]
        ax.plot(ends, [position, position], color=colour, linewidth=2)
        ax.plot(row["value"], position, "o", color=face, mec=colour, mew=1.4, ms=6)
    ax.set_yticks(range(len(ranked)), [short(label) for label in ranked["label"]])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.set_ylim(-0.6, len(ranked) - 0.4)
    room = 0.03 * (high - low) or 1.0
    ax.set_xlim(low - room, high + room)
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"difference from {short(baseline, 20)} ({unit})", loc="right")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))


def contrast_window(contrasts: pd.DataFrame) -> tuple[float, float]:
    """The range worth drawing: every interval, or without those that dwarf all others.

    Dwarfing: a value more than five times the median reach of the intervals from zero, if at
    most a third of them do.
    """
    reach = contrasts[["low", "high", "value"]].abs().max(axis=1)
    far = contrasts["value"].abs() > 5 * float(reach.median())
    kept = contrasts[~far] if far.mean() <= 1 / 3 else contrasts
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


def plot_learning_curves(
    ax: Axes,
    curves: pd.DataFrame,
    *,
    colours: Mapping[str, str],
    response: str,
    ceiling: float = np.inf,
) -> None:
    """Mean response against training step with its band, each curve named where it ends.

    Args:
        curves: columns `label`, `step`, `value`, `low`, `high`.
        colours: of every label; what is grey is context, drawn thin and not named.
        response: printed on the y axis with its unit.
        ceiling: the largest value there can be; the axis does not go beyond.
    """
    ends: dict[str, float] = {}
    for label, colour in sorted(colours.items(), key=lambda item: item[1] != CONTEXT):
        curve = curves[curves["label"] == label].sort_values("step")
        if curve.empty:
            continue
        if colour == CONTEXT:
            ax.plot(curve["step"], curve["value"], color=colour, linewidth=0.9, alpha=0.6)
            continue
        ax.fill_between(
            curve["step"], curve["low"], curve["high"], color=colour, alpha=0.13, linewidth=0
        )
        ax.plot(curve["step"], curve["value"], color=colour, linewidth=1.7)
        ends[label] = float(curve["value"].iloc[-1])
    low, high = _window(curves)
    ax.set_ylim(low, min(high, ceiling + 0.015 * (high - low)))
    ax.set_xlabel("training step")
    ax.set_ylabel(response)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    _name_ends(ax, ends, colours, x=float(curves["step"].max()))


def _window(curves: pd.DataFrame) -> tuple[float, float]:
    """Limits fitted to where curves end, so that what is told apart there can be seen."""
    later = curves[curves["step"] > 0]
    later = curves if later.empty else later
    ends = later.sort_values("step", kind="stable").groupby("label", sort=False)["value"].last()
    low, high = float(later["low"].min()), float(later["high"].max())
    low = float(later["value"].min()) if not np.isfinite(low) else low
    high = float(later["value"].max()) if not np.isfinite(high) else high
    reach = max(1.5 * float(ends.max() - ends.min()), 0.2 * (high - low))
    low, high = max(low, float(ends.min()) - reach), min(high, float(ends.max()) + reach)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _name_ends(ax: Axes, ends: Mapping[str, float], colours: Mapping[str, str], x: float) -> None:
    """Write each name beside the end of its curve, moved apart where they would touch."""
    low, high = ax.get_ylim()
    gap = (high - low) * 10.5 / max(_height(ax), 1.0)
    labels = sorted(ends, key=lambda label: ends[label])
    places = spread([ends[label] for label in labels], gap=gap, low=low, high=high)
    reach = x * 1.035
    for label, place in zip(labels, places, strict=True):
        ends_at = min(max(ends[label], low), high)
        ax.plot([x, reach], [ends_at, place], color=colours[label], linewidth=0.7, clip_on=False)
        ax.text(x * 1.045, place, short(label), color=colours[label], va="center", fontsize=8)
    ax.set_xlim(0, x)


def _height(ax: Axes) -> float:
    """Rough height of an axes in points, before any layout has run."""
    figure = ax.get_figure()
    return 0.0 if figure is None else float(figure.bbox.height) * 72 / figure.dpi - 60


def spread(places: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Positions at least `gap` apart and as near as may be to `places`, which must ascend.

    Pools neighbours that would overlap and centres each pool on the mean of its members, then
    keeps the whole within `low` and `high` where it fits.
    """
    pools: list[tuple[list[float], float]] = []  # members, first position
    for place in places:
        members, start = [place], place
        while pools and pools[-1][1] + gap * len(pools[-1][0]) > start:
            members = pools.pop()[0] + members
            middle = sum(members) / len(members)
            start = middle - gap * (len(members) - 1) / 2
            length = gap * (len(members) - 1)
            start = max(low, min(start, high - length))
        pools.append((members, start))
    spaced = [start + gap * i for members, start in pools for i in range(len(members))]
    over = max(0.0, spaced[-1] - high) if spaced else 0.0
    for i in reversed(range(len(spaced))):
        ceiling = spaced[i + 1] - gap if i + 1 < len(spaced) else high
        spaced[i] = min(spaced[i], ceiling) if over else spaced[i]
    return spaced


def plot_heat_map(ax: Axes, cells: pd.DataFrame, *, row: str, column: str) -> None:
    """A grid of two factors with the value in every cell; a row of one network is one box.

    Args:
        cells: columns `row`, `column` (levels as text), `value`, `text`, `span`: how many columns
            this one network covers, usually 1; the other columns of a span are absent.
        row, column: names of the two factors.
    """
    rows, columns = list(dict.fromkeys(cells["row"])), list(dict.fromkeys(cells["column"]))
    own = cells.loc[cells["span"] == 1, "value"]  # one box of all columns would flatten the rest
    low, high = own.min(), own.max()
    for cell in records(cells):
        share = min(max((cell["value"] - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        x, y = columns.index(cell["column"]), rows.index(cell["row"])
        colour = to_hex(BLUES(0.05 + 0.9 * share)) if np.isfinite(share) else "#eeeeee"
        ax.add_patch(Rectangle((x, y), cell["span"], 1, facecolor=colour, edgecolor=PAPER, lw=2))
        ink = "#fefefe" if np.isfinite(share) and share > 0.55 else "#1b1e22"
        ax.text(
            x + cell["span"] / 2,
            y + 0.5,
            cell["text"],
            ha="center",
            va="center",
            color=ink,
            fontsize=8.5,
        )
    ax.set_xlim(0, len(columns))
    ax.set_ylim(0, len(rows))
    ax.set_xticks(np.arange(len(columns)) + 0.5, [short(level) for level in columns])
    ax.set_yticks(np.arange(len(rows)) + 0.5, [short(level) for level in rows])
    ax.set_xlabel(column)
    ax.set_ylabel(row)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)


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
    low, high = limits
    room = (high / low) ** 0.05
    ax.set_xlim(low / room, high * room)
    ax.set_xticks([tick for tick in RATIOS if low / room <= tick <= high * room])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
    ax.set_yticks(range(len(labels)), [short(label) for label in reversed(labels)])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
