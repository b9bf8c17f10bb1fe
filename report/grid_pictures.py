"""Depth by width as a heat map, and what it shows in words."""

import numpy as np
import pandas as pd

from report.axes import HALF, sheet
from report.document import Picture
from report.drawing import draw
from report.frames import records
from report.grids import cell_label, grid_of
from report.heat_maps import plot_heat_map
from report.numbers import capitalised, decimals, number, seeds_text
from report.views import TaskView


def heat_map(view: TaskView, height: float) -> Picture | None:
    """Depth by width, whenever a full factorial has both; other factors at the baseline."""
    if not {"depth", "width"} <= set(view.factors) or "full" not in view.results.study["design"]:
        return None
    grid = grid_of(view.results, view.name)
    base = dict(zip(grid.factors, grid.baseline, strict=True))
    fixed = {name: level for name, level in base.items() if name not in ("depth", "width")}
    rows = [
        {**dict(zip(grid.factors, cell, strict=True)), "row": row}
        for cell, row in grid.resolved.items()
    ]
    own = pd.DataFrame([row for row in rows if fixed.items() <= row.items()])
    if own.empty:
        return None
    own = own.drop_duplicates(["depth", "row"])  # the same network at any width is one box
    estimates = ["value", "low", "high", "n", "is_lost"]
    lacking = view.cells.assign(partial=view.cells["label"].isin(view.partial))
    means = lacking.iloc[own["row"]][[*estimates, "partial"]].reset_index(drop=True)
    cells = pd.concat([own[["depth", "width"]].reset_index(drop=True), means], axis=1)
    return heat_map_of(view, cells, height=height, at=cell_label(fixed))


def heat_map_of(
    view: TaskView, grid: pd.DataFrame, *, height: float, at: str = ""
) -> Picture | None:
    """The means of a grid of depth and width.

    Args:
        grid: columns `depth`, `width`, an estimate's, and `is_lost` where that is known.
        at: the levels of the other factors, if they are fixed.
    """
    cells = _grid_cells(view, grid[np.isfinite(grid["value"])])
    if cells.empty:
        return None
    figure, ax = sheet(HALF, height)
    plot_heat_map(ax, cells, row="depth (hidden layers)", column="width (units)")
    where = f"{view.name} with {at}" if at else view.name
    one = int(grid["n"].max()) == 1
    return Picture(
        drawing=draw(figure, f"{view.slug}-grid"),
        title=f"{capitalised(view.scale.axis)} by depth and width, {where}",
        alt=_best_in_words(view, cells[~cells["lost"]], where, "" if one else "mean "),
        caption=(
            (
                "One trial a box, n = 1 seed, so there are no intervals; darker is higher."
                if one
                else f"Mean over {seeds_text(grid['n'])}; darker is higher. Intervals stand in "
                "the table."
            )
            + (_ONE_BOX if (cells["span"] > 1).any() else "")
            + (view.partial_words if cells["partial"].any() else "")
        ),
    )


def _best_in_words(view: TaskView, cells: pd.DataFrame, where: str, mean: str) -> str:
    if cells.empty:
        return f"Every trial on {where} diverged."
    ranked = cells.sort_values("value", ascending=not view.scale.higher_is_better)
    best = records(ranked)[0]
    order = "Highest" if view.scale.higher_is_better else "Lowest"
    return (
        f"{order} {mean}{view.scale.name} on {where}, {best['text']}{view.scale.unit}, at "
        f"depth {best['row']} and width {best['column']}."
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
                    "lost": bool(cell.get("is_lost", False)),
                    "partial": bool(cell.get("partial", False)),
                }
            )
    columns = ["row", "column", "value", "text", "span", "lost", "partial"]
    frame = pd.DataFrame(rows, columns=columns)
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
