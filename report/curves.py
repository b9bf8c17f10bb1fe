"""Learning rates and learning curves of one study and one task, as tidy frames."""

from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from report import estimates
from report.estimates import Floats
from report.grids import lower_is_better, named_cells, scored, task_of, trials_at
from report.tables import StudyResults


def rate_sensitivity(results: StudyResults, task: str) -> pd.DataFrame:
    """The mean validation loss of every cell at every rate tried in tuning, with a 95% t interval.

    `label`, the factors, `learning_rate`, `value`, `low`, `high`, `n` (finished trials),
    `diverged`, `chosen`. Without tuning there are no rows.
    """
    rows = trials_at(results, task, "tuning")
    finals = trials_at(results, task, "final").groupby("cell")["learning_rate"].first()
    keys, group = _groups(rows["cell"], rows["learning_rate"])
    finished = (rows["status"] == "finished") & np.isfinite(rows["val_loss"])
    losses = rows["val_loss"].to_numpy(float)
    losses = np.where(finished, losses, np.nan)
    value, low, high, n = estimates.t_interval(_spread(group, rows["seed"], losses, len(keys)))
    diverged = (rows["status"] == "diverged").to_numpy()
    chosen = finals.reindex(keys["cell"]).to_numpy(float) == keys["learning_rate"].to_numpy(float)
    return _beside(named_cells(results, task), keys).assign(
        learning_rate=keys["learning_rate"].to_numpy(float),
        value=value,
        low=low,
        high=high,
        n=n,
        diverged=np.bincount(group[diverged], minlength=len(keys)),
        chosen=chosen,
    )


def learning_curves(results: StudyResults, task: str, column: str) -> pd.DataFrame:
    """The mean of one column of the curves over seeds, at every evaluation, with a 95% t interval.

    `label`, `step`, `epoch`, `value`, `low`, `high`, `n`, `held`. The curve of a diverged trial
    ends, so a falling `n` says that the mean is over those that are left. A trial that stopped
    early keeps its last value while others of its cell go on, which `held` says: a mean over those
    that go on would be one over the seeds that were slow to learn.
    """
    rows = _curve_rows(results, task, column)
    keys, group = _groups(rows["cell"], rows["step"])
    matrix = _spread(group, rows["seed"], rows["value"].to_numpy(float), len(keys))
    kept = _kept(results, task, keys["cell"], matrix, np.unique(rows["seed"]))
    value, low, high, n = estimates.t_interval(np.where(np.isnan(matrix), kept, matrix))
    epochs = _spread(group, rows["seed"], rows["epoch"].to_numpy(float), len(keys))
    return _beside(named_cells(results, task)[["label"]], keys).assign(
        step=keys["step"].to_numpy(int),
        epoch=estimates.moments(epochs)[1],
        value=value,
        low=low,
        high=high,
        n=n,
        held=np.any(np.isnan(matrix) & np.isfinite(kept), axis=1).tolist(),
    )


def _kept(
    results: StudyResults,
    task: str,
    cells: "pd.Series[Any]",
    matrix: Floats,
    seeds: NDArray[np.int64],
) -> Floats:
    """The last value so far of every trial that finished, NaN for the others.

    Shapes: cells (R,) and matrix (R, S), rows by cell and step; seeds (S,) ascending.
    """
    trials = trials_at(results, task, "final")
    trials = trials[(trials["status"] == "finished") & trials["seed"].isin(seeds)]
    finished = np.zeros((int(cells.max() if len(cells) else -1) + 1, len(seeds)), bool)
    known = trials["cell"] < len(finished)
    finished[trials["cell"][known], np.searchsorted(seeds, trials["seed"][known])] = True
    last = pd.DataFrame(matrix).groupby(cells.to_numpy()).ffill().to_numpy(float)
    return np.where(finished[cells], last, np.nan)


def steps_to_target(results: StudyResults, task: str, target: float) -> pd.DataFrame:
    """Median step of the first evaluation at which the validation response reached the target.

    A trial that never did counts as infinite, so the median is one over all trials and never a
    mean over successes. `label`, the factors, `value`, `low`, `high` (order statistics), `n`,
    `reached` (their share), `reached_low`, `reached_high` (95% Wilson).
    """
    named = named_cells(results, task)
    summary = [_reached(steps) for steps in reached_steps(results, task, target)]
    columns = ["value", "low", "high", "n", "reached", "reached_low", "reached_high"]
    return pd.concat([named, pd.DataFrame(summary, columns=columns)], axis=1)


def reached_steps(results: StudyResults, task: str, target: float) -> list[Floats]:
    """The steps at which the trials of each cell first reached the target, infinite for never.

    One array per cell, in study order, one value per trial that has a curve, seeds in order.
    """
    response = task_of(results, task)["response"]
    column = "val_" + response.partition("_")[2]
    rows = _curve_rows(results, task, column)
    value = rows["value"].to_numpy(float)
    hit = value <= target if lower_is_better(column) else value >= target
    steps = rows["step"].to_numpy(float)
    first = pd.Series(np.where(hit, steps, np.inf)).groupby(rows["trial"].to_numpy()).min()
    trials = trials_at(results, task, "final")
    reached_at: Floats = np.asarray(trials["trial"].map(first), np.float64)
    cells = len(named_cells(results, task))
    groups = np.split(reached_at, np.searchsorted(trials["cell"], np.arange(1, cells)))
    return [steps[~np.isnan(steps)] for steps in groups[:cells]]


