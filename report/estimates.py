"""Arrays in, estimates out: intervals, tests, effect sizes, and the analysis of variance of a grid.

Seeds are blocks and lie on the last axis: element s of two arrays was trained from seed s. NaN
marks a trial without a response; it is left out, and every n says how many were not. Functions
of several rows take arrays of shape (..., S) and reduce the last axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

EXACT_UP_TO: Final = 16  # seeds for which all 2^n sign flips are enumerated
DRAWS: Final = 9_999  # sign flips drawn for more seeds than that
MANY_SEEDS: Final = 1_000_000  # `seeds_needed` answers infinity beyond
ROUNDING: Final = 16 * np.finfo(float).eps  # a spread below this share of the values is rounding
POOLED_FOR_BOOTSTRAP: Final = 30  # fewer scores get no bootstrap interval: it would be too short


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate and its interval, all in the unit of the response."""

    value: float
    low: float
    high: float
    n: int  # independent seeds behind it
    interval: str  # level and method, for instance "95% t"


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

    Args:
        responses: shape (..., S).
    """
    n, mean, deviation = moments(responses)
    with np.errstate(all="ignore"):
        margin = special.stdtrit(n - 1, (1 + confidence) / 2) * deviation / np.sqrt(n)
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

    0.9 - 0.8 and 0.7 - 0.6 differ in the last bit; taken for spread, that is a t of 10^15.
    """
    treated, control = np.asarray(treated, float), np.asarray(control, float)
    if treated.shape[-1:] != control.shape[-1:]:
        raise ValueError(
            f"paired arrays must list the same seeds, got {treated.shape[-1]} and "
            f"{control.shape[-1]}; put NaN where a seed has no response"
        )
    with np.errstate(all="ignore"):
        difference = treated - control
        absent = np.isnan(difference)
        least = np.fmin.reduce(difference, axis=-1, keepdims=True, initial=np.inf)
        scale = np.maximum(np.abs(treated), np.abs(control))
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


# Sign flips


def sign_flip_p(differences: Floats, *, rng: np.random.Generator) -> Floats:
    """Two-sided p of the mean under random signs of the differences, shape (..., S) to (...).

    Exact over all 2^n for n <= 16; beyond, 9,999 draws and (b + 1)/(B + 1). NaN below two values.

    Args:
        rng: source of the drawn flips, the same for every row of one n.
    """
    table = np.asarray(differences, float)
    rows = table.reshape(int(np.prod(table.shape[:-1])), table.shape[-1])
    signs: dict[int, Floats] = {}
    result = np.full(len(rows), np.nan)
    for index, row in enumerate(rows):
        values = row[~np.isnan(row)]
        n = len(values)
        if n >= 2 and np.isfinite(values).all():
            if n not in signs:
                signs[n] = _all_signs(n) if n <= EXACT_UP_TO else _drawn_signs(n, rng)
            result[index] = _flip_share(values, signs[n])
    return result.reshape(table.shape[:-1])[()]


def _flip_share(values: Floats, signs: Floats) -> float:
    """Share of the flips whose sum is as far from zero as the one observed, ties included."""
    scaled = values / max(np.abs(values).max(), np.finfo(float).tiny)  # a sum cannot overflow
    reached = np.abs(signs @ scaled) >= abs(scaled.sum()) - 1e-12 * len(values)
    exact = len(values) <= EXACT_UP_TO
    return float(reached.mean() if exact else (reached.sum() + 1) / (DRAWS + 1))


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


# Effect sizes and power


def cohen_dz(treated: Floats, control: Floats) -> Floats:
    """Mean difference over the standard deviation of the differences; NaN without spread."""
    _, mean, deviation = moments(differences(treated, control))
    return _ratio(mean, deviation)


def hedges_g(treated: Floats, control: Floats) -> Floats:
    """Difference in pooled standard deviations of the two arms, corrected for small n.

    The correction is Hedges' exact one (1981), with 2n - 2 degrees of freedom.
    """
    treated, control = _on_common_seeds(treated, control)
    n, mean_treated, deviation_treated = moments(treated)
    _, mean_control, deviation_control = moments(control)
    with np.errstate(all="ignore"):
        pooled = np.sqrt((deviation_treated**2 + deviation_control**2) / 2)
        freedom = 2.0 * n - 2
        correction = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2))
        return _ratio((mean_treated - mean_control) * correction, pooled * np.sqrt(freedom / 2))


