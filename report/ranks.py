"""Ranks of levels over tasks, whether the tasks agree, and what hangs on a single task.

A display, never a verdict (METHODS S10): N is the number of tasks, which a study chooses and does
not draw. Arrays are (N, k): one row per task, one column per level, rank 1 for the best.
"""

from dataclasses import dataclass
from math import factorial, inf, nan

import numpy as np
from scipy import special, stats

from report.estimates import Floats


@dataclass(frozen=True, slots=True)
class Agreement:
    """Friedman's statistic over tasks in the form of Iman and Davenport (1980)."""

    tasks: int
    levels: int
    chi2: float  # Friedman's, corrected for ties
    f: float  # with k - 1 and (k - 1)(N - 1) degrees of freedom
    p: float
    w: float  # Kendall's coefficient of concordance, 0 to 1


def ranks_of(means: Floats) -> Floats:
    """Rank of every level on every task, 1 for the highest mean; ties share their mean rank."""
    return np.asarray(stats.rankdata(-np.asarray(means, float), axis=1), float)


def leave_one_out(ranks: Floats) -> Floats:
    """Mean rank of every level without each of the tasks in turn; (N, k)."""
    return np.asarray((ranks.sum(axis=0) - ranks) / (len(ranks) - 1), float)


def agreement(ranks: Floats) -> Agreement:
    """Whether the tasks order the levels alike more than by chance.

    F = (N - 1) chi2 / (N (k - 1) - chi2), the F of a two-way analysis of variance of the ranks.
    Where all tasks agree it is infinite, which knows nothing of how few they are; so p is never
    below 1 / k!^(N - 1), the chance of N random orders being the same.
    """
    n, k = ranks.shape
    between = n * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()
    total = ((ranks - (k + 1) / 2) ** 2).sum()
    if total == 0:
        return Agreement(n, k, nan, nan, nan, nan)
    chi2 = float(n * (k - 1) * between / total)
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 * n * k else inf
    floor = 1 / float(min(factorial(k) ** (n - 1), 10**300))
    p = max(float(special.fdtrc(k - 1, (k - 1) * (n - 1), f)) if f < inf else 0.0, floor)
    return Agreement(n, k, chi2, f, p, chi2 / (n * (k - 1)))


def critical_difference(levels: int, tasks: int, *, alpha: float = 0.05) -> float:
    """The least difference of two mean ranks that Nemenyi's test resolves (Demšar 2006)."""
    q = float(stats.studentized_range.isf(alpha, levels, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(levels * (levels + 1) / (6 * tasks)))
