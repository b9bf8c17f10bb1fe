"""Sequential seeds: when every contrast of a study is resolved, and what looking early costs.

A study with `seeds = { min = 5, max = 30, stop = "resolved" }` is looked at after 5, 10, 20 and
30 seeds and goes on only while a contrast is open. Looking repeatedly finds differences that are
not there, so the error of 5% is shared out among the looks beforehand (`SeedRule.shares`), and
each look tests at its own share: alpha share / m, for m contrasts on one task and response. The
shares simply add up (Boole's inequality), so a t test is exact however few its seeds, whatever
else is tested at that look, and whatever ended the study. A boundary that knows how looks depend
on each other (Lan and DeMets 1983; for t: Jennison and Turnbull 1991, Biometrika 78, 133) would
have 1 to 4 percentage points more power, but a level of its own for every size of family.

There is no stop for futility: a study that can resolve no more says so with `equal_within`, or
ends at its maximum.

Sources: Kim and DeMets (1987), Biometrika 74, 149, for the shares; Jennison and Turnbull (1989),
JRSS B 51, 305, for repeated intervals, which hold whenever one stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isinf
from typing import Any

import numpy as np
import numpy.typing as npt

from ablations.design import (
    FIRST_TUNING_SEED,
    DesignError,
    SeedRule,
    Study,
    TaskSpec,
    cell_name,
    trained_cells,
    trial_name,
)
from ablations.levels import suggest

ALPHA = 0.05  # family-wise, within one study, task and response
KEYS = ("min", "max", "stop", "equal_within")
ROUNDING = 16 * np.finfo(float).eps  # a spread below this share of the values is rounding

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Rows = Mapping[str, Mapping[str, Any]]  # final trials by name


# The rule in a study file


def read_rule(table: Mapping[str, Any], what: str) -> SeedRule:
    """Read `{ min = 5, max = 30, stop = "resolved", equal_within = 0.01 }`.

    Raises:
        DesignError: the rule is incomplete or cannot be followed.
    """
    for key in table:
        if key not in KEYS:
            raise DesignError(f"unknown {what} key {key!r}; {suggest(key, KEYS)}")
    for key in KEYS[:3]:
        if key not in table:
            example = 'seeds = { min = 5, max = 30, stop = "resolved" }'
            raise DesignError(f"{what} needs {key}; write {example}")
    least, most = (_count(table[key], f"{what} {key}") for key in ("min", "max"))
    if least < 2:
        raise DesignError(f"{what} min must be at least 2, got {least}; one seed has no spread")
    if most <= least:
        raise DesignError(
            f"{what} max must be above min, got {most} and {least}; "
            f"a fixed number is written seeds = {max(most, 1)}"
        )
    if most > FIRST_TUNING_SEED:
        raise DesignError(f"{what} max must be at most {FIRST_TUNING_SEED}, got {most}")
    if table["stop"] != "resolved":
        raise DesignError(f"{what} stop got {table['stop']!r}; there is only 'resolved'")
    return SeedRule(least, most, _margin(table.get("equal_within"), f"{what} equal_within"))


def _count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DesignError(f"{what} needs a whole number, got {value!r}")
    return value


def _margin(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DesignError(f"{what} needs a number, got {value!r}")
    if value <= 0:
        raise DesignError(
            f"{what} got {value!r}; give a difference above 0, in the unit of the response"
        )
    return float(value)


# Contrasts


def contrast_names(study: Study, task: TaskSpec) -> list[str]:
    """What is compared with the baseline on one task: `activation=tanh`."""
    return [cell_name(study, cell) for cell in trained_cells(study, task)[1:]]


def differences(study: Study, task: TaskSpec, rows: Rows, chance: float) -> FloatArray:
    """Response of each trained cell minus that of the baseline, (contrasts, S).

    NaN where one of the two has no score. A difference that is the same on every seed but for
    rounding is exactly so.

    Args:
        rows: one that is missing or failed has no score.
        chance: the accuracy of always answering the same.
    """
    scores = _scores(study, task, rows, chance)
    with np.errstate(all="ignore"):
        difference = scores[1:] - scores[0]
        absent = np.isnan(difference)
        least = np.fmin.reduce(difference, axis=1, keepdims=True, initial=np.inf)
        scale = np.maximum(np.abs(scores[1:]), np.abs(scores[0]))
        same = (absent | (difference - least <= ROUNDING * scale)).all(axis=1, keepdims=True)
    return np.where(same & ~absent, least, difference)


def _scores(study: Study, task: TaskSpec, rows: Rows, chance: float) -> FloatArray:
    """The response of every trial, (cells, S).

    A diverged trial counts as the worse of the constant predictor and the worst finished trial of
    the task, as it does in the report (METHODS S11).
    """
    response, cells = study.response(task), trained_cells(study, task)
    values = np.full((len(cells), study.seeds), np.nan)
    diverged = np.zeros(values.shape, bool)
    for row, cell in enumerate(cells):
        prefix = trial_name(task.name, cell_name(study, cell), "final", 0, None).removesuffix("0")
        for seed in range(study.seeds):
            found = rows.get(f"{prefix}{seed}", {"status": "missing"})
            diverged[row, seed] = found["status"] == "diverged"
            if found["status"] == "finished" and found.get(response) is not None:
                value = float(found[response])
                if isinf(value):  # overflown, which the report counts as diverged too
                    diverged[row, seed] = True
                else:
                    values[row, seed] = value
    constant = {"r2": 0.0, "accuracy": chance}.get(response.rpartition("_")[2])
    known = [*values[~np.isnan(values)].tolist(), *([] if constant is None else [constant])]
    if known:
        values[diverged] = max(known) if response.endswith("_loss") else min(known)
    return values


def moments(difference: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Count, mean and standard deviation (n - 1) of each row without its NaN, (contrasts,)."""
    there = ~np.isnan(difference)
    n = there.sum(axis=1).astype(float)
    least = np.fmin.reduce(difference, axis=1, initial=np.inf)
    same = least == np.fmax.reduce(difference, axis=1, initial=-np.inf)
    with np.errstate(all="ignore"):
        mean = np.where(same, least, np.where(there, difference, 0).sum(axis=1) / n)
        centred = np.where(there, difference - mean[:, None], 0)
        deviation = np.where(same, 0.0, np.sqrt((centred**2).sum(axis=1) / (n - 1)))
    return n, mean, np.where(n > 1, deviation, np.nan)


