"""The analysis of variance of a balanced grid, with the seed as block."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from report.estimates import ROUNDING, Floats


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
    cells differ from seed to seed. A sum of squares as small as rounding is zero. NIST's reference
    sets are met to the digits that float64 holds of their data.
    """
    *levels, seeds = responses.shape
    factors = len(levels)
    floor = responses.size * (ROUNDING * np.abs(responses).max(initial=0)) ** 2
    # Moved near zero first: 10^12 + .1 loses twelve digits in a mean, and its difference from
    # another such value is exact.
    responses = responses - responses.ravel()[:1]
    responses = responses - responses.mean()
    means = responses.mean(axis=-1)
    terms = [t for size in range(1, factors + 1) for t in combinations(range(factors), size)]
    per_seed = effect_of(responses, (), factors)  # (1, ..., S)
    error = responses - means[..., None] - per_seed + means.mean()

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
