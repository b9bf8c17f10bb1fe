"""The figures of one study on one task, each drawn once, with what they show in words."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report import curves, figures
from report.document import Picture
from report.drawing import draw
from report.frames import records
from report.numbers import counted, decimals, number, scale_of
from report.palette import CONTEXT
from report.prose import Contrast
from report.sensitivity import grid_size, plot_rate_sensitivity
from report.views import TaskView, contrasts_of, in_units, spoken
from report.wall_pictures import WIDE, columns_for, wall

HALF = 4.4  # inches
MOST_PANELS = 24


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure with one axes that keeps every label inside."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def task_pictures(view: TaskView, colours: Mapping[str, str]) -> tuple[Picture, ...]:
    """Every figure that one task of a study with few factors deserves."""
    height = min(max(2.9, 0.7 + 0.235 * len(view.contrasts)), 7.5)
    grid = heat_map(view, height)
    drawn = (
        grid,
        forest(view, height),
        learning_curves(view, colours, (WIDE, 3.3) if grid else (HALF, height)),
        rate_sensitivity(view, colours),
        wall(view, "region"),
        wall(view, "curve"),
        wall(view, "confusion"),
    )
    return tuple(picture for picture in drawn if picture is not None)


def seeds_text(numbers: "pd.Series[int]") -> str:
    """`n = 10 seeds`, or the range where cells differ."""
    known = numbers.dropna()
    low, high = (int(known.min()), int(known.max())) if len(known) else (0, 0)
    return f"n = {counted(high, 'seed')}" if low == high else f"n = {low} to {high} seeds"


def forest(view: TaskView, height: float) -> Picture | None:
    """Contrasts against the baseline."""
    frame = view.contrasts[np.isfinite(view.contrasts["value"])]
    if frame.empty:
        return None
    figure, ax = sheet(HALF, height)
    unit = view.scale.difference or view.scale.name
    figures.plot_contrasts(ax, frame, unit=unit, baseline=view.baseline)
    many = len(view.contrasts)
    low, high = figures.contrast_window(frame)
    beyond = ~frame["value"].between(low, high)
    return Picture(
        drawing=draw(figure, f"{view.slug}-contrasts"),
        title=f"Difference in {view.scale.name} from {view.baseline}, {view.name}",
        alt=forest_in_words(view),
        caption=(
            f"Paired by seed. Bars are {view.interval} intervals: 95% for the whole family of "
            f"{counted(many, 'comparison')} (Bonferroni), {seeds_text(frame['n'])}. Filled: "
            "Holm-adjusted p at most .05 and interval clear of zero. Grey and hollow: not resolved."
            + (" Arrow: beyond the axis, at the value beside it." if beyond.any() else "")
        ),
    )


def forest_in_words(view: TaskView) -> str:
    """Which levels raise, which lower, and how many cannot be told."""
    contrasts = contrasts_of(view)
    parts = [
        _group_words("above", [c for c in contrasts if c.resolved and c.estimate.value > 0], view),
        _group_words("below", [c for c in contrasts if c.resolved and c.estimate.value < 0], view),
    ]
    unclear = sum(not c.resolved for c in contrasts)
    parts.append(f"{unclear} of {len(contrasts)} not resolved" if unclear else "")
    text = "; ".join(part for part in parts if part)
    return f"{view.scale.name} on {view.name} against {view.baseline}: {text}."


def _group_words(side: str, contrasts: list[Contrast], view: TaskView) -> str:
    if not contrasts:
        return ""
    ranked = sorted(contrasts, key=lambda c: -abs(c.estimate.value))[:4]
    digits = decimals([(c.estimate.high - c.estimate.low) / 2 for c in ranked], 2)
    named = [f"{c.label} ({number(c.estimate.value, digits, signed=True)})" for c in ranked]
    more = f" and {len(contrasts) - 4} more" if len(contrasts) > 4 else ""
    return f"{side} it {', '.join(named)}{more}"


def learning_curves(
    view: TaskView, colours: Mapping[str, str], size: tuple[float, float]
) -> Picture | None:
    """Validation response while training."""
    response = "val_" + str(view.task["response"]).partition("_")[2]
    scale = scale_of(response)
    frame = curves.learning_curves(view.results, view.name, response)
    frame = in_units(spoken(frame, view.factors), scale)
    frame = frame[np.isfinite(frame["value"])]
    if frame.empty:
        return None
    present = set(frame["label"])
    colours = {label: colour for label, colour in colours.items() if label in present}
    figure, ax = sheet(*size)
    figures.plot_learning_curves(
        ax, frame, colours=colours, response=scale.axis, ceiling=scale.ceiling
    )
    grey = sum(colour == CONTEXT for colour in colours.values())
    last = frame.sort_values("step").groupby("label", sort=False)["value"].last()
    return Picture(
        drawing=draw(figure, f"{view.slug}-curves"),
        title=f"Learning curves, {view.name}",
        alt=(
            f"{scale.name} against training step on {view.name}; at the end {last.idxmax()} is "
            f"highest and {last.idxmin()} lowest."
        ),
        caption=(
            f"Mean {scale.name} of the final trials at each evaluation; bands are 95% t intervals, "
            f"{seeds_text(frame['n'])}. Ink: {view.baseline}, the baseline. "
            "The vertical axis is fitted to where the curves end."
            + (f" Grey: {counted(grey, 'cell')} more, for context." if grey else "")
        ),
        wide=size[0] == WIDE,
    )


def rate_sensitivity(view: TaskView, colours: Mapping[str, str]) -> Picture | None:
    """Tuning: the response at every learning rate that was tried."""
    frame = spoken(curves.rate_sensitivity(view.results, view.name), view.factors)
    if frame.empty:
        return None
    response = "val_loss"
    scale = scale_of(response)
    labels = list(dict.fromkeys(frame["label"]))
    shown = labels[:MOST_PANELS]
    columns = columns_for(shown, most=7)
    shown_rates = in_units(frame[frame["label"].isin(shown)], scale)
    size = grid_size(len(shown), columns, width=WIDE)
    figure = Figure(figsize=size)
    plot_rate_sensitivity(
        figure.add_axes((0, 0, 1, 1)),
        shown_rates,
        colours=colours,
        response=scale.axis,
        columns=columns,
        size=size,
    )
    banded = bool((frame["n"] >= 3).any())
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
            + (f" The first {len(shown)} of {len(labels)} cells." if shown != labels else "")
        ),
        wide=True,
    )


def _rates_in_words(frame: pd.DataFrame, view: TaskView) -> str:
    chosen = frame[frame["chosen"].astype(bool)]
    named = [f"{row['label']} {row['learning_rate']:g}" for row in records(chosen)][:8]
    return f"Learning rates chosen on {view.name}: {', '.join(named)}."


def heat_map(view: TaskView, height: float) -> Picture | None:
    """Depth by width, whenever a study is a full factorial of the two."""
    if set(view.factors) != {"depth", "width"} or "full" not in view.results.study["design"]:
        return None
    return heat_map_of(view, view.cells, height=height)


def heat_map_of(view: TaskView, grid: pd.DataFrame, *, height: float) -> Picture | None:
    """The means of a grid of depth and width; columns `depth`, `width` and an estimate's."""
    cells = _grid_cells(view, grid[np.isfinite(grid["value"])])
    if cells.empty:
        return None
    figure, ax = sheet(HALF, height)
    figures.plot_heat_map(ax, cells, row="depth (hidden layers)", column="width (units)")
    ranked = cells.sort_values("value", ascending=not view.scale.higher_is_better)
    best = records(ranked)[0]
    order = "Highest" if view.scale.higher_is_better else "Lowest"
    return Picture(
        drawing=draw(figure, f"{view.slug}-grid"),
        title=f"{view.scale.axis.capitalize()} by depth and width, {view.name}",
        alt=(
            f"{order} mean {view.scale.name} on {view.name}, {best['text']}{view.scale.unit}, at "
            f"depth {best['row']} and width {best['column']}."
        ),
        caption=(
            f"Mean over {seeds_text(grid['n'])}; darker is higher. Intervals stand in the table."
            + (_ONE_BOX if (cells["span"] > 1).any() else "")
        ),
    )