def curve_areas(results: StudyResults, task: str) -> pd.DataFrame:
    """The mean height of each cell's validation curve: its area over the steps, 95% t interval.

    By trapezia over a trial's own evaluations, divided by the steps that they span, so it is in
    the unit of the response: who learns sooner has more. A diverged trial has the worse of the
    constant predictor and the least area of the task (METHODS S11). `label`, the factors,
    `value`, `low`, `high`, `n`.
    """
    entry = task_of(results, task)
    column = "val_" + entry["response"].partition("_")[2]
    rows = _curve_rows(results, task, column).dropna(subset="value")
    rows = rows.sort_values(["trial", "step"], kind="stable")
    code, names = pd.factorize(rows["trial"])
    steps, value = rows["step"].to_numpy(float), rows["value"].to_numpy(float)
    within = np.diff(code) == 0
    width = np.where(within, np.diff(steps), 0.0)
    area = np.bincount(code[1:], width * (value[1:] + value[:-1]) / 2, minlength=len(names))
    span = np.bincount(code[1:], width, minlength=len(names))
    with np.errstate(all="ignore"):
        mean = pd.Series(np.where(span > 0, area / span, np.nan), index=names, dtype=float)
    trials = trials_at(results, task, "final")
    trials = trials.assign(**{column: trials["trial"].map(mean)})
    return _by_cell(results, task, trials, scored(trials, entry, column))


def gaps(results: StudyResults, task: str) -> pd.DataFrame:
    """How much better each cell does on training than on test data, with a 95% t interval.

    Training minus test response, for a loss test minus training, at the end of each final trial
    that finished. `label`, the factors, `value`, `low`, `high`, `n`. Without a test part, no rows.
    """
    part, _, kind = str(task_of(results, task)["response"]).partition("_")
    trials = trials_at(results, task, "final")
    sign = -1.0 if lower_is_better(f"test_{kind}") else 1.0
    if part == "train" or f"train_{kind}" not in trials or f"test_{kind}" not in trials:
        return _by_cell(results, task, trials, np.full(len(trials), np.nan)).iloc[:0]
    gap = sign * (trials[f"train_{kind}"] - trials[f"test_{kind}"]).to_numpy(float)
    finished = (trials["status"] == "finished").to_numpy() & np.isfinite(gap)
    return _by_cell(results, task, trials, np.where(finished, gap, np.nan))


def _by_cell(
    results: StudyResults, task: str, trials: pd.DataFrame, values: Floats
) -> pd.DataFrame:
    """The mean of one value per final trial over the seeds of each cell."""
    named = named_cells(results, task)
    spread = _spread(trials["cell"].to_numpy(), trials["seed"], values, len(named))
    value, low, high, n = estimates.t_interval(spread)
    return named.assign(value=value, low=low, high=high, n=n)


def _reached(steps: Floats) -> tuple[float, ...]:
    median = estimates.median_interval(steps)
    share = estimates.wilson(int(np.isfinite(steps).sum()), len(steps))
    middle = (median.value, median.low, median.high, median.n)
    return (*middle, share.value, share.low, share.high)


def _curve_rows(results: StudyResults, task: str, column: str) -> pd.DataFrame:
    """The curves of the final trials shown: `trial`, `cell`, `seed`, `step`, `epoch`, `value`."""
    if column not in results.curves:
        known = [str(name) for name in results.curves]
        close = get_close_matches(column, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}"
        raise ValueError(f"curves.csv has no column {column!r}; {hint}")
    finals = trials_at(results, task, "final").set_index("trial")[["cell", "seed"]]
    trial = results.curves["trial"].astype("category").cat
    # Looked up once per trial, not once per row.
    cells = finals["cell"].reindex(trial.categories).fillna(-1).to_numpy(int)
    seeds = finals["seed"].reindex(trial.categories).fillna(-1).to_numpy(int)
    codes = trial.codes.to_numpy()
    keep = cells[codes] >= 0 if len(cells) else np.zeros(0, bool)
    curves, codes = results.curves[keep], codes[keep]
    value = np.where(np.isfinite(curves[column]), curves[column], np.nan)
    return pd.DataFrame(
        {
            "trial": curves["trial"].to_numpy(object),
            "cell": cells[codes],
            "seed": seeds[codes],
            "step": curves["step"].to_numpy(),
            "epoch": curves["epoch"].to_numpy(),
            "value": value,
        }
    )


def _groups(
    first: "pd.Series[Any]", second: "pd.Series[Any]"
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """The distinct pairs in order, and which of them each row belongs to."""
    pairs = pd.DataFrame({first.name: first, second.name: second})
    group = pairs.groupby([first.name, second.name], dropna=False, sort=True)
    keys = group.size().index.to_frame(index=False)
    return keys, np.asarray(group.ngroup(), np.intp)


def _spread(
    group: NDArray[np.intp], seeds: "pd.Series[Any]", values: Floats, groups: int
) -> Floats:
    """Values laid out as (groups, S), NaN where a seed has none."""
    _, column = np.unique(seeds.to_numpy(), return_inverse=True)
    matrix = np.full((groups, int(column.max(initial=-1)) + 1), np.nan)
    matrix[group, column] = values
    return matrix


def _beside(named: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """The names of each group's cell."""
    return named.take(keys["cell"].to_numpy(int)).reset_index(drop=True)
