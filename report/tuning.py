"""Whether the comparison was fair: what tuning bought, and optimizers worse than what they contain.

Both read one study and one task. A ranking of optimizers is one of tuning protocols (Choi et al.
2019): these are the numbers that say how much of it the protocol made.
"""

from typing import Any, Final

import numpy as np
import pandas as pd

from report.effects import LOWERS, RAISES, study_contrasts
from report.estimates import Floats
from report.frames import records
from report.grids import (
    cell_label,
    constant_predictor,
    grid_of,
    lower_is_better,
    named_cells,
    scored,
    task_of,
    trials_at,
)
from report.tables import StudyResults

# What an update rule can be set to be, by its momentum, its epsilon or its weight decay; after Choi
# et al. 2019, section 3, and AdamW as Adam with a decay of its own.
CONTAINS: Final = {
    "momentum": ("sgd",),
    "nesterov": ("sgd",),
    "rmsprop": ("sgd",),
    "adam": ("momentum", "sgd"),
    "adamw": ("adam", "momentum", "sgd"),
    "nadam": ("nesterov", "sgd"),
}


def expected_best(values: Floats, *, lower: bool = False) -> Floats:
    """The expected best of b values drawn with replacement, b = 1 to B; shape (..., B) to (..., B).

    sum over i of v_(i) [(i/B)^b - ((i-1)/B)^b], v_(B) the best (Dodge et al. 2019). NaN where a
    value is.

    Args:
        values: one per hyperparameter tried, on the last axis.
        lower: whether less is better.
    """
    values = np.asarray(values, float)
    tried = values.shape[-1]
    ordered = -np.sort(-values, axis=-1) if lower else np.sort(values, axis=-1)
    steps = np.arange(tried + 1) / max(tried, 1)
    budgets = np.arange(1, tried + 1)[:, None]
    weights = np.diff(steps**budgets, axis=1)  # (b, i)
    best: Floats = ordered @ weights.T
    return np.where(np.isnan(values).any(axis=-1, keepdims=True), np.nan, best)


def tuning_response(task: dict[str, Any]) -> str:
    """The column of tuning trials that goes with a task's response."""
    return "val_" + str(task["response"]).partition("_")[2]


def best_of_rates(results: StudyResults, task: str) -> pd.DataFrame:
    """What each cell is expected to reach with the best of b of its rates, from the tuning stage.

    A rate is worth its mean over the tuning seeds, a diverged trial the worst of the task and
    nothing less than the constant predictor. `label`, the factors, `budget`, `value`, `n` (tuning
    seeds). Cells of which a trial failed or is missing are left out; without tuning no rows.
    """
    entry = task_of(results, task)
    response = tuning_response(entry)
    rows = trials_at(results, task, "tuning")
    scores = scored(rows, entry, response)
    floor = constant_predictor(entry, response)
    scores = np.maximum(scores, floor[0]) if floor else scores
    named = records(named_cells(results, task))
    found: list[dict[str, Any]] = []
    frame = rows[["cell", "learning_rate"]].assign(score=scores)
    for cell, own in frame.groupby("cell"):
        rates = own.groupby("learning_rate")["score"]
        means = rates.mean().where(rates.count() == rates.size()).to_numpy(float)
        if len(means) < 2 or np.isnan(means).any():
            continue
        best = expected_best(means, lower=lower_is_better(response))
        n = int(rates.size().min())
        found += [
            {**named[int(str(cell))], "budget": b, "value": value, "n": n}
            for b, value in enumerate(best.tolist(), 1)
        ]
    columns = [*named_cells(results, task).columns, "budget", "value", "n"]
    return pd.DataFrame(found, columns=columns)


def inclusions(results: StudyResults, task: str) -> pd.DataFrame:
    """Every optimizer against each that it contains, all other factors alike: one family.

    Columns as in `effects.contrasts`, with `general`, `special`, `at` (the other levels) and
    `violation`: the general one is worse beyond its interval, so its settings, not its rule, were
    measured (METHODS S2). No rows where the study has no such pair.
    """
    grid = grid_of(results, task)
    factors = list(grid.factors)
    names, pairs = [], []
    if "optimizer" in factors:
        place = factors.index("optimizer")
        for cell, row in grid.resolved.items():
            for special, other in grid.resolved.items():
                rest = cell[:place] + cell[place + 1 :] == special[:place] + special[place + 1 :]
                if rest and _bare(special[place]) in CONTAINS.get(_bare(cell[place]), ()):
                    others = zip(factors, cell, strict=True)
                    at = cell_label({f: level for f, level in others if f != "optimizer"})
                    names.append((f"{cell[place]} over {special[place]}", cell[place], at))
                    pairs.append((special[place], row, other))
    named = pd.DataFrame(names, columns=["label", "general", "at"], dtype="str")
    treated = grid.scores[np.array([general for _, general, _ in pairs], int)]
    control = grid.scores[np.array([special for _, _, special in pairs], int)]
    frame = study_contrasts(results, named, treated, control)
    worse = RAISES if lower_is_better(str(task_of(results, task)["response"])) else LOWERS
    return frame.assign(
        special=pd.Series([special for special, _, _ in pairs], dtype="str"),
        violation=frame["word"] == worse,
    )


def _bare(level: str) -> str:
    return level.partition("(")[0]
