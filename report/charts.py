"""What the charts of the page can show: the mean of every cell, and its learning curves.

Every mean is over the final trials of a cell with a 95% t interval, as in the tables. Of many
cells a stated choice is kept, and of many evaluations some spread evenly, so that a page of
100,000 trials stays small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from report import estimates
from report.curves import learning_curves
from report.grids import Grid, grid_of, scored, trials_at
from report.interactive import (
    cell_names,
    factors_of,
    levels_in,
    rounded,
    sampled_rows,
    shown,
    thinned,
)
from report.numbers import decimals, scale_of
from report.schema import MEASURES
from report.tables import StudyResults

MOST_CELLS: Final = 150  # of one study and task
MOST_NUMBERS: Final = 90_000  # in all learning curves of the page
FEWEST_MOMENTS: Final = 6
_PARTS: Final = ("test", "val", "train")


def explore_data(studies: Sequence[StudyResults]) -> dict[str, Any]:
    """Every study and task with its cells, responses and learning curves, ready for JSON."""
    views = [
        (study, task, grid_of(study, task["name"]))
        for study in studies
        for task in study.study["tasks"]
    ]
    chosen = [_rows(grid) for _, _, grid in views]
    cells = sum(map(len, chosen))
    moments = max(FEWEST_MOMENTS, MOST_NUMBERS // max(1, 6 * cells))
    entries: dict[int, dict[str, Any]] = {}
    for (study, task, grid), rows in zip(views, chosen, strict=True):
        entry = entries.setdefault(id(study), _study(study))
        told = _task(study, task, grid, rows, moments)
        if told["responses"]:
            entry["tasks"].append(told)
    return {"studies": [entry for entry in entries.values() if entry["tasks"]]}


def _study(study: StudyResults) -> dict[str, Any]:
    name, question = study.study["name"], study.study.get("question", "")
    return {"name": shown(name), "question": shown(question), "tasks": []}


def _rows(grid: Grid) -> list[int]:
    return sampled_rows(grid, list(estimates.t_interval(grid.scores)[0]), MOST_CELLS)


def _task(
    study: StudyResults, task: Mapping[str, Any], grid: Grid, rows: Sequence[int], moments: int
) -> dict[str, Any]:
    """One study on one task."""
    names = cell_names(grid)
    kind = str(task["response"]).partition("_")[2]
    columns = [str(task["response"]), *(f"{p}_{k}" for k in (kind, "loss") for p in _PARTS)]
    columns += MEASURES
    finals = trials_at(study, str(task["name"]), "final")
    responses = [_response(finals, task, column, rows) for column in _once(columns)]
    return {
        "name": shown(task["name"]),
        "factors": factors_of(grid),
        "cells": [
            {"label": names[row][0], "brief": names[row][1], "levels": levels_in(grid, row)}
            for row in rows
        ],
        "baseline": rows.index(grid.baseline_row) if grid.baseline_row in rows else -1,
        "all_cells": len(grid.cells),
        "responses": [found for found in responses if found],
        "curves": _curves(study, task, grid, rows, moments),
    }


def _once(columns: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(columns))


def _response(
    finals: pd.DataFrame, task: Mapping[str, Any], column: str, rows: Sequence[int]
) -> dict[str, Any] | None:
    """Mean, 95% t interval and n of each cell in one column of trials.csv; None where empty.

    Args:
        finals: the final trials asked for, as `grids.trials_at` gives them.
    """
    if column not in finals or finals[column].isna().all():
        return None
    scale = scale_of(column)
    _, seeds = np.unique(finals["seed"].to_numpy(), return_inverse=True)
    scores = np.full((int(finals["cell"].max()) + 1, int(seeds.max()) + 1), np.nan)
    scores[finals["cell"].to_numpy(), seeds] = scored(finals, dict(task), column) * scale.factor
    value, low, high, n = estimates.t_interval(scores[list(rows)])
    if not np.isfinite(value).any():
        return None
    return {
        "column": column,
        "name": scale.axis,
        "unit": scale.unit,
        "higher": scale.higher_is_better,
        "digits": decimals(list((high - low) / 2), scale.most_decimals),
        **{"value": rounded(value), "low": rounded(low), "high": rounded(high)},
        "n": [int(count) for count in n],
    }


def _curves(
    study: StudyResults, task: Mapping[str, Any], grid: Grid, rows: Sequence[int], moments: int
) -> list[dict[str, Any]]:
    """Mean learning curves of the cells in each column, with a band for the first of them."""
    finals = trials_at(study, str(task["name"]), "final")
    own = finals.loc[finals["cell"].isin(list(rows)), "trial"]
    few = replace(study, curves=study.curves[study.curves["trial"].isin(own)])
    place = {label: row for row, label in enumerate(grid.labels)}
    kind = str(task["response"]).partition("_")[2]
    found: list[dict[str, Any]] = []
    for column in _once([f"{part}_{k}" for k in (kind, "loss") for part in ("val", "train")]):
        if column not in few.curves or few.curves[column].isna().all():
            continue
        frame = learning_curves(few, str(task["name"]), column)
        frame = frame[np.isfinite(frame["value"])]
        frame = frame.assign(cell=frame["label"].map(place))
        if not frame.empty:
            found.append(_curve(frame, column, rows, moments, banded=not found))
    return found


def _curve(
    frame: pd.DataFrame, column: str, rows: Sequence[int], moments: int, *, banded: bool
) -> dict[str, Any]:
    scale = scale_of(column)
    steps = thinned([int(step) for step in frame["step"].unique()], moments)
    told: dict[str, Any] = {"column": column, "name": scale.axis, "unit": scale.unit}
    told |= {"digits": min(scale.most_decimals, 3), "steps": steps}
    for name in ("value", "low", "high") if banded else ("value",):
        wide = frame.pivot_table(index="cell", columns="step", values=name, dropna=False)
        lines = wide.reindex(index=list(rows), columns=steps).to_numpy(float) * scale.factor
        told[name] = [rounded(line, 4) for line in lines]
    return told