_ONE_BOX = (
    " A network without hidden layers is the same at any width, so it was trained once and has "
    "one box, left out of the colour scale."
)


def _grid_cells(view: TaskView, cells: pd.DataFrame) -> pd.DataFrame:
    """The frame that `plot_heat_map` takes, levels in rising order."""
    widths = sorted({str(c["width"]) for c in view.results.study["cells"]}, key=_numeric)
    digits = decimals(list((cells["high"] - cells["low"]) / 2), view.scale.most_decimals)
    rows = []
    for depth in sorted(dict.fromkeys(cells["depth"]), key=_numeric):
        own = cells[cells["depth"] == depth].drop_duplicates("width")
        shared = depth == "0" and len(own) == 1
        for cell in sorted(records(own), key=lambda c: _numeric(c["width"])):
            rows.append(
                {
                    "row": depth,
                    "column": widths[0] if shared else cell["width"],
                    "value": cell["value"],
                    "text": number(cell["value"], digits),
                    "span": len(widths) if shared else 1,
                }
            )
    frame = pd.DataFrame(rows, columns=["row", "column", "value", "text", "span"])
    if frame.empty:
        return frame
    place = {width: i for i, width in enumerate(widths)}
    return frame.sort_values("column", key=lambda c: c.map(place), kind="stable").sort_values(
        "row", key=lambda c: c.map(_numeric), kind="stable"
    )


def _numeric(level: str) -> float:
    try:
        return float(level)
    except ValueError:
        return float("inf")
