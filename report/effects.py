"""One study and one task in, tidy frames of what each cell did out.

Every frame is computed from the rows of the CSV files; nothing is drawn or worded here beyond the
one word per contrast of METHODS S5. `value`, `low` and `high` are in the unit of the response.
"""

from typing import Final

import numpy as np
import pandas as pd

from report import effect_sizes, estimates, power, resampling
from report.estimates import Floats
from report.grids import (
    cell_label,
    grid_of,
    level_label,
    named_cells,
    scored,
    task_of,
    trials_at,
)
from report.schema import FAILED
from report.sequential import at_share, equal_within_of, share_of
from report.tables import StudyResults

ALPHA: Final = 0.05  # family-wise, within one study, task and response
FLIP_SEED: Final = 5  # of the sign flips drawn where a grid has more seeds than can be enumerated
RAISES, LOWERS, UNRESOLVED = "raises", "lowers", "no detectable effect"
SAME: Final = "same on every seed"  # a difference without spread: no t interval, no t test
EQUAL: Final = "practically equal"  # wholly inside the margin that the study stated
UNTESTED: Final = "untested"  # fewer than two common seeds
CONTRAST_COLUMNS: Final = (
    *("label", "value", "low", "high", "interval", "m", "p", "p_holm", "n"),
    *("sign_flip_p", "sign_flip_floor", "at_floor", "d_z", "hedges_g", "correlation"),
    *("above", "above_low", "above_high", "detectable", "seeds_for", "word"),
)


def scores(results: StudyResults, task: str) -> pd.DataFrame:
    """One row per final trial asked for: `label`, the factors, `seed`, `learning_rate`, ...

    Also `status` ("missing" where the CSV has no row) and `score`, see METHODS S11.
    """
    rows = trials_at(results, task, "final")
    named = named_cells(results, task).take(rows["cell"].to_numpy()).reset_index(drop=True)
    entry = task_of(results, task)
    score = scored(rows, entry, entry["response"])
    return pd.concat([named, rows[["seed", "learning_rate", "status"]]], axis=1).assign(score=score)


def cell_table(results: StudyResults, task: str) -> pd.DataFrame:
    """Every cell: its mean score with a 95% t interval over seeds, and how its trials ended.

    `n` counts the scores, which include those of diverged trials; `is_lost`: all of them are such,
    so the cell is scored but never the best. `lr_at_edge`: the chosen rate
    is the first or last of the rates tried, so a better one may lie beyond.
    """
    grid = grid_of(results, task)
    value, low, high, n = estimates.t_interval(grid.scores)
    rows = trials_at(results, task, "final")
    rates = rows.groupby("cell")["learning_rate"].first().reindex(range(len(grid.cells)))
    frame = named_cells(results, task).assign(
        learning_rate=rates.to_numpy(float), value=value, low=low, high=high, n=n
    )
    for name, among in (("diverged", ("diverged",)), ("failed", FAILED), ("missing", ("missing",))):
        frame[name] = np.isin(grid.statuses, among).sum(axis=1)
    # Nothing finished: its mean is what the worst of the task is worth, and nobody's merit.
    frame["is_lost"] = (frame["diverged"] > 0) & (frame["diverged"] == n)
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

    Intervals are at 1 - alpha/m, m the number of contrasts, and alpha what the look may spend
    where seeds are sequential. `word` is "raises" or "lowers" where
    the Holm-adjusted p is at most alpha and the interval lies on one side of zero, "practically
    equal" where the study stated a margin and the interval lies inside it. A difference
    that is the same on every seed has no interval and claims no direction; its p is the floor
    2/2^n of the sign flips, 1 where it is zero.
    """
    grid = grid_of(results, task)
    base = grid.baseline_row
    others = [row for row in range(len(grid.cells)) if row != base] if base >= 0 else []
    named = named_cells(results, task).take(others).reset_index(drop=True)
    rows = np.array(others, int)
    control = grid.scores[np.full_like(rows, base)]
    return study_contrasts(results, named, grid.scores[rows], control)


def study_contrasts(
    results: StudyResults, named: pd.DataFrame, treated: Floats, control: Floats
) -> pd.DataFrame:
    """`contrast_frame` by the rules of a study: what its look may spend, and its margin."""
    return contrast_frame(
        named,
        treated,
        control,
        share=share_of(results),
        equal_within=equal_within_of(results),
    )


def contrast_frame(
    named: pd.DataFrame,
    treated: Floats,
    control: Floats,
    *,
    share: float = 1.0,
    equal_within: float = np.nan,
) -> pd.DataFrame:
    """One family of paired contrasts beside the names of its rows; arrays are (m, S).

    `above`, `above_low`, `above_high`: the share of seeds on which treated scores above control,
    ties one half, with its Wilson interval, simultaneous as well (METHODS S8).

    Args:
        share: of the error that this look may spend. `p_holm` is divided by it, so that it is
            held against alpha all the same.
        equal_within: margin in the unit of the response: what has no direction, but an interval
            inside ± this, is "practically equal"; NaN where the study stated none.
    """
    m = max(len(named), 1)
    level = ALPHA * share / m
    difference = estimates.differences(treated, control)
    value, low, high, n = estimates.t_interval(difference, confidence=1 - level)
    deviation = estimates.moments(difference)[2]
    deviation = np.where(deviation == 0, np.nan, deviation)  # no spread says nothing of power
    p = estimates.paired_p(treated, control)
    p_holm = at_share(estimates.holm(p), share)
    above = [
        estimates.probability_of_improvement(*pair, confidence=1 - level)
        for pair in zip(treated, control, strict=True)
    ]
    floor = np.array([resampling.sign_flip_floor(int(count)) for count in n], float)
    return named.assign(
        value=value,
        low=low,
        high=high,
        interval=estimates.interval_name(1 - level),
        m=m,
        p=p,
        p_holm=p_holm,
        n=n,
        sign_flip_p=resampling.sign_flip_p(difference, rng=np.random.default_rng(FLIP_SEED)),
        sign_flip_floor=floor,
        at_floor=floor > level,
        d_z=effect_sizes.cohen_dz(treated, control),
        hedges_g=effect_sizes.hedges_g(treated, control),
        correlation=effect_sizes.pairing_correlation(treated, control),
        above=np.array([share.value for share in above], float),
        above_low=np.array([share.low for share in above], float),
        above_high=np.array([share.high for share in above], float),
        detectable=power.smallest_detectable(deviation, n, level),
        seeds_for=power.seeds_needed(value, deviation, level),
        equal_within=equal_within,
        word=_words(p_holm, low, high, equal_within),
    )


def _words(p_holm: Floats, low: Floats, high: Floats, equal_within: float) -> "pd.Series[str]":
    """The one rule of METHODS S5; no word may contradict the interval printed beside it."""
    resolved, equal = p_holm <= ALPHA, (low > -equal_within) & (high < equal_within)
    words = np.select(
        [np.isnan(p_holm), np.isnan(low), resolved & (low > 0), resolved & (high < 0), equal],
        [UNTESTED, SAME, RAISES, LOWERS, EQUAL],
        UNRESOLVED,
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
    return study_contrasts(results, named, grid.scores[rows[:, 0]], grid.scores[rows[:, 1]])
