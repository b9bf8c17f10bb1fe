"""Every pair of a study's cells on one task, exploratory: a false-discovery rate (METHODS S7)."""

from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

from report import estimates
from report.effects import ALPHA
from report.grids import grid_of
from report.sequential import at_share, share_of
from report.tables import StudyResults

MOST_CELLS: Final = 30  # of more, factors are asked what they did, not pairs of cells
COLUMNS: Final = (
    *("label", "against", "value", "low", "high", "interval", "m", "p", "p_bh", "n", "is_apart"),
)


def all_pairs(results: StudyResults, task: str) -> pd.DataFrame:
    """The first cell minus the second on their common seeds, for every pair; none of many cells.

    `label` and `against` name the cells, in study order; `value`, `low`, `high` are of one pair by
    itself, at 95% or what a look at sequential seeds may spend; `p_bh` is Benjamini-Hochberg's over
    all `m` pairs, and `is_apart` says that it is at most .05: of pairs so called at most one in
    twenty is expected to be an accident. That is weaker than what words of contrasts rest on.
    """
    grid, share = grid_of(results, task), share_of(results)
    count = len(grid.cells)
    pairs = list(combinations(range(count), 2)) if count <= MOST_CELLS else []
    first, second = np.array(pairs, int).reshape(-1, 2).T
    difference = estimates.differences(grid.scores[first], grid.scores[second])
    value, low, high, n = estimates.t_interval(difference, confidence=1 - ALPHA * share)
    p = estimates.paired_p(grid.scores[first], grid.scores[second])
    adjusted = at_share(estimates.benjamini_hochberg(p), share)
    names = np.array(grid.labels, object)
    columns = (
        *(names[first], names[second], value, low, high),
        *(estimates.interval_name(1 - ALPHA * share), len(pairs), p, adjusted, n),
        np.isfinite(low) & (adjusted <= ALPHA),
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
