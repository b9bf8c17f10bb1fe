"""What can be said of a trained network besides its loss and its score.

Each measure is one number per trial, taken once at the end of a training from what is at
hand then, so that it costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ablations.layers import DERIVATIVES, EVALUATION, FUNCTIONS, Activation, Convolution, Layer
from ablations.levels import Scalar
from ablations.network import Network, StackValues, stacked_forward
from ablations.tasks import Task

SATURATED = 0.05  # of the steepest slope of an activation
PIECEWISE = frozenset({"relu", "leaky_relu", "prelu"})  # two straight pieces that meet at zero
SEGMENTS = 16  # between training examples, along which linear regions are counted
POINTS = 129  # of a segment
TOGETHER = 4  # segments whose points pass through a network at once
LEAST_NORM = 1e-45  # of a gradient that has vanished, so that it has a logarithm
LEAST_LOSS = 1e-12


def slopes(layer: Activation, values: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The derivative of an activation at its inputs, of the same shape."""
    if layer.name == "prelu":
        slope = values["weight"].view(-1, *[1] * (x.dim() - 1))
        return torch.where(x > 0, torch.ones_like(x), slope.expand_as(x))
    settings = dict(layer.settings)
    y = FUNCTIONS[layer.name](x, settings)
    return DERIVATIVES[layer.name](torch.ones_like(x), x, y, settings)


@cache
def steepest(name: str, settings: tuple[tuple[str, Scalar], ...]) -> float:
    """The largest slope of an activation between -10 and 10."""
    if name == "prelu":
        return 1.0
    x = torch.linspace(-10, 10, 2001)
    return float(slopes(Activation(name, settings), {}, x).abs().max())


def activity(network: Network, values: StackValues, x: Tensor) -> dict[str, Tensor]:
    """How the hidden units of M trials respond to examples x (M, N, *input_shape).

    Returns:
        dead_units: share of the units (of the channels of an image) whose activation has slope
            zero on every example, so that they cannot learn.
        saturation: share of the activations whose slope is below a twentieth of the steepest.
        Both are (M,) in float64; nothing where no unit is hidden.
    """
    dead, units, saturated, activations = [], 0, [], 0

    def watch(layer: Layer, own: Mapping[str, Tensor], h: Tensor) -> None:
        nonlocal units, activations
        if not isinstance(layer, Activation):
            return
        slope = slopes(layer, own, h).abs()
        if slope.dim() > 3:  # (M, N, C, H, W): a channel is a unit
            slope = slope.transpose(1, 2).flatten(2)
        limit = SATURATED * steepest(layer.name, layer.settings)
        dead.append((slope.amax(2) == 0).sum(1))
        units += slope.shape[1]
        activations += slope.shape[1] * slope.shape[2]
        saturated.append(slope.lt_(limit).sum(2).double().sum(1))

    stacked_forward(network, values, x, EVALUATION, watch=watch)
    if not dead:
        return {}
    return {
        "dead_units": torch.stack(dead).sum(0).double() / units,
        "saturation": torch.stack(saturated).sum(0) / activations,
    }


def linear_regions(network: Network, values: StackValues, x: Tensor) -> Tensor | None:
    """Straight pieces of the network's function along segments between examples, on average.

    Counted as changes of the set of active units between neighbouring points, plus one, as
    Raghu et al. (2017) do; only for fully connected networks whose activation has two straight
    pieces.

    Shapes:
        x       (M, N, *input_shape); example k is joined with example k + N / 2
        result  (M,) in float64
    """
    layers = [layer for block in network.blocks for _, layer in block.layers]
    activations = [layer for layer in layers if isinstance(layer, Activation)]
    count = min(SEGMENTS, x.shape[1] // 2)
    if not activations or not count or any(a.name not in PIECEWISE for a in activations):
        return None
    if any(isinstance(layer, Convolution) for layer in layers):
        return None
    half = x.shape[1] // 2
    chosen = torch.arange(count, device=x.device) * half // count
    found = [
        _changes(network, values, x[:, some], x[:, some + half]) for some in chosen.split(TOGETHER)
    ]
    return 1 + torch.stack(found).sum(0).double() / count


def _changes(network: Network, values: StackValues, start: Tensor, end: Tensor) -> Tensor:
    """How often units are switched between neighbouring points from (M, K, ...) to there, (M,)."""
    share = torch.linspace(0, 1, POINTS, dtype=start.dtype, device=start.device)
    share = share.view(1, 1, -1, *[1] * (start.dim() - 2))
    points = torch.lerp(start.unsqueeze(2), end.unsqueeze(2), share)
    changed: list[Tensor] = []

    def watch(layer: Layer, own: Mapping[str, Tensor], h: Tensor) -> None:
        if isinstance(layer, Activation):
            active = (h > 0).view(torch.uint8).unflatten(2, (-1, POINTS))  # (M, H, K, points)
            changed.append((active[..., 1:] ^ active[..., :-1]).amax(1))

    stacked_forward(network, values, points.flatten(1, 2), EVALUATION, watch=watch)
    return reduce(torch.maximum, changed).sum((1, 2))


def gradient_norms(network: Network, gradient: StackValues) -> tuple[Tensor, Tensor]:
    """log10 of the norm of the gradient of the first and of the last layer's weights, (M,)."""
    blocks = gradient.layers[: len(network.blocks)]
    weights = [own["weight"] for block in blocks for own in block if _matrix(own)]
    head = (weights[0], weights[-1])
    first, last = (
        torch.linalg.vector_norm(w.flatten(1), dim=1).double().clamp_min(LEAST_NORM).log10()
        for w in head
    )
    return first, last


def _matrix(own: Mapping[str, Tensor]) -> bool:
    return "weight" in own and own["weight"].dim() > 2


def parameter_error(
    task: Task, truth: Sequence[float], values: StackValues, seed_of: Tensor
) -> Any:
    """The largest error of the coefficients of a linear model, in the units of the data, (M,).

    Args:
        truth: slopes, then the intercept, of the line that made the data.
    """
    own = values.layers[-1][0]
    scale, shift = task.scale[seed_of].double(), task.shift[seed_of].double()  # (M, D)
    unit = task.target_scale[seed_of].double()
    slope = own["weight"][:, 0].double() * unit.unsqueeze(1) / scale  # (M, D)
    intercept = own["bias"][:, 0].double() * unit + task.target_shift[seed_of].double()
    fitted = torch.cat([slope, (intercept - (slope * shift).sum(1)).unsqueeze(1)], 1)
    true = torch.tensor(truth, dtype=torch.float64, device=fitted.device)
    return (fitted - true).abs().amax(1)


def curve_area(steps: Sequence[int], losses: Sequence[float]) -> float:
    """The mean training loss over the steps of a learning curve, by trapezoids."""
    if len(steps) < 2:
        return losses[0]
    widths = [b - a for a, b in pairwise(steps)]
    middles = [(a + b) / 2 for a, b in pairwise(losses)]
    return sum(w * m for w, m in zip(widths, middles, strict=True)) / sum(widths)


def curve_noise(losses: Sequence[float]) -> float | None:
    """How uneven the later half of a learning curve is.

    The standard deviation of the changes of log(training loss) from one evaluation to the
    next; needs two changes.
    """
    later = [math.log(max(loss, LEAST_LOSS)) for loss in losses[len(losses) // 2 :]]
    changes = [b - a for a, b in pairwise(later)]
    if len(changes) < 2:
        return None
    mean = sum(changes) / len(changes)
    return math.sqrt(sum((c - mean) ** 2 for c in changes) / (len(changes) - 1))
