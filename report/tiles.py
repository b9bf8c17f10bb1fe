"""One picture of pictures.csv, decoded and checked: what a wall is tiled with."""

import base64
from dataclasses import dataclass

import numpy as np

from report.axes import padded

_REMEDY = "; delete pictures.csv and run `make ablations`, which writes it again"
MOST_CLASSES = 256  # that a byte can tell apart


class PictureError(ValueError):
    """A row of pictures.csv that does not hold the picture it announces."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a wall with the two lines above it."""

    title: str
    note: str  # for instance the response reached
    values: np.ndarray  # (H, W) bytes
    bounds: tuple[float, float, float, float]  # as in the column `range`
    classes: int  # 0 for a fitted curve
    baseline: bool = False


def read_values(values: str, shape: str) -> np.ndarray:
    """The bytes of one picture, shape (H, W).

    Raises:
        PictureError: the text is not base64, or holds another number of bytes than `shape` says.
    """
    try:
        height, width = (int(side) for side in shape.split("x"))
        raw = np.frombuffer(base64.b64decode(values, validate=True), dtype=np.uint8)
        picture = raw.reshape(height, width)
    except ValueError as error:
        raise PictureError(f"a picture of shape {shape[:20]!r} cannot be read{_REMEDY}") from error
    if not picture.size:
        raise PictureError(f"a picture of shape {shape[:20]!r} holds nothing{_REMEDY}")
    return picture


def read_range(text: str) -> tuple[float, float, float, float]:
    """The four numbers of the column `range`; a confusion matrix has two, which mean nothing.

    A range that is empty, as of data that all have one value, is widened on both sides.

    Raises:
        PictureError: these are not two or four numbers, or a range ends before it begins.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    match numbers:
        case [left, right, low, high] if (
            right >= left and high >= low and np.isfinite(numbers).all()
        ):
            return *_widened(left, right), *_widened(low, high)
        case [_, _]:
            return 0.0, 1.0, 0.0, 1.0
    raise PictureError(
        f"a picture has the range {text[:40]!r}, not four numbers, each pair rising{_REMEDY}"
    )


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else padded(low, high, 0.0)


def read_classes(classes: float, kind: str, values: np.ndarray) -> int:
    """How many classes a picture tells apart; 0 for a fitted curve.

    Raises:
        PictureError: a region without classes, or a matrix that is not one row a class.
    """
    if kind == "curve":
        return 0
    count = int(classes) if np.isfinite(classes) else 0
    if not 1 <= count <= MOST_CLASSES:
        raise PictureError(f"a {kind} has {classes:g} classes, not 1 to {MOST_CLASSES}{_REMEDY}")
    if kind == "confusion" and values.shape != (count, count):
        shape = "x".join(map(str, values.shape))
        raise PictureError(f"a confusion of {count} classes has the shape {shape}{_REMEDY}")
    return count
