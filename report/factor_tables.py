"""What factors did on one task, in numbers: analysis of variance, and effects at fixed levels."""

from typing import Any

import numpy as np
import pandas as pd

from report import effects, factors
from report.document import Details, Table
from report.frames import records
from report.grids import level_label
from report.numbers import NOTHING, bounds, counted, decimals, number, p_value, seeds_text, seen
from report.tables import StudyResults
from report.views import TaskView, estimate_of, in_units

MOST_EFFECTS = 12  # simple effects that a table shows; of more, the largest


def factor_details(view: TaskView) -> list[Details]:
    """Tables that open on request; none for a study of one factor."""
    if len(view.factors) < 2:
        return []
    found = [_anova(view), _simple_effects(view)]
    return [Details(summary=table.caption, blocks=(table,)) for table in found if table]


def _anova(view: TaskView) -> Table | None:
    """Every term of every order, with the seed as block; None where the grid allows none."""
    try:
        frame = factors.anova(view.results, view.name)
    except factors.UnbalancedError:
        return None
    unit = 100.0**2 if view.scale.unit else 1.0
    header = ("term", "df", "SS", "F", "p", "partial η²", "ω²", "share, %")
    largest = float(frame["ss"].max()) * unit
    digits = max(0, 3 - int(np.floor(np.log10(largest)))) if 0 < largest < np.inf else 3
    rows = [
        (
            str(row["term"]),
            str(row["df"]),
            number(row["ss"] * unit, digits),
            number(row["f"], 2),
            p_value(row["p"]),
            *(number(row[name], 3) for name in ("partial_eta2", "omega2")),
            number(100 * row["share"], 1),
        )
        for row in records(frame)
    ]
    seeds = int(frame.loc[frame["term"] == "seed", "df"].iloc[0]) + 1
    return Table(
        caption=f"Analysis of variance of {view.scale.name} on {view.name}",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:]),
        note=(
            f"Complete grid, the seed as block, n = {counted(seeds, 'seed')}; p not adjusted. "
            "Share: (SS − df MS error) / total, zero in expectation for a term that does nothing; "
            "below zero is noise."
        ),
    )


def _simple_effects(view: TaskView) -> Table | None:
    """Each level against its factor's baseline level at every combination of the others."""
    frame = in_units(effects.simple_effects(view.results, view.name), view.scale)
    frame = frame[np.isfinite(frame["value"])]
    if frame.empty:
        return None
    many, m = len(frame), int(frame["m"].iloc[0])
    if many > MOST_EFFECTS:
        largest = frame["value"].abs().sort_values(ascending=False, kind="stable").index
        frame = frame.loc[sorted(largest[:MOST_EFFECTS])]
    frame = frame.sort_values("factor", key=lambda f: f.map(view.factors.index), kind="stable")
    digits = decimals(list((frame["high"] - frame["low"]) / 2), view.scale.most_decimals)
    interval = str(frame["interval"].iloc[0])
    bases = base_levels(view.results)
    header = ("level", "against", "at", "difference", f"{interval} interval", "word", "Holm p", "n")
    rows = [
        (
            level_label(row["factor"], row["level"]),
            level_label(row["factor"], bases[row["factor"]]),
            str(row["at"]),
            number(row["value"], _digits(row, digits), signed=True),
            bounds(estimate_of(row, interval), digits, signed=True) or NOTHING,
            str(row["word"]),
            p_value(row["p_holm"]),
            str(row["n"]),
        )
        for row in records(frame)
    ]
    some = (
        f"The {MOST_EFFECTS} largest of {many}; effects.csv has all. " if many > len(rows) else ""
    )
    unit = f", {view.scale.difference}" if view.scale.difference else ""
    return Table(
        caption=f"Simple effects in {view.scale.name} on {view.name}{unit}",
        header=header,
        rows=tuple(rows),
        numeric=frozenset((*header[3:5], *header[6:])),
        note=(
            f"{some}What a level does while all other factors stay where “at” says; one family of "
            f"m = {m}, {seeds_text(frame['n'])}."
        ),
    )


def _digits(row: dict[str, Any], digits: int) -> int:
    """The digits of a column, or more where a difference with a direction would read as zero."""
    clear = row["word"] in (effects.RAISES, effects.LOWERS)
    return seen(float(row["value"]), digits) if clear else digits


def base_levels(results: StudyResults) -> dict[str, str]:
    """The level that each factor has in the baseline."""
    own: dict[str, str] = {
        str(factor["name"]): str(factor["levels"][0]) for factor in results.study["factors"]
    }
    return {name: str(results.study["baseline"].get(name, level)) for name, level in own.items()}


def interaction_rows(results: StudyResults, task: str) -> pd.DataFrame:
    """`factors.interaction_effects` with the columns that effects.csv has."""
    frame = factors.interaction_effects(results, task)
    labels, names, levels = [], [], []
    for row in records(frame):
        ends = [(row[f"factor_{side}"], row[f"level_{side}"]) for side in "ab"]
        labels.append(" × ".join(level_label(*end) for end in ends))
        names.append(" × ".join(factor for factor, _ in ends))
        levels.append(" × ".join(level for _, level in ends))
    return frame.assign(label=labels, factor=names, level=levels, interval="95% t")
