"""One study and one task in, tidy frames of what each factor did out.

Every frame is computed from the rows of the CSV files; nothing is drawn or worded here beyond the
one word per contrast of METHODS S5. `value`, `low` and `high` are in the unit of the response.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations, product
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from report import estimates
from report.estimates import Floats
from report.tables import STATUSES, StudyResults

ALPHA: Final = 0.05  # family-wise, within one study, task and response
FAILED: Final = ("failed", "timed_out", "out_of_memory")
FLIP_SEED: Final = 5  # of the sign flips drawn where a grid has more seeds than can be enumerated
CONTRAST_COLUMNS: Final = (
    *("label", "value", "low", "high", "interval", "m", "p", "p_holm", "n"),
    *("sign_flip_p", "sign_flip_floor", "at_floor", "d_z", "hedges_g", "correlation"),
    *("detectable", "seeds_for", "word"),
)


class UnbalancedError(ValueError):
    """A grid has holes, so effects averaged over it would compare different things."""


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


def _task(results: StudyResults, name: str) -> dict[str, Any]:
    tasks = {task["name"]: task for task in results.study["tasks"]}
    if name not in tasks:
        close = get_close_matches(name, tasks, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the study has {', '.join(tasks)}"
        raise ValueError(f"unknown task {name!r}; {hint}")
    task: dict[str, Any] = tasks[name]
    return task


def _factors(results: StudyResults) -> dict[str, tuple[str, ...]]:
    return {factor["name"]: tuple(factor["levels"]) for factor in results.study["factors"]}


def _cells(
    results: StudyResults, task: str
) -> tuple[tuple[tuple[str, ...], ...], dict[tuple[str, ...], int]]:
    """The cells shown, in study order, and the row of every cell, twins included."""
    factors = _factors(results)
    task = _task(results, task)["name"]
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
    return tuple(entry[factor] for factor in factors)


def _rows(results: StudyResults, task: str, stage: str) -> pd.DataFrame:
    """Every trial expected at one stage: `trial`, `cell` (its row), `seed`, and its CSV columns.

    A trial without a row in the CSV has status "missing".
    """
    factors = _factors(results)
    rows_of = {cell: row for row, cell in enumerate(_cells(results, task)[0])}
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
    came = came.drop(columns=["seed", "task", "stage", *_factors(results)])
    rows = pd.concat(
        [asked.reset_index(drop=True), came.reindex(asked["trial"]).reset_index(drop=True)], axis=1
    )
    rows["status"] = rows["status"].astype(object).where(rows["status"].notna(), "missing")
    rows["learning_rate"] = rows["learning_rate"].fillna(rows["planned_rate"])
    return rows.drop(columns="planned_rate")


def _scored(rows: pd.DataFrame, task: dict[str, Any]) -> Floats:
    """The response of each trial; METHODS S11 decides what a diverged one is worth.

    That is the worse of the constant predictor and the worst finished trial of the task. A
    response that is infinite has diverged too. Trials that failed or are missing have none.
    """
    response = task["response"]
    if response not in rows:
        raise ValueError(f"unknown response {response!r} of task {task['name']!r}")
    values = rows[response].to_numpy(float)
    status = rows["status"].to_numpy(object)
    finished = (status == "finished") & np.isfinite(values)
    diverged = (status == "diverged") | ((status == "finished") & np.isinf(values))
    candidates = [*values[finished].tolist(), *constant_predictor(task)]
    worst = np.nan
    if candidates:
        worst = max(candidates) if lower_is_better(response) else min(candidates)
    return np.where(finished, values, np.where(diverged, worst, np.nan))


def lower_is_better(response: str) -> bool:
    """Whether this response is a loss."""
    return response.endswith("_loss")


def constant_predictor(task: dict[str, Any]) -> list[float]:
    """The score of always answering the same: chance, an r2 of 0; nothing known for a loss."""
    if task["response"].endswith("_r2"):
        return [0.0]
    if task["response"].endswith("_accuracy") and task.get("chance") is not None:
        return [float(task["chance"])]
    return []


def grid_of(results: StudyResults, task: str) -> Grid:
    """The final trials of one task as an array."""
    rows = _rows(results, task, "final")
    cells, resolved = _cells(results, task)
    factors = _factors(results)
    _, column = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    shape = (len(cells), int(column.max(initial=-1)) + 1)
    scores = np.full(shape, np.nan)
    statuses = np.full(shape, "", dtype=object)
    where = rows["cell"].to_numpy(), column
    scores[where] = _scored(rows, _task(results, task))
    statuses[where] = rows["status"].to_numpy(object)
    first = {name: levels[0] for name, levels in factors.items()}
    baseline = _key({**first, **results.study["baseline"]}, factors)
    for axis, (name, levels) in enumerate(factors.items()):
        present = {cell[axis] for cell in resolved}  # no label smoothing in a regression
        factors[name] = tuple(level for level in levels if level in present)
    return Grid(factors, cells, resolved, baseline, scores, statuses.astype(str))


def scores(results: StudyResults, task: str) -> pd.DataFrame:
    """One row per final trial asked for: `label`, the factors, `seed`, `learning_rate`, ...

    Also `status` ("missing" where the CSV has no row) and `score`, see METHODS S11.
    """
    rows = _rows(results, task, "final")
    named = _named(results, task).take(rows["cell"].to_numpy()).reset_index(drop=True)
    score = _scored(rows, _task(results, task))
    return pd.concat([named, rows[["seed", "learning_rate", "status"]]], axis=1).assign(score=score)


def _named(results: StudyResults, task: str) -> pd.DataFrame:
    """Label and levels of every cell shown, in study order."""
    factors = _factors(results)
    cells, _ = _cells(results, task)
    frame = pd.DataFrame(list(cells), columns=list(factors), dtype="str")
    labels = [cell_label(dict(zip(factors, cell, strict=True))) for cell in cells]
    frame.insert(0, "label", pd.Series(labels, dtype="str"))
    return frame


# Cells and contrasts


def cell_table(results: StudyResults, task: str) -> pd.DataFrame:
    """Every cell: its mean score with a 95% t interval over seeds, and how its trials ended.

    `n` counts the scores, which include those of diverged trials. `lr_at_edge`: the chosen rate
    is the first or last of the rates tried, so a better one may lie beyond.
    """
    grid = grid_of(results, task)
    value, low, high, n = estimates.t_interval(grid.scores)
    rows = _rows(results, task, "final")
    rates = rows.groupby("cell")["learning_rate"].first().reindex(range(len(grid.cells)))
    frame = _named(results, task).assign(
        learning_rate=rates.to_numpy(float), value=value, low=low, high=high, n=n
    )
    for name, among in (("diverged", ("diverged",)), ("failed", FAILED), ("missing", ("missing",))):
        frame[name] = np.isin(grid.statuses, among).sum(axis=1)
    frame["is_baseline"] = np.arange(len(frame)) == grid.baseline_row
    tried = [_rates_tried(results, dict(zip(grid.factors, c, strict=True))) for c in grid.cells]
    frame["lr_at_edge"] = [
        len(rates) > 1 and rate in (min(rates), max(rates))
        for rate, rates in zip(frame["learning_rate"], tried, strict=True)
    ]
    return frame


def _rates_tried(results: StudyResults, cell: dict[str, str]) -> list[float]:
    rates = results.study.get("learning_rates") or {}
    by = rates.get("by")
    level = "" if by is None else {**results.study["baseline"], **cell}.get(by, "")
    return list((rates.get("values") or {}).get(level, []))


def contrasts(results: StudyResults, task: str) -> pd.DataFrame:
    """Each cell against the baseline cell, on their common seeds (METHODS S5).

    Intervals are at 1 - alpha/m, m the number of contrasts. `word` is "raises" or "lowers" where
    the Holm-adjusted p is at most alpha and the interval lies on one side of zero.
    """
    grid = grid_of(results, task)
    base = grid.baseline_row
    others = [row for row in range(len(grid.cells)) if row != base] if base >= 0 else []
    named = _named(results, task).take(others).reset_index(drop=True)
    rows = np.array(others, int)
    return _with_contrasts(named, grid.scores[rows], grid.scores[np.full_like(rows, base)])


def _with_contrasts(named: pd.DataFrame, treated: Floats, control: Floats) -> pd.DataFrame:
    """One family of paired contrasts beside the names of its rows; arrays are (m, S)."""
    m = max(len(named), 1)
    difference = estimates.differences(treated, control)
    value, low, high, n = estimates.t_interval(difference, confidence=1 - ALPHA / m)
    deviation = estimates.moments(difference)[2]
    p = estimates.paired_p(treated, control)
    p_holm = estimates.holm(p)
    floor = np.array([estimates.sign_flip_floor(int(count)) for count in n], float)
    return named.assign(
        value=value,
        low=low,
        high=high,
        interval=estimates.interval_name(1 - ALPHA / m),
        m=m,
        p=p,
        p_holm=p_holm,
        n=n,
        sign_flip_p=estimates.sign_flip_p(difference, rng=np.random.default_rng(FLIP_SEED)),
        sign_flip_floor=floor,
        at_floor=floor > ALPHA / m,
        d_z=estimates.cohen_dz(treated, control),
        hedges_g=estimates.hedges_g(treated, control),
        correlation=estimates.pairing_correlation(treated, control),
        detectable=estimates.smallest_detectable(deviation, n, ALPHA / m),
        seeds_for=estimates.seeds_needed(value, deviation, ALPHA / m),
        word=_words(p_holm, low, high),
    )


def _words(p_holm: Floats, low: Floats, high: Floats) -> "pd.Series[str]":
    """The one rule of METHODS S5; no word may contradict the interval printed beside it."""
    resolved = p_holm <= ALPHA
    words = np.select(
        [np.isnan(p_holm), resolved & (low > 0), resolved & (high < 0)],
        ["untested", "raises", "lowers"],
        "no detectable effect",
    )
    return pd.Series(words, dtype="str")


def simple_effects(results: StudyResults, task: str) -> pd.DataFrame:
    """Each level against its factor's baseline level, at every combination of the others (`at`).

    Needs no balance: where one of the two cells has no common seeds the row is "untested".
    """
    grid = grid_of(results, task)
    names, pairs = [], []
    for cell, treated in grid.resolved.items():
        levels = dict(zip(grid.factors, cell, strict=True))
        for (factor, level), base in zip(levels.items(), grid.baseline, strict=True):
            control = grid.resolved.get(tuple({**levels, factor: base}.values()), treated)
            if treated != control:
                at = cell_label({name: at for name, at in levels.items() if name != factor})
                label = level_label(factor, level) + (f" at {at}" if at else "")
                names.append((label, factor, level, at))
                pairs.append((treated, control))
    named = pd.DataFrame(names, columns=["label", "factor", "level", "at"], dtype="str")
    rows = np.array(pairs, int).reshape(-1, 2)
    return _with_contrasts(named, grid.scores[rows[:, 0]], grid.scores[rows[:, 1]])


# Factors: main effects, interactions, analysis of variance


def cube_of(results: StudyResults, task: str) -> Floats:
    """The scores with one axis per factor, levels in study order, and the seeds last.

    Errors:
        UnbalancedError: the grid is not complete; the message says why and what is left to read.
    """
    grid = grid_of(results, task)
    twins = [cell for cell, row in grid.resolved.items() if grid.cells[row] != cell]
    size = int(np.prod([len(levels) for levels in grid.factors.values()]))
    reason = ""
    if twins:
        reason = _twin_reason(grid, twins[0])
    elif len(grid.cells) != size:
        reason = f"it has {len(grid.cells)} of the {size} combinations of its levels"
    elif grid.scores.shape[1] < 2:
        reason = f"it has {grid.scores.shape[1]} seed, and noise shows only between two"
    elif np.isnan(grid.scores).any():
        reason = _hole_reason(grid)
    if reason:
        raise UnbalancedError(
            f"no effects averaged over the grid of {results.study['name']!r} on {task!r}: "
            f"{reason}; read the contrasts instead"
        )
    order = [grid.resolved[cell] for cell in product(*grid.factors.values())]
    shape = (*(len(levels) for levels in grid.factors.values()), grid.scores.shape[1])
    return grid.scores[order].reshape(shape)


def _twin_reason(grid: Grid, cell: tuple[str, ...]) -> str:
    twin = cell_label(dict(zip(grid.factors, grid.cells[grid.resolved[cell]], strict=True)))
    label = cell_label(dict(zip(grid.factors, cell, strict=True)))
    return f"{label!r} is the same network as {twin!r}"


def _hole_reason(grid: Grid) -> str:
    """What the trials without a score are, for instance "1 failed and 2 missing trials"."""
    absent = grid.statuses[np.isnan(grid.scores)].tolist()
    counts = {s: absent.count(s) for s in (*STATUSES, "missing", "") if s in absent}
    words = {"": "not asked for", "finished": "without a response"}
    named = [f"{n} {words.get(s, s.replace('_', ' '))}" for s, n in counts.items()]
    return f"trials are lacking: {', '.join(named)}"


@np.errstate(all="ignore")
def _marginal(cube: Floats, *axes: int) -> Floats:
    """Mean over all factors but these; (levels of each axis..., S)."""
    others = tuple(axis for axis in range(cube.ndim - 1) if axis not in axes)
    return np.asarray(cube.mean(axis=others))


def marginal_means(results: StudyResults, task: str) -> pd.DataFrame:
    """The mean at every level of every factor over all levels of the others, with a 95% t interval.

    `factor`, `level`, `label`, `value`, `low`, `high`, `n`, `is_baseline`; UnbalancedError as for
    `main_effects`.
    """
    cube = cube_of(results, task)
    grid = grid_of(results, task)
    parts = []
    for axis, (factor, levels) in enumerate(grid.factors.items()):
        value, low, high, n = estimates.t_interval(_marginal(cube, axis))
        parts.append(
            pd.DataFrame(
                {
                    "factor": factor,
                    "level": levels,
                    "label": [level_label(factor, level) for level in levels],
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": n,
                    "is_baseline": [level == grid.baseline[axis] for level in levels],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def main_effects(results: StudyResults, task: str) -> pd.DataFrame:
    """Each level against its factor's baseline level, averaged over all levels of the others.

    Per seed, so the seed is a block; one family over all factors. Columns as in `contrasts`, with
    `factor` and `level`.

    Errors:
        UnbalancedError: see `cube_of`.
    """
    cube = cube_of(results, task)
    grid = grid_of(results, task)
    names, treated, control = [], [], []
    for axis, (factor, levels) in enumerate(grid.factors.items()):
        marginal = _marginal(cube, axis)
        base = levels.index(grid.baseline[axis]) if grid.baseline[axis] in levels else 0
        for row, level in enumerate(levels):
            if row != base:
                names.append((level_label(factor, level), factor, level))
                treated.append(marginal[row])
                control.append(marginal[base])
    named = pd.DataFrame(names, columns=["label", "factor", "level"], dtype="str")
    shape = (len(names), cube.shape[-1])
    return _with_contrasts(
        named, np.reshape(treated, shape).astype(float), np.reshape(control, shape).astype(float)
    )


def interaction_effects(results: StudyResults, task: str) -> pd.DataFrame:
    """What each pair of levels adds beyond its two main effects, with a 95% t interval.

    One row per pair of factors and pair of levels: `factor_a`, `level_a`, `factor_b`, `level_b`,
    `mean` (of the two-way table), `value` (residual of the additive model), `low`, `high`, `n`.

    Errors:
        UnbalancedError: see `cube_of`.
    """
    cube = cube_of(results, task)
    factors = grid_of(results, task).factors
    parts = [_interaction(cube, factors, a, b) for a, b in combinations(range(len(factors)), 2)]
    columns = ["factor_a", "level_a", "factor_b", "level_b", "mean", "value", "low", "high", "n"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _interaction(cube: Floats, factors: dict[str, tuple[str, ...]], a: int, b: int) -> pd.DataFrame:
    names = list(factors)
    table = _marginal(cube, a, b)  # (A, B, S)
    residual = estimates.effect_of(table, (0, 1), 2).reshape(-1, table.shape[-1])
    value, low, high, n = estimates.t_interval(residual)
    frame = pd.DataFrame(
        list(product(factors[names[a]], factors[names[b]])), columns=["level_a", "level_b"]
    )
    frame.insert(0, "factor_a", names[a])
    frame.insert(2, "factor_b", names[b])
    means = estimates.moments(table)[1].ravel()
    return frame.assign(mean=means, value=value, low=low, high=high, n=n)


def anova(results: StudyResults, task: str) -> pd.DataFrame:
    """The analysis of variance of a complete grid, all orders, with the seed as block.

    `term`, `order` (1 main effect, 2 interaction of two, ...; 0 for seed and error), `df`, `ss`,
    `ms`, `f`, `p`, `partial_eta2`, `omega2`, `share`. A share is (SS - df MS_error) / total, which
    is unbiased for the variance a term explains and may come out below zero; what noise put into
    the other terms is given back to the error, so shares sum to one (METHODS S9).

    Errors:
        UnbalancedError: see `cube_of`.
    """
    split = estimates.variation(cube_of(results, task))
    names = list(_factors(results))
    frame = pd.DataFrame(
        {
            "term": [*(" × ".join(names[i] for i in t) for t in split.terms), "seed", "error"],
            "order": [*(len(term) for term in split.terms), 0, 0],
            "df": [*split.df, split.df_seed, split.df_error],
            "ss": [*split.ss, split.ss_seed, split.ss_error],
        }
    )
    ss, df = frame["ss"].to_numpy(float), frame["df"].to_numpy(float)
    is_error = (frame["term"] == "error").to_numpy() & (frame.index == len(frame) - 1)
    total = ss.sum()
    with np.errstate(all="ignore"):
        noise = ss[-1] / df[-1]
        f = np.where(is_error | (noise == 0), np.nan, ss / df / noise)
        share = np.where(is_error, noise * df.sum(), ss - df * noise) / total
        return frame.assign(
            ms=ss / df,
            f=f,
            p=special.fdtrc(df, df[-1], f),
            partial_eta2=np.where(is_error, np.nan, ss / (ss + ss[-1])),
            omega2=np.where(is_error, np.nan, (ss - df * noise) / (total + noise)),
            share=share,
        )


def depends_on(results: StudyResults, task: str) -> pd.DataFrame:
    """Factors whose largest two-way interaction is as large as their main effect, and with what.

    `factor`, `on`, `main_share`, `interaction_share`. An interaction counts if it is detectable
    (Holm-adjusted p of its F test within the pairs at most alpha).

    Errors:
        UnbalancedError: see `cube_of`.
    """
    table = anova(results, task)
    names = list(_factors(results))
    main = dict(zip(names, table.loc[table["order"] == 1, "share"], strict=True))
    pairs = table[table["order"] == 2]
    detected = estimates.holm(pairs["p"].to_numpy(float)) <= ALPHA
    rows = []
    for factor in names:
        mine = [
            (share, a if b == factor else b)
            for (a, b), share, found in zip(
                combinations(names, 2), pairs["share"], detected, strict=True
            )
            if found and factor in (a, b)
        ]
        share, other = max(mine, default=(-np.inf, ""))
        if other and share >= main[factor]:
            rows.append((factor, other, main[factor], share))
    return pd.DataFrame(rows, columns=["factor", "on", "main_share", "interaction_share"])


# Learning rates and curves


def rate_sensitivity(results: StudyResults, task: str) -> pd.DataFrame:
    """The mean validation loss of every cell at every rate tried in tuning, with a 95% t interval.

    `label`, the factors, `learning_rate`, `value`, `low`, `high`, `n` (finished trials),
    `diverged`, `chosen`. Without tuning there are no rows.
    """
    rows = _rows(results, task, "tuning")
    finals = _rows(results, task, "final").groupby("cell")["learning_rate"].first()
    keys, group = _groups(rows["cell"], rows["learning_rate"])
    finished = (rows["status"] == "finished") & np.isfinite(rows["val_loss"])
    losses = rows["val_loss"].to_numpy(float)
    losses = np.where(finished, losses, np.nan)
    value, low, high, n = estimates.t_interval(_spread(group, rows["seed"], losses, len(keys)))
    diverged = (rows["status"] == "diverged").to_numpy()
    chosen = finals.reindex(keys["cell"]).to_numpy(float) == keys["learning_rate"].to_numpy(float)
    return _beside(_named(results, task), keys).assign(
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

    `label`, `step`, `epoch`, `value`, `low`, `high`, `n`. The curve of a diverged trial ends, so a
    falling `n` says that the mean is over those that are left.
    """
    rows = _curve_rows(results, task, column)
    keys, group = _groups(rows["cell"], rows["step"])
    matrix = _spread(group, rows["seed"], rows["value"].to_numpy(float), len(keys))
    value, low, high, n = estimates.t_interval(matrix)
    epochs = _spread(group, rows["seed"], rows["epoch"].to_numpy(float), len(keys))
    return _beside(_named(results, task)[["label"]], keys).assign(
        step=keys["step"].to_numpy(int),
        epoch=estimates.moments(epochs)[1],
        value=value,
        low=low,
        high=high,
        n=n,
    )


