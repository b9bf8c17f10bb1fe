"""Random signs and resampled seeds: tests and intervals that assume no distribution.

Arrays are as in `estimates`: seeds on the last axis, NaN for a trial without a response.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Final

import numpy as np

from report.estimates import Estimate, Floats, interval_name

EXACT_UP_TO: Final = 16  # seeds for which all 2^n sign flips are enumerated
DRAWS: Final = 9_999  # sign flips drawn for more seeds than that
MOST_SUMS: Final = 4_000_000  # of flips held at once, 32 MB
POOLED_FOR_BOOTSTRAP: Final = 30  # fewer scores get no bootstrap interval: it would be too short


# Sign flips


def sign_flip_p(differences: Floats, *, rng: np.random.Generator) -> Floats:
    """Two-sided p of the mean under random signs of the differences, shape (..., S) to (...).

    Exact over all 2^n for n <= 16; beyond, 9,999 draws and (b + 1)/(B + 1). NaN below two values.

    Args:
        rng: source of the drawn flips, the same for every row of one n.
    """
    table = np.asarray(differences, float)
    rows = table.reshape(int(np.prod(table.shape[:-1])), table.shape[-1])
    there = ~np.isnan(rows)
    counts = np.where(np.isinf(rows).any(axis=1), 0, there.sum(axis=1))
    result = np.full(len(rows), np.nan)
    for n in np.unique(counts[counts >= 2]).tolist():
        signs = _all_signs(n) if n <= EXACT_UP_TO else _drawn_signs(n, rng)
        own = np.flatnonzero(counts == n)
        block = max(1, MOST_SUMS // len(signs))  # rows at a time, so that memory is bounded
        for some in (own[i : i + block] for i in range(0, len(own), block)):
            result[some] = _flip_shares(rows[some][there[some]].reshape(-1, n), signs)
    return result.reshape(table.shape[:-1])[()]


def _flip_shares(values: Floats, signs: Floats) -> Floats:
    """Share of the flips whose sum is as far from zero as the one observed, ties included.

    Args:
        values: (rows, n).
        signs: (flips, n).
    """
    n = values.shape[1]
    largest = np.abs(values).max(axis=1, keepdims=True)
    scaled = values / np.maximum(largest, np.finfo(float).tiny)  # a sum cannot overflow
    reached = np.abs(signs @ scaled.T) >= np.abs(scaled.sum(axis=1)) - 1e-12 * n  # (flips, rows)
    count = np.asarray(reached.sum(axis=0), float)
    return count / len(signs) if n <= EXACT_UP_TO else (count + 1) / (DRAWS + 1)


@cache
def _all_signs(n: int) -> Floats:
    """All patterns of n signs up to a common flip, which leaves |sum| alone; (2^(n - 1), n)."""
    return np.array([(1.0, *signs) for signs in product((1.0, -1.0), repeat=n - 1)])


def _drawn_signs(n: int, rng: np.random.Generator) -> Floats:
    return rng.choice([-1.0, 1.0], size=(DRAWS, n))


def sign_flip_floor(n: int) -> float:
    """The least p that `sign_flip_p` can give at this n; NaN below two values."""
    if n < 2:
        return float("nan")
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (DRAWS + 1)


# Bootstrap


def interquartile_mean(
    strata: Sequence[Floats],
    *,
    rng: np.random.Generator,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of the middle half of all scores, with a stratified percentile bootstrap.

    Seeds are resampled within each stratum (a task), as in Agarwal et al. 2021. Fewer than 30
    pooled scores get NaN bounds (METHODS S4).

    Args:
        strata: scores of each task, shape (S,) each.
        rng: source of the resamples.
    """
    parts = [part[~np.isnan(part)] for part in (np.asarray(part, float) for part in strata)]
    pooled, name = np.concatenate([np.empty(0), *parts]), interval_name(confidence, "bootstrap")
    value = float(_middle_mean(pooled))
    if len(pooled) < POOLED_FOR_BOOTSTRAP:
        return Estimate(value, float("nan"), float("nan"), len(pooled), name)
    drawn = [
        part[rng.integers(len(part), size=(resamples, len(part)))] for part in parts if len(part)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(_middle_mean(np.concatenate(drawn, axis=1)), [tail, 1 - tail])
    return Estimate(value, float(low), float(high), len(pooled), name)


def _middle_mean(scores: Floats) -> Floats:
    """`scipy.stats.trim_mean(scores, 0.25, axis=-1)`, NaN for none."""
    n = scores.shape[-1]
    middle = np.sort(scores, axis=-1)[..., n // 4 : n - n // 4]
    with np.errstate(all="ignore"):
        return np.asarray(middle.sum(axis=-1) / np.float64(middle.shape[-1]))
