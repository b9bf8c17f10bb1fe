"""What a study's seeds can resolve: the smallest effect, and the seeds that an effect needs.

The test is the paired t of the report, one contrast at the level that Holm's procedure asks of the
smallest p of its family, alpha / m: the worst case. Its power is the noncentral t's, as
statsmodels' `TTestPower` has it (Cohen 1988).
"""

from __future__ import annotations

from functools import cache
from math import inf, isnan, nan

from scipy import special  # scikit-learn brings it

POWER = 0.8  # with which an effect is to be found
MANY_SEEDS = 1_000_000  # `seeds_needed` answers infinity beyond


def power_of_t(effect: float, n: int, level: float) -> float:
    """Power of a two-sided one-sample t test.

    Args:
        effect: mean over standard deviation, d_z of paired differences.
        n: pairs, two or more.
        level: two-sided significance level.
    """
    threshold = float(special.stdtrit(n - 1, 1 - level / 2))
    shift = abs(effect) * n**0.5
    return 1 - _noncentral(n - 1, shift, threshold) + _noncentral(n - 1, shift, -threshold)


def _noncentral(freedom: float, shift: float, t: float) -> float:
    """The distribution function; 0 or 1 in the far tails where scipy's series gives up."""
    share = float(special.nctdtr(freedom, shift, t))
    return float(t > shift) if isnan(share) else share


@cache
def smallest_effect(n: int, level: float, power: float = POWER) -> float:
    """The smallest mean over deviation that n pairs find; NaN below two."""
    if n < 2:
        return nan
    low, high = 0.0, 1.0
    while power_of_t(high, n, level) < power:
        high *= 2
    for _ in range(60):  # halves the bracket to the last bit
        middle = (low + high) / 2
        low, high = (low, middle) if power_of_t(middle, n, level) >= power else (middle, high)
    return high


def seeds_needed(effect: float, level: float, power: float = POWER) -> float:
    """The least number of pairs that finds a mean of `effect` deviations; infinite beyond 10^6."""
    if isnan(effect):
        return nan
    if effect == 0 or effect**-2 > MANY_SEEDS:
        return inf
    too_few, enough = 1, 2
    while power_of_t(effect, enough, level) < power:
        too_few, enough = enough, 2 * enough
        if enough > MANY_SEEDS:
            return inf
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if power_of_t(effect, middle, level) >= power:
            enough = middle
        else:
            too_few = middle
    return enough