def steps_to_target(results: StudyResults, task: str, target: float) -> pd.DataFrame:
    """Median step of the first evaluation at which the validation response reached the target.

    A trial that never did counts as infinite, so the median is one over all trials and never a
    mean over successes. `label`, the factors, `value`, `low`, `high` (order statistics), `n`,
    `reached` (their share), `reached_low`, `reached_high` (95% Wilson).
    """
    response = _task(results, task)["response"]
    column = "val_" + response.partition("_")[2]
    rows = _curve_rows(results, task, column)
    value = rows["value"].to_numpy(float)
    hit = value <= target if lower_is_better(column) else value >= target
    steps = rows["step"].to_numpy(float)
    first = pd.Series(np.where(hit, steps, np.inf)).groupby(rows["trial"].to_numpy()).min()
    trials = _rows(results, task, "final")
    reached_at: Floats = np.asarray(trials["trial"].map(first), np.float64)
    named = _named(results, task)
    groups = np.split(reached_at, np.searchsorted(trials["cell"], np.arange(1, len(named))))
    summary = [_reached(steps[~np.isnan(steps)]) for steps in groups[: len(named)]]
    columns = ["value", "low", "high", "n", "reached", "reached_low", "reached_high"]
    return pd.concat([named, pd.DataFrame(summary, columns=columns)], axis=1)


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
    finals = _rows(results, task, "final").set_index("trial")[["cell", "seed"]]
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
