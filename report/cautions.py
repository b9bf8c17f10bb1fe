"""What a reader of one study must know before its numbers are believed."""

from collections.abc import Sequence

import pandas as pd

from report.numbers import listed
from report.tables import StudyResults
from report.views import TaskView

UNTUNED = "One learning rate was used for every cell: untuned, not a ranking."


def is_untuned(results: StudyResults) -> bool:
    """Whether no tuning, of this study or another, chose the learning rates."""
    rates = results.study.get("learning_rates") or {}
    stages = {trial["stage"] for trial in results.study["trials"]}
    return "tuning" not in stages and not rates.get("source")


def rates_caution(results: StudyResults) -> str:
    """Where learning rates were not tuned for each cell, what that means; else nothing."""
    source = (results.study.get("learning_rates") or {}).get("source")
    if is_untuned(results):
        return UNTUNED
    if source and "tuning" not in {trial["stage"] for trial in results.study["trials"]}:
        return (
            f"Learning rates are those that the tuning of the study {source} chose; "
            "they were not tuned again for each cell."
        )
    return ""


def edges(views: Sequence[TaskView]) -> str:
    """Cells whose best learning rate is the first or last that was tried."""
    told = [_edges_of(view) for view in views if at_edge(view).any()]
    if not told:
        return ""
    return (
        "The best learning rate lies at the edge of the grid, so a better one may lie beyond it, "
        f"for {'; '.join(told)}."
    )


def at_edge(view: TaskView) -> "pd.Series[bool]":
    """Which cells have their best rate at an end of the grid; not those that learned at none."""
    return view.cells["lr_at_edge"].astype(bool) & ~view.cells["is_lost"].astype(bool)


def _edges_of(view: TaskView, most: int = 3) -> str:
    """The cells at the edge on one task: by name if they are few, else their number."""
    found = view.cells[at_edge(view)]
    if len(found) <= most:
        return f"{listed([str(label) for label in found['label']])} on {view.name}"
    also = ", the baseline among them," if found["is_baseline"].any() else ""
    return f"{len(found)} of {len(view.cells)} cells{also} on {view.name}"
