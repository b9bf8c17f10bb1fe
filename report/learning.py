"""Learning curves: a mean and its band against the training step, named where each curve ends."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from report.axes import FAINT, padded, short
from report.palette import CONTEXT


def plot_learning_curves(
    ax: Axes,
    curves: pd.DataFrame,
    *,
    colours: Mapping[str, str],
    response: str,
    ceiling: float = np.inf,
    partial: Collection[str] = (),
) -> None:
    """Mean response against training step with its band, each curve named where it ends.

    Args:
        curves: columns `label`, `step`, `value`, `low`, `high`.
        colours: of every label; what is grey is context, drawn thin and not named.
        response: printed on the y axis with its unit.
        ceiling: the largest value there can be; the axis does not go beyond.
        partial: labels drawn faint and dashed, because trials are lacking.
    """
    ends: dict[str, tuple[float, float]] = {}  # the last step and value of each named curve
    for label, colour in sorted(colours.items(), key=lambda item: item[1] != CONTEXT):
        curve = curves[curves["label"] == label].sort_values("step")
        if curve.empty:
            continue
        if colour == CONTEXT:
            thin = FAINT if label in partial else 0.6
            ax.plot(curve["step"], curve["value"], color=colour, linewidth=0.9, alpha=thin)
            continue
        ax.fill_between(
            curve["step"],
            curve["low"],
            curve["high"],
            color=colour,
            alpha=0.13 * (FAINT if label in partial else 1),
            linewidth=0,
        )
        style, alpha = ("--", 1.5 * FAINT) if label in partial else ("-", 1.0)
        ax.plot(
            curve["step"], curve["value"], color=colour, linewidth=1.7, linestyle=style, alpha=alpha
        )
        ends[label] = float(curve["step"].iloc[-1]), float(curve["value"].iloc[-1])
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
    return padded(low, high, 0.04)


def _name_ends(
    ax: Axes, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str], x: float
) -> None:
    """Write each name beside the end of its curve, moved apart where they would touch.

    A curve that ends early is marked where it does, and a dotted line leads on to its name.
    """
    low, high = ax.get_ylim()
    gap = (high - low) * 10.5 / max(_height(ax), 1.0)
    seen = {label: min(max(value, low), high) for label, (_, value) in ends.items()}
    labels = sorted(ends, key=lambda label: seen[label])
    places = spread([seen[label] for label in labels], gap=gap, low=low, high=high)
    right = x or 1.0  # where there is only the evaluation before the first step
    for label, place in zip(labels, places, strict=True):
        step, ends_at = ends[label][0], seen[label]
        if step < x:
            ax.plot([step, right], [ends_at] * 2, ":", color=colours[label], linewidth=0.9)
            ax.plot(step, ends_at, "o", color=colours[label], ms=3.5)
        link = [right, 1.035 * right]
        ax.plot(link, [ends_at, place], color=colours[label], linewidth=0.7, clip_on=False)
        ax.text(1.045 * right, place, short(label), color=colours[label], va="center", fontsize=8)
    ax.set_xlim(0, right)


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
