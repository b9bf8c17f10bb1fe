"""Small pictures of what a network has learned, as bytes that a CSV file can hold."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ablations.tasks import Task

GRID = 48  # points along each side of a decision region
CURVE = 192  # points along a fitted curve
PROBES = 64  # points at which a fitted function is held against the true one
MARGIN = 0.08  # of the data's range, drawn on every side
POINTS = 600  # training points drawn at most

Outputs = Callable[[Tensor], Tensor]


def function_picture(task: Task, outputs: Outputs) -> dict[str, Any] | None:
    """Regions of a task with two inputs, the curve of one with one input, else None.

    Args:
        outputs: from standardised examples (N, D) to outputs (N, C) of the first trial.
    """
    if task.input_shape == (2,) and task.classes:
        return region_picture(task, outputs)
    if task.input_shape == (1,) and not task.classes:
        return curve_picture(task, outputs)
    return None


def _raw(task: Task, s: int = 0) -> Tensor:
    """Training inputs of one seed in the units of the data, (n, D)."""
    return task.inputs[task.parts["train"][s]] * task.scale[s] + task.shift[s]


def _limits(values: Tensor) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def _steps(like: Tensor, low: float, high: float, count: int) -> Tensor:
    return torch.linspace(low, high, count, dtype=like.dtype, device=like.device)


def region_picture(task: Task, outputs: Outputs) -> dict[str, Any]:
    """Which class wins where, and how surely: winner * band + shade, band = 256 // C."""
    raw = _raw(task)
    (x_low, x_high), (y_low, y_high) = _limits(raw[:, 0]), _limits(raw[:, 1])
    ys, xs = _steps(raw, y_low, y_high, GRID), _steps(raw, x_low, x_high, GRID)
    grid = torch.cartesian_prod(ys, xs).flip(1)  # (GRID * GRID, 2), row 0 at the lowest y
    probability, winner = outputs((grid - task.shift[0]) / task.scale[0]).softmax(1).max(1)
    band, least = 256 // task.classes, 1 / task.classes
    shade = ((probability - least) / (1 - least) * (band - 1)).round().clamp(0, band - 1)
    return {
        "kind": "region",
        "shape": f"{GRID}x{GRID}",
        "range": ",".join(repr(round(limit, 6)) for limit in (x_low, x_high, y_low, y_high)),
        "classes": task.classes,
        "values": _bytes(winner * band + shade),
    }


def curve_picture(task: Task, outputs: Outputs) -> dict[str, Any]:
    """The fitted function, scaled to 0 ... 255 between `lo` and `hi` of its range."""
    low, high = _limits(_raw(task)[:, 0])
    xs = _steps(task.inputs, low, high, CURVE)
    fitted = outputs((xs.unsqueeze(1) - task.shift[0]) / task.scale[0])[:, 0]
    fitted = (fitted * task.target_scale[0] + task.target_shift[0]).clamp(-1e30, 1e30)
    lo, hi = float(fitted.min()), float(fitted.max())
    span = hi - lo or 1.0
    return {
        "kind": "curve",
        "shape": f"1x{CURVE}",
        "range": ",".join(repr(limit) for limit in (round(low, 6), round(high, 6), lo, hi)),
        "classes": None,
        "values": _bytes((fitted - lo) / span * 255),
    }


def probe_picture(fitted: Tensor, true: Tensor) -> dict[str, Any]:
    """A fitted and the true function at the same points of [-1, 1], in two bytes each.

    From the probes of a cell's seeds come its bias and its variance.

    Shapes: fitted, true (PROBES,), raw units.
    """
    both = torch.stack([fitted, true]).double().clamp(-1e30, 1e30)
    lo, hi = float(both.min()), float(both.max())
    levels = ((both - lo) / (hi - lo or 1.0) * 65535).round().to(torch.int32).cpu().numpy()
    return {
        "kind": "probe",
        "shape": f"2x{PROBES}",
        "range": f"-1,1,{lo!r},{hi!r}",
        "classes": None,
        "values": b64encode(levels.astype("<u2").tobytes()).decode(),
    }


def confusion_picture(outputs: Tensor, targets: Tensor) -> dict[str, Any]:
    """Share of each true class (row) that was given each class (column), 255 being all.

    Shapes: outputs (N, C), targets (N,).
    """
    classes = min(outputs.shape[1], GRID)
    pairs = targets * outputs.shape[1] + outputs.argmax(1)
    counts = torch.bincount(pairs, minlength=outputs.shape[1] ** 2).view(-1, outputs.shape[1])
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    return {
        "kind": "confusion",
        "shape": f"{classes}x{classes}",
        "range": "0,1",
        "classes": classes,
        "values": _bytes(shares[:classes, :classes] * 255),
    }


def training_points(task: Task, rows: Tensor) -> list[dict[str, Any]]:
    """Training examples of the first seed to draw under a picture, in raw units."""
    if task.input_shape != ((2,) if task.classes else (1,)):
        return []
    chosen = rows[0, :: -(-rows.shape[1] // POINTS)]
    x = task.inputs[chosen] * task.scale[0] + task.shift[0]
    if task.classes:
        columns = [x[:, 0].tolist(), x[:, 1].tolist(), task.targets[chosen].tolist()]
        return [{"x": a, "y": b, "label": c} for a, b, c in zip(*columns, strict=True)]
    y = task.targets[chosen, 0] * task.target_scale[0] + task.target_shift[0]
    return [
        {"x": a, "y": b, "label": None} for a, b in zip(x[:, 0].tolist(), y.tolist(), strict=True)
    ]


def _bytes(values: Tensor) -> str:
    data = values.round().clamp(0, 255).to(torch.uint8).cpu().numpy().tobytes()
    return b64encode(data).decode("ascii")
