"""Sentences on trial: each claim of a study gets a verdict and the numbers behind it.

A claim holds exactly one contrast of two cells or one trend over an ordered factor. Per seed it
becomes an advantage, positive where the claim is right; its Student t interval, at 1 - alpha/m with
m the study's claims on that task and response, is held against the margin that was written down
before the run (METHODS S5, S13). Nothing is said of a claim that cannot be judged but why.
A claim with `table = "timings"` compares the seconds of two levels instead; its response is the
mode that was timed, "training step" unless it names another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from report import estimates, timing_claims
from report.cells import NamingError
from report.comparisons import ClaimError, comparison_of
from report.grids import grid_of, lower_is_better
from report.schema import DERIVED, NUMBER, TRIALS, is_number
from report.sequential import share_of
from report.tables import StudyResults
from report.verdicts import CONTRADICTED, SUPPORTED, UNTESTED, Decision, advantages, decide


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
    scores: tuple[tuple[float, ...], ...] = ()  # (cells compared, S); on timings (1, pairs), ratios
    diverged: int = 0  # trials among them that count as the worst
    seconds: tuple[float, float] | None = None  # medians of both sides; of a claim on timings
    within: float = 0.0  # how far the machine differs from itself; of a claim on timings
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
    def sign(self) -> int:
        """Turns the advantage into better minus worse, or a slope, in the response itself."""
        if self.is_trend:
            return 1 if self.claim["trend"]["direction"] == "rises" else -1
        return -1 if self.seconds is None and lower_is_better(self.response) else 1

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
    if _is_on_timings(claim):
        return str(claim.get("response") or timing_claims.TRAINING)
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
        if _is_on_timings(claim):
            return _judged_on_time(untested, results, margin, is_equality=is_equality)
        _check_column(results, task, response)
        grid = grid_of(results, task, response)
        compared = comparison_of(grid, claim, response)
    except (ClaimError, NamingError) as error:
        return replace(untested, decision=Decision(verdict=UNTESTED, reason=str(error)))
    scores = grid.scores[list(compared.rows)]  # (cells compared, S)
    ended = grid.statuses[list(compared.rows)][~np.isnan(scores)]
    if len(ended) and (ended == "diverged").all():
        reason = f"all {len(ended)} trials of the cells compared diverged"
        return replace(untested, decision=Decision(verdict=UNTESTED, reason=reason))
    means = estimates.moments(scores[:, ~np.isnan(scores).any(axis=0)])[1]
    values = advantages(scores, compared.weights)
    return replace(
        untested,
        about=compared.about,
        margin=margin,
        is_equality=is_equality,
        is_trend="trend" in claim,
        means=tuple(zip(compared.names, means.tolist(), strict=True)),
        scores=tuple(map(tuple, scores.tolist())),
        diverged=int((grid.statuses[list(compared.rows)] == "diverged").sum()),
        decision=decide(values, margin, is_equality=is_equality, m=m, share=share_of(results)),
    )


def _judged_on_time(
    untested: Judgement, results: StudyResults, margin: float, *, is_equality: bool
) -> Judgement:
    claim, task, mode = untested.claim, untested.task, untested.response
    found = timing_claims.compared(results, claim, task, mode, m=untested.m)
    return replace(
        untested,
        about=found.about,
        margin=margin,
        is_equality=is_equality,
        means=tuple(zip(found.names, found.seconds, strict=True)),
        seconds=found.seconds,
        scores=(found.ratios,),
        within=found.within,
        decision=timing_claims.decide_on_time(found, margin, is_equality=is_equality),
    )


def _is_on_timings(claim: Mapping[str, Any]) -> bool:
    return claim.get("table") == "timings"


def margin_of(claim: Mapping[str, Any]) -> tuple[float, bool]:
    """The margin of a claim, and whether it claims equality within it.

    Errors:
        ClaimError: not exactly one contrast or trend, or a margin that means nothing.
    """
    sides = [side for side in ("better", "worse") if side in claim]
    if claim.get("table") not in (None, "trials", "timings"):
        raise ClaimError(f"unknown table {claim['table']!r:.40}; there is trials and timings")
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
    if _is_on_timings(claim) and "trend" in claim:
        raise ClaimError("a claim on timings needs better and worse, not trend")
    if _is_on_timings(claim) and given >= 1:
        raise ClaimError(f"nothing takes {given!r} less time; give by as a share, 0.1 for a tenth")
    return float(given), is_equality


def _check_column(results: StudyResults, task: str, response: str) -> None:
    known = [str(entry["name"]) for entry in results.study["tasks"]]
    if task not in known:
        raise ClaimError(f"unknown task {task!r}; the study has {', '.join(known)}")
    if TRIALS.get(response) != NUMBER and response not in DERIVED:
        raise ClaimError(f"unknown response {response!r}; trials.csv has no such numbers")
    trials = results.trials
    mine = trials[(trials["task"] == task) & (trials["stage"] == "final")]
    if mine[response].isna().all():
        raise ClaimError(f"{response} is empty on {task}, so there is nothing to compare")