# Decisions


def resolved(
    difference: FloatArray, level: float, *, equal_within: float | None = None
) -> BoolArray:
    """Which contrasts are resolved at this two-sided level.

    Those whose t interval at 1 - level lies on one side of zero, or inside ± `equal_within`. A
    difference that is the same on every seed has no interval: it is resolved once so many alike
    are no accident, 2/2^n <= level, as more would tell no more.

    Args:
        difference: (contrasts, S).
    """
    from scipy import special  # noqa: PLC0415, scikit-learn brings it; only this rule needs it

    n, mean, deviation = moments(difference)
    with np.errstate(all="ignore"):
        margin = special.stdtrit(n - 1, 1 - level / 2) * deviation / np.sqrt(n)
        is_clear = np.abs(mean) > margin
        if equal_within is not None:
            is_clear |= np.abs(mean) + margin < equal_within
        return np.where(deviation == 0, 2.0 ** (1 - n) <= level, is_clear)


def open_contrasts(
    study: Study, rows: Rows, chance: Callable[[TaskSpec], float]
) -> list[tuple[str, str]]:
    """Task and name of every contrast that the seeds of this look leave open."""
    if study.rule is None:
        return []
    left, rule = [], study.rule
    for task in study.tasks:
        names = contrast_names(study, task)
        level = ALPHA * rule.share(study.seeds) / len(names)
        difference = differences(study, task, rows, chance(task))
        done = resolved(difference, level, equal_within=rule.equal_within)
        left += [
            (task.name, name) for name, is_done in zip(names, done, strict=True) if not is_done
        ]
    return left


def render_look(study: Study, left: Sequence[tuple[str, str]] | None) -> str:
    """Where a study with sequential seeds stands.

    Args:
        left: contrasts that this look leaves open; None while it is not complete.
    """
    assert study.rule is not None
    looks, count = study.rule.looks, sum(len(contrast_names(study, t)) for t in study.tasks)
    at = f"look {looks.index(study.seeds) + 1} of {len(looks)}"
    line = f"{study.name}: {at}, {study.seeds} of at most {study.rule.maximum} seeds"
    if left is None:
        return f"{line}; it is not complete"
    done = f"{count - len(left):,} of {count:,} contrasts are resolved"
    if left and study.seeds < study.rule.maximum:
        return f"{line}; {done}, a run goes on"
    return f"{line}; {done}, no seeds are added"
