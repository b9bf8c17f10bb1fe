"""What a number of seeds can find: power, the smallest detectable difference, the seeds needed."""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from report.estimates import Floats

MANY_SEEDS: Final = 1_000_000  # `seeds_needed` answers infinity beyond


def power_of_t(effect: Floats | float, n: Floats | NDArray[np.int64] | int, alpha: float) -> Floats:
    """Power of a two-sided one-sample t test at effect d over n seeds (noncentral t)."""
    freedom = np.asarray(n, float) - 1
    noncentrality = np.abs(np.asarray(effect, float)) * np.sqrt(freedom + 1)
    threshold = np.asarray(special.stdtrit(freedom, 1 - alpha / 2), float)
    above = 1 - _noncentral_t(freedom, noncentrality, threshold)
    return np.asarray(above + _noncentral_t(freedom, noncentrality, -threshold))


def _noncentral_t(freedom: Floats, noncentrality: Floats, t: Floats) -> Floats:
    """The distribution function, 0 or 1 in the far tails where scipy's series gives up (NaN)."""
    share: Floats = np.asarray(special.nctdtr(freedom, noncentrality, t), float)
    return np.where(np.isnan(share), (t > noncentrality).astype(float), share)


def smallest_detectable(
    deviation: Floats | float, n: NDArray[np.int64] | int, alpha: float = 0.05, power: float = 0.8
) -> Floats:
    """The smallest difference that n seeds with this deviation find with this power.

    As `statsmodels.stats.power.TTestPower` solves it; NaN below two seeds.
    """
    distinct, inverse = np.unique(np.asarray(n), return_inverse=True)
    unit = np.array([_detectable_d(int(count), alpha, power) for count in distinct])
    return np.asarray(np.asarray(deviation, float) * unit[inverse].reshape(np.shape(n)))[()]


@cache
def _detectable_d(n: int, alpha: float, power: float) -> float:
    if n < 2 or not 0 < alpha < power < 1:
        return float("nan")
    low, high = 0.0, 1.0
    while power_of_t(high, n, alpha) < power:
        high *= 2
    for _ in range(60):  # halves the bracket to the last bit
        middle = (low + high) / 2
        low, high = (low, middle) if power_of_t(middle, n, alpha) >= power else (middle, high)
    return high


def seeds_needed(
    effect: Floats | float, deviation: Floats | float, alpha: float = 0.05, power: float = 0.8
) -> Floats:
    """The least number of seeds that finds `effect` with this power.

    Infinite for no effect or beyond a million seeds, NaN where effect or deviation is unknown.
    """
    with np.errstate(all="ignore"):
        d = np.abs(np.asarray(effect, float)) / np.asarray(deviation, float)
    d = np.minimum(d, 1e4)
    with np.errstate(all="ignore"):
        normal = ((special.ndtri(1 - alpha / 2) + special.ndtri(power)) / d) ** 2  # a lower bound
    possible = normal < MANY_SEEDS
    too_few = np.ones(d.shape, int)
    enough = np.where(possible, 4 * np.where(possible, normal, 0) + 50, 2).astype(int)
    while (enough - too_few > 1).any():
        middle = (too_few + enough + 1) // 2
        found = power_of_t(np.where(possible, d, 1.0), middle, alpha) >= power
        too_few, enough = np.where(found, too_few, middle), np.where(found, middle, enough)
        too_few = np.minimum(too_few, enough - 1)
    return np.where(np.isnan(d), np.nan, np.where(possible, enough, np.inf))[()]
