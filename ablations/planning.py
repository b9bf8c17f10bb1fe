"""What would run, what is done, and how long the rest will take."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LinearRegression
from tabulate import tabulate

from ablations.costs import TABLE, passes_alone, predicted_seconds, values_of, work
from ablations.design import Cell, DesignError, Study, TaskSpec, trained_cells
from ablations.records import DONE, is_done, record_path, write_atomically
from ablations.running import (
    Found,
    at_their_looks,
    chosen_rate,
    decided_stacks,
    find,
    render_outdated,
)
from ablations.stacking import Stack, final_stacks, tuning_stack
from ablations.standing import render_looks, render_standing, waiting
from ablations.tasks import TaskError, checksum

START_SECONDS = 4.0  # until the worker processes have imported torch
VALUE_SECONDS = 4e-8  # to read one number of a data set, here and in each worker
ROW_SECONDS = 4e-5  # to put one row of curves.csv into its record and its table

FITS = 20  # rounds of a fit; it settles in less than ten
ALL = "all"

FloatArray = npt.NDArray[np.float64]
Chain = tuple[float, tuple[float, ...]]  # seconds of one stack, and of those that wait for it


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One study on one task."""

    study: str
    task: str
    cells: int
    trials: int
    done: int
    failed: int
    waiting: int  # final trials whose rate a failed tuning trial leaves open
    seconds: float  # of one worker, for what is not done


@dataclass(frozen=True, slots=True)
class Plan:
    """What is there and what is not.

    Attributes:
        chains: stacks that are missing, in the order in which they are started.
        overhead: seconds until the first stack starts and after the last one has ended.
        notes: what failed and why, a line each.
        most: what would be missing with all the seeds that sequential studies may come to.
    """

    rows: tuple[PlanRow, ...]
    chains: tuple[Chain, ...]
    overhead: float
    notes: tuple[str, ...]
    most: tuple[Chain, ...] = ()

    def wall_seconds(self, workers: int) -> float:
        """Predicted time on the clock; 0 when nothing is missing."""
        if not self.chains:
            return 0.0
        return self.overhead + makespan(self.chains, workers)

    def most_seconds(self, workers: int) -> float:
        """The same if no sequential study stops before its maximum."""
        if not self.most:
            return self.wall_seconds(workers)
        return max(self.overhead, START_SECONDS) + makespan(self.most, workers)


def plan(studies: Sequence[Study], results: Path, device: str) -> Plan:
    """A row per study and task, and how long the rest will take."""
    found = find(studies, results, device)
    studies = at_their_looks(found, studies)
    pairs = [_row(found, study, task) for study in studies for task in study.tasks]
    left = [cell for _, cells in pairs for cell in cells]
    largest = [replace(study, seeds=study.most_seeds) for study in studies]
    most = [_row(found, study, task)[1] for study in largest for task in study.tasks]
    notes = (
        *render_outdated(found, studies),
        *render_looks(found, studies),
        *render_standing(found, studies),
    )
    return Plan(
        rows=tuple(row for row, _ in pairs),
        chains=_all_chains(left),
        overhead=_overhead(left),
        notes=notes,
        most=_all_chains([cell for cells in most for cell in cells]) if largest != studies else (),
    )


def _overhead(missing: Sequence[Sequence[Stack]]) -> float:
    """Seconds to start, to read the data sets, and to write the learning curves."""
    every = [stack for each in missing for stack in each]
    tasks = {stack.task.name: stack.task for stack in every if not stack.task.kind.generated}
    values = sum(values_of(task) for task in tasks.values())
    curves = sum(len(stack.members) * (stack.evaluations + 1) for stack in every)
    return START_SECONDS + VALUE_SECONDS * values + ROW_SECONDS * curves


def _cell_stacks(found: Mapping[str, Found], study: Study, cell: Cell) -> list[Stack]:
    """A cell's stacks, tuning first; while the rate is not known, any: it costs the same."""
    task = study.task(cell.task)
    tuning, rate = tuning_stack(study, task, cell), chosen_rate(study, cell, found)
    final = final_stacks(study, task, cell, rate if rate is not None else 0.01)
    return [*([] if tuning is None else [tuning]), *final]


