"""What is minimised, and what is reported of a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.design import Cell
from ablations.levels import Level

StackedLoss = Callable[[Tensor, Tensor], Tensor]
LossGradient = Callable[[Tensor, Tensor, int], Tensor]


def stacked_loss(cell: Cell, *, smoothing: bool = True) -> StackedLoss:
    """The loss of M trials at once, each the mean over its own examples.

    Shapes of its arguments and result:
        outputs  (M, C, N)
        targets  (M, N) classes, or (M, C, N) numbers
        result   (M,)

    Args:
        cell: says the loss, and the label smoothing if that is its regularisation.
        smoothing: False for the loss that is reported, which is never smoothed.
    """
    settings = cell.settings("loss")
    smooth = label_smoothing(cell) if smoothing else 0.0
    match cell.loss.name:
        case "cross_entropy" | "nll":
            return lambda outputs, targets: F.cross_entropy(
                outputs, targets, reduction="none", label_smoothing=smooth
            ).mean(1)
        case "bce":
            return lambda outputs, targets: F.binary_cross_entropy_with_logits(
                outputs, one_hot(outputs, targets, smooth), reduction="none"
            ).mean((1, 2))
        case "mse":
            return lambda outputs, targets: (
                (outputs - one_hot(outputs, targets, smooth)).square().mean((1, 2))
            )
        case "quadratic":
            return lambda outputs, targets: (
                (torch.sigmoid(outputs) - one_hot(outputs, targets, smooth))
                .square()
                .sum(1)
                .mean(1)
                .div(2)
            )
        case "l1":
            return lambda outputs, targets: (outputs - targets).abs().mean((1, 2))
        case "huber":
            delta = float(settings["delta"])
            return lambda outputs, targets: F.huber_loss(
                outputs, targets, reduction="none", delta=delta
            ).mean((1, 2))
        case name:
            raise ValueError(f"no stacked loss for {name!r}; resolve the cell's defaults first")


def loss_gradient(cell: Cell) -> LossGradient:
    """The gradient of `stacked_loss` by the outputs.

    Its arguments are outputs (M, C, N), targets as for the loss, and the number of examples
    that the mean is over, N unless the outputs are a part of them; its result is (M, C, N).
    """
    smooth = label_smoothing(cell)
    delta = float(cell.settings("loss").get("delta", 0))
    match cell.loss.name:
        case "cross_entropy" | "nll":
            return lambda outputs, targets, count: _softmax_error(outputs, targets, smooth).div_(
                count
            )
        case "bce":
            return lambda outputs, targets, count: (
                torch.sigmoid(outputs)
                .sub_(one_hot(outputs, targets, smooth))
                .div_(count * outputs.shape[1])
            )
        case "mse":
            return lambda outputs, targets, count: (
                outputs - one_hot(outputs, targets, smooth)
            ).mul_(2 / (count * outputs.shape[1]))
        case "quadratic":
            return lambda outputs, targets, count: _quadratic_error(outputs, targets, smooth).div_(
                count
            )
        case "l1":
            return lambda outputs, targets, count: (
                (outputs - targets).sign_().div_(count * outputs.shape[1])
            )
        case "huber":
            return lambda outputs, targets, count: (
                (outputs - targets).clamp_(-delta, delta).div_(count * outputs.shape[1])
            )
        case name:
            raise ValueError(f"no loss {name!r}; resolve the cell's defaults first")


def _softmax_error(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Predicted minus smoothed true probabilities, (M, C, N)."""
    error = torch.softmax(outputs, 1)
    if smoothing:
        return error.sub_(one_hot(outputs, targets, smoothing))
    labels = targets.unsqueeze(1)
    return error.scatter_add_(1, labels, _minus_one(error.dtype, error.device).expand_as(labels))


@cache
def _minus_one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((1, 1, 1), -1.0, dtype=dtype, device=device)


