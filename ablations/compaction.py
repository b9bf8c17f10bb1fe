"""A stack without the trials that have ended: those left go on as if nothing had happened.

A trial that has stopped early or diverged would cost as much as any other until the whole
stack ends. At an evaluation at which at least SHARE of a stack's trials have ended, those left
move to a smaller stack, with parameters, optimizer state, buffers and streams. No operation
mixes trials, so their bytes do not change.

Measured on one core of an AMD EPYC (Zen 5), medians of five: the seconds of a stack as a share
of those without compaction, by the share of trials that must have ended.

    stack                                                   1/2    1/4    1/10   any
    early stopping, spiral, minibatch 32, 10 trials        0.99   0.98   1.04   0.95
    early stopping, digits, minibatch 64, 10 trials        0.95   0.88   0.91   0.90
    early stopping, digits, tuning of 5 rates x 2 seeds    0.92   0.87   0.84   0.81
    early stopping, digits, width 128, 60 trials           0.72   0.66   0.66   0.71
    early stopping, digits, convolutions, 10 trials        0.96   0.98   0.89   0.93
    three of five rates diverge, wave, 5 rates x 2 seeds   0.91   0.78   0.79   0.81

The runs differ by some 5 percent by themselves, so that a quarter, a tenth and any are equal;
a quarter makes the fewest copies of the three.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from torch import Tensor

from ablations.layout import blocks_of
from ablations.optimizers import FusedAdam, Optimizer
from ablations.state import Training
from ablations.tasks import Task

SHARE = 0.25  # of the trials of a stack that must have ended


def worth_compacting(ended: int, trials: int) -> bool:
    """Whether a stack with so many ended trials, of all that it holds, is made smaller."""
    return ended > 0 and ended >= SHARE * trials


def compacted(training: Training, rows: Tensor) -> Training:
    """Some rows of a stack, (K,) ascending, as a stack of their own."""
    seeds, seed_of = training.seed_of[rows].unique(return_inverse=True)
    chosen = seeds.tolist()
    flat, buffers = training.values.flat[rows], training.values.buffers[rows]
    blocks = blocks_of(training.network, flat, buffers, training.layout)
    return replace(
        training,
        task=_task_of_some(training.task, seeds),
        whole=blocks[0],
        blocks=blocks[1:],
        optimizer=optimizer_of_some(training.optimizer, rows),
        seed_of=seed_of,
        streams={name: [each[s] for s in chosen] for name, each in training.streams.items()},
        train_rows=training.train_rows[seeds],
        running=None if training.running is None else training.running[rows],
    )


def optimizer_of_some(optimizer: Optimizer | FusedAdam, trials: Tensor) -> Optimizer | FusedAdam:
    """The optimizer of some trials of a stack, in the midst of training.

    Args:
        trials: their places in the stack, ascending, (K,).
    """
    state = {name: values[trials] for name, values in optimizer.state.items()}
    if isinstance(optimizer, Optimizer):
        chosen = {name: _columns(c, trials) for name, c in optimizer.coefficients.items()}
        return replace(optimizer, state=state, coefficients=chosen)
    places = trials.tolist()
    counts = [sum(rows.start <= m < rows.stop for m in places) for rows, _ in optimizer.runs]
    left = [k for k, count in enumerate(counts) if count]
    ends = [0, *accumulate(counts[k] for k in left)]
    return replace(
        optimizer,
        state=state,
        runs=[(slice(ends[n], ends[n + 1]), optimizer.runs[k][1]) for n, k in enumerate(left)],
        rates=[[rates[k] for k in left] for rates in optimizer.rates],
    )


def _columns(coefficient: Tensor, trials: Tensor) -> Tensor:
    """Some columns of (T, M, 1); one that never changes is kept once."""
    if coefficient.stride(0) == 0:
        return coefficient[:1, trials].expand(len(coefficient), -1, -1)
    return coefficient[:, trials]


def _task_of_some(task: Task, seeds: Tensor) -> Task:
    """The task of some of its seeds, (K,) of S; the pool of examples stays as it is."""
    return replace(
        task,
        parts={part: rows[seeds] for part, rows in task.parts.items()},
        shift=task.shift[seeds],
        scale=task.scale[seeds],
        target_shift=task.target_shift[seeds],
        target_scale=task.target_scale[seeds],
    )
