"""What networks learned, side by side: decision regions, fitted curves and confusion matrices.

A wall is one `Axes` tiled with pictures of equal size, so that a page of them stays light.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from report.axes import short
from report.heat_maps import BLUES
from report.palette import CLASSES, EDGE, INK, MUTED, SERIES
from report.tiles import Tile

GAP = 0.12  # between tiles, as a share of a tile's width
HEAD = 0.30  # room above a tile for its two lines of text, likewise


def wall_size(
    tiles: int, columns: int, *, width: float, aspect: float = 1.0
) -> tuple[float, float]:
    """Width and height in inches of a wall whose tiles are `aspect` times as high as wide."""
    rows = -(-tiles // columns)
    unit = width / (columns + GAP * (columns - 1))
    head = HEAD * 1.32 / unit  # two lines of text are 0.4 inches, however wide a tile
    return width, unit * rows * (aspect + head)


def plot_regions(
    ax: Axes,
    tiles: Sequence[Tile],
    points: pd.DataFrame,
    *,
    columns: int,
    size: tuple[float, float],
) -> None:
    """Decision regions with the training points over them; darker is more certain.

    Args:
        tiles: values as in pictures.csv, `winner * band + shade`.
        points: columns `x`, `y`, `label`.
        size: of the whole wall in inches, from `wall_size`.
    """
    boxes = _boxes(ax, tiles, columns, size, 1.0)
    dots = []
    for tile, box in zip(tiles, boxes, strict=True):
        x, y, width, height = box
        # Not resampled: 48 x 48 pixels stay that small in the file, and browsers smooth them.
        ax.imshow(
            _region_colours(tile),
            origin="lower",
            extent=(x, x + width, y, y + height),
            interpolation="none",
            zorder=1,
        )
        _, _, low, high = tile.bounds
        dots.append(_inside(tile, box, points, low, high))
        _frame(ax, tile, box)
    every = pd.concat(dots)
    colours = [_class_colour(int(label), 0.55) for label in every["label"].fillna(0)]
    ax.scatter(
        every["x"], every["y"], s=3.2, c=colours, ec="white", lw=0.25, rasterized=True, zorder=2
    )


def _inside(
    tile: Tile,
    box: tuple[float, float, float, float],
    points: pd.DataFrame,
    low: float,
    high: float,
) -> pd.DataFrame:
    """The points that lie in a tile, in inches of the wall; low and high are its y range."""
    x, y, width, height = box
    left, right, _, _ = tile.bounds
    placed = points.assign(
        x=x + (points["x"] - left) / (right - left) * width,
        y=y + (points["y"] - low) / (high - low) * height,
    )
    return placed[placed["x"].between(x, x + width) & placed["y"].between(y, y + height)]


def _region_colours(tile: Tile) -> np.ndarray:
    """Colours of one region, (H, W, 3): hue says the winner, saturation how certain it is."""
    band = 256 // tile.classes
    winner = np.minimum(tile.values // band, tile.classes - 1)
    shade = (tile.values - winner * band) / max(band - 1, 1)  # (H, W)
    base = np.array([to_rgb(CLASSES[c % len(CLASSES)]) for c in range(tile.classes)])[winner]
    strength = (0.12 + 0.78 * np.clip(shade, 0, 1))[..., None]
    return np.asarray(1 - strength * (1 - base))


def _class_colour(label: int, brightness: float) -> tuple[float, float, float]:
    red, green, blue = to_rgb(CLASSES[label % len(CLASSES)])
    return red * brightness, green * brightness, blue * brightness


def plot_fits(
    ax: Axes,
    tiles: Sequence[Tile],
    points: pd.DataFrame,
    *,
    columns: int,
    size: tuple[float, float],
) -> None:
    """Fitted curves over the training points, each tile on the same two scales.

    Args:
        tiles: values 0..255 between the last two numbers of their bounds.
        points: columns `x`, `y`.
    """
    low, high = _common_range(tiles, points)
    dots = []
    for tile, box in zip(tiles, _boxes(ax, tiles, columns, size, 0.72), strict=True):
        x, y, width, height = box
        _, _, bottom, top = tile.bounds
        dots.append(_inside(tile, box, points, low, high))
        curve = bottom + tile.values.ravel() / 255 * (top - bottom)
        across = np.linspace(x, x + width, tile.values.size)
        up = y + (np.clip(curve, low, high) - low) / (high - low) * height
        ax.plot(across, up, color=INK if tile.baseline else SERIES[0], linewidth=1.6, zorder=3)
        _frame(ax, tile, box)
    every = pd.concat(dots)
    ax.scatter(every["x"], every["y"], s=2.2, c=EDGE, lw=0, rasterized=True, zorder=2)


def _common_range(tiles: Sequence[Tile], points: pd.DataFrame) -> tuple[float, float]:
    """A vertical range that holds the points, with a tenth to spare."""
    if points.empty:
        return min(t.bounds[2] for t in tiles), max(t.bounds[3] for t in tiles)
    low, high = float(points["y"].min()), float(points["y"].max())
    room = 0.1 * (high - low) or 1.0
    return low - room, high + room


def plot_confusions(
    ax: Axes, tiles: Sequence[Tile], *, columns: int, size: tuple[float, float]
) -> None:
    """Confusion matrices, true class down and predicted class across; mistakes are what is dark.

    The diagonal is left blank and the scale ends at the commonest mistake of the wall, because
    on a good network nothing else would show.
    """
    worst = max(float(_mistakes(tile).max()) for tile in tiles) or 1.0
    for tile, box in zip(tiles, _boxes(ax, tiles, columns, size, 1.0), strict=True):
        x, y, width, height = box
        extent = (x, x + width, y, y + height)
        ax.imshow(BLUES(_mistakes(tile) / worst)[..., :3], extent=extent, zorder=1)
        side, classes = width / tile.classes, tile.classes
        for c in range(classes):
            place = (x + c * side, y + (classes - 1 - c) * side)
            ax.add_patch(Rectangle(place, side, side, facecolor="#dfe3e7", zorder=2))
            if classes <= 10:
                ax.text(
                    place[0] + side / 2,
                    place[1] + side / 2,
                    str(c),
                    ha="center",
                    va="center_baseline",
                    color="#4d545d",
                    fontsize=7,
                )
        _frame(ax, tile, box)


def _mistakes(tile: Tile) -> np.ndarray:
    """Share of each true class taken for each other one, (C, C)."""
    share = tile.values / 255
    return np.asarray(share * (1 - np.eye(tile.classes)))


def _boxes(
    ax: Axes, tiles: Sequence[Tile], columns: int, size: tuple[float, float], aspect: float
) -> list[tuple[float, float, float, float]]:
    """Where each tile lies: left, bottom, width and height in inches from the wall's corner."""
    unit = size[0] / (columns + GAP * (columns - 1))
    rows = -(-len(tiles) // columns)
    pitch = size[1] / rows
    boxes = []
    for i in range(len(tiles)):
        row, column = divmod(i, columns)
        boxes.append((column * unit * (1 + GAP), size[1] - (row + 1) * pitch, unit, unit * aspect))
    ax.set_xlim(-0.02, size[0] + 0.02)
    ax.set_ylim(-0.04, size[1])
    ax.set_aspect("equal")
    ax.set_axis_off()
    return boxes


def _frame(ax: Axes, tile: Tile, box: tuple[float, float, float, float]) -> None:
    """The border of one tile and the two lines above it; the baseline's border is ink."""
    x, y, width, height = box
    edge, line = (INK, 1.6) if tile.baseline else (EDGE, 0.8)
    ax.add_patch(Rectangle((x, y), width, height, fill=False, ec=edge, lw=line, zorder=4))
    title = short(tile.title, max(4, int(width / 0.073)))
    ax.text(x, y + height + 0.19, title, fontsize=8, weight="bold", va="baseline")
    ax.text(x, y + height + 0.055, tile.note, fontsize=7.5, color=MUTED, va="baseline")
