"""Sentences on trial: each claim of a study gets a verdict and the numbers behind it.

A claim holds exactly one contrast of two cells or one trend over an ordered factor. Per seed it
becomes an advantage, positive where the claim is right; its Student t interval, at 1 - alpha/m with
m the study's claims on that task and response, is held against the margin that was written down
before the first run (METHODS S5, S13). Nothing is said of a claim that cannot be judged but why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, nan
from typing import Any, Final

import numpy as np

from report import estimates, power
from report.cells import NamingError
from report.comparisons import ClaimError, comparison_of
from report.effects import ALPHA
from report.estimates import Estimate, Floats
from report.grids import grid_of
from report.resampling import sign_flip_floor
from report.schema import NUMBER, TRIALS, is_number
from report.tables import StudyResults

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One claim on one task."""

    study: str
    task: str
    response: str
    claim: Mapping[str, Any]  # the entry of study.json, all of it untrusted
    about: str = ""  # what was measured, for instance "relu over identity"
    margin: float = 0.0  # `by`, or `equal_within`
    is_equality: bool = False
    is_trend: bool = False
    m: int = 1  # the study's claims on this task and response
    means: tuple[tuple[str, float], ...] = ()  # of the cells compared
    diverged: int = 0  # trials among them that count as the worst
    decision: Decision = Decision(verdict=UNTESTED, reason="it was not judged")

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        return self.decision.verdict

    @property
    def statement(self) -> str:
        """The sentence on trial."""
        return str(self.claim.get("statement") or "a claim without a statement")

    @property
    def reversals(self) -> tuple[tuple[str, str], ...]:
        """Neighbouring levels of a trend between which the mean turns the other way."""
        if not self.is_trend or self.decision.estimate is None:
            return ()
        rises = self.claim["trend"]["direction"] == "rises"
        return tuple(
            (first, second)
            for (first, before), (second, after) in pairwise(self.means)
            if (after < before if rises else after > before)
        )

    @property
    def is_broken(self) -> bool:
        """Whether the study expected support and the data contradict it."""
        return self.claim.get("expected") == SUPPORTED and self.verdict == CONTRADICTED


def judge(results: StudyResults) -> tuple[Judgement, ...]:
    """A judgement for every claim of a study and task it is about, in the order of the study."""
    pairs = [
        (claim, task) for claim in results.study["claims"] for task in _tasks_of(results, claim)
    ]
    families = [(task, _response(results, claim, task)) for claim, task in pairs]
    return tuple(
        _judged(results, claim, *family, m=families.count(family))
        for (claim, _), family in zip(pairs, families, strict=True)
    )


def _tasks_of(results: StudyResults, claim: Mapping[str, Any]) -> list[str]:
    """The task that a claim names, or all of the study's tasks."""
    named = claim.get("task")
    return [str(named)] if named else [str(task["name"]) for task in results.study["tasks"]]


def _response(results: StudyResults, claim: Mapping[str, Any], task: str) -> str:
    own = {t["name"]: t["response"] for t in results.study["tasks"]}
    return str(claim.get("response") or own.get(task, ""))


def _judged(
    results: StudyResults, claim: Mapping[str, Any], task: str, response: str, *, m: int
) -> Judgement:
    untested = Judgement(
        study=str(results.study["name"]), task=task, response=response, claim=claim, m=m
    )
    try:
        margin, is_equality = margin_of(claim)
        _check_column(results, task, response)
        grid = grid_of(results, task, response)
        compared = comparison_of(grid, claim, response)
    except (ClaimError, NamingError) as error:
        return replace(untested, decision=Decision(verdict=UNTESTED, reason=str(error)))
    scores = grid.scores[list(compared.rows)]  # (cells compared, S)
    means = estimates.moments(scores[:, ~np.isnan(scores).any(axis=0)])[1]
    values = advantages(scores, compared.weights)
    return replace(
        untested,
        about=compared.about,
        margin=margin,
        is_equality=is_equality,
        is_trend="trend" in claim,
        means=tuple(zip(compared.names, means.tolist(), strict=True)),
        diverged=int((grid.statuses[list(compared.rows)] == "diverged").sum()),
        decision=decide(values, margin, is_equality=is_equality, m=m),
    )


