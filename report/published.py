"""Known results: what was published, what was measured here, and whether the two agree.

A publication agrees when its mean lies within 3 sqrt(sd_published^2 + sd_measured^2 / n) of ours,
or within the standard error of one accuracy on the test set where that is more. The spread of a
publication of one run is ours; so it is for two runs that happen to lie closer together. Where the
best of several runs was published, ours are taken in groups of as many, of which the best counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan, sqrt
from statistics import mean, stdev
from typing import Any, Final

import numpy as np

from report import estimates
from report.cells import NamingError, row_of
from report.estimates import Estimate, Floats
from report.grids import grid_of, lower_is_better
from report.numbers import counted
from report.schema import CURVES, NUMBER, TRIALS, is_number
from report.tables import StudyResults

WITHIN: Final = "within"
OUTSIDE: Final = "outside"
UNTESTED: Final = "untested"
FEW_RUNS: Final = 3  # published runs below which their own spread is no measure of it
READINGS: Final = ("step", "last", "best_of")  # off the learning curves


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One published value beside ours, in the unit of the response."""

    study: str
    task: str
    response: str
    entry: Mapping[str, Any]  # of study.json, all of it untrusted
    cell: str = ""
    values: tuple[float, ...] = ()  # published, one per run
    measured: Estimate | None = None
    spread: float = nan  # standard deviation over our seeds
    tolerance: float = nan
    diverged: int = 0
    verdict: str = UNTESTED
    reason: str = ""  # why untested


def known_results(results: StudyResults) -> tuple[Known, ...]:
    """Every published value of a study beside what was measured."""
    return tuple(_known(results, entry) for entry in results.study["published"])


def _known(results: StudyResults, entry: Mapping[str, Any]) -> Known:
    tasks = {str(task["name"]): task for task in results.study["tasks"]}
    task = str(entry.get("task") or next(iter(tasks), ""))
    own = str(tasks[task]["response"]) if task in tasks else ""
    response = str(entry.get("response") or own)
    known = Known(study=str(results.study["name"]), task=task, response=response, entry=entry)
    values, cell = _published_values(entry), entry.get("cell", {})
    if task not in tasks:
        return replace(known, reason=f"unknown task {task!r}")
    along = any(key in entry for key in READINGS)
    if (CURVES if along else TRIALS).get(response) != NUMBER:
        return replace(known, reason=f"unknown response {response!r}")
    if not all(_is_count(entry.get(key, 1)) for key in READINGS):
        return replace(known, reason="step, last and best_of must be whole numbers above 0")
    if along:
        results = _read_off_curves(results, entry, response)
    if not values or not isinstance(cell, Mapping):
        return replace(known, reason="it needs values, a list of numbers, and a cell")
    grid = grid_of(results, task, response)
    try:
        row = row_of(grid, cell)
    except NamingError as error:
        return replace(known, values=values, reason=str(error))
    scores = best_of(grid.scores[row], entry.get("best_of", 1), response)
    measured, spread = estimates.mean_estimate(scores), float(estimates.moments(scores)[2])
    known = replace(
        known,
        cell=grid.labels[row],
        values=values,
        measured=measured,
        spread=spread,
        diverged=int((grid.statuses[row] == "diverged").sum()),
    )
    if measured.n < 2:
        return replace(known, reason=f"{runs_of(entry, measured.n)} with a value; two are needed")
    part, _, measure = response.partition("_")
    held_out = part in ("val", "test") and measure == "accuracy"
    examples = (tasks[task].get("examples") or {}).get(part, 0) if held_out else 0
    floor = noise_floor(mean(values), examples)
    allowed = max(tolerance(values, spread, measured.n), floor)
    # Where every trial diverged nothing was measured, only scored as the worst.
    finished = known.diverged < int((~np.isnan(grid.scores[row])).sum())
    agrees = finished and abs(measured.value - mean(values)) <= allowed
    return replace(known, tolerance=allowed, verdict=WITHIN if agrees else OUTSIDE)


def _read_off_curves(
    results: StudyResults, entry: Mapping[str, Any], response: str
) -> StudyResults:
    """The results with a response read off the learning curves.

    At the evaluation after `step` steps, the mean over the `last` evaluations, or the best one.
    """
    rows = results.curves
    if "step" in entry:
        rows = rows[rows["step"] == entry["step"]]
    elif "last" in entry:
        rows = rows.groupby("trial", observed=True).tail(int(entry["last"]))
    grouped = rows.groupby("trial", observed=True)[response]
    if "best_of" in entry:
        values = grouped.min() if lower_is_better(response) else grouped.max()
    else:
        values = grouped.mean()
    read = results.trials["trial"].astype(str).map(values.rename(index=str)).astype(float)
    return replace(results, trials=results.trials.assign(**{response: read}))


def best_of(scores: Floats, runs: int, response: str) -> Floats:
    """The best of each `runs` seeds in their order, (S // runs,); all of them for one run."""
    there = scores[~np.isnan(scores)]
    groups = there[: len(there) // runs * runs].reshape(-1, runs)
    best: Floats = groups.min(axis=1) if lower_is_better(response) else groups.max(axis=1)
    return best


def runs_of(entry: Mapping[str, Any], n: int) -> str:
    """`2 seeds`, or `1 group of 3 seeds` where the best of each group counts."""
    runs = entry.get("best_of", 1)
    if runs == 1:
        return counted(n, "seed")
    return counted(n, f"group of {runs} seeds", f"groups of {runs} seeds")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def tolerance(published: tuple[float, ...], spread: float, n: int) -> float:
    """3 sqrt(sd_published^2 + sd_measured^2 / n); below three runs, a spread no less than ours."""
    own = stdev(published) if len(published) > 1 else 0.0
    if len(published) < FEW_RUNS:
        own = max(own, spread)
    return 3 * sqrt(own**2 + spread**2 / n)


def noise_floor(accuracy: float, examples: object) -> float:
    """Standard error of one accuracy on so many examples (METHODS S12)."""
    if not isinstance(examples, int) or examples < 1 or not 0 <= accuracy <= 1:
        return 0.0
    return sqrt(accuracy * (1 - accuracy) / examples)


def _published_values(entry: Mapping[str, Any]) -> tuple[float, ...]:
    given = entry.get("values")
    values = given if isinstance(given, list) else []
    return tuple(map(float, values)) if all(map(is_number, values)) else ()
