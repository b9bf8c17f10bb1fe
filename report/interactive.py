"""What the interactive parts of the page share: names of cells, thinning, and packed numbers.

The page holds its data as text that only our scripts read: JSON, compressed, in base64. So no name
in it can end a script, and a browser unpacks it without a request.
"""

import base64
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from report.axes import LONGEST_LABEL
from report.escaping import LONGEST_CELL, visible
from report.grids import Grid, level_label


def packed(data: object) -> str:
    """JSON as base64 of a zlib stream, which `DecompressionStream("deflate")` reads."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return packed_bytes(text.encode())


def packed_bytes(content: bytes) -> str:
    """Bytes as base64 of a zlib stream."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def shown(text: object) -> str:
    """A name as the page shows it: one line, not too long, nothing invisible in it."""
    return visible(text, LONGEST_CELL)


def rounded(values: Iterable[float], digits: int = 6) -> list[float | None]:
    """Numbers to so many significant digits; what is not finite becomes null."""
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in values]


def thinned(moments: Sequence[int], most: int) -> list[int]:
    """At most so many of these, spread evenly, the first and the last always among them."""
    ordered = sorted(set(moments))
    if len(ordered) <= most:
        return ordered
    places = np.unique(np.linspace(0, len(ordered) - 1, max(most, 2)).round().astype(int))
    return [ordered[place] for place in places]


def sampled_rows(grid: Grid, value: Sequence[float], most: int) -> list[int]:
    """Rows of a grid that are shown: all, or of too many the baseline and every k-th by rank.

    Args:
        value: mean response of every row; rows without one rank last.
    """
    rows = range(len(grid.cells))
    if len(rows) <= most:
        return list(rows)
    ranked = np.argsort(-np.nan_to_num(np.asarray(value, float), nan=-np.inf), kind="stable")
    keep = {int(ranked[place]) for place in thinned(rows, most - 1)}
    return sorted(keep | ({grid.baseline_row} & set(rows)))


def cell_names(grid: Grid) -> list[tuple[str, str]]:
    """The whole and the brief name of every cell, no two whole ones alike.

    Briefly a cell is called by the levels in which it departs from the baseline.
    """
    names: list[tuple[str, str]] = []
    taken: set[str] = set()
    single = len(grid.factors) == 1
    for cell, label in zip(grid.cells, grid.labels, strict=True):
        levels = list(zip(grid.factors, cell, grid.baseline, strict=True))
        whole = level_label(*levels[0][:2]) if single and label == "none" else label
        departs = [level_label(factor, level) for factor, level, base in levels if level != base]
        whole, count = shown(whole), 2
        while whole in taken:
            whole, count = f"{shown(label)} ({count})", count + 1
        taken.add(whole)
        brief = whole if len(whole) <= LONGEST_LABEL else ", ".join(departs) or "baseline"
        names.append((whole, shown(brief)))
    return names


def factors_of(grid: Grid) -> list[dict[str, Any]]:
    """Names and levels of a grid's factors, as the page shows them."""
    return [
        {"name": shown(name.replace("_", " ")), "levels": [shown(level) for level in levels]}
        for name, levels in grid.factors.items()
    ]


def levels_in(grid: Grid, row: int) -> list[int]:
    """The place of each level of a cell among those of its factor."""
    pairs = zip(grid.factors.values(), grid.cells[row], strict=True)
    return [levels.index(level) for levels, level in pairs]
