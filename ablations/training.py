"""One stack, trained to the end.

Nothing in the loop waits for the device: data, orders and histories stay there, and
numbers are read once per evaluation. No operation mixes trials, so a trial that diverges
leaves the others as they were, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ablations.design import Cell, canonical
from ablations.layers import EVALUATION, Context
from ablations.losses import LossGradient, StackedLoss, accuracy, loss_gradient, r2, stacked_loss
from ablations.network import (
    Network,
    StackValues,
    describe,
    initial_values,
    stacked_forward,
    stacked_gradient,
    view_values,
)
from ablations.optimizers import FusedAdam, Optimizer, stacked_optimizer, weight_decay_of
from ablations.pictures import confusion_picture, function_picture, training_points
from ablations.regularisation import (
    add_penalty,
    augment,
    penalty_strengths,
    schedule_factors,
    weight_mask,
)
from ablations.stacking import Member, Stack
from ablations.streams import Streams
from ablations.tasks import Task, TaskError, load_task
from ablations.tasks.task import Part

EXAMPLES = 512  # at most so many pass through the network at once, so that they stay in the cache
ELEMENTS = 1 << 19  # numbers of one layer that stay in the cache, for blocks of trials
CURVE_EXAMPLES = 512  # training examples behind a point of a learning curve, evenly spaced
MOMENTS = 12  # pictures of one trial
VECTOR = 32  # elements that torch's vectorised loops take at once: 32 with AVX-512, 16 with AVX2
SMALL_WEIGHT = 1e-3  # below this a weight counts as sparse

Status = Literal["finished", "diverged", "failed", "timed_out", "out_of_memory"]
Row = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What a stack leaves behind; every value can be written as JSON.

    `rows` has one entry per trial, `curves` one per trial and evaluation.
    """

    rows: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    pictures: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)

    def extend(self, other: Outcome) -> None:
        """Append another outcome, trial after trial."""
        self.rows += other.rows
        self.curves += other.curves
        self.pictures += other.pictures
        self.points += other.points


@dataclass(frozen=True, slots=True)
class _Block:
    """Some neighbouring trials: views of their values, of their gradient, and room for a part."""

    trials: slice
    values: StackValues
    gradient: StackValues
    part: StackValues


@dataclass(slots=True)
class _Training:
    """A stack while it is trained. M trials of S distinct seeds, P parameters and padding."""

    cell: Cell
    network: Network
    task: Task
    parameters: int
    whole: _Block
    blocks: list[_Block]
    optimizer: Optimizer | FusedAdam
    loss_gradient: LossGradient
    reported_loss: StackedLoss
    seed_of: Tensor  # (M,) which of the S seeds a trial has
    streams: dict[str, list[torch.Generator]]  # one generator per seed
    minibatch: int | None  # None: all examples in every step
    train_rows: Tensor  # (S, n)
    mask: Tensor  # (P,)

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
        return self.cell.norm.name != "batch"


