"""One study over all its tasks: scores made comparable, pooled, ranked, and times to a target.

A normalised score is z = (y - chance) / (reference - chance): 0 for the constant predictor, 1 for
the reference, which is fixed and never the best of those compared: an accuracy or an R² of 1. A
response without both, a loss, has no normalised score, and its task is left out (METHODS S10).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from report import estimates, profiles, ranks
from report.bargains import target_of
from report.curves import reached_steps
from report.estimates import Floats
from report.grids import cell_label, cells_of, constant_predictor, grid_of
from report.resampling import interquartile_mean
from report.tables import StudyResults

REFERENCE: Final = 1.0  # of accuracies and of R²: no error at all
BOOT_SEED: Final = 11  # of the bootstrap, so that a report can be made again to the last digit


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pool:
    """The cells that two or more tasks of a study have in common, with normalised scores."""

    tasks: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]  # one level per factor of the study
    labels: tuple[str, ...]  # of the cells
    strata: tuple[Floats, ...]  # normalised scores of each task, (cells, S)
    baseline: int  # its row, -1 for none
    left_out: tuple[str, ...] = ()  # tasks whose response is a loss
    absent: tuple[str, ...] = ()  # cells that some task lacks, or of which one has no score

    @property
    def means(self) -> Floats:
        """Mean normalised score of every cell on every task, (N, cells)."""
        return np.array([estimates.moments(part)[1] for part in self.strata])


def normalised(scores: Floats, task: dict[str, Any]) -> Floats | None:
    """Scores of a task's response as z, or None where its response has no reference.

    Args:
        scores: of the task's response, any shape.
        task: its entry of study.json.
    """
    response = str(task["response"])
    chance = constant_predictor(task, response)
    if not response.endswith(("_accuracy", "_r2")) or not chance or chance[0] >= REFERENCE:
        return None
    return (scores - chance[0]) / (REFERENCE - chance[0])


def pool_of(results: StudyResults) -> Pool | None:
    """The scores of every cell that all comparable tasks have; None below two tasks or cells."""
    found, left_out = [], []
    for task in results.study["tasks"]:
        grid = grid_of(results, task["name"])
        z = normalised(grid.scores, task)
        if z is None:
            left_out.append(str(task["name"]))
        elif np.isfinite(z).any():
            found.append((str(task["name"]), grid, z))
    if len(found) < 2:
        return None
    first = found[0][1]
    every = dict.fromkeys(cell for _, grid, _ in found for cell in grid.resolved)
    own = [cell for cell in every if all(cell in grid.resolved for _, grid, _ in found)]
    rows = {cell: tuple(grid.resolved[cell] for _, grid, _ in found) for cell in own}
    shown: dict[tuple[int, ...], tuple[str, ...]] = {}  # cells that are one network everywhere
    for cell, where in rows.items():
        scored = all(np.isfinite(z[row]).any() for (_, _, z), row in zip(found, where, strict=True))
        if scored and cell in first.cells:
            shown.setdefault(where, cell)
    if len(shown) < 2:
        return None
    labels = [_label(first.factors, cell) for cell in shown.values()]
    known = set(labels)
    missing = [_label(first.factors, c) for c in every if rows.get(c) not in shown]
    base = first.baseline
    return Pool(
        tasks=tuple(name for name, _, _ in found),
        cells=tuple(shown.values()),
        labels=tuple(labels),
        strata=tuple(z[[where[i] for where in shown]] for i, (_, _, z) in enumerate(found)),
        baseline=list(shown).index(rows[base]) if rows.get(base) in shown else -1,
        left_out=tuple(left_out),
        absent=tuple(dict.fromkeys(label for label in missing if label not in known)),
    )


def _label(factors: dict[str, tuple[str, ...]], cell: tuple[str, ...]) -> str:
    return cell_label(dict(zip(factors, cell, strict=True)))


def summary(pool: Pool) -> pd.DataFrame:
    """Every cell over all tasks, best interquartile mean first.

    `label`, `value` (interquartile mean of the normalised scores), `low`, `high` (95% bootstrap,
    seeds resampled within each task; NaN below 30 scores), `n` (scores), `rank` (mean over tasks,
    1 is best), `rank_low`, `rank_high` (least and largest without one of the tasks; NaN for two
    tasks), `is_baseline`, `row`.
    """
    table = ranks.ranks_of(pool.means)
    without = ranks.leave_one_out(table)
    if len(pool.tasks) < 3:
        without = np.full_like(without, np.nan)
    rows = []
    for row, label in enumerate(pool.labels):
        strata = [part[row] for part in pool.strata]
        middle = interquartile_mean(strata, rng=np.random.default_rng(BOOT_SEED))
        rows.append((label, middle.value, middle.low, middle.high, middle.n, row))
    frame = pd.DataFrame(rows, columns=["label", "value", "low", "high", "n", "row"]).assign(
        rank=table.mean(axis=0),
        rank_low=without.min(axis=0),
        rank_high=without.max(axis=0),
        is_baseline=[row == pool.baseline for row in range(len(pool.labels))],
    )
    return frame.sort_values("value", ascending=False, kind="stable").reset_index(drop=True)


def leaders(pool: Pool) -> dict[str, tuple[str, ...]]:
    """Who has the best mean rank over all tasks (under ""), and without each of three or more."""
    table = ranks.ranks_of(pool.means)
    orders = {"": table.mean(axis=0)}
    if len(pool.tasks) > 2:
        orders |= dict(zip(pool.tasks, ranks.leave_one_out(table), strict=True))
    return {
        left_out: tuple(
            label for label, mean in zip(pool.labels, order, strict=True) if mean == order.min()
        )
        for left_out, order in orders.items()
    }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Race:
    """Steps to the target of each task, as multiples of the fastest cell's median."""

    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    ratios: tuple[Floats, ...]  # (cells, S) each, infinite where the target was not reached
    reached: Floats  # (cells,) share of trials, averaged over tasks


def race_of(results: StudyResults, pool: Pool) -> Race | None:
    """The race to nine tenths of the baseline's way on validation data; None without curves.

    A task counts if its target is known and at least one cell's median trial reaches it.
    """
    names, steps = [], []
    for task in pool.tasks:
        target = target_of(results, task)
        if target is None:
            continue
        own = reached_steps(results, task, target)
        row_of = cells_of(results, task)[1]
        rows = [own[row_of[cell]] for cell in pool.cells]
        width = max(len(row) for row in rows)
        part = np.full((len(rows), width), np.nan)
        for i, row in enumerate(rows):
            part[i, : len(row)] = row
        if profiles.target_ratios([part]) and not np.isnan(part).all(axis=1).any():
            names.append(task)
            steps.append(part)
    if not names:
        return None
    reached = [np.isfinite(part).sum(axis=1) / (~np.isnan(part)).sum(axis=1) for part in steps]
    return Race(
        tasks=tuple(names),
        labels=pool.labels,
        ratios=tuple(profiles.target_ratios(steps)),
        reached=np.mean(reached, axis=0),
    )
