"""What training showed: learning curves, and how the learning rate was chosen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report import curves
from report.axes import WIDE, sheet
from report.document import Picture
from report.drawing import draw
from report.frames import records
from report.learning import plot_learning_curves
from report.numbers import Scale, capitalised, counted, scale_of, seeds_text
from report.palette import CONTEXT
from report.schema import CURVES
from report.sensitivity import grid_size, plot_rate_sensitivity
from report.views import TaskView, by_size, in_units, shown_contrasts, spoken
from report.wall_pictures import columns_for

MOST_PANELS = 24


def learning_curves(
    view: TaskView, colours: Mapping[str, str], size: tuple[float, float]
) -> Picture | None:
    """The response while training, on validation data or, where there are none, training data."""
    scale, frame = _curves_of(view)
    if frame.empty:
        return None
    present = set(frame["label"])
    colours = {view.brief[label]: c for label, c in colours.items() if label in present}
    drawn = frame.assign(label=frame["label"].map(view.brief))
    figure, ax = sheet(*size)
    plot_learning_curves(
        ax,
        drawn,
        colours=colours,
        response=scale.axis,
        ceiling=scale.ceiling,
        partial={view.brief[label] for label in view.partial},
    )
    grey = sum(colour == CONTEXT for colour in colours.values())
    told = (
        f"Mean {scale.name} of the final trials at each evaluation; bands are 95% t intervals, "
        f"{seeds_text(frame['n'])}."
        if (frame["n"] > 1).any()
        else f"{capitalised(scale.name)} of each cell's one final trial at each evaluation; "
        "n = 1 seed, so there are no bands."
    )
    return Picture(
        drawing=draw(figure, f"{view.slug}-curves"),
        title=f"Learning curves, {view.name}",
        alt=f"{scale.name} against training step on {view.name}; {_ends_in_words(frame)}.",
        caption=(
            f"{told} Ink: {view.baseline}, the baseline. "
            "The vertical axis is fitted to where the curves end."
            + (" Trials that stopped early keep their last value." if frame["held"].any() else "")
            + (f" Grey: {counted(grey, 'cell')} more, for context." if grey else "")
            + view.brief_words
            + view.partial_words
        ),
        wide=size[0] == WIDE,
    )


def _curves_of(view: TaskView) -> tuple[Scale, pd.DataFrame]:
    """The column of curves.csv that goes with the response, and its rows in display units."""
    part, _, kind = str(view.task["response"]).partition("_")
    parts = ("train", "val") if part == "train" else ("val", "train")
    scale, frame = scale_of(f"{parts[0]}_{kind}"), pd.DataFrame()
    for column in (f"{each}_{kind}" for each in parts if f"{each}_{kind}" in CURVES):
        rows = curves.learning_curves(view.results, view.name, column)
        frame = rows[np.isfinite(rows["value"])]
        if not frame.empty:
            scale = scale_of(column)
            return scale, in_units(spoken(frame, view.factors), scale)
    return scale, frame


def _ends_in_words(frame: pd.DataFrame) -> str:
    """Who is highest and lowest at the last step, and how many curves ended before it."""
    last = frame[frame["step"] == frame["step"].max()].set_index("label")["value"]
    early = frame["label"].nunique() - len(last)
    ended = f"; {counted(early, 'curve')} ended early" if early else ""
    if len(last) == 1:
        return f"{last.index[0]} is the one curve at the end{ended}"
    if last.max() == last.min():
        return f"at the end all {len(last)} are equal{ended}"
    return f"at the end {last.idxmax()} is highest and {last.idxmin()} lowest{ended}"


def rate_sensitivity(view: TaskView, colours: Mapping[str, str]) -> Picture | None:
    """Tuning: the response at every learning rate that was tried."""
    frame = spoken(curves.rate_sensitivity(view.results, view.name), view.factors)
    if frame.empty:
        return None
    response = "val_loss"
    scale = scale_of(response)
    labels = list(dict.fromkeys(frame["label"]))
    shown = _panels_of(view, labels)
    shown = [label for label in by_size(view.cells, view.factors)["label"] if label in shown]
    columns = columns_for([view.brief[label] for label in shown], most=7)
    drawn = in_units(frame.set_index("label").loc[shown].reset_index(), scale)
    drawn = drawn.assign(label=drawn["label"].map(view.brief))
    size = grid_size(len(shown), columns, width=WIDE)
    figure = Figure(figsize=size)
    plot_rate_sensitivity(
        figure.add_axes((0, 0, 1, 1)),
        drawn,
        colours={view.brief[label]: colour for label, colour in colours.items() if label in shown},
        response=scale.axis,
        columns=columns,
        size=size,
    )
    banded, lacking = bool((frame["n"] >= 3).any()), len(shown) < len(labels)
    lost = int((frame["diverged"] > 0).sum())
    return Picture(
        drawing=draw(figure, f"{view.slug}-rates"),
        title=f"Sensitivity to the learning rate, {view.name}",
        alt=_rates_in_words(frame, view),
        caption=(
            f"Mean {scale.name} at each rate of the tuning stage, {seeds_text(frame['n'])}"
            + ("; bands are 95% t intervals. " if banded else ", too few for an interval. ")
            + "Ring: the rate chosen. "
            + (f"Cross: {counted(lost, 'rate')} at which a trial diverged. " if lost else "")
            + "Grey: the others. What is worse than the axis shows is drawn at its edge."
            + (f" {len(shown)} of {len(labels)} cells: {_PANEL_RULE}." if lacking else "")
            + view.brief_words
        ),
        wide=True,
    )


_PANEL_RULE = "the baseline, then those that depart from it in one factor, and the best"


def _panels_of(view: TaskView, labels: list[str]) -> list[str]:
    """The cells that get a panel: all, or where they are too many those of the forest."""
    if len(labels) <= MOST_PANELS:
        return labels
    first = [view.baseline, *shown_contrasts(view, most=0)["label"]]
    return [label for label in first if label in labels][:MOST_PANELS]


def _rates_in_words(frame: pd.DataFrame, view: TaskView) -> str:
    chosen = frame[frame["chosen"].astype(bool)]
    named = [f"{row['label']} {row['learning_rate']:g}" for row in records(chosen)][:8]
    return f"Learning rates chosen on {view.name}: {', '.join(named)}."
