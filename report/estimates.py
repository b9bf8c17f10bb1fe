"""Arrays in, estimates out: means, differences, shares, with intervals, tests and effect sizes.

Seeds are blocks and lie on the last axis: element s of two arrays was trained from seed s. NaN
marks a trial without a response; it is left out, and every n says how many were not. Functions
of several rows take arrays of shape (..., S) and reduce the last axis.
"""

from dataclasses import dataclass
from functools import cache
from math import isfinite, isnan
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

ROUNDING: Final = 16 * np.finfo(float).eps  # a spread below this share of the values is rounding


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate and its interval, all in the unit of the response."""

    value: float
    low: float
    high: float
    n: int  # independent seeds behind it
    interval: str  # level and method, for instance "95% t"

    @property
    def is_constant(self) -> bool:
        """Whether it is the same on every seed, so that Student t has no interval for it."""
        return self.n > 1 and isfinite(self.value) and isnan(self.low)


def interval_name(confidence: float, method: str = "t") -> str:
    """How an interval is called in captions, for instance "98.75% t"."""
    return f"{100 * confidence:.4g}% {method}"


# Means and differences


def moments(responses: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Count, mean and standard deviation (n - 1) of the values that are there, each (...)."""
    there = ~np.isnan(responses)
    n = there.sum(axis=-1)
    least = np.fmin.reduce(responses, axis=-1, initial=np.inf)
    constant = least == np.fmax.reduce(responses, axis=-1, initial=-np.inf)
    with np.errstate(all="ignore"):
        mean = np.where(constant, least, np.where(there, responses, 0).sum(axis=-1) / n)
        centred = np.where(there, responses - mean[..., None], 0)
        deviation = np.sqrt((centred**2).sum(axis=-1) / (n - 1))
    return n, mean, np.where(n > 1, np.where(constant, 0.0, deviation), np.nan)