def pairing_correlation(treated: Floats, control: Floats) -> Floats:
    """Pearson correlation of the two arms over seeds: what the pairing bought; NaN below three."""
    treated, control = _on_common_seeds(treated, control)
    n, mean_treated, deviation_treated = moments(treated)
    _, mean_control, deviation_control = moments(control)
    with np.errstate(all="ignore"):
        products = (treated - mean_treated[..., None]) * (control - mean_control[..., None])
        covariance = np.nansum(products, axis=-1) / (n - 1)
        correlation = covariance / deviation_treated / deviation_control
    spread = (deviation_treated > ROUNDING * np.abs(mean_treated)) & (
        deviation_control > ROUNDING * np.abs(mean_control)
    )
    return np.where((n >= 3) & spread, np.clip(correlation, -1, 1), np.nan)[()]


def _on_common_seeds(treated: Floats, control: Floats) -> tuple[Floats, Floats]:
    treated, control = np.asarray(treated, float), np.asarray(control, float)
    both = ~(np.isnan(treated) | np.isnan(control))
    return np.where(both, treated, np.nan), np.where(both, control, np.nan)


def _ratio(value: Floats, spread: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return np.where(spread > 0, value / spread, np.nan)[()]


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


# Shares, medians, trimmed means


def wilson(successes: float, n: int, *, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (1927); `successes` may count ties as one half."""
    name = interval_name(confidence, "Wilson")
    if n < 1:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, name)
    share, z = successes / n, float(special.ndtri((1 + confidence) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = max(0.0, centre - margin), min(1.0, centre + margin)
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


# Analysis of variance of a balanced grid


@dataclass(frozen=True, slots=True)
class Variation:
    """Sums of squares of a balanced grid with seeds as blocks."""

    terms: tuple[tuple[int, ...], ...]  # the axes of each term: main effects, pairs, ...
    df: tuple[int, ...]  # one per term
    ss: tuple[float, ...]  # one per term
    df_seed: int
    ss_seed: float
    df_error: int
    ss_error: float


@np.errstate(all="ignore")
def effect_of(responses: Floats, axes: tuple[int, ...], factors: int) -> Floats:
    """The effect of one term: what these axes add to all terms below, others averaged out.

    The functional decomposition f_0 + f_i + f_ij + ...: along an axis of the term subtract the
    mean, along any other of the first `factors` axes take it (kept with length 1).
    """
    for axis in range(factors):
        mean = responses.mean(axis=axis, keepdims=True)
        responses = responses - mean if axis in axes else mean
    return responses


@np.errstate(all="ignore")  # sums of squares of 1e200 are infinite, not a crash
def variation(responses: Floats) -> Variation:
    """Split the variation of a complete grid, shape (levels of each factor..., S).

    The textbook randomised block design: total = every term + seed + error, where error is how
    cells differ from seed to seed. A sum of squares as small as rounding is zero.
    """
    *levels, seeds = responses.shape
    factors = len(levels)
    means = responses.mean(axis=-1)
    terms = [t for size in range(1, factors + 1) for t in combinations(range(factors), size)]
    per_seed = effect_of(responses, (), factors)  # (1, ..., S)
    error = responses - means[..., None] - per_seed + means.mean()
    floor = responses.size * (ROUNDING * np.abs(responses).max(initial=0)) ** 2

    def squares(effect: Floats) -> float:
        total = float((effect**2).sum() * (responses.size / effect.size))
        return 0.0 if total <= floor < np.inf else total

    return Variation(
        tuple(terms),
        tuple(int(np.prod([levels[axis] - 1 for axis in term])) for term in terms),
        tuple(squares(effect_of(means, term, factors)) for term in terms),
        seeds - 1,
        squares(per_seed - means.mean()),
        (int(np.prod(levels)) - 1) * (seeds - 1),
        squares(error),
    )
