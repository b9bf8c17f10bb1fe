"""Walls of pictures for one study and task: which cells, in which order, with what words."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report import walls
from report.axes import LONGEST_LABEL, WIDE
from report.document import Picture
from report.drawing import draw
from report.frames import records
from report.numbers import counted, listed, number
from report.tiles import PictureError, Tile, read_classes, read_range, read_values
from report.views import TaskView, by_size

MOST_TILES = 21
FEW_TITLES = 12  # so few that each has the room it needs, at the cost of a row


def columns_for(titles: list[str], *, most: int) -> int:
    """Columns wide enough for every title, of many for most, that fill rows about equally."""
    share = 1 if len(titles) <= FEW_TITLES else 0.8
    longest = sorted(len(title) for title in titles)[int(share * (len(titles) - 1))]
    room = int(WIDE / (0.074 * min(longest, LONGEST_LABEL) + 0.2))
    columns = min(most, max(room, 4))
    rows = -(-len(titles) // columns)
    return max(-(-len(titles) // rows), min(4, columns))


def wall(view: TaskView, kind: str) -> Picture | None:
    """What each cell's first network learned, at its last picture."""
    tiles = _tiles(view, kind)
    if not tiles:
        return None
    points = view.results.points[view.results.points["task"] == view.name]
    columns = columns_for([tile.title for tile in tiles], most=7 if len(tiles) > 12 else 6)
    aspect = 0.72 if kind == "curve" else 1.0
    size = walls.wall_size(len(tiles), columns, width=WIDE - 0.04, aspect=aspect)
    figure = Figure(figsize=(WIDE, size[1] + 0.04))
    ax = figure.add_axes((0, 0, 1, 1))
    if kind == "region":
        walls.plot_regions(ax, tiles, points, columns=columns, size=size)
    elif kind == "curve":
        walls.plot_fits(ax, tiles, points, columns=columns, size=size)
    else:
        walls.plot_confusions(ax, tiles, columns=columns, size=size)
    title, alt, caption = _WALL_WORDS[kind]
    names = listed([tile.title for tile in tiles[:6]]) + (" and more" if len(tiles) > 6 else "")
    absent = len(_shown_cells(view, kind)) - len(tiles)
    return Picture(
        drawing=draw(figure, f"{view.slug}-{_WALL_NAMES[kind]}"),
        title=f"{title}, {view.name}",
        alt=f"{alt} on {view.name} for {names}.",
        caption=(
            f"{caption} First seed of each cell (n = 1 network a tile), at the end of training; "
            f"above each, that network's own {view.scale.name}. Framed in ink: the baseline."
            + (f" Without a picture: {counted(absent, 'cell')}." if absent else "")
            + (_DIVERGED if (view.cells["diverged"] > 0).any() else "")
            + (view.brief_words if len(view.cells) <= most_tiles(kind) else _CHOICE)
        ),
        wide=True,
    )


_DIVERGED = " A network that diverged is drawn as it last was with finite numbers."
_CHOICE = " Of all cells the three best, the baseline and the two worst, best first."
_WALL_NAMES = {"region": "regions", "curve": "fits", "confusion": "mistakes"}
_WALL_WORDS = {
    "region": (
        "Decision regions",
        "Decision regions and training points",
        "Colour: the class that wins; deeper colour: more certain. Points: the training data.",
    ),
    "curve": (
        "Fitted curves",
        "Fitted curves over the training points",
        "Line: the network's output; grey points: the training data. All tiles share both axes.",
    ),
    "confusion": (
        "Mistakes by class",
        "Which class is mistaken for which",
        "True class down, predicted class across; darker is a commoner mistake. The diagonal "
        "names the class and is left out of the scale.",
    ),
}


def _tiles(view: TaskView, kind: str) -> list[Tile]:
    """The last picture of every cell that has one, in the order of the study."""
    pictures = view.results.pictures[view.results.pictures["kind"] == kind]
    if pictures.empty:
        return []
    trials = view.results.trials[
        (view.results.trials["task"] == view.name) & (view.results.trials["stage"] == "final")
    ]
    last = pictures.sort_values("step", kind="stable").groupby("trial", observed=True).last()
    joined = trials.merge(last, left_on="trial", right_index=True)
    tiles = []
    for cell in records(_shown_cells(view, kind)):
        own = joined
        for factor in view.factors:
            own = own[own[factor] == cell[factor]]
        if not own.empty:
            row = records(own)[0]
            ranked = "rank" in cell and len(view.factors) > 2
            title = str(cell["rank"]) if ranked else view.brief[str(cell["label"])]
            tiles.append(_tile(view, row, title, baseline=bool(cell["is_baseline"])))
    return tiles


def _shown_cells(view: TaskView, kind: str) -> pd.DataFrame:
    """All cells, or where that is too many (or matrices) the baseline, the best and the worst."""
    if len(view.cells) <= most_tiles(kind):
        return by_size(view.cells, view.factors)
    ranked = view.ranked
    ranks = [f"rank {place} of {len(ranked)}" for place in range(1, len(ranked) + 1)]
    keep = ranked.index.isin([*ranked.index[:3], *ranked.index[-2:]])
    return ranked.assign(rank=ranks)[keep | ranked["is_baseline"].astype(bool)]


def most_tiles(kind: str) -> int:
    """Cells that a wall can show; matrices need more room."""
    return 12 if kind == "confusion" else MOST_TILES


def _tile(view: TaskView, row: dict[str, Any], label: str, *, baseline: bool) -> Tile:
    """One row of pictures.csv as a tile.

    Raises:
        PictureError: the row does not hold a picture; the message names the file and the trial.
    """
    reached = float(row[str(view.task["response"])]) * view.scale.factor
    note = f"{number(reached, 1 if view.scale.unit else 2)}{view.scale.unit}"
    try:
        values = read_values(str(row["values"]), str(row["shape"]))
        return Tile(
            title=label,
            note=note if np.isfinite(reached) else str(row["status"]),
            values=values,
            bounds=read_range(str(row["range"])),
            classes=read_classes(float(row["classes"]), str(row["kind"]), values),
            baseline=baseline,
        )
    except PictureError as error:
        raise PictureError(
            f"{view.results.folder / 'pictures.csv'}: study {view.results.study['name']!r}, "
            f"trial {str(row['trial'])[:200]!r}: {error}"
        ) from error
