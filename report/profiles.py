"""Profiles over tasks: how many trials score above a value, how many are nearly the fastest.

Tasks weigh the same, whatever their seeds. Arrays are one per task, shape (levels, S), NaN for a
trial without a score; a trial that never reached its target has taken infinitely many steps.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from report.estimates import Floats, median_interval

R_MAX: Final = 4.0  # beyond so many times the fastest nothing counts (Dahl et al. 2023)


def score_profile(strata: Sequence[Floats], at: Floats) -> Floats:
    """Share of trials that score above each value, averaged over tasks; (levels, values).

    The run-score distribution of Agarwal et al. 2021.
    """
    parts = [_share(part[..., None] > at, part) for part in strata]
    return np.asarray(np.mean(parts, axis=0), float)


def target_ratios(strata: Sequence[Floats]) -> list[Floats]:
    """Steps to target over the least median of any level on that task, shape as given.

    A task of which no level's median is finite has no fastest and is left out.
    """
    fastest = [float(np.min(_medians(part), initial=np.inf)) for part in strata]
    return [
        part / best for part, best in zip(strata, fastest, strict=True) if 0 < best < float("inf")
    ]


def target_profile(ratios: Sequence[Floats], at: Floats) -> Floats:
    """Share of trials within each multiple of the fastest, averaged over tasks; (levels, values).

    A performance profile (Dolan and Moré 2002), in which misses never come within anything.
    """
    parts = [_share(part[..., None] <= at, part) for part in ratios]
    return np.asarray(np.mean(parts, axis=0), float)


def target_score(ratios: Sequence[Floats], *, r_max: float = R_MAX) -> Floats:
    """Area under the time-to-target profile from 1 to `r_max`, as a share; (levels,).

    AlgoPerf's score (Dahl et al. 2023): 1 for a level always as fast as the fastest, 0 for one
    that takes `r_max` times as long or never arrives.
    """
    parts = []
    for part in ratios:
        saved = np.clip((r_max - np.maximum(part, 1)) / (r_max - 1), 0, None)
        with np.errstate(all="ignore"):
            parts.append(np.nansum(saved, axis=-1) / (~np.isnan(part)).sum(axis=-1))
    return np.asarray(np.mean(parts, axis=0), float)


def _share(holds: np.ndarray, part: Floats) -> Floats:
    """Share over seeds of what holds, (levels, S, values) to (levels, values); NaN for none."""
    with np.errstate(all="ignore"):
        return np.asarray(holds.sum(axis=1) / (~np.isnan(part)).sum(axis=1)[:, None], float)


def _medians(part: Floats) -> Floats:
    """Median of each row over the trials there are; infinite for none, or where half missed."""
    found = np.array([median_interval(row).value for row in part], float)
    return np.where(np.isnan(found), np.inf, found)
