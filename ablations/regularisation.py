"""Penalties, noise, augmentation and schedules, for M trials at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ablations.design import Cell
from ablations.network import Network


def penalty_strengths(cell: Cell) -> tuple[float, float]:
    """Strengths of l1, strength |w|, and of l2, strength / 2 |w|^2; weights only."""
    if cell.regularisation.name not in {"l1", "l2"}:
        return 0.0, 0.0
    strength = float(cell.settings("regularisation")["strength"])
    return (strength, 0.0) if cell.regularisation.name == "l1" else (0.0, strength)


def weight_mask(network: Network) -> Tensor:
    """1 where a flat parameter is a weight, 0 at biases, scales and slopes: (P,)."""
    return torch.cat(
        [
            torch.full((math.prod(parameter.shape),), float(parameter.role == "weight"))
            for parameter in network.parameters().values()
        ]
    )


def add_penalty(gradient: Tensor, flat: Tensor, l1: Tensor | None, l2: Tensor | None) -> None:
    """Add the gradient of the penalties in place.

    Shapes:
        gradient, flat  (M, P)
        l1, l2          (M, P) strengths, zero where a parameter is no weight; None: no penalty
    """
    if l1 is not None:
        gradient.addcmul_(flat.sign(), l1)
    if l2 is not None:
        gradient.addcmul_(flat, l2)


def schedule_factors(cell: Cell, steps: int) -> Tensor:
    """What the learning rate is multiplied by in each step, float64, (T,).

    `cosine` is `CosineAnnealingLR(T_max=steps)`; `step` is `StepLR`, which multiplies by
    gamma `drops` times, evenly spaced.
    """
    times = torch.arange(steps, dtype=torch.float64)
    match cell.schedule.name:
        case "cosine":
            return (1 + torch.cos(math.pi * times / steps)) / 2
        case "step":
            settings = cell.settings("schedule")
            every = max(steps // (int(settings["drops"]) + 1), 1)
            drops = (times // every).clamp(max=int(settings["drops"]))
            return torch.pow(torch.tensor(float(settings["gamma"]), dtype=torch.float64), drops)
        case _:
            scale = float(cell.settings("schedule")["scale"])
            return torch.full((steps,), scale, dtype=torch.float64)


def shift_images(x: Tensor, offsets: Tensor, fill: Tensor) -> Tensor:
    """Move each image by whole pixels; what comes in from outside is `fill`.

    Shapes:
        x        (N, C, H, W)
        offsets  (N, 2) rows down and columns right
        fill     (C,)
    """
    count, channels, height, width = x.shape
    rows = (
        torch.arange(height, device=x.device) - offsets[:, :1]
    )  # (N, H) where each row comes from
    columns = torch.arange(width, device=x.device) - offsets[:, 1:]  # (N, W)
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & (
        (columns >= 0) & (columns < width)
    )[:, None, None, :]
    example = torch.arange(count, device=x.device)[:, None, None]
    moved = x.transpose(0, 1)[
        :, example, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
    ].transpose(0, 1)
    return torch.where(inside, moved, fill.view(1, channels, 1, 1))


def augment(cell: Cell, x: Tensor, fill: Tensor, *, generator: torch.Generator) -> Tensor:
    """Change the training images (N, C, H, W) of one trial at random; `fill` (C,) is black.

    Images and generator lie on one device.
    """
    count = len(x)
    match cell.augmentation.name:
        case "shift":
            pixels = int(cell.settings("augmentation")["pixels"])
            offsets = torch.randint(
                -pixels, pixels + 1, (count, 2), generator=generator, device=generator.device
            )
            return shift_images(x, offsets, fill)
        case "flip":
            flipped = torch.rand(count, generator=generator, device=generator.device) < 0.5
            return torch.where(flipped.view(-1, 1, 1, 1), x.flip(3), x)
        case _:
            return x
