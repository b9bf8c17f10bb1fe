"""Numbers and tables as text, with the digits that their intervals support (T21)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.reliability import Interval

UNITS = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"))


def show_interval(interval: Interval) -> tuple[str, str]:
    """Median and interval in one unit."""
    factor, unit = _unit(interval.value)
    digits = _digits((interval.high - interval.low) * factor / 2)
    low, high = (f"{x * factor:.{digits}f}" for x in (interval.low, interval.high))
    return f"{interval.value * factor:.{digits}f} {unit}", f"{low} to {high}"


def show_seconds(seconds: float) -> str:
    """Seconds with three digits and no claim beyond them."""
    factor, unit = _unit(seconds)
    return f"{seconds * factor:.3g} {unit}"


def _unit(seconds: float) -> tuple[float, str]:
    return next(((f, u) for f, u in UNITS if seconds * f >= 1), UNITS[-1])


def show_ratio(interval: Interval) -> str:
    """A ratio with its interval; a digit after the point even where it says little."""
    digits = max(1, _digits((interval.high - interval.low) / 2))
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def _digits(margin: float) -> int:
    """Decimals that show two digits of a margin."""
    if not margin > 0 or np.isinf(margin):
        return 3
    return int(np.clip(1 - np.floor(np.log10(margin)), 0, 4))


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as columns that line up."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
