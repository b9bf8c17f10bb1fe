"""From what each seed says for a claim to a verdict, with the numbers it rests on (METHODS S13)."""

from dataclasses import dataclass
from math import inf, nan
from typing import Final

import numpy as np

from report import estimates, power
from report.effects import ALPHA
from report.estimates import Estimate, Floats
from report.numbers import counted
from report.resampling import sign_flip_floor

SUPPORTED: Final = "supported"
CONTRADICTED: Final = "contradicted"
UNRESOLVED: Final = "unresolved"
UNTESTED: Final = "untested"
VERDICTS: Final = (SUPPORTED, CONTRADICTED, UNRESOLVED, UNTESTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the numbers of one claim allow to be said."""

    verdict: str
    estimate: Estimate | None = None  # of the advantage, in the unit of the response
    seeds_needed: float = nan  # that would resolve an unresolved claim with power .8
    reason: str = ""  # why untested, or what keeps it unresolved


def advantages(scores: Floats, weights: Floats) -> Floats:
    """What each seed says for the claim; NaN where a cell has no score.

    Args:
        scores: (cells, S).
        weights: (cells,), summing to zero.
    """
    above = (np.clip(weights, 0, None)[:, None] * scores).sum(axis=0)  # (S,)
    below = (np.clip(-weights, 0, None)[:, None] * scores).sum(axis=0)
    return estimates.differences(above, below)


def decide(
    values: Floats, margin: float, *, is_equality: bool = False, m: int = 1, share: float = 1.0
) -> Decision:
    """The verdict on advantages of shape (S,), at 1 - alpha/m; with a share of alpha, that share.

    Supported when the interval lies above the margin, contradicted when below; an equality is
    supported inside ±margin and contradicted outside. Where all seeds agree to the last bit, t
    knows nothing of chance, so it takes enough of them for the sign-flip floor 2/2^n, and the
    value itself is held against the margin.
    """
    level = ALPHA * share / m
    estimate = estimates.mean_estimate(values, confidence=1 - level)
    if estimate.n < 2:
        return Decision(
            verdict=UNTESTED,
            reason=f"{counted(estimate.n, 'seed')} with a score in every cell; two are needed",
        )
    floor = sign_flip_floor(estimate.n)
    if estimate.is_constant and floor > level:
        return Decision(
            verdict=UNRESOLVED,
            estimate=estimate,
            seeds_needed=1 + np.ceil(np.log2(m / (ALPHA * share))),
            reason=f"so few may by chance: sign flips of {estimate.n} seeds reach no p below "
            f"{floor:.3g}",
        )
    low, high = (
        (estimate.value, estimate.value) if estimate.is_constant else (estimate.low, estimate.high)
    )
    judged = _equality if is_equality else _one_sided
    verdict = judged(low, high, margin)
    if verdict != UNRESOLVED:
        return Decision(verdict=verdict, estimate=estimate)
    if estimate.is_constant:
        return Decision(verdict=UNRESOLVED, estimate=estimate, seeds_needed=inf)
    distance, wanted = _distance(estimate.value, margin, is_equality=is_equality)
    deviation = float(estimates.moments(values)[2])
    needed = float(power.seeds_needed(distance, deviation, level, wanted))
    return Decision(verdict=UNRESOLVED, estimate=estimate, seeds_needed=needed)


def _one_sided(low: float, high: float, margin: float) -> str:
    if low > margin:
        return SUPPORTED
    return CONTRADICTED if high < margin else UNRESOLVED


def _equality(low: float, high: float, margin: float) -> str:
    if -margin < low and high < margin:
        return SUPPORTED
    return CONTRADICTED if low > margin or high < -margin else UNRESOLVED


def _distance(value: float, margin: float, *, is_equality: bool) -> tuple[float, float]:
    """How far the value lies from the nearest margin, and the power to ask of each side.

    An equality must clear two margins: power .9 at the nearer one leaves .8 for both.
    """
    if not is_equality:
        return abs(value - margin), 0.8
    return abs(abs(value) - margin), 0.9 if abs(value) < margin else 0.8
