"""What would run, what is done, and how long the rest will take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sklearn.linear_model import LinearRegression
from tabulate import tabulate

from ablations.costs import TABLE, predicted_seconds, work
from ablations.design import DesignError, Study, trained_cells, trials_of
from ablations.records import is_done, write_atomically
from ablations.running import Found, chosen_rate, decided_stacks, find
from ablations.stacking import Stack, final_stacks, tuning_stack

START_SECONDS = 4.0  # until the worker processes have imported torch


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One study on one task."""

    study: str
    task: str
    cells: int
    trials: int
    done: int
    seconds: float  # of one worker, for what is not done


def plan(studies: Sequence[Study], results: Path, device: str) -> list[PlanRow]:
    """A row per study and task."""
    found = find(studies, results, device)
    rows = []
    for study in studies:
        trials = list(trials_of(study))
        stacks = _all_stacks(found, study)
        each = found[study.name]
        for task in study.tasks:
            mine = [stack for stack in stacks if stack.task.name == task.name]
            done = [stack for stack in mine if is_done(each.read(stack))]
            missing = [stack for stack in mine if not is_done(each.read(stack))]
            rows.append(
                PlanRow(
                    study.name,
                    task.name,
                    len(trained_cells(study, task)),
                    sum(trial.cell.task == task.name for trial in trials),
                    sum(len(stack.members) for stack in done),
                    round(sum(predicted_seconds(stack) for stack in missing), 3),
                )
            )
    return rows


def _all_stacks(found: dict[str, Found], study: Study) -> list[Stack]:
    """Every stack, those whose rate is not yet known at any rate: it does not change the cost."""
    stacks = []
    for task in study.tasks:
        for cell in trained_cells(study, task):
            tuning = tuning_stack(study, task, cell)
            if tuning is not None:
                stacks.append(tuning)
            rate = chosen_rate(study, cell, found)
            stacks += final_stacks(study, task, cell, rate if rate is not None else 0.01)
    return stacks


def render_text(rows: Sequence[PlanRow], workers: int) -> str:
    """The plan as a table, with the time all workers together will need."""
    table = [
        (row.study, row.task, row.cells, row.trials, row.done, show_seconds(row.seconds / workers))
        for row in rows
    ]
    headers = ("study", "task", "cells", "trials", "done", "time left")
    trials, done = sum(row.trials for row in rows), sum(row.done for row in rows)
    left = wall_seconds(rows, workers)
    end = f"{trials:,} trials, {done:,} done" + (
        f"; about {show_seconds(left)} to train with {workers} workers"
        if left
        else "; nothing to do"
    )
    return f"{tabulate(table, headers, tablefmt='simple')}\n\n{end}"


def wall_seconds(rows: Sequence[PlanRow], workers: int) -> float:
    """Predicted time on the clock; 0 when nothing is missing."""
    work_left = sum(row.seconds for row in rows)
    return work_left / workers + START_SECONDS if work_left else 0.0


def render_json(rows: Sequence[PlanRow], workers: int) -> str:
    """The plan for programs."""
    return json.dumps(
        {
            "rows": [asdict(row) for row in rows],
            "workers": workers,
            "seconds": round(wall_seconds(rows, workers), 3),
        },
        indent=1,
    )


def show_seconds(seconds: float) -> str:
    """Two digits are as much as a prediction supports."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 100:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 1 or not seconds else "< 1 s"


def fit_costs(studies: Sequence[Study], results: Path, device: str) -> str:
    """Fit prices to the measured seconds of finished stacks and write the table.

    Non-negative least squares, each stack weighted by one over its seconds: long stacks do
    not drown short ones, and the total is met.
    """
    found = find(studies, results, device)
    works, seconds = [], []
    for study in studies:
        for stack in decided_stacks(found, study):
            payload = found[study.name].read(stack)
            if payload is not None and payload["clock"]["way"] == "stacked":
                works.append(work(stack))
                seconds.append(payload["clock"]["seconds"])
    if not seconds:
        raise DesignError(f"{results} holds no records of these studies; run them first")
    names = sorted({name for amounts in works for name in amounts})
    amounts = np.array([[each.get(name, 0.0) for name in names] for each in works])
    measured = np.array(seconds)
    model = LinearRegression(positive=True, fit_intercept=False)
    scale = amounts.max(axis=0)
    model.fit(amounts / scale, measured, sample_weight=1 / measured)
    prices = {name: float(p) for name, p in zip(names, model.coef_ / scale, strict=True) if p > 0}
    table = {
        "about": "seconds per unit of work (ablations/costs.py), fitted by `ablations costs`",
        "measured": datetime.now(UTC).date().isoformat(),
        "stacks": len(measured),
        "seconds": prices,
    }
    write_atomically(TABLE, json.dumps(table, indent=1) + "\n")
    ratio = amounts @ np.array([prices.get(name, 0.0) for name in names]) / measured
    low, high = np.quantile(ratio, [0.05, 0.95])
    total = (ratio * measured).sum() / measured.sum()
    return (
        f"{TABLE.name}: {len(measured)} stacks, predicted over measured {total:.2f} in all, "
        f"{low:.2f} to {high:.2f} for nine in ten"
    )
