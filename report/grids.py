"""From rows to a grid: the final trials of one task as an array of cells by seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from report.estimates import Floats
from report.numbers import scale_of
from report.tables import StudyResults


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The final trials of one task as an array: one row per cell shown, one column per seed."""

    factors: dict[str, tuple[str, ...]]  # the levels that this task has, in study order
    cells: tuple[tuple[str, ...], ...]  # one level per factor
    resolved: dict[tuple[str, ...], int]  # any cell of the study, to the row of its network
    baseline: tuple[str, ...]
    scores: Floats  # (cells, S)
    statuses: NDArray[np.str_]  # (cells, S), empty where no trial was asked for

    @property
    def labels(self) -> list[str]:
        """The name of each row."""
        return [cell_label(dict(zip(self.factors, cell, strict=True))) for cell in self.cells]

    @property
    def baseline_row(self) -> int:
        """The row of the baseline cell, -1 if the study has none."""
        return self.resolved.get(self.baseline, -1)


# Names


def level_label(factor: str, level: str) -> str:
    """A level as it reads beside those of other factors: numbers carry their factor's name."""
    name = factor.replace("_", " ")
    if level == "none":
        return f"no {name}"
    bare = level.lower() in ("true", "false", "default", "full", "all") or _is_number(level)
    return f"{name} {level}" if bare else level


def cell_label(cell: dict[str, str]) -> str:
    """`relu` for one factor, `relu, adam, depth 2` for several."""
    if list(cell.values()) == ["none"]:
        return "none"
    return ", ".join(level_label(factor, level) for factor, level in cell.items())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# From rows to a grid


def task_of(results: StudyResults, name: str) -> dict[str, Any]:
    """The entry of one task in study.json."""
    tasks = {task["name"]: task for task in results.study["tasks"]}
    if name not in tasks:
        close = get_close_matches(name, tasks, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the study has {', '.join(tasks)}"
        raise ValueError(f"unknown task {name!r}; {hint}")
    task: dict[str, Any] = tasks[name]
    return task


def levels_of(results: StudyResults) -> dict[str, tuple[str, ...]]:
    """The levels of each of the study's factors."""
    return {factor["name"]: tuple(factor["levels"]) for factor in results.study["factors"]}


def cells_of(
    results: StudyResults, task: str
) -> tuple[tuple[tuple[str, ...], ...], dict[tuple[str, ...], int]]:
    """The cells shown, in study order, and the row of every cell, twins included."""
    factors = levels_of(results)
    task = task_of(results, task)["name"]
    entries = [entry for entry in results.study["cells"] if entry["task"] == task]
    shown = dict.fromkeys(_key(entry, factors) for entry in entries if not entry.get("same_as"))
    resolved = {cell: row for row, cell in enumerate(shown)}
    for entry in entries:
        if twin := entry.get("same_as"):
            row = resolved.get(_key({**entry, **twin}, factors))
            if row is not None:
                resolved[_key(entry, factors)] = row
    return tuple(shown), resolved


def _key(entry: dict[str, Any], factors: Iterable[str]) -> tuple[str, ...]:
    return tuple([entry[factor] for factor in factors])  # a list is faster than a generator


def trials_at(results: StudyResults, task: str, stage: str) -> pd.DataFrame:
    """Every trial expected at one stage: `trial`, `cell` (its row), `seed`, and its CSV columns.

    A trial without a row in the CSV has status "missing".
    """
    factors = levels_of(results)
    rows_of = {cell: row for row, cell in enumerate(cells_of(results, task)[0])}
    trials = [t for t in results.study["trials"] if t["task"] == task and t["stage"] == stage]
    asked = pd.DataFrame(
        {
            "trial": [trial["trial"] for trial in trials],
            "cell": np.array([rows_of.get(_key(t, factors), -1) for t in trials], int),
            "seed": np.array([trial["seed"] for trial in trials], int),
            "planned_rate": np.array([trial.get("learning_rate") for trial in trials], float),
        }
    )
    asked = asked[asked["cell"] >= 0].sort_values(["cell", "seed"], kind="stable")
    came = results.trials[results.trials["task"] == task].set_index("trial")
    came = came.drop(columns=["seed", "task", "stage", *levels_of(results)])
    rows = pd.concat(
        [asked.reset_index(drop=True), came.reindex(asked["trial"]).reset_index(drop=True)], axis=1
    )
    rows["status"] = rows["status"].astype(object).where(rows["status"].notna(), "missing")
    rows["learning_rate"] = rows["learning_rate"].fillna(rows["planned_rate"])
    return rows.drop(columns="planned_rate")


def scored(rows: pd.DataFrame, task: dict[str, Any], response: str) -> Floats:
    """The response of each trial; METHODS S11 decides what a diverged one is worth.

    That is the worse of the constant predictor and the worst finished trial of the task. A
    response that is infinite has diverged too. Trials that failed or are missing have none.
    """
    if response not in rows:
        raise ValueError(f"unknown response {response!r} of task {task['name']!r}")
    values = rows[response].to_numpy(float)
    status = rows["status"].to_numpy(object)
    finished = (status == "finished") & np.isfinite(values)
    diverged = (status == "diverged") | ((status == "finished") & np.isinf(values))
    candidates = [*values[finished].tolist(), *constant_predictor(task, response)]
    worst = np.nan
    if candidates:
        worst = max(candidates) if lower_is_better(response) else min(candidates)
    return np.where(finished, values, np.where(diverged, worst, np.nan))


def lower_is_better(response: str) -> bool:
    """Whether less of this response is better, as of a loss."""
    return not scale_of(response).higher_is_better


def constant_predictor(task: dict[str, Any], response: str) -> list[float]:
    """The score of always answering the same: chance, an r2 of 0; nothing known for a loss."""
    if response.endswith("_r2"):
        return [0.0]
    if response.endswith("_accuracy") and task.get("chance") is not None:
        return [float(task["chance"])]
    return []


def grid_of(results: StudyResults, task: str, response: str = "") -> Grid:
    """The final trials of one task as an array, of the task's own response unless one is named."""
    rows = trials_at(results, task, "final")
    cells, resolved = cells_of(results, task)
    factors = levels_of(results)
    _, column = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    shape = (len(cells), int(column.max(initial=-1)) + 1)
    scores = np.full(shape, np.nan)
    statuses = np.full(shape, "", dtype=object)
    where = rows["cell"].to_numpy(), column
    entry = task_of(results, task)
    scores[where] = scored(rows, entry, response or entry["response"])
    overflown = np.isinf(rows[response or entry["response"]].to_numpy(float))
    statuses[where] = rows["status"].mask(overflown, "diverged").to_numpy(object)
    first = {name: levels[0] for name, levels in factors.items()}
    baseline = _key({**first, **results.study["baseline"]}, factors)
    for axis, (name, levels) in enumerate(factors.items()):
        present = {cell[axis] for cell in resolved}  # no label smoothing in a regression
        factors[name] = tuple(level for level in levels if level in present)
    return Grid(factors, cells, resolved, baseline, scores, statuses.astype(str))


def named_cells(results: StudyResults, task: str) -> pd.DataFrame:
    """Label and levels of every cell shown, in study order."""
    factors = levels_of(results)
    cells, _ = cells_of(results, task)
    frame = pd.DataFrame(list(cells), columns=list(factors), dtype="str")
    labels = [cell_label(dict(zip(factors, cell, strict=True))) for cell in cells]
    frame.insert(0, "label", pd.Series(labels, dtype="str"))
    return frame
