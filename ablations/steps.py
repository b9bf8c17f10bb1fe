"""The steps of a stack by torch, each operation for all trials at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ablations.layers import Context
from ablations.layout import Block
from ablations.minibatches import Minibatches, Uniform
from ablations.network import stacked_gradient
from ablations.regularisation import add_penalty, penalty_strengths
from ablations.state import Training

Note = Callable[[], None]


class Steps:
    """The steps of a stack by torch."""

    def __init__(self, training: Training, batches: Minibatches) -> None:
        self.training, self.batches = training, batches
        self.penalties, self.context = _penalties(training), _context(training)

    def take(self, start: int, end: int, note: Note) -> None:
        """Take the steps from `start`, counted from 0, up to `end`.

        Args:
            note: told when the gradient of the stack is that of the last step, without penalties.
        """
        for t in range(start, end):
            self.gradient(*self.batches.draw())
            if t == end - 1:
                note()
            self.update(t)

    def gradient(self, x: Tensor, y: Tensor, count: int) -> None:
        """The gradient on `count` examples x (M, N, ...), of which the last may repeat."""
        add_up(self.training, x, y, count, self.context)

    def update(self, t: int | Tensor) -> None:
        """Take step t, counted from 0, along the gradient.

        Args:
            t: a number, or (1,) on the device, where a graph replays the update.
        """
        flat, gradient = self.training.values.flat, self.training.whole.gradient.flat
        add_penalty(gradient, flat, *self.penalties)
        self.training.optimizer.step(t, flat, gradient)


def _context(training: Training) -> Context:
    """What the layers know in training."""
    dropout = training.cell.settings("regularisation").get("rate")
    rates = None if dropout is None else torch.full_like(training.values.flat[:, 0], float(dropout))
    draw = Uniform(training).draw
    return Context(training=True, dropout=rates, uniform=draw, mixed=training.mixed)


def add_up(training: Training, x: Tensor, y: Tensor, count: int, context: Context) -> None:
    """The gradient of a step on `count` examples, of which x (M, N, ...) may repeat the last.

    Many examples are taken in parts, and the trials in blocks, so that what lies between
    two layers stays in the cache. A part has whole vectors of examples for every trial, so
    no trial has a last few elements (see `layout_of`).
    """
    size = training.layout.examples
    if x.shape[1] <= size or not training.divisible:
        if not training.layout.one:
            _gradient(training, training.whole, (x, y), count, context)
            return
        for block in training.blocks:
            here = x[block.trials], y[block.trials]
            _gradient(training, block, here, count, context)
        return
    blocks = training.blocks if context.dropout is None else [training.whole]
    for block in blocks:
        for start in range(0, x.shape[1], size):
            piece = slice(start, start + size)
            here = x[block.trials, piece], y[block.trials, ..., piece]
            _gradient(training, block, here, count, context, done=start)


def _gradient(
    training: Training,
    block: Block,
    examples: tuple[Tensor, Tensor],
    count: int,
    context: Context,
    *,
    done: int = 0,
) -> None:
    """The gradient that comes from some of `count` examples, added to that of those done."""
    x, y = examples

    def output_gradient(outputs: Tensor) -> Tensor:
        d = training.loss_gradient(outputs, y, count)
        if count - done < d.shape[2]:
            d[..., count - done :] = 0  # repeats
        return d

    def note_loss(outputs: Tensor) -> None:
        here = min(count - done, outputs.shape[2])
        loss = training.reported_loss(outputs[..., :here].contiguous(), y[..., :here])
        training.running[block.trials] += loss * (here / count)  # type: ignore[index]

    into = block.part if done else block.gradient
    stacked_gradient(
        training.network,
        block.values,
        into,
        x,
        output_gradient=output_gradient,
        context=context,
        watch=None if training.running is None else note_loss,
    )
    if done:
        block.gradient.flat.add_(block.part.flat)


def _penalties(training: Training) -> tuple[Tensor | None, Tensor | None]:
    l1, l2 = penalty_strengths(training.cell)
    mask = training.mask.expand_as(training.values.flat)
    return (l1 * mask if l1 else None), (l2 * mask if l2 else None)