def margin_of(claim: Mapping[str, Any]) -> tuple[float, bool]:
    """The margin of a claim, and whether it claims equality within it.

    Errors:
        ClaimError: not exactly one contrast or trend, or a margin that means nothing.
    """
    sides = [side for side in ("better", "worse") if side in claim]
    if claim.get("table") not in (None, "trials"):
        raise ClaimError(f"claims on the {claim['table']} are not judged here, only on trials")
    if ("trend" in claim) == bool(sides) or len(sides) == 1:
        given = [*sides, *(["trend"] if "trend" in claim else [])]
        raise ClaimError(
            f"a claim needs better and worse, or else trend, got {' and '.join(given) or 'neither'}"
        )
    if "by" in claim and "equal_within" in claim:
        raise ClaimError("a claim has a margin by or equal_within, not both")
    is_equality = "equal_within" in claim
    if is_equality and "trend" in claim:
        raise ClaimError("a trend takes a margin by, not equal_within")
    given = claim.get("equal_within" if is_equality else "by", 0.0)
    if not is_number(given):
        raise ClaimError(f"the margin must be a finite number, got {given!r:.40}")
    if given < 0 or (is_equality and given == 0):
        raise ClaimError(f"the margin must be positive, got {given!r}; swap better and worse")
    return float(given), is_equality


def _check_column(results: StudyResults, task: str, response: str) -> None:
    known = [str(entry["name"]) for entry in results.study["tasks"]]
    if task not in known:
        raise ClaimError(f"unknown task {task!r}; the study has {', '.join(known)}")
    if TRIALS.get(response) != NUMBER:
        raise ClaimError(f"unknown response {response!r}; trials.csv has no such numbers")
    trials = results.trials
    mine = trials[(trials["task"] == task) & (trials["stage"] == "final")]
    if mine[response].isna().all():
        raise ClaimError(f"{response} is empty on {task}, so there is nothing to compare")


# From advantages to a verdict


def advantages(scores: Floats, weights: Floats) -> Floats:
    """What each seed says for the claim; NaN where a cell has no score.

    Args:
        scores: (cells, S).
        weights: (cells,), summing to zero.
    """
    above = (np.clip(weights, 0, None)[:, None] * scores).sum(axis=0)  # (S,)
    below = (np.clip(-weights, 0, None)[:, None] * scores).sum(axis=0)
    return estimates.differences(above, below)


def decide(values: Floats, margin: float, *, is_equality: bool = False, m: int = 1) -> Decision:
    """The verdict on advantages of shape (S,), at 1 - alpha/m.

    Supported when the interval lies above the margin, contradicted when below; an equality is
    supported inside ±margin and contradicted outside. Where all seeds agree to the last bit, t
    knows nothing of chance, so it takes enough of them for the sign-flip floor 2/2^n.
    """
    estimate = estimates.mean_estimate(values, confidence=1 - ALPHA / m)
    if estimate.n < 2:
        return Decision(
            verdict=UNTESTED,
            reason=f"{estimate.n} seeds have a score in every cell compared; two are needed",
        )
    deviation = float(estimates.moments(values)[2])
    if deviation == 0 and sign_flip_floor(estimate.n) > ALPHA / m:
        return Decision(
            verdict=UNRESOLVED,
            estimate=estimate,
            seeds_needed=1 + np.ceil(np.log2(m / ALPHA)),
            reason=f"all {estimate.n} seeds differ by the same amount, which so few may by chance",
        )
    verdict = _equality(estimate, margin) if is_equality else _one_sided(estimate, margin)
    if verdict != UNRESOLVED:
        return Decision(verdict=verdict, estimate=estimate)
    distance, wanted = _distance(estimate.value, margin, is_equality=is_equality)
    needed = float(power.seeds_needed(distance, deviation, ALPHA / m, wanted)) if deviation else inf
    return Decision(verdict=UNRESOLVED, estimate=estimate, seeds_needed=needed)


def _one_sided(estimate: Estimate, margin: float) -> str:
    if estimate.low > margin:
        return SUPPORTED
    return CONTRADICTED if estimate.high < margin else UNRESOLVED


def _equality(estimate: Estimate, margin: float) -> str:
    if -margin < estimate.low and estimate.high < margin:
        return SUPPORTED
    outside = estimate.low > margin or estimate.high < -margin
    return CONTRADICTED if outside else UNRESOLVED


def _distance(value: float, margin: float, *, is_equality: bool) -> tuple[float, float]:
    """How far the value lies from the nearest margin, and the power to ask of each side.

    An equality must clear two margins: power .9 at the nearer one leaves .8 for both.
    """
    if not is_equality:
        return abs(value - margin), 0.8
    return abs(abs(value) - margin), 0.9 if abs(value) < margin else 0.8
