"""What each factor of a complete grid did: main effects, interactions, analysis of variance.

Frames of one study and one task, as in `effects`, averaged over all levels of the other factors.
"""

from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import special

from report import estimates
from report.effects import ALPHA, study_contrasts
from report.estimates import Floats
from report.grids import Grid, cell_label, grid_of, level_label, levels_of
from report.schema import STATUSES
from report.sequential import at_share, share_of
from report.tables import StudyResults
from report.variation import effect_of, variation


class UnbalancedError(ValueError):
    """A grid has holes, so effects averaged over it would compare different things."""


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
        reason = f"{_twin_reason(grid, twins[0])}{_balanced_without(grid)}"
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


def _balanced_without(grid: Grid) -> str:
    """The level without which no two cells are the same network, where one level does it.

    Of several the one that takes the fewest cells with it; a grid of one factor is no grid.
    """
    found = []
    for axis, (factor, levels) in enumerate(grid.factors.items()):
        for level in levels:
            rest = [row for cell, row in grid.resolved.items() if cell[axis] != level]
            varied = [f for f, own in grid.factors.items() if len(own) > (2 if f == factor else 1)]
            if len(varied) > 1 and len(rest) == len(set(rest)):
                found.append((-len(rest), level_label(factor, level)))
    if not found:
        return ""
    label = min(found)[1]
    return f" (without {label} the grid is balanced: a study that leaves it out gets these effects)"


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
    return study_contrasts(
        results,
        named,
        np.reshape(treated, shape).astype(float),
        np.reshape(control, shape).astype(float),
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
    residual = effect_of(table, (0, 1), 2).reshape(-1, table.shape[-1])
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
    the other terms is given back to the error, so shares sum to one (METHODS S9). With sequential
    seeds `p` is divided by the share of the error that the look may spend.

    Errors:
        UnbalancedError: see `cube_of`.
    """
    split = variation(cube_of(results, task))
    names = list(levels_of(results))
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
            p=at_share(np.asarray(special.fdtrc(df, df[-1], f), float), share_of(results)),
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
    names = list(levels_of(results))
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
