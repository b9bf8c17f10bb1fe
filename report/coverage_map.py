"""How far a study has come, as a map of cells by tasks: a bar in every box, cut by endings."""

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from report.axes import name_rows, short
from report.coverage import ENDINGS, MISSING, spoken
from report.frames import records
from report.palette import CONTEXT, EDGE, GRID, INK, MUTED, PAPER, SERIES

COLOURS: Final[Mapping[str, str]] = {
    "finished": GRID,
    "diverged": SERIES[4],
    "failed": SERIES[1],
    "timed_out": SERIES[3],
    "out_of_memory": SERIES[6],
    MISSING: PAPER,
}
HATCHES: Final[Mapping[str, str]] = {MISSING: "////"}  # what left no row is told without colour
HIGH, WIDE = 0.72, 0.94  # of a box, the rest is room between bars


def plot_coverage(ax: Axes, cells: pd.DataFrame, *, names: Mapping[str, str]) -> None:
    """One bar for each cell and task, as long as its trials; what lacks is counted in it.

    Args:
        cells: columns `task`, `label`, one for each of ENDINGS, `asked` and `done`.
        names: the label of each row, top to bottom, and what the figure calls it.
    """
    tasks = list(dict.fromkeys(cells["task"]))
    rows = {label: len(names) - 1 - place for place, label in enumerate(names)}
    for cell in records(cells[cells["label"].isin(rows)]):
        left, y = tasks.index(cell["task"]) + (1 - WIDE) / 2, rows[cell["label"]]
        for ending in ENDINGS:
            share = WIDE * cell[ending] / max(cell["asked"], 1)
            if share:
                _bar(ax, ending, (left, y - HIGH / 2), share)
                left += share
        if cell["done"] < cell["asked"]:
            middle = tasks.index(cell["task"]) + 0.5
            words = f"{cell['done']} of {cell['asked']}"
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.2}
            ax.text(middle, y, words, ha="center", va="center", fontsize=7.5, color=INK, bbox=box)
    name_rows(ax, list(names.values())[::-1])
    ax.set_xlim(0, max(len(tasks), 1))
    ax.set_xticks([place + 0.5 for place in range(len(tasks))], [short(task) for task in tasks])
    ax.xaxis.tick_top()
    ax.tick_params(length=0, labelcolor=INK)
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    _name_endings(ax, [ending for ending in ENDINGS if cells[ending].sum()])


def _bar(ax: Axes, ending: str, corner: tuple[float, float], width: float) -> None:
    """A part of a bar; what is missing is hatched."""
    ax.add_patch(
        Rectangle(
            corner,
            width,
            HIGH,
            facecolor=COLOURS[ending],
            edgecolor=CONTEXT if ending in HATCHES else EDGE,
            hatch=HATCHES.get(ending),
            linewidth=0.5,
        )
    )


def _name_endings(ax: Axes, endings: Sequence[str]) -> None:
    """The endings that occur, each beside its colour, below the map."""
    patches = [
        Rectangle(
            (0, 0),
            1,
            1,
            facecolor=COLOURS[ending],
            edgecolor=CONTEXT if ending in HATCHES else EDGE,
            hatch=HATCHES.get(ending),
            linewidth=0.5,
        )
        for ending in endings
    ]
    ax.legend(
        patches,
        [spoken(ending) for ending in endings],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=MUTED,
        handlelength=1.4,
        columnspacing=1.2,
    )