def _row(
    found: Mapping[str, Found], study: Study, task: TaskSpec
) -> tuple[PlanRow, list[list[Stack]]]:
    """One study on one task, and by cell what has to be trained of its stacks."""
    mine = found[study.name]
    stacks = [_cell_stacks(found, study, cell) for cell in trained_cells(study, task)]
    every = [stack for each in stacks for stack in each]
    missing = [
        [_without_kept(mine, stack) for stack in each if not is_done(mine.read(stack))]
        for each in stacks
    ]
    ended = [row["status"] for s in every if (p := mine.read(s)) for row in p["outcome"]["rows"]]
    row = PlanRow(
        study=study.name,
        task=task.name,
        cells=len(stacks),
        trials=sum(len(stack.members) for stack in every),
        done=sum(len(stack.members) for stack in every if is_done(mine.read(stack))),
        failed=sum(status not in DONE for status in ended),
        waiting=waiting(found, study, task),
        seconds=round(sum(_seconds(stack) for each in missing for stack in each), 3),
    )
    return row, missing


def _without_kept(found: Found, stack: Stack) -> Stack:
    """A stack without the trials that a shorter or longer block has."""
    return replace(stack, members=stack.members[len(found.kept(stack).rows) :])


def _seconds(stack: Stack) -> float:
    return predicted_seconds(stack) if stack.members else 0.0


def _shares(stack: Stack) -> int:
    """In how many jobs its trials are trained."""
    return len(stack.members) if stack.members and passes_alone(stack) else 1


def _all_chains(missing: Sequence[Sequence[Stack]]) -> tuple[Chain, ...]:
    return tuple(chain for each in missing for chain in _chains(each))


def _chains(missing: Sequence[Stack]) -> list[Chain]:
    """What can start at once, with what has to wait for it: final stacks for their tuning."""
    seconds = [_seconds(stack) for stack in missing]
    if missing and missing[0].stage == "final":
        return [
            (each / n, ())
            for each, stack in zip(seconds, missing, strict=True)
            for n in [_shares(stack)]
            for _ in range(n)
        ]
    if missing and missing[0].stage == "tuning":
        return [(seconds[0], tuple(seconds[1:]))]
    return [(each, ()) for each in seconds]


def makespan(chains: Sequence[Chain], workers: int) -> float:
    """Seconds until the last of some stacks is done, each worker taking the next that can start.

    More than their sum over the workers: in the end some have nothing left to do.
    """
    queue, working, now = deque(chains), list[tuple[float, int, tuple[float, ...]]](), 0.0
    started = count()  # ends equal times in the order of the start
    while queue or working:
        while queue and len(working) < workers:
            seconds, then = queue.popleft()
            heappush(working, (now + seconds, next(started), then))
        now, _, then = heappop(working)
        queue.extend((seconds, ()) for seconds in then)
    return now


def render_text(found: Plan, workers: int) -> str:
    """The plan as a table, with the time all workers together will need, and what failed."""
    table = [
        (row.study, row.task, row.cells, row.trials, row.done, show_seconds(row.seconds / workers))
        for row in found.rows
    ]
    headers = ("study", "task", "cells", "trials", "done", "time left")
    trials, done = sum(row.trials for row in found.rows), sum(row.done for row in found.rows)
    left, most = found.wall_seconds(workers), found.most_seconds(workers)
    end = f"{trials:,} trials, {done:,} done" + (
        f"; about {show_seconds(left)} to train with {workers} workers"
        if left
        else "; nothing to do"
    )
    if most > left > 0:
        end += f", at most {show_seconds(most)} with all seeds"
    return "\n".join([tabulate(table, headers, tablefmt="simple"), "", *found.notes, end])


