"""`plan --power`: the smallest effect that studies of this size resolve, and the seeds for one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from ablations.design import DesignError, Study, TaskSpec
from ablations.looks import ALPHA, contrast_names
from ablations.pilots import pilot_file, read_deviations
from ablations.power import POWER, seeds_needed, smallest_effect

MOST_CONTRASTS = 30  # of one task that are listed one by one


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one contrast of a family can show; all differences in the unit of the response.

    Attributes:
        contrast: the cell that is compared with the baseline; empty for any, at a stated deviation.
        m: contrasts of the task.
        seeds: of the study, or the most that it may come to.
        level: two-sided, of the smallest p of the family.
        pairs: seeds behind the deviation; 0 where it is stated.
        deviation: of paired differences; NaN where the pilot does not tell.
        finds: the smallest difference that is found with power .8.
        seeds_needed: for the effect asked for; NaN without one, infinite beyond a million.
    """

    study: str
    task: str
    response: str
    contrast: str
    m: int
    seeds: int
    level: float
    pairs: int
    deviation: float
    finds: float
    seeds_needed: float


def resolutions(
    studies: Sequence[Study], *, deviation: float | None, pilot: Path, effect: float | None
) -> list[Resolution]:
    """A row per study and task for a stated deviation, else one for every contrast of the pilot.

    Raises:
        DesignError: there is neither a stated deviation nor a pilot of any of the studies.
    """
    if deviation is not None:
        return [
            _row(study, task, "", (0, deviation), effect)
            for study in studies
            for task in study.tasks
        ]
    files = {study.name: pilot_file(pilot, study) for study in studies}
    if not any(files.values()):
        names = ", ".join(files) if len(files) < 4 else f"{len(files)} studies"
        raise DesignError(
            f"{pilot} holds no trials of {names} to take deviations from; give --deviation 0.02, "
            "or --pilot with a folder that does"
        )
    rows = []
    for study in studies:
        if (path := files[study.name]) is not None:
            found = read_deviations(path, study)
            rows += [_row(study, study.task(t), name, d, effect) for (t, name), d in found.items()]
    return rows


def _row(
    study: Study, task: TaskSpec, contrast: str, seen: tuple[int, float], effect: float | None
) -> Resolution:
    m = len(contrast_names(study, task))
    level = ALPHA * (1.0 if study.rule is None else study.rule.shares[-1]) / m
    pairs, deviation = seen
    known = deviation if deviation > 0 else nan  # no spread says nothing of power
    return Resolution(
        study=study.name,
        task=task.name,
        response=study.response(task),
        contrast=contrast,
        m=m,
        seeds=study.most_seeds,
        level=level,
        pairs=pairs,
        deviation=deviation,
        finds=known * smallest_effect(study.most_seeds, level),
        seeds_needed=nan if effect is None else seeds_needed(effect / known, level),
    )


def render_text(rows: Sequence[Resolution], *, source: str, effect: float | None) -> str:
    """A line per study and task: what a middling and the most variable contrast can show."""
    families = list(dict.fromkeys((row.study, row.task) for row in rows))
    asked = () if effect is None else (f"seeds for {effect:g}",)
    table = []
    for family in families:
        mine = [row for row in rows if (row.study, row.task) == family]
        first, shown = mine[0], ["deviation", "finds", *(["seeds_needed"] if asked else [])]
        values = [_spread(mine, name) for name in shown]
        table.append((*family, first.response, first.m, first.seeds, *values))
    headers = ("study", "task", "response", "contrasts", "seeds", "deviation", "finds", *asked)
    lines = [tabulate(table, headers, tablefmt="simple", disable_numparse=True)]
    if len({row.study for row in rows}) == 1 and rows[0].contrast:
        lines += ["", _contrasts(rows, asked)] if max(r.m for r in rows) <= MOST_CONTRASTS else []
    return "\n".join([*lines, "", *_legend(rows, source)])


def _spread(rows: Sequence[Resolution], name: str) -> str:
    """`0.021 (0.054)`: the median over contrasts and, where there are several, the largest."""
    known = [getattr(row, name) for row in rows if row.deviation > 0]
    if not known:
        return "?"
    middle, most = median(known), max(known)
    show = _whole if name == "seeds_needed" else _number
    return show(middle) if len(rows) == 1 else f"{show(middle)} ({show(most)})"


def _contrasts(rows: Sequence[Resolution], asked: Sequence[str]) -> str:
    table = [
        (row.task, row.contrast, str(row.pairs), _number(row.deviation), _number(row.finds))
        + ((_whole(row.seeds_needed),) if asked else ())
        for row in rows
    ]
    headers = ("task", "contrast", "pairs", "deviation", "finds", *asked)
    return tabulate(table, headers, tablefmt="simple", disable_numparse=True)


def _legend(rows: Sequence[Resolution], source: str) -> list[str]:
    several = any(row.contrast for row in rows)
    lines = [
        f"finds: the smallest difference found with power {POWER:g} by a paired t test at "
        f"{ALPHA:g}/contrasts, the level of Holm's first step",
        f"deviation: of paired differences, {source}"
        + ("; the median over contrasts, in brackets the largest" if several else ""),
    ]
    if unknown := [row for row in rows if not row.deviation > 0]:
        lines.append(
            f"{len(unknown):,} of {len(rows):,} contrasts have no deviation there: fewer than two "
            "seeds in common, or the same difference on every seed"
        )
    if any(row.level < ALPHA / row.m for row in rows):
        lines.append("sequential seeds: at the last look, with its share of the error")
    return lines


def render_json(
    rows: Sequence[Resolution], *, deviation: float | None, pilot: Path, effect: float | None
) -> str:
    """The rows for programs; what is unknown, or beyond a million seeds, is null."""
    content: dict[str, Any] = {
        "alpha": ALPHA,
        "power": POWER,
        "effect": effect,
        "pilot": None if deviation is not None else str(pilot),
        "rows": [
            {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in each.items()}
            for each in map(asdict, rows)
        ],
    }
    return json.dumps(content, indent=1)


def _number(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "?"


def _whole(value: float) -> str:
    return f"{value:,.0f}" if isfinite(value) else ("> 1,000,000" if value > 0 else "?")
