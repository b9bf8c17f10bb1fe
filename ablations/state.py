"""A stack while it is trained, and what its examples are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ablations.design import Cell
from ablations.layers import Flatten
from ablations.layout import Block, Layout
from ablations.losses import LossGradient, StackedLoss
from ablations.network import VECTOR, Network, StackValues
from ablations.optimizers import FusedAdam, Optimizer
from ablations.outcome import Way
from ablations.tasks import Task

CURVE_EXAMPLES = 512  # training examples behind a point of a learning curve, evenly spaced


@dataclass(slots=True)
class Training:
    """A stack while it is trained. M trials of S distinct seeds, P parameters and padding."""

    cell: Cell
    network: Network
    task: Task
    parameters: int
    layout: Layout
    whole: Block
    blocks: list[Block]
    optimizer: Optimizer | FusedAdam
    loss_gradient: LossGradient
    reported_loss: StackedLoss
    seed_of: Tensor  # (M,) which of the S seeds a trial has
    streams: dict[str, list[torch.Generator]]  # one generator per seed, on the stack's device
    minibatch: int | None  # None: all examples in every step
    mixed: bool  # whether the products of a training step are bfloat16's
    way: Way  # its steps are taken: see `training.steps_of`
    train_rows: Tensor  # (S, n)
    mask: Tensor  # (P,)
    truth: tuple[float, ...] | None  # coefficients that made the data of a linear task
    running: Tensor | None  # (M,) sum of the losses of the steps since the last evaluation

    @property
    def values(self) -> StackValues:
        """The values of all trials."""
        return self.whole.values

    @property
    def trained(self) -> Tensor:
        """The parameters of all trials without their padding, which may be anything."""
        return self.values.flat[:, : self.parameters]

    @property
    def divisible(self) -> bool:
        """Whether the examples of a step may be taken in parts: batch norm needs them all."""
        return self.cell.norm.name != "batch" and self.network.foreign is None

    @property
    def summed(self) -> list[Block]:
        """The blocks over which numbers are added up to one per trial."""
        return self.blocks if self.layout.one else [self.whole]


def targets_of(training: Training, rows: Tensor) -> Tensor:
    """Targets of the rows (M, n) of the pool, features first: (M, n) or (M, C, n)."""
    y = training.task.targets_of(rows, training.seed_of)
    return y.transpose(1, 2) if y.dim() == 3 else y


def features_first(training: Training, x: Tensor) -> Tensor:
    """Inputs (M, N, ...) of a fully connected network, features first in memory alone."""
    if not isinstance(training.network.blocks[0].layers[0][1], Flatten):
        return x
    return x.flatten(2).transpose(1, 2).contiguous().transpose(1, 2).view(x.shape)


def whole_vectors(rows: Tensor) -> Tensor:
    """Rows (S, n) with the last repeated until n is a multiple of VECTOR."""
    return torch.cat([rows, rows[:, -1:].expand(-1, -rows.shape[1] % VECTOR)], 1)


def curve_stride(examples: int) -> int:
    """Every how many training examples one counts for a learning curve."""
    return -(-examples // CURVE_EXAMPLES)