def _quadratic_error(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """(s - t) s (1 - s), where s is the sigmoid of the outputs: (M, C, N)."""
    s = torch.sigmoid(outputs)
    return (s - one_hot(outputs, targets, smoothing)).mul_(s).mul_(1 - s)


def plain_loss(cell: Cell) -> nn.Module:
    """The loss as a user would write it, on (N, C) outputs and (N,) classes or (N, C) numbers."""
    if cell.regularisation.name == "auxiliary_loss":
        weight = float(cell.settings("regularisation")["weight"])
        return AuxiliaryLoss(plain_loss(replace(cell, regularisation=Level("none"))), weight)
    settings = cell.settings("loss")
    match cell.loss.name:
        case "cross_entropy" | "nll":
            return nn.CrossEntropyLoss(label_smoothing=label_smoothing(cell))
        case "bce":
            return OneHotLoss(nn.BCEWithLogitsLoss(), label_smoothing(cell))
        case "mse":
            return OneHotLoss(nn.MSELoss(), label_smoothing(cell))
        case "quadratic":
            return OneHotLoss(QuadraticLoss(), label_smoothing(cell))
        case "l1":
            return nn.L1Loss()
        case "huber":
            return nn.HuberLoss(delta=float(settings["delta"]))
        case name:
            raise ValueError(f"no loss {name!r}; resolve the cell's defaults first")


class AuxiliaryLoss(nn.Module):
    """The loss of a network whose second head is trained as well."""

    def __init__(self, loss: nn.Module, weight: float) -> None:
        super().__init__()
        self.loss, self.weight = loss, weight

    def forward(self, outputs: Tensor | tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        """That of the outputs, and the head's times its weight where there is one."""
        if isinstance(outputs, Tensor):
            alone: Tensor = self.loss(outputs, targets)
            return alone
        both: Tensor = self.loss(outputs[0], targets) + self.weight * self.loss(outputs[1], targets)
        return both


class QuadraticLoss(nn.Module):
    """Half the squared error of sigmoid outputs, summed over them: the quadratic cost of
    Nielsen, Neural Networks and Deep Learning (2015), chapter 1.
    """

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over examples of (N, C) outputs before the sigmoid."""
        return (torch.sigmoid(outputs) - targets).square().sum(1).mean() / 2


class OneHotLoss(nn.Module):
    """A loss on numbers, applied to one-hot classes (and as it is to numbers)."""

    def __init__(self, loss: nn.Module, smoothing: float) -> None:
        super().__init__()
        self.loss, self.smoothing = loss, smoothing

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over examples and outputs."""
        if not targets.is_floating_point():
            targets = F.one_hot(targets, outputs.shape[1]).to(outputs)
            targets = targets * (1 - self.smoothing) + self.smoothing / outputs.shape[1]
        result: Tensor = self.loss(outputs, targets)
        return result


def label_smoothing(cell: Cell) -> float:
    """The amount, 0 unless it is the cell's regularisation."""
    if cell.regularisation.name != "label_smoothing":
        return 0.0
    return float(cell.settings("regularisation")["amount"])


def one_hot(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Classes (M, N) as (M, C, N) numbers, smoothed towards 1/C; numbers stay as they are."""
    if targets.is_floating_point():
        return targets
    classes = outputs.shape[1]
    target = torch.zeros_like(outputs).scatter_(1, targets.unsqueeze(1), 1 - smoothing)
    return target + smoothing / classes if smoothing else target


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of right classes: (M, C, N) and (M, N) to (M,), in float64.

    The class with the largest output counts, the first of equals, as `argmax` has it. On a CPU
    that takes twenty times as long over the middle axis as to see whether the target's output
    is the largest, which is the same unless outputs are equal.
    """
    if outputs.is_cpu:
        best = outputs.amax(1, keepdim=True)
        below = (outputs - best).sign_().sum(1)  # minus the number of outputs below the largest
        if (below == 1 - outputs.shape[1]).all():
            return (outputs.gather(1, targets.unsqueeze(1)) == best).double().mean((1, 2))
    return (outputs.argmax(1) == targets).double().mean(1)


def r2(outputs: Tensor, targets: Tensor) -> Tensor:
    """Coefficient of determination, 1 - SSE / SST: (M, C, N) twice to (M,), in float64.

    Constant targets give NaN: there is no variance to explain.
    """
    outputs, targets = outputs.double(), targets.double()
    residual = (targets - outputs).square().sum((1, 2))
    total = (targets - targets.mean(2, keepdim=True)).square().sum((1, 2))
    return torch.where(total > 0, 1 - residual / total, torch.nan)
