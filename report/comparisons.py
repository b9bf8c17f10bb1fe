"""What a claim compares: two cells, or the slope over an ordered factor, as weights of cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Final

import numpy as np

from report.cells import row_of
from report.estimates import Floats
from report.grids import Grid, level_label, lower_is_better
from report.plain_levels import plain_level

DIRECTIONS: Final = {"rises": 1.0, "falls": -1.0}


class ClaimError(ValueError):
    """A claim cannot be judged; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The cells that a claim compares, as weights that sum to zero."""

    rows: tuple[int, ...]  # of the grid
    weights: Floats  # (cells,), of each score in the advantage
    names: tuple[str, ...]  # of the cells
    about: str


def comparison_of(grid: Grid, claim: Mapping[str, Any], response: str) -> Comparison:
    """The contrast or the trend of a claim on one response.

    Errors:
        ClaimError, NamingError: it names something that this study has not.
    """
    if "trend" in claim:
        return _trend(grid, claim["trend"])
    for side in ("better", "worse"):
        if not isinstance(claim[side], Mapping):
            raise ClaimError(f"{side} must name levels of factors, got {claim[side]!r:.40}")
    better, worse = (row_of(grid, claim[side]) for side in ("better", "worse"))
    if better == worse:
        raise ClaimError(f"both sides are the same network, {grid.labels[better]}")
    weights = np.array([1.0, -1.0]) * (-1 if lower_is_better(response) else 1)
    names, place = _differing(grid, better, worse, {*claim["better"], *claim["worse"]})
    return Comparison((better, worse), weights, names, f"{names[0]} over {names[1]}{place}")


def _differing(grid: Grid, better: int, worse: int, named: set[str]) -> tuple[tuple[str, str], str]:
    """Two cells by the factors in which they differ, and where both stand in the others named."""
    pairs = list(zip(grid.factors, grid.cells[better], grid.cells[worse], strict=True))
    names = [
        ", ".join(plain_level(pair[0], pair[side]) for pair in pairs if pair[1] != pair[2])
        for side in (1, 2)
    ]
    shared = [plain_level(factor, a) for factor, a, b in pairs if a == b and factor in named]
    return (names[0], names[1]), f" at {', '.join(shared)}" if shared else ""


def _trend(grid: Grid, trend: object) -> Comparison:
    """Weights of the least-squares slope from level to level, the smallest level first."""
    if not isinstance(trend, Mapping) or set(trend) != {"factor", "direction"}:
        raise ClaimError(f"trend must name a factor and a direction, got {trend!r:.60}")
    factor, direction = str(trend["factor"]), str(trend["direction"])
    if direction not in DIRECTIONS:
        raise ClaimError(f"direction must be rises or falls, got {direction!r:.40}")
    if factor not in grid.factors:
        raise ClaimError(f"unknown factor {factor!r}; there is {', '.join(grid.factors)}")
    levels = sorted(grid.factors[factor], key=lambda level: _number(factor, level))
    rows = tuple(row_of(grid, {factor: level}) for level in levels)
    if len(set(rows)) < 2:
        raise ClaimError(f"{factor} has fewer than two different networks, so it has no trend")
    return Comparison(
        rows,
        DIRECTIONS[direction] * slope_weights(len(rows)),
        tuple(level_label(factor, level) for level in levels),
        f"slope over {factor.replace('_', ' ')} {', '.join(levels)}",
    )


def slope_weights(count: int) -> Floats:
    """Weights of so many levels in their least-squares slope per level, (count,)."""
    place = np.arange(count, dtype=float) - (count - 1) / 2
    weights: Floats = place / (place**2).sum()
    return weights


def _number(factor: str, level: str) -> float:
    try:
        value = float(level)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise ClaimError(f"{level!r} of {factor} is not a number, so its levels have no order")
    return value
