"""What every plot shares: an empty sheet, names that fit, and limits that are never the same."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.escaping import visible
from report.palette import INK

WIDE, HALF = 9.4, 4.4  # inches: a figure across the page, and one of two side by side
LONGEST_LABEL = 30  # characters of a name drawn in a figure; tables have it whole
FAINT = 0.35  # how opaque a mark is behind which trials are lacking
LEAST_SPAN = 1e-9  # of an axis, as a share of its numbers; less cannot be drawn


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure with one axes that keeps every label inside."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def short(label: object, longest: int = LONGEST_LABEL) -> str:
    """A name no longer than a figure has room for, with nothing in it that cannot be drawn."""
    return visible(label, longest)


def name_rows(ax: Axes, labels: Sequence[object]) -> None:
    """Rows 0, 1, ... from below, each with its name, on lines that go down the page."""
    ax.set_yticks(range(len(labels)), [short(label) for label in labels])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)


def padded(low: float, high: float, share: float) -> tuple[float, float]:
    """Limits that leave this share of the span free on both sides, and differ in any case.

    Where there is next to no span, half of the larger limit is left free, or one half for zero.
    """
    largest = max(abs(low), abs(high))
    room = share * (high - low)
    if room <= LEAST_SPAN * largest or room == 0:
        room = largest / 2 or 0.5
    return low - room, high + room
