"""Known results: what was published, what was measured here, and whether the two agree.

A publication agrees when its mean lies within 3 sqrt(sd_published^2 + sd_measured^2 / n) of ours,
or within the standard error of one accuracy on the test set where that is more. The spread of a
publication of one run is ours; so it is for two runs that happen to lie closer together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan, sqrt
from statistics import mean, stdev
from typing import Any, Final

from report import estimates
from report.cells import NamingError, row_of
from report.estimates import Estimate
from report.grids import grid_of
from report.numbers import counted
from report.schema import CURVES, NUMBER, TRIALS, is_number
from report.tables import StudyResults

WITHIN: Final = "within"
OUTSIDE: Final = "outside"
UNTESTED: Final = "untested"
FEW_RUNS: Final = 3  # published runs below which their own spread is no measure of it


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
    along = "step" in entry or "last" in entry
    if (CURVES if along else TRIALS).get(response) != NUMBER:
        return replace(known, reason=f"unknown response {response!r}")
    if along and not all(is_number(entry.get(key, 1)) for key in ("step", "last")):
        return replace(known, reason="step and last must be whole numbers")
    if along:
        results = _read_off_curves(results, entry, response)
    if not values or not isinstance(cell, Mapping):
        return replace(known, reason="it needs values, a list of numbers, and a cell")
    grid = grid_of(results, task, response)
    try:
        row = row_of(grid, cell)
    except NamingError as error:
        return replace(known, values=values, reason=str(error))
    measured = estimates.mean_estimate(grid.scores[row])
    spread = float(estimates.moments(grid.scores[row])[2])
    known = replace(
        known,
        cell=grid.labels[row],
        values=values,
        measured=measured,
        spread=spread,
        diverged=int((grid.statuses[row] == "diverged").sum()),
    )
    if measured.n < 2:
        return replace(known, reason=f"{counted(measured.n, 'seed')} with a value; two are needed")
    examples = (tasks[task].get("examples") or {}).get("test", 0)
    floor = noise_floor(mean(values), examples) if response == "test_accuracy" else 0.0
    allowed = max(tolerance(values, spread, measured.n), floor)
    finished = known.diverged < measured.n  # else nothing was measured, only scored as the worst
    agrees = finished and abs(measured.value - mean(values)) <= allowed
    return replace(known, tolerance=allowed, verdict=WITHIN if agrees else OUTSIDE)


def _read_off_curves(
    results: StudyResults, entry: Mapping[str, Any], response: str
) -> StudyResults:
    """The results with a response read off the learning curves.

    At the evaluation after `step` steps, or the mean over the `last` evaluations.
    """
    curves = results.curves
    if "step" in entry:
        rows = curves[curves["step"] == entry["step"]]
    else:
        rows = curves.groupby("trial", observed=True).tail(int(entry["last"]))
    values = rows.groupby("trial", observed=True)[response].mean()
    read = results.trials["trial"].astype(str).map(values.rename(index=str)).astype(float)
    return replace(results, trials=results.trials.assign(**{response: read}))


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
