"""What every plot shares: an empty sheet, names that fit, and limits that are never the same."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.escaping import visible

WIDE, HALF = 9.4, 4.4  # inches: a figure across the page, and one of two side by side
LONGEST_LABEL = 30  # characters of a name drawn in a figure; tables have it whole
LEAST_SPAN = 1e-9  # of an axis, as a share of its numbers; less cannot be drawn


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure with one axes that keeps every label inside."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def short(label: object, longest: int = LONGEST_LABEL) -> str:
    """A name no longer than a figure has room for, with nothing in it that cannot be drawn."""
    return visible(label, longest)


def padded(low: float, high: float, share: float) -> tuple[float, float]:
    """Limits that leave this share of the span free on both sides, and differ in any case.

    Where there is next to no span, half of the larger limit is left free, or one half for zero.
    """
    largest = max(abs(low), abs(high))
    room = share * (high - low)
    if room <= LEAST_SPAN * largest or room == 0:
        room = largest / 2 or 0.5
    return low - room, high + room
