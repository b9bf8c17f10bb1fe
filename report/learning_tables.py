"""How each cell of one task learned, in numbers: area, steps to a target, train/test gap."""

from typing import Any

import numpy as np
import pandas as pd

from report import curves
from report.bargains import target_of
from report.document import Details, Table
from report.frames import records
from report.numbers import NOTHING, Scale, bounds, decimals, number, scale_of, seeds_text
from report.views import TaskView, estimate_of, in_units, spoken

MOST_ROWS = 14  # of the table; of more cells the best, and the baseline
SHOWN = 12  # of more


def learning_details(view: TaskView) -> Details | None:
    """A table that opens on request; None where nothing is known of how cells learned."""
    found = [column for column in (_areas(view), _steps(view), _gaps(view)) if column is not None]
    if not found:
        return None
    order = view.ranked
    if len(order) > MOST_ROWS:
        order = order[(np.arange(len(order)) < SHOWN) | order["is_baseline"].astype(bool)]
    rows = []
    for cell in records(order):
        label = str(cell["label"])
        name = f"{label} (baseline)" if cell["is_baseline"] else label
        rows.append((name, *(texts.get(label, NOTHING) for _, texts, _ in found)))
    header = ("cell", *(name for name, _, _ in found))
    strong = frozenset(i for i, cell in enumerate(records(order)) if cell["is_baseline"])
    table = Table(
        caption=f"How the cells of {view.results.study['name']} learned on {view.name}",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:]),
        strong=strong,
        note=" ".join([*(note for _, _, note in found), *_left(view, len(order))]),
    )
    return Details(summary="Learning in numbers", blocks=(table,))


def _left(view: TaskView, shown: int) -> list[str]:
    left = len(view.cells) - shown
    return [f"The best {SHOWN} cells, and the baseline; {left} are not shown."] if left else []


Column = tuple[str, dict[str, str], str]  # header, text of each label, what it is


def _areas(view: TaskView) -> Column | None:
    """The mean height of the validation curve."""
    scale = scale_of("val_" + str(view.task["response"]).partition("_")[2])
    frame = _shown(view, curves.curve_areas(view.results, view.name), scale)
    if frame.empty:
        return None
    note = (
        f"Area: the mean height of the {scale.name} curve over all steps{_unit(scale)}, "
        f"{_with_intervals(frame)}{seeds_text(frame['n'])}; a cell that learns sooner has more."
    )
    return "area under the curve", _texts(frame, scale), note


def _with_intervals(frame: pd.DataFrame) -> str:
    """How the intervals were made; one seed has none."""
    return "with 95% t intervals, " if (frame["n"] > 1).any() else ""


def _gaps(view: TaskView) -> Column | None:
    """How much better a cell does on training than on test data."""
    kind = str(view.task["response"]).partition("_")[2]
    scale = scale_of(f"test_{kind}")
    frame = _shown(view, curves.gaps(view.results, view.name), scale)
    if frame.empty:
        return None
    note = (
        f"Gap: {'training minus test' if scale.higher_is_better else 'test minus training'} {kind}"
        f"{_unit(scale)} at the end of the trials that finished, {_with_intervals(frame)}"
        f"{seeds_text(frame['n'])}; large is overfitting."
    ).replace("r2", "R²")
    return "train/test gap", _texts(frame, scale, signed=True), note


def _steps(view: TaskView) -> Column | None:
    """Steps to the target, and the share of trials that reached it."""
    target = target_of(view.results, view.name)
    if target is None:
        return None
    scale = scale_of("val_" + str(view.task["response"]).partition("_")[2])
    frame = spoken(curves.steps_to_target(view.results, view.name, target), view.factors)
    texts = {str(row["label"]): _arrival(row) for row in records(frame)}
    known = frame["low"].notna().any()
    interval = ", with its 95% order-statistic interval" if known else ""
    goal = f"{number(scale.factor * target, 1 if scale.unit else 3)}{scale.unit}"
    note = (
        f"Steps: median step at which {scale.name} first reached {goal}, nine tenths of the way "
        f"from the constant predictor to the baseline's end{interval}; "
        "a trial that never did counts as never, so the median is over all trials."
    )
    return "steps to target", texts, note


def _arrival(row: dict[str, Any]) -> str:
    """`80 (60 to 100)`, with the share that arrived where some did not."""
    text = _count(row["value"])
    if not np.isnan(row["low"]):
        text += f" ({_count(row['low'])} to {_count(row['high'])})"
    told = row["n"] > 0 and row["reached"] < 1  # of no trial there is no share
    return f"{text}, {100 * row['reached']:.0f}% reached it" if told else text


def _count(steps: float) -> str:
    return "never" if np.isinf(steps) else NOTHING if np.isnan(steps) else f"{steps:,.0f}"


def _shown(view: TaskView, frame: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    known = frame[np.isfinite(frame["value"])]
    return in_units(spoken(known, view.factors), scale)


def _texts(frame: pd.DataFrame, scale: Scale, *, signed: bool = False) -> dict[str, str]:
    """`93.2 (92.7 to 93.7)` for each label."""
    digits = decimals(list((frame["high"] - frame["low"]) / 2), scale.most_decimals)
    return {
        str(row["label"]): f"{number(row['value'], digits, signed=signed)} "
        f"({bounds(estimate_of(row), digits, signed=signed)})"
        for row in records(frame)
    }


def _unit(scale: Scale) -> str:
    return " (in %)" if scale.unit else ""
