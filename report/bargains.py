"""Quality against time: what each cell scores, and what a step of its training takes.

Scores come from trials.csv, seconds from timings.csv; the two are joined by task and by all
factors, so that a cell has a time only if its own network was timed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from report import curves, effects
from report.frames import records
from report.grids import level_label, lower_is_better
from report.schema import FACTORS
from report.tables import StudyResults
from report.throughput import AGAIN, WAY

TRAINING: Final = "training step"
COLUMNS = [
    *("label", "brief", "value", "low", "high", "n", "is_baseline", "is_lost"),
    *("seconds", "seconds_low", "seconds_high", "samples", "on_front"),
]
SHARE_OF_BASELINE = 0.9  # of the way from the constant predictor to the baseline: the target


def timed_cells(
    results: StudyResults,
    task: str,
    speeds: pd.DataFrame,
    timings: pd.DataFrame,
    twins: Mapping[str, str],
) -> pd.DataFrame:
    """The cells of one task whose training step was timed, with score and seconds per step.

    `on_front`: no other cell has both a mean at least as good and a median at most as long, one
    of them better; cells of which every trial diverged are never on it.

    Args:
        speeds: rows of `relative_times` of one device and mode.
        timings: samples of that device and mode, which hold the factors of every workload.
        twins: workloads that were not timed, and the ones that compute the same.
    """
    seconds = _seconds_by_factors(task, speeds, timings, twins)
    factors = [str(factor["name"]) for factor in results.study["factors"]]
    cells = _named_by_departure(effects.cell_table(results, task), factors)
    trained = results.trials[results.trials["task"] == task].drop_duplicates(factors)
    keys = {tuple(str(row[f]) for f in factors): _key(row) for row in records(trained)}
    rows = []
    for cell in records(cells):
        found = seconds.get(keys.get(tuple(str(cell[factor]) for factor in factors), ()))
        if found is not None and np.isfinite(cell["value"]):
            rows.append({**{c: cell[c] for c in COLUMNS[:8]}, **found, "on_front": False})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    task_entry = next(t for t in results.study["tasks"] if t["name"] == task)
    sign = -1.0 if lower_is_better(task_entry["response"]) else 1.0
    frame["on_front"] = _front(sign * frame["value"], frame["seconds"], frame["is_lost"])
    return frame


def _named_by_departure(cells: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """The cells with `brief`: where a study has several factors, the levels that depart."""
    base = cells[cells["is_baseline"].astype(bool)]
    if len(factors) == 1 or base.empty:
        return cells.assign(brief=cells["label"])
    first = records(base)[0]
    names = [
        ", ".join(level_label(f, str(cell[f])) for f in factors if cell[f] != first[f])
        for cell in records(cells)
    ]
    return cells.assign(brief=[name or "baseline" for name in names])


def _key(levels: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(levels[factor]) for factor in FACTORS)


def _seconds_by_factors(
    task: str, speeds: pd.DataFrame, timings: pd.DataFrame, twins: Mapping[str, str]
) -> dict[tuple[str, ...], dict[str, Any]]:
    """Seconds per step of every network that was timed, or that computes the same as one."""
    own = timings[timings["task"] == task].drop_duplicates("workload").set_index("workload")
    by_name: dict[str, dict[str, Any]] = {}
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    base: dict[str, str] = {}
    for row in records(speeds[(speeds["task"] == task) & (speeds["kind"] != WAY)]):
        name = str(row["workload"])
        if name.endswith(AGAIN) or name not in own.index:
            continue
        taken = {c: row[c] for c in ("seconds", "seconds_low", "seconds_high")}
        by_name[name] = {**taken, "samples": row["n"]}
        levels = {factor: str(own.loc[name, factor]) for factor in FACTORS}
        found[_key(levels)] = by_name[name]
        base = levels if row["is_baseline"] else base
    for name, same in twins.items():
        place, _, what = name.partition("/")
        factor, _, level = what.partition("=")
        if place == task and factor in base and same in by_name:
            found.setdefault(_key({**base, factor: level}), by_name[same])
    return found


def _front(
    score: "pd.Series[Any]", seconds: "pd.Series[Any]", is_lost: "pd.Series[Any]"
) -> list[bool]:
    """Which points no other dominates."""
    points = list(zip(score, seconds, is_lost, strict=True))
    return [
        not lost
        and not any(
            other >= value and short <= time and (other > value or short < time)
            for other, short, other_lost in points
            if not other_lost
        )
        for value, time, lost in points
    ]


def target_of(results: StudyResults, task: str) -> float | None:
    """A validation response worth reaching: nine tenths of the baseline's way, None for a loss.

    The way leads from the constant predictor to the mean of the baseline's last evaluations.
    """
    entry = next(t for t in results.study["tasks"] if t["name"] == task)
    part, _, kind = str(entry["response"]).partition("_")
    column = f"val_{kind}"
    if part == "train" or kind == "loss" or column not in results.curves:
        return None
    start = 0.0 if kind == "r2" else entry.get("chance")
    base = effects.cell_table(results, task)
    named = base.loc[base["is_baseline"].astype(bool), "label"]
    lines = curves.learning_curves(results, task, column)
    line = lines[lines["label"].isin(named) & np.isfinite(lines["value"])]
    if line.empty or not isinstance(start, int | float):
        return None
    end = float(line.sort_values("step")["value"].iloc[-1])
    return float(start) + SHARE_OF_BASELINE * (end - float(start)) if end > start else None


def times_to_target(
    results: StudyResults, task: str, target: float, cells: pd.DataFrame
) -> pd.DataFrame:
    """Seconds of training until a trial reaches the target: steps times seconds per step.

    A trial that never does counts as infinite: the median is over all trials. The bounds are the
    products of the bounds of both 95% intervals, so at least 90% together.

    Args:
        cells: rows of `timed_cells`.

    Returns:
        `label`, `brief`, `is_baseline`, `steps`, `steps_low`, `steps_high`, `n`, `reached` (their
        share), `reached_low`, `reached_high`, `seconds`, and `value`, `low`, `high`: seconds to
        the target.
    """
    steps = curves.steps_to_target(results, task, target)
    steps = steps.rename(columns={"value": "steps", "low": "steps_low", "high": "steps_high"})
    steps = steps[["label", *_STEPS]]
    paces = cells[["label", "brief", "is_baseline", "seconds", "seconds_low", "seconds_high"]]
    joined = paces.merge(steps, on="label")
    return joined.assign(
        value=joined["steps"] * joined["seconds"],
        low=joined["steps_low"] * joined["seconds_low"],
        high=joined["steps_high"] * joined["seconds_high"],
    )


_STEPS = ("steps", "steps_low", "steps_high", "n", "reached", "reached_low", "reached_high")
