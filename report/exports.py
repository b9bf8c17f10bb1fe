"""Verdicts, effects and times as CSV files beside the report, for other programs.

Values are in the unit of the response (shares, not percent) and round-trip; what does not exist is
empty. Text that a spreadsheet would compute gets the apostrophe that results have as well.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from report import effects, factors
from report.claims import Judgement, judge
from report.claims_section import command
from report.escaping import FORMULA, visible
from report.factor_tables import base_levels, interaction_rows
from report.frames import records
from report.grids import level_label
from report.page import write_whole
from report.pairs import all_pairs
from report.tables import Results, StudyResults
from report.times import TIME_COLUMNS, time_rows

CLAIM_COLUMNS: Final = (
    *("study", "task", "response", "id", "statement", "verdict", "about", "by", "equal_within"),
    *("value", "low", "high", "interval", "m", "n", "seeds_needed", "diverged", "expected"),
    *("reason", "because", "command"),
)
EFFECT_COLUMNS: Final = (
    *("study", "task", "response", "effect", "label", "factor", "level", "against"),
    *effects.CONTRAST_COLUMNS[1:],
    "p_bh",
)


def write_tables(results: Results, folder: Path) -> None:
    """Write claims.csv, effects.csv and times.csv into `folder`, each whole or not at all."""
    studies = results.studies
    claims = ([claim_row(j, command(s)) for s in studies for j in judge(s)], CLAIM_COLUMNS)
    found = ([row for s in studies for row in effect_rows(s)], EFFECT_COLUMNS)
    times = (time_rows(results), TIME_COLUMNS)
    tables = {"claims.csv": claims, "effects.csv": found, "times.csv": times}
    for name, (rows, columns) in tables.items():
        write_whole(folder / name, render_csv(rows, columns).encode())


def render_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A header, and one line for each row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return stream.getvalue()


def _cell(value: object) -> str:
    """A number that round-trips, text that no spreadsheet computes, nothing for what is not."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | float | np.number):
        return repr(value.item() if isinstance(value, np.number) else value)
    text = visible(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def claim_row(judgement: Judgement, repeat: str) -> dict[str, Any]:
    """One verdict as a row of claims.csv."""
    claim, decision, estimate = judgement.claim, judgement.decision, judgement.decision.estimate
    margin = "equal_within" if judgement.is_equality else "by"
    row = {
        "study": judgement.study,
        "task": judgement.task,
        "response": judgement.response,
        "id": claim.get("id"),
        "statement": judgement.statement,
        "verdict": judgement.verdict,
        "about": judgement.about,
        margin: judgement.margin if estimate else None,
        "m": judgement.m,
        "seeds_needed": decision.seeds_needed,
        "diverged": judgement.diverged,
        "expected": claim.get("expected"),
        "reason": decision.reason,
        "because": claim.get("because"),
        "command": repeat,
    }
    if estimate is not None:
        names = ("value", "low", "high", "interval", "n")
        row |= {name: getattr(estimate, name) for name in names}
    return row


def effect_rows(results: StudyResults) -> Iterator[dict[str, Any]]:
    """Contrasts against the baseline cell and of all pairs; of several factors simple effects too.

    Where the grid is complete, also main effects and interactions of two factors, the latter what
    a pair of levels adds to both main effects, with a 95% t interval each.
    """
    names = [str(factor["name"]) for factor in results.study["factors"]]
    for task in results.study["tasks"]:
        common = {
            "study": results.study["name"],
            "task": task["name"],
            "response": task["response"],
        }
        for row in _contrasts(results, task["name"], names):
            yield {**common, "effect": "contrast", **row}
        for row in records(all_pairs(results, task["name"])):
            yield {**common, "effect": "pair (exploratory)", **row}
        if len(names) > 1:
            for row in _simple_effects(results, task["name"]):
                yield {**common, "effect": "simple effect", **row}
            with suppress(factors.UnbalancedError):
                for row in _main_effects(results, task["name"]):
                    yield {**common, "effect": "main effect", **row}
                for row in records(interaction_rows(results, task["name"])):
                    yield {**common, "effect": "interaction", **row}


def _contrasts(results: StudyResults, task: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Factor and level are named where a study has one factor; else the label names them all."""
    cells = effects.cell_table(results, task)
    baseline = "".join(cells.loc[cells["is_baseline"].astype(bool), "label"])
    for row in records(effects.contrasts(results, task)):
        own = {"factor": names[0], "level": row[names[0]]} if len(names) == 1 else {}
        yield {**row, **own, "against": baseline}


def _simple_effects(results: StudyResults, task: str) -> Iterator[dict[str, Any]]:
    bases = base_levels(results)
    for row in records(effects.simple_effects(results, task)):
        yield {**row, "against": f"{level_label(row['factor'], bases[row['factor']])} there"}


def _main_effects(results: StudyResults, task: str) -> Iterator[dict[str, Any]]:
    bases = base_levels(results)
    for row in records(factors.main_effects(results, task)):
        yield {**row, "against": level_label(row["factor"], bases[row["factor"]])}
