"""The playground's data: what the first network of every cell looked like while it was trained.

For every study and task with pictures: the pictures at some moments of training, the training
points under them, each first network's own learning curve, and the numbers it ended with.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from report import estimates
from report.frames import records
from report.grids import Grid, grid_of, trials_at
from report.interactive import (
    cell_names,
    factors_of,
    levels_in,
    packed_bytes,
    rounded,
    sampled_rows,
    shown,
    thinned,
)
from report.numbers import Scale, scale_of
from report.palette import CLASSES
from report.tables import StudyResults
from report.tiles import PictureError, read_classes, read_range, read_values

KINDS: Final = ("region", "curve", "confusion")
MOST_TILES: Final = 120  # cells of one wall
MOST_PICTURES: Final = 3_600  # of the whole page
FEWEST_MOMENTS: Final = 3
MOST_MOMENTS: Final = 12  # that pictures.csv has of a trial
MOST_EVALUATIONS: Final = 41  # of a learning curve
MOST_POINTS: Final = 300  # training points under a picture
SHADES: Final = 6  # of a class in a decision region: how certain the network is


@dataclass(frozen=True, slots=True, eq=False)
class _Wall:
    """The pictures of one kind, of one study on one task."""

    study: StudyResults
    task: Mapping[str, Any]
    kind: str
    grid: Grid
    rows: list[int]  # of the grid
    pictures: pd.DataFrame  # of the first network of each of these cells, with its `cell`


def playground_data(studies: Sequence[StudyResults]) -> dict[str, Any]:
    """Every wall that there is, ready for JSON; the pictures of each are one compressed text."""
    found = [wall for study in studies for wall in _walls(study)]
    large = [wall for wall in found if wall.kind != "confusion"]  # a matrix is a twentieth of them
    moments = moments_within(
        [(len(wall.rows), wall.pictures["step"].nunique()) for wall in large], MOST_PICTURES
    )
    return {"classes": list(CLASSES), "walls": [_told(wall, moments) for wall in found]}


def moments_within(walls: Sequence[tuple[int, int]], most: int) -> int:
    """How many moments a wall may have so that there are at most so many pictures in all.

    Args:
        walls: cells and moments of each.
    """
    moments = max((count for _, count in walls), default=MOST_MOMENTS)
    while moments > FEWEST_MOMENTS and sum(c * min(m, moments) for c, m in walls) > most:
        moments -= 1
    return moments


def _walls(study: StudyResults) -> Iterator[_Wall]:
    for task in study.study["tasks"]:
        name = str(task["name"])
        finals = trials_at(study, name, "final").set_index("trial")["cell"]
        own = study.pictures[study.pictures["trial"].isin(finals.index)]
        kind = next((kind for kind in KINDS if (own["kind"] == kind).any()), None)
        if kind is None:
            continue
        own = own[own["kind"] == kind]
        own = own.assign(cell=own["trial"].astype(object).map(finals).astype(int))
        grid = grid_of(study, name)
        drawn = set(own["cell"])
        mean = estimates.t_interval(grid.scores)[0]
        mean = np.where(np.isin(np.arange(len(mean)), list(drawn)), mean, np.nan)
        rows = [row for row in sampled_rows(grid, list(mean), MOST_TILES) if row in drawn]
        yield _Wall(study, task, kind, grid, rows, own[own["cell"].isin(rows)])


def _told(wall: _Wall, most_moments: int) -> dict[str, Any]:
    scale = scale_of(str(wall.task["response"]))
    steps = thinned([int(step) for step in wall.pictures["step"].unique()], most_moments)
    shape, frames, bounds, classes, content = _frames(wall, steps)
    names = cell_names(wall.grid)
    value, low, high, n = estimates.t_interval(wall.grid.scores[wall.rows] * scale.factor)
    numbers = [rounded(column) for column in (value, low, high)]
    firsts = _firsts(wall, scale)
    return {
        "study": shown(wall.study.study["name"]),
        "task": shown(wall.task["name"]),
        "kind": wall.kind,
        "response": scale.axis,
        "unit": scale.unit,
        "factors": factors_of(wall.grid),
        "all_cells": len(wall.grid.cells),
        "baseline": wall.rows.index(b) if (b := wall.grid.baseline_row) in wall.rows else -1,
        "cells": [
            {
                "label": names[row][0],
                "brief": names[row][1],
                "levels": levels_in(wall.grid, row),
                "mean": [column[i] for column in numbers],
                "n": int(n[i]),
                **firsts[row],
            }
            for i, row in enumerate(wall.rows)
        ],
        "steps": steps,
        "shape": list(shape),
        "classes": classes,
        "bounds": bounds,
        "frames": frames,
        "shades": SHADES,
        "pictures": packed_bytes(content),
        "points": _points(wall),
        "curves": _curves(wall),
    }


def _firsts(wall: _Wall, scale: Scale) -> dict[int, dict[str, Any]]:
    """What the network in each picture ended with: response, learning rate, parameters, status."""
    trials = trials_at(wall.study, str(wall.task["name"]), "final")
    drawn = trials[trials["trial"].isin(wall.pictures["trial"])]
    return {
        int(row["cell"]): {
            "reached": rounded([float(row[str(wall.task["response"])]) * scale.factor])[0],
            "rate": rounded([float(row["learning_rate"])])[0],
            "parameters": rounded([float(row["parameters"])], 12)[0],
            "seed": int(row["seed"]),
            "status": shown(row["status"]),
        }
        for row in records(drawn)
    }


def _frames(
    wall: _Wall, steps: Sequence[int]
) -> tuple[tuple[int, int], list[list[int]], list[Any], int, bytes]:
    """Shape, the picture of every cell at every moment (-1 for none yet), ranges, classes, bytes.

    A moment without a picture of its own shows the latest before it: training had ended.
    """
    shape: tuple[int, ...] = ()
    classes = 0
    bounds: list[list[float | None]] = []
    content: list[bytes] = []
    frames = [[-1] * len(steps) for _ in wall.rows]
    place = {row: i for i, row in enumerate(wall.rows)}
    kept = wall.pictures[wall.pictures["step"].isin(list(steps))]
    for row in records(kept.sort_values(["cell", "step"], kind="stable")):
        values, limits, classes = _read(wall, row)
        shape = shape or values.shape
        if values.shape != shape:
            continue
        frames[place[int(row["cell"])]][steps.index(int(row["step"]))] = len(content)
        bounds.append(rounded(limits, 5))
        content.append(_coded(values, wall.kind, classes))
    for line in frames:
        for i in range(1, len(line)):
            line[i] = line[i - 1] if line[i] < 0 else line[i]
    height, width = shape
    return (height, width), frames, bounds, classes, b"".join(content)


def _read(
    wall: _Wall, row: Mapping[str, Any]
) -> tuple[np.ndarray, tuple[float, float, float, float], int]:
    """Values, range and classes of one row of pictures.csv.

    Raises:
        PictureError: the row does not hold a picture; the message names the file and the trial.
    """
    try:
        values = read_values(str(row["values"]), str(row["shape"]))
        classes = read_classes(float(row["classes"]), wall.kind, values)
        return values, read_range(str(row["range"])), classes
    except PictureError as error:
        raise PictureError(
            f"{wall.study.folder / 'pictures.csv'}: study {wall.study.study['name']!r}, "
            f"trial {str(row['trial'])[:200]!r}: {error}"
        ) from error


def _coded(values: np.ndarray, kind: str, classes: int) -> bytes:
    """One picture as the page reads it.

    A region is `winner * SHADES + shade`, so that it compresses to a third; with more classes than
    a byte can hold so, it is the winner alone. A curve is its first value, then differences.
    """
    if kind == "region":
        band = 256 // classes
        winner = np.minimum(values // band, classes - 1).astype(int)
        shade = (values - winner * band) * SHADES // band
        coded = winner * SHADES + np.clip(shade, 0, SHADES - 1)
        return bytes((coded if classes * SHADES <= 256 else winner).astype(np.uint8))
    if kind == "curve":
        flat = values.ravel()
        return bytes(np.diff(flat, prepend=np.uint8(0)).astype(np.uint8))
    return bytes(values)


def _points(wall: _Wall) -> dict[str, list[Any]]:
    """Training points, of many every k-th."""
    points = wall.study.points
    points = points[points["task"] == wall.task["name"]]
    kept = points.iloc[thinned(range(len(points)), MOST_POINTS)]
    labels = kept["label"].fillna(-1).astype(int)
    return {
        "x": rounded(kept["x"].to_numpy(float), 4),
        "y": rounded(kept["y"].to_numpy(float), 4),
        "label": labels.tolist() if (labels >= 0).any() else [],
    }


def _curves(wall: _Wall) -> list[dict[str, Any]]:
    """The learning curve of the very network that a picture shows, for each column that it has."""
    kind = str(wall.task["response"]).partition("_")[2]
    own = wall.study.curves["trial"].isin(wall.pictures["trial"])
    rows = wall.study.curves[own]
    cell_of = dict(zip(wall.pictures["trial"], wall.pictures["cell"], strict=True))
    cells = rows["trial"].astype(object).map(cell_of)
    columns = dict.fromkeys(f"{part}_{k}" for k in (kind, "loss") for part in ("val", "train"))
    steps = thinned([int(step) for step in rows["step"].unique()], MOST_EVALUATIONS)
    found = []
    for column in columns:
        if column not in rows or rows[column].isna().all():
            continue
        scale = scale_of(column)
        frame = pd.DataFrame({"cell": cells, "step": rows["step"], "value": rows[column]})
        wide = frame.pivot_table(index="cell", columns="step", values="value", dropna=False)
        lines = wide.reindex(index=wall.rows, columns=steps).to_numpy(float) * scale.factor
        digits = 1 if scale.unit else 3
        told = {"column": column, "name": scale.axis, "unit": scale.unit, "digits": digits}
        found.append({**told, "steps": steps, "value": [rounded(line, 4) for line in lines]})
    return found
