"""Tasks whose data are drawn afresh for every seed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ablations.levels import Scalar

HOUSING = (2.0, -3.4, 4.2)  # two slopes and the intercept
OUTLYING = 5.0  # units of the target
Examples = tuple[Tensor, Tensor]  # inputs (N, D), targets (N,) or (N, 1)


def spiral(count: int, settings: Mapping[str, Scalar], *, generator: torch.Generator) -> Examples:
    """`count` points on each of C interleaved arms.

    Along an arm the radius t grows from 0 to 1 and the angle turns by `turns` full
    turns, with normal noise of `noise` radians; a point is t (sin angle, cos angle).
    Arms start `spacing` turns apart (0: evenly, 1/C of a turn).

    Returns:
        inputs (C * count, 2) and classes (C * count,), arm by arm.
    """
    arms, noise = int(settings["arms"]), float(settings["noise"])
    spacing = float(settings["spacing"]) or 1 / arms
    t = torch.linspace(0, 1, count)
    points = []
    for arm in range(arms):
        start = 2 * math.pi * spacing * arm
        end = start + 2 * math.pi * float(settings["turns"])
        angle = torch.linspace(start, end, count) + noise * torch.randn(count, generator=generator)
        points.append(torch.stack([t * angle.sin(), t * angle.cos()], dim=1))
    return torch.cat(points), torch.arange(arms).repeat_interleave(count)


def line(count: int, settings: Mapping[str, Scalar], *, generator: torch.Generator) -> Examples:
    """Points of y = slope x + intercept + noise, x uniform in [0, 1): (N, 1), (N, 1)."""
    x = torch.rand(count, 1, generator=generator)
    noise = _noise(count, settings, generator)
    return x, float(settings["slope"]) * x + float(settings["intercept"]) + noise


def housing(count: int, settings: Mapping[str, Scalar], *, generator: torch.Generator) -> Examples:
    """Prices y = 2 x1 - 3.4 x2 + 4.2 + noise from two standard normal features: (N, 2), (N, 1)."""
    x = torch.randn(count, 2, generator=generator)
    noise = torch.randn(count, 1, generator=generator) * float(settings["noise"])
    *slopes, intercept = HOUSING
    return x, x @ torch.tensor(slopes).unsqueeze(1) + intercept + noise


def wave(count: int, settings: Mapping[str, Scalar], *, generator: torch.Generator) -> Examples:
    """Points of y = sin(pi x) + cos(3 pi x) / 2 + noise, x uniform in [-1, 1): (N, 1), (N, 1)."""
    x = torch.rand(count, 1, generator=generator) * 2 - 1
    noise = _noise(count, settings, generator)
    return x, _wave(x) + noise


def zigzag(count: int, settings: Mapping[str, Scalar], *, generator: torch.Generator) -> Examples:
    """Points of a triangle wave of period 2/3 between -1 and 1, x uniform in [-1, 1)."""
    x = torch.rand(count, 1, generator=generator) * 2 - 1
    noise = _noise(count, settings, generator)
    return x, _zigzag(x) + noise


def _wave(x: Tensor) -> Tensor:
    return torch.sin(math.pi * x) + torch.cos(3 * math.pi * x) / 2


def _zigzag(x: Tensor) -> Tensor:
    return 4 * (1.5 * x - (1.5 * x + 0.5).floor()).abs() - 1


TRUTHS = {"wave": _wave, "zigzag": _zigzag}  # on [-1, 1], what the noise was added to


def _noise(count: int, settings: Mapping[str, Scalar], generator: torch.Generator) -> Tensor:
    """Normal noise (N, 1); the share `outliers` of it lies OUTLYING above where it would."""
    noise = torch.randn(count, 1, generator=generator) * float(settings["noise"])
    share = float(settings["outliers"])
    if not share:
        return noise
    return noise + OUTLYING * (torch.rand(count, 1, generator=generator) < share)


GENERATORS = {"spiral": spiral, "line": line, "housing": housing, "wave": wave, "zigzag": zigzag}


def coefficients(name: str, settings: Mapping[str, Scalar]) -> tuple[float, ...] | None:
    """Slopes, then the intercept, of a task whose targets lie on a line but for noise."""
    match name:
        case "line":
            return float(settings["slope"]), float(settings["intercept"])
        case "housing":
            return HOUSING
        case _:
            return None