def train(
    stack: Stack,
    members: Sequence[Member] | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Outcome:
    """Train a stack, or some of its trials: a trial's numbers do not depend on the others.

    Raises:
        TaskError: the data cannot be had, or are fewer than the cell asks for.
    """
    members = stack.members if members is None else members
    with flushed_denormals(), np.errstate(all="ignore"):
        training, steps = _prepare(stack, members, torch.device(device), dtype)
        return _run(training, stack, members, steps)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat subnormal numbers as zero: vanishing gradients would slow the whole stack."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _prepare(
    stack: Stack, members: Sequence[Member], device: torch.device, dtype: torch.dtype
) -> tuple[_Training, int]:
    cell = canonical(stack.cell)
    seeds = list(dict.fromkeys(member.seed for member in members))
    streams = Streams(stack.study_seed, stack.task.name)
    task = load_task(stack.task, seeds, streams=streams, device=device, dtype=dtype)
    train_rows = _first(task.parts["train"], cell.train_size, stack.task.name)
    minibatch = None if cell.minibatch == "full" else min(int(cell.minibatch), train_rows.shape[1])
    per_epoch = 1 if minibatch is None else -(-train_rows.shape[1] // minibatch)
    steps = stack.steps if stack.steps is not None else (stack.epochs or 1) * per_epoch
    network = describe(cell, task.input_shape, task.outputs)
    smallest = _smallest_pass(task, train_rows.shape[1], minibatch)
    members = [*members, *[members[-1]] * _spares(cell, smallest, task.outputs)]
    seed_of = torch.tensor([seeds.index(member.seed) for member in members], device=device)
    start, buffers = initial_values(network, cell, seeds, streams=streams, dtype=dtype)
    padding = -start.shape[1] % VECTOR  # each trial's parameters fill whole vectors
    flat = F.pad(start, (0, padding)).to(device)[seed_of]  # (M, P)
    blocks = _blocks(network, flat, buffers.to(device)[seed_of], _units(cell, task))
    training = _Training(
        cell=cell,
        network=network,
        task=task,
        parameters=start.shape[1],
        whole=blocks[0],
        blocks=blocks[1:],
        optimizer=_optimizer(cell, members, steps, flat),
        loss_gradient=loss_gradient(cell),
        reported_loss=stacked_loss(cell, smoothing=False),
        seed_of=seed_of,
        streams={
            name: [streams.generator(name, seed) for seed in seeds]
            for name in ("order", "dropout", "noise", "augmentation")
        },
        minibatch=minibatch,
        train_rows=train_rows,
        mask=F.pad(weight_mask(network), (0, padding)).to(flat),
    )
    return training, steps


def _units(cell: Cell, task: Task) -> int:
    """The most numbers that one example has between two layers."""
    if cell.network.name == "cnn":
        return max(cell.width, task.input_shape[0]) * math.prod(task.input_shape[1:])
    return max(math.prod(task.input_shape), cell.width if cell.depth else 0, task.outputs)


def _blocks(network: Network, flat: Tensor, buffers: Tensor, units: int) -> list[_Block]:
    """All trials as one block, then in blocks whose examples fit in the cache."""
    gradient, part = torch.zeros_like(flat), torch.zeros_like(flat)
    size = max(1, ELEMENTS // (units * EXAMPLES))
    cuts = [slice(0, len(flat))]
    cuts += [slice(start, start + size) for start in range(0, len(flat), size)]
    return [
        _Block(cut, *(view_values(network, x[cut], buffers[cut]) for x in (flat, gradient, part)))
        for cut in cuts
    ]


def _curve_stride(examples: int) -> int:
    """Every how many training examples one counts for a learning curve."""
    return -(-examples // CURVE_EXAMPLES)


def _smallest_pass(task: Task, examples: int, minibatch: int | None) -> int:
    """The fewest examples that are ever computed with at once, in training or after it."""
    evaluated = [-(-examples // _curve_stride(examples))]
    evaluated += [rows.shape[1] for rows in task.parts.values() if rows.shape[1]]
    last = examples % (minibatch or examples) or minibatch or examples
    return min(last, *evaluated)


def _spares(cell: Cell, examples: int, outputs: int) -> int:
    """How many copies of its last trial a stack carries along, so that bytes do not depend on M.

    On a CPU torch computes the last few elements of a tensor, those that do not fill a
    vector, by another routine whose exponentials can differ in the last bit. With the
    copies at the end these elements never belong to a trial; one copy is enough unless a
    tensor has fewer than 31 elements per trial. It also keeps M above 1, where matrix
    products and reductions take other routines.
    """
    units = min(outputs, cell.width) if cell.depth else outputs
    return -(-(VECTOR - 1) // (units * examples))


def _first(rows: Tensor, size: int | str, task: str) -> Tensor:
    """The first `train_size` rows of a training part whose order is random, (S, n)."""
    if size == "all":
        return rows
    if int(size) > rows.shape[1]:
        raise TaskError(
            f"train_size {size} is more than the {rows.shape[1]} training examples of {task!r}"
        )
    return rows[:, : int(size)]


def _optimizer(
    cell: Cell, members: Sequence[Member], steps: int, flat: Tensor
) -> Optimizer | FusedAdam:
    base = torch.tensor([member.learning_rate for member in members], dtype=torch.float64)
    rates = schedule_factors(cell, steps).unsqueeze(1) * base  # (T, M)
    hyper = {
        name: torch.full_like(base, float(value))
        for name, value in cell.settings("optimizer").items()
    }
    decay = torch.full_like(base, weight_decay_of(cell))
    return stacked_optimizer(cell.optimizer.name, rates, hyper, flat, decay)


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """Steps after which a stack is evaluated: evenly spaced, the last one included."""
    return sorted({round(steps * k / evaluations) for k in range(1, evaluations + 1)} - {0})


def _run(training: _Training, stack: Stack, members: Sequence[Member], steps: int) -> Outcome:
    history = _History(training, stack, members, evaluation_steps(steps, stack.evaluations))
    history.evaluate(0)
    evaluated = set(history.steps)
    l1, l2 = _penalties(training)
    batches = _minibatches(training)
    uniform = _Uniform(training)
    dropout = training.cell.settings("regularisation").get("rate")
    rates = None if dropout is None else torch.full_like(training.values.flat[:, 0], float(dropout))
    context = Context(training=True, dropout=rates, uniform=uniform.draw)
    flat, gradient = training.values.flat, training.whole.gradient.flat
    for t in range(steps):
        x, y, count = next(batches)
        _add_up(training, x, y, count, context)
        if t + 1 in evaluated:
            found = gradient[:, : training.parameters]
            history.gradient_norm = torch.linalg.vector_norm(found, dim=1)
        add_penalty(gradient, flat, l1, l2)
        training.optimizer.step(t, flat, gradient)
        if t + 1 in evaluated and not history.evaluate(t + 1):
            break
    return history.outcome(steps)


def _add_up(training: _Training, x: Tensor, y: Tensor, count: int, context: Context) -> None:
    """The gradient of a step on `count` examples, of which x (M, N, ...) may repeat the last.

    Many examples are taken in parts, and the trials in blocks, so that what lies between
    two layers stays in the cache. A part has whole vectors of examples for every trial, so
    no trial has a last few elements (see `_spares`).
    """
    if x.shape[1] <= EXAMPLES or not training.divisible:
        _gradient(training, training.whole, (x, y), count, context)
        return
    blocks = training.blocks if context.dropout is None else [training.whole]
    for block in blocks:
        for start in range(0, x.shape[1], EXAMPLES):
            piece = slice(start, start + EXAMPLES)
            here = x[block.trials, piece], y[block.trials, ..., piece]
            _gradient(training, block, here, count, context, done=start)


def _gradient(
    training: _Training,
    block: _Block,
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

    into = block.part if done else block.gradient
    stacked_gradient(
        training.network, block.values, into, x, output_gradient=output_gradient, context=context
    )
    if done:
        block.gradient.flat.add_(block.part.flat)


def _penalties(training: _Training) -> tuple[Tensor | None, Tensor | None]:
    l1, l2 = penalty_strengths(training.cell)
    mask = training.mask.expand_as(training.values.flat)
    return (l1 * mask if l1 else None), (l2 * mask if l2 else None)


def _take(training: _Training, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Examples of every trial, targets features first.

    Shapes: rows (M, n); results (M, n, ...) and (M, n) or (M, C, n).
    """
    return training.task.inputs_of(rows, training.seed_of), _targets(training, rows)


def _targets(training: _Training, rows: Tensor) -> Tensor:
    """Targets of the rows (M, n) of the pool, features first: (M, n) or (M, C, n)."""
    y = training.task.targets_of(rows)
    return y.transpose(1, 2) if y.dim() == 3 else y


def _minibatches(training: _Training) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Inputs and targets of every step, (M, N, ...), drawn without replacement per epoch.

    The third is the number of examples; more than that are repeats of the last.
    """
    rows, size = training.train_rows, training.minibatch
    if size is None:
        x, y = _take(training, _filled(training, rows)[training.seed_of])
        if x.dim() == 3:  # features first in memory, examples first in shape
            x = x.transpose(1, 2).contiguous().transpose(1, 2)
        while True:
            yield _disturb(training, x), y, rows.shape[1]
    while True:
        orders = [torch.randperm(rows.shape[1], generator=g) for g in training.streams["order"]]
        shuffled = rows.gather(1, torch.stack(orders).to(rows.device))[training.seed_of]  # (M, n)
        for start in range(0, rows.shape[1], size):
            chosen = shuffled[:, start : start + size]
            x, y = _take(training, _filled(training, chosen))
            yield _disturb(training, x), y, chosen.shape[1]


def _filled(training: _Training, rows: Tensor) -> Tensor:
    """Rows (S, n) that will be taken in parts, the last repeated until they fill vectors."""
    if rows.shape[1] <= EXAMPLES or not training.divisible:
        return rows
    return whole_vectors(rows)


def whole_vectors(rows: Tensor) -> Tensor:
    """Rows (S, n) with the last repeated until n is a multiple of VECTOR."""
    return torch.cat([rows, rows[:, -1:].expand(-1, -rows.shape[1] % VECTOR)], 1)


def _disturb(training: _Training, x: Tensor) -> Tensor:
    """Augmentation and input noise, the same for trials of one seed: (M, N, ...)."""
    if training.cell.augmentation.name != "none":
        x = _augmented(training, x)
    if training.cell.regularisation.name == "input_noise":
        deviation = float(training.cell.settings("regularisation")["deviation"])
        noise = [
            torch.randn(x.shape[1:], generator=g, dtype=x.dtype) for g in training.streams["noise"]
        ]
        x = x + deviation * torch.stack(noise).to(x.device)[training.seed_of]
    return x


def _augmented(training: _Training, x: Tensor) -> Tensor:
    task = training.task
    black = -task.shift / task.scale  # (S, C) what a raw zero has become
    first = [int((training.seed_of == s).nonzero()[0]) for s in range(len(black))]
    changed = [
        augment(training.cell, x[m], black[s], generator=training.streams["augmentation"][s])
        for s, m in enumerate(first)
    ]
    return torch.stack(changed)[training.seed_of]


@dataclass(frozen=True, slots=True)
class _Uniform:
    """Uniform numbers for dropout, from the stream of each trial's seed."""

    training: _Training

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """(M, *shape) numbers in [0, 1)."""
        flat = self.training.values.flat
        drawn = [
            torch.rand(shape, generator=g, dtype=flat.dtype)
            for g in self.training.streams["dropout"]
        ]
        return torch.stack(drawn).to(flat.device)[self.training.seed_of]


class _History:
    """What the evaluations of a stack have shown, trial by trial."""

    def __init__(
        self, training: _Training, stack: Stack, members: Sequence[Member], steps: list[int]
    ) -> None:
        self.training, self.stack, self.members, self.steps = training, stack, members, steps
        count = len(members)  # the spare copies at the end of the stack have no history
        self.classify = training.task.classes > 0
        self.measure = "accuracy" if self.classify else "r2"
        self.gradient_norm: Tensor | None = None
        self.curves: list[list[Row]] = [[] for _ in range(count)]
        self.diverged = [False] * count
        self.stopped_at: list[int | None] = [None] * count
        self.best_loss = [math.inf] * count
        self.best_step = [0] * count
        self.waited = [0] * count
        self.pictures: list[Row] = []
        train_rows = training.train_rows
        stride = _curve_stride(train_rows.shape[1])
        self.curve_rows: dict[Part, Tensor] = {"train": train_rows[:, ::stride]}
        self.curve_rows["val"] = training.task.parts["val"]
        moments = min(MOMENTS, len(steps) + 1)
        every = [0, *steps]
        self.moments = {every[round(k * len(steps) / max(moments - 1, 1))] for k in range(moments)}
        stopping = training.cell.regularisation.name == "early_stopping"
        settings = training.cell.settings("regularisation")
        self.patience = int(settings["patience"]) if stopping else None
        self.best = training.values.flat.clone(), training.values.buffers.clone()

    def evaluate(self, step: int) -> bool:
        """Record one point of every curve; False when no trial is left to train."""
        training = self.training
        with torch.no_grad():
            columns = [
                *_measure(training, self.curve_rows["train"]),
                *_measure(training, self.curve_rows["val"]),
                (training.trained * 0).sum(1).isfinite().double(),  # infinity * 0 is NaN
            ]
            if self.gradient_norm is not None:
                columns.append(self.gradient_norm.double())
            numbers = torch.stack(columns).tolist()  # the one moment that waits for the device
        has_val = self.curve_rows["val"].shape[1] > 0
        train_loss, train_score, val_loss, val_score, sound, *norm = numbers
        for m in range(len(self.members)):
            if self.diverged[m] or self.stopped_at[m] is not None:
                continue
            finite = sound[m] == 1 and math.isfinite(train_loss[m])
            if not finite or (has_val and not math.isfinite(val_loss[m])):
                self.diverged[m] = True
                continue
            self.curves[m].append(
                {
                    "trial": self.members[m].name,
                    "step": step,
                    "epoch": self._epoch(step),
                    "train_loss": train_loss[m],
                    "val_loss": val_loss[m] if has_val else None,
                    f"train_{self.measure}": _finite(train_score[m]),
                    f"val_{self.measure}": _finite(val_score[m]) if has_val else None,
                    "gradient_norm": _finite(norm[0][m]) if norm else None,
                }
            )
            if self.patience is not None:
                self._watch(m, step, val_loss[m])
        if self.stack.pictures and step in self.moments and self.members[0].seed == 0:
            self._draw(step)
        return any(not d and s is None for d, s in zip(self.diverged, self.stopped_at, strict=True))

    def _epoch(self, step: int) -> float:
        size = self.training.minibatch
        count = self.training.train_rows.shape[1]
        return float(step) if size is None else step / -(-count // size)

    def _watch(self, m: int, step: int, loss: float) -> None:
        """Early stopping: remember the best weights, stop after `patience` worse evaluations."""
        values = self.training.values
        if loss < self.best_loss[m]:
            self.best_loss[m], self.best_step[m], self.waited[m] = loss, step, 0
            self.best[0][m], self.best[1][m] = values.flat[m].detach(), values.buffers[m]
            return
        self.waited[m] += 1
        if self.waited[m] >= (self.patience or 0):
            self.stopped_at[m] = step

    def _draw(self, step: int) -> None:
        if self.diverged[0]:
            return
        picture = function_picture(self.training.task, self._first_outputs)
        if picture:
            self.pictures.append({"trial": self.members[0].name, "step": step, **picture})

    def _first_outputs(self, x: Tensor) -> Tensor:
        """Outputs (N, C) of the first trial on examples (N, *input_shape)."""
        values = self.training.values
        first = view_values(self.training.network, values.flat[:1], values.buffers[:1])
        with torch.no_grad():
            return stacked_forward(self.training.network, first, x.unsqueeze(0), EVALUATION)[0].T

    def outcome(self, steps: int) -> Outcome:
        """The rows of the stack, described at the last step or, with early stopping, the best."""
        training = self.training
        if self.patience is not None:
            with torch.no_grad():
                training.values.flat.copy_(self.best[0])
                training.values.buffers.copy_(self.best[1])
        final = self.stack.stage == "final"
        parts: dict[str, Tensor] = {"train": training.train_rows, "val": training.task.parts["val"]}
        if final:
            parts["test"] = training.task.parts["test"]
        columns: dict[str, list[float]] = {}
        with torch.no_grad():
            for part, rows in parts.items():
                if rows.shape[1]:
                    loss, score = _measure(training, rows)
                    columns[f"{part}_loss"] = loss.tolist()
                    columns[f"{part}_{self.measure}"] = score.tolist()
            weights = training.mask.sum()
            small = (training.values.flat.abs() < SMALL_WEIGHT) & (training.mask > 0)
            columns["sparsity"] = (small.sum(1).double() / weights).tolist()
        rows_out = [self._row(m, columns, steps) for m in range(len(self.members))]
        outcome = Outcome(rows_out, [row for curve in self.curves for row in curve], self.pictures)
        if self.stack.pictures and self.members[0].seed == 0:
            self._confusion(outcome, steps)
            outcome.points = training_points(training.task, training.train_rows)
        return outcome

    def _row(self, m: int, columns: dict[str, list[float]], steps: int) -> Row:
        member = self.members[m]
        row: Row = {
            "trial": member.name,
            "seed": member.seed,
            "learning_rate": member.learning_rate,
            "status": "diverged" if self.diverged[m] else "finished",
            "parameters": self.training.parameters,
        }
        if self.diverged[m]:
            return row
        last = self.stopped_at[m] or steps
        row |= {name: _finite(values[m]) for name, values in columns.items()}
        row |= {"steps": last, "best_step": self.best_step[m] if self.patience else last}
        return row

    def _confusion(self, outcome: Outcome, steps: int) -> None:
        task = self.training.task
        rows = task.parts["test"]
        image = len(task.input_shape) == 3
        if not (self.classify and image and rows.shape[1]) or self.diverged[0]:
            return
        x, y = task.take(rows[:1], self.training.seed_of[:1])
        picture = confusion_picture(self._first_outputs(x[0]), y[0])
        outcome.pictures.append({"trial": self.members[0].name, "step": steps, **picture})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _measure(training: _Training, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and accuracy or r2 of every trial on some examples of its seed.

    Shapes: rows (S, n); results (M,) in float64, NaN where there are no examples.
    """
    if not rows.shape[1]:
        nothing = torch.full(
            (len(training.seed_of),), torch.nan, dtype=torch.float64, device=rows.device
        )
        return nothing, nothing
    count, filled = rows.shape[1], whole_vectors(rows)
    outputs = None
    for block in training.blocks:
        seeds = training.seed_of[block.trials]
        for start in range(0, filled.shape[1], EXAMPLES):
            chosen = filled[:, start : start + EXAMPLES][seeds]
            x = training.task.inputs_of(chosen, seeds)
            part = stacked_forward(training.network, block.values, x, EVALUATION)
            if outputs is None:
                outputs = part.new_empty(len(training.seed_of), part.shape[1], filled.shape[1])
            outputs[block.trials, :, start : start + EXAMPLES] = part
    assert outputs is not None
    output = outputs[..., :count].contiguous()  # (M, C, n)
    target = _targets(training, rows[training.seed_of])
    score = accuracy if training.task.classes else r2
    return training.reported_loss(output, target).double(), score(output, target)