def t_interval(
    responses: Floats, *, confidence: float = 0.95
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Value, low, high and n of the mean over seeds: Student t, many rows at once.

    Without spread there is no interval: t = 0/0 knows nothing of chance, and one of width zero
    would claim certainty. Such bounds are NaN, as they are below two values.

    Args:
        responses: shape (..., S).
    """
    n, mean, deviation = moments(responses)
    with np.errstate(all="ignore"):
        spread = np.where(deviation == 0, np.nan, deviation)
        margin = special.stdtrit(n - 1, (1 + confidence) / 2) * spread / np.sqrt(n)
        return mean, mean - margin, mean + margin, n


def mean_estimate(responses: Floats, *, confidence: float = 0.95) -> Estimate:
    """Mean over seeds with a Student t interval; shape (S,)."""
    value, low, high, n = t_interval(np.asarray(responses, float), confidence=confidence)
    return Estimate(float(value), float(low), float(high), int(n), interval_name(confidence))


def paired_difference(treated: Floats, control: Floats, *, confidence: float = 0.95) -> Estimate:
    """Mean of treated - control, with a Student t interval over seeds.

    Seeds are blocks: element s of both arrays was trained from seed s, so the difference cancels
    whatever the two trials share.

    Args:
        treated, control: responses, shape (S,), one per seed.
    """
    return mean_estimate(differences(treated, control), confidence=confidence)


def differences(treated: Floats, control: Floats) -> Floats:
    """Treated - control per seed, exactly constant where the arms differ by a constant.

    0.9 - 0.8 and 0.7 - 0.6 differ in the last bit; taken for spread, that is a t of 10^15. What is
    rounding beside the scores is zero: a tie, which means over other factors seldom are to the bit.
    """
    treated, control = np.asarray(treated, float), np.asarray(control, float)
    if treated.shape[-1:] != control.shape[-1:]:
        raise ValueError(
            f"paired arrays must list the same seeds, got {treated.shape[-1]} and "
            f"{control.shape[-1]}; put NaN where a seed has no response"
        )
    with np.errstate(all="ignore"):
        scale = np.maximum(np.abs(treated), np.abs(control))
        difference = treated - control
        difference = np.where(np.abs(difference) <= ROUNDING * scale, 0.0, difference)
        absent = np.isnan(difference)
        least = np.fmin.reduce(difference, axis=-1, keepdims=True, initial=np.inf)
        constant = (absent | (difference - least <= ROUNDING * scale)).all(axis=-1, keepdims=True)
    return np.where(constant & ~absent, least, difference)


def paired_p(treated: Floats, control: Floats) -> Floats:
    """Two-sided p of the paired t test, `scipy.stats.ttest_rel`; NaN below two pairs.

    Where all pairs differ by the same amount, t is infinite or 0/0 and knows nothing of chance
    (coarse accuracies do this at n = 3): such rows get the sign-flip floor 2/2^n, or 1 where
    the amount is zero.
    """
    n, mean, deviation = moments(differences(treated, control))
    with np.errstate(all="ignore"):
        p = 2 * special.stdtr(n - 1, -np.abs(mean) / (deviation / np.sqrt(n)))
    p = np.where(deviation == 0, np.where(mean == 0, 1.0, 2.0 ** (1 - n)), p)
    return np.where(n >= 2, p, np.nan)[()]


def holm(p: Floats) -> Floats:
    """Holm-adjusted p of one family; a comparison without a p counts in it but gets NaN."""
    p = np.asarray(p, float)
    order = np.argsort(p)  # NaN last
    factor = np.arange(len(p), 0, -1)
    adjusted = np.fmax.accumulate(np.minimum(p[order] * factor, 1))
    return _restored(adjusted, order, p)


def benjamini_hochberg(p: Floats) -> Floats:
    """Benjamini-Hochberg-adjusted p of one family; NaN counts in it but stays NaN."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    scaled = np.nan_to_num(p[order], nan=1.0) * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return _restored(adjusted, order, p)


def _restored(adjusted: Floats, order: NDArray[np.intp], p: Floats) -> Floats:
    result = np.empty_like(p)
    result[order] = adjusted
    return np.where(np.isnan(p), np.nan, result)


# Shares and medians


def wilson(successes: float, n: int, *, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (1927); `successes` may count ties as one half."""
    name = interval_name(confidence, "Wilson")
    if n < 1:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, name)
    share, z = successes / n, float(special.ndtri((1 + confidence) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = max(0.0, centre - margin) if successes > 0 else 0.0  # exactly, as is 1 at the other end
    high = min(1.0, centre + margin) if successes < n else 1.0
    return Estimate(share, float(low), float(high), n, name)


def probability_of_improvement(
    treated: Floats, control: Floats, *, confidence: float = 0.95
) -> Estimate:
    """Share of seeds on which treated beats control, ties one half, with a Wilson interval."""
    difference = differences(treated, control)
    wins = float((difference > 0).sum() + 0.5 * (difference == 0).sum())
    return wilson(wins, int((~np.isnan(difference)).sum()), confidence=confidence)


def improvement_word(improvement: Estimate) -> str:
    """What a probability of improvement lets one say (Bouthillier et al. 2021)."""
    if improvement.low > 0.5 and improvement.high >= 0.75:
        return "better"
    return "significant but not meaningful" if improvement.low > 0.5 else "undecided"


def median_interval(values: Floats, *, confidence: float = 0.95) -> Estimate:
    """Median with the tightest symmetric pair of order statistics that covers it.

    Free of any distribution; below six values no pair reaches 95% and the bounds are NaN.
    Infinite values (never reached) are allowed.
    """
    ordered = np.sort(np.asarray(values, float)[~np.isnan(values)])
    n, name = len(ordered), interval_name(confidence, "order statistics")
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, name)
    below, above = float(ordered[(n - 1) // 2]), float(ordered[n // 2])
    median = below if below == above else below / 2 + above / 2
    rank = _median_rank(n, confidence)
    bounds = (ordered[rank - 1], ordered[n - rank]) if rank else (np.nan, np.nan)
    return Estimate(median, float(bounds[0]), float(bounds[1]), n, name)


@cache
def _median_rank(n: int, confidence: float) -> int:
    """Rank from either end of the order statistics that cover the median; 0 for none."""
    return int(stats.binom.ppf((1 - confidence) / 2, n, 0.5))