def render_json(found: Plan, workers: int) -> str:
    """The plan for programs."""
    return json.dumps(
        {
            "rows": [asdict(row) for row in found.rows],
            "notes": found.notes,
            "workers": workers,
            "seconds": round(found.wall_seconds(workers), 3),
            "most_seconds": round(found.most_seconds(workers), 3),
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


def with_data(studies: Sequence[Study]) -> list[Study]:
    """The studies whose data can be had; says of the others why they are left out."""
    kept = []
    for study in studies:
        try:
            for task in study.tasks:
                checksum(task)
        except TaskError as error:
            print(f"study {study.name!r} is left out: {error}", file=sys.stderr)
        else:
            kept.append(study)
    return kept


@dataclass(frozen=True, slots=True)
class _Measured:
    """A stack that was trained, and what it took."""

    study: str
    stack: Stack
    seconds: float
    worker: int
    ended: int  # when its record was written
    source: str  # the data set that its worker had to read first; empty for generated data


WAYS = {"compiled", "stacked"}  # of training, that `work` knows


def _measured(mine: Found, found: Mapping[str, Found]) -> Iterator[_Measured]:
    for stack in decided_stacks(found, mine.study):
        payload = mine.read(stack)
        if payload is None or payload["clock"]["way"] not in WAYS or "kept" in payload["clock"]:
            continue
        clock, name = payload["clock"], stack.task.name
        yield _Measured(
            mine.study.name,
            stack,
            clock["seconds"],
            clock["worker"],
            record_path(mine.folder, mine.key(stack)).stat().st_mtime_ns,
            "" if stack.task.kind.generated else name,
        )


def fit_costs(studies: Sequence[Study], results: Path, device: str) -> str:
    """Fit prices to the measured seconds of finished stacks and write the table.

    Returns:
        How well the table predicts what it was fitted to, a line per study.
    """
    found = find(studies, results, device)
    measured = [each for study in studies for each in _measured(found[study.name], found)]
    ended: dict[tuple[int, str], int] = {}  # first stack of each worker on each data set
    for each in measured:
        first = each.worker, each.source
        ended[first] = min(each.ended, ended.get(first, each.ended))
    kept = [m for m in measured if not m.source or m.ended > ended[m.worker, m.source]]
    names, works, seconds = (
        [m.study for m in kept], [work(m.stack) for m in kept], [m.seconds for m in kept]
    )  # fmt: skip
    if not seconds:
        raise DesignError(f"{results} holds no records of these studies; run them first")
    prices = fit_prices(works, np.array(seconds))
    table = {
        "about": "seconds per unit of work (ablations/costs.py), fitted by `ablations costs`",
        "measured": datetime.now(UTC).date().isoformat(),
        "stacks": len(seconds),
        "seconds": prices,
    }
    write_atomically(TABLE, json.dumps(table, indent=1) + "\n")
    return _fit_text(names, works, np.array(seconds), prices)


def fit_prices(works: Sequence[Mapping[str, float]], measured: FloatArray) -> dict[str, float]:
    """Prices of at least 0 that predict the measured seconds of some stacks.

    Least squares, repeated with weights 1 / (predicted measured): half and double the time
    count the same, whatever the size of a stack.
    """
    names = sorted({name for amounts in works for name in amounts})
    amounts = np.array([[each.get(name, 0.0) for name in names] for each in works])
    scale = amounts.max(axis=0)
    scale[scale == 0] = 1.0
    model = LinearRegression(positive=True, fit_intercept=False)
    predicted = measured
    for _ in range(FITS):
        model.fit(amounts / scale, measured, sample_weight=1 / (predicted * measured))
        predicted = np.maximum(model.predict(amounts / scale), measured.min() / 10)
    return {name: float(p) for name, p in zip(names, model.coef_ / scale, strict=True) if p > 0}


def _fit_text(
    studies: Sequence[str],
    works: Sequence[Mapping[str, float]],
    measured: FloatArray,
    prices: Mapping[str, float],
) -> str:
    predicted = np.array([sum(prices.get(n, 0.0) * a for n, a in w.items()) for w in works])
    lines = []
    for study in dict.fromkeys([*studies, ALL]):
        mine = np.array([study in {name, ALL} for name in studies])
        low, high = np.quantile(predicted[mine] / measured[mine], [0.05, 0.95])
        total = predicted[mine].sum() / measured[mine].sum()
        lines.append((study, int(mine.sum()), measured[mine].sum(), total, low, high))
    headers = ("study", "stacks", "seconds", "predicted/measured", "5%", "95% of stacks")
    formats = ("", "", ".1f", ".2f", ".2f", ".2f")
    return f"{TABLE.name} is written\n\n{tabulate(lines, headers, floatfmt=formats)}"
