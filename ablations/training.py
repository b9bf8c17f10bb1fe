"""One stack, trained to the end.

Nothing in the loop waits for the device: data, orders and histories stay there, and
numbers are read once per evaluation. No operation mixes trials, so a trial that diverges
leaves the others as they were, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ablations.anatomy import parts_of
from ablations.columns import MEASURES
from ablations.compaction import optimizer_of_some, task_of_some, worth_compacting
from ablations.design import Cell, canonical
from ablations.foreign import own_randomness
from ablations.layers import EVALUATION, Context
from ablations.layout import Block, Layout, blocks_of, layout_of
from ablations.losses import LossGradient, StackedLoss, accuracy, loss_gradient, r2, stacked_loss
from ablations.measures import (
    activity,
    curve_area,
    curve_noise,
    gradient_norms,
    linear_regions,
    parameter_error,
)
from ablations.network import (
    VECTOR,
    Network,
    StackValues,
    describe,
    initial_values,
    padded,
    stacked_forward,
    stacked_gradient,
    view_values,
)
from ablations.optimizers import FusedAdam, Optimizer, stacked_optimizer, weight_decay_of
from ablations.pictures import (
    PROBES,
    confusion_picture,
    function_picture,
    probe_picture,
    training_points,
)
from ablations.pretraining import Pretraining, pretrain
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
from ablations.tasks.generated import TRUTHS, coefficients
from ablations.tasks.task import Part

CURVE_EXAMPLES = 512  # training examples behind a point of a learning curve, evenly spaced
MOMENTS = 12  # pictures of one trial
SMALL_WEIGHT = 1e-3  # below this a weight counts as sparse

Status = Literal["finished", "diverged", "failed", "timed_out", "out_of_memory"]
Way = Literal["stacked", "vmap", "alone"]
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
    way: Way = "stacked"  # how it was trained, which no record seals

    def sealed(self) -> dict[str, list[Row]]:
        """What a record keeps."""
        kinds = ("rows", "curves", "pictures", "points")
        return {kind: getattr(self, kind) for kind in kinds}

    def extend(self, other: Outcome) -> None:
        """Append another outcome, trial after trial; the way becomes that of the other."""
        self.way = other.way
        self.rows += other.rows
        self.curves += other.curves
        self.pictures += other.pictures
        self.points += other.points


@dataclass(slots=True)
class _Training:
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
    streams: dict[str, list[torch.Generator]]  # one generator per seed
    minibatch: int | None  # None: all examples in every step
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
    device = torch.device(device)
    with flushed_denormals(), np.errstate(all="ignore"):
        outcome = Outcome()
        for some in _side_by_side(stack, members, device, dtype):
            outcome.extend(_trained(stack, some, device, dtype)[1])
        return outcome


def _side_by_side(
    stack: Stack, members: Sequence[Member], device: torch.device, dtype: torch.dtype
) -> list[Sequence[Member]]:
    """All trials in one stack, or each by itself where a user's module refuses company."""
    if stack.cell.network.name == "module":
        foreign = _prepare(stack, members[:1], device, dtype)[0].network.foreign
        if foreign is not None and foreign.way == "alone":
            return [[member] for member in members]
    return [members]


def _trained(
    stack: Stack, members: Sequence[Member], device: torch.device, dtype: torch.dtype
) -> tuple[_Training, Outcome]:
    """Trials trained side by side; what a user's module draws comes from the first one's seed."""
    training, steps = _prepare(stack, members, device, dtype)
    foreign = training.network.foreign
    if foreign is None:
        return training, _run(training, stack, members, steps)
    streams = Streams(stack.study_seed, stack.task.name)
    with own_randomness(streams.generator("dropout", members[0].seed)):
        outcome = _run(training, stack, members, steps)
    outcome.way = foreign.way
    return training, outcome


@dataclass(frozen=True, slots=True)
class Trained:
    """One trial after its training: its row, and all that its network consists of.

    Shapes:
        state          by the names of the plain module's `state_dict`
        shift, scale   (D,) or (C,) of the inputs: (raw - shift) / scale
        target_shift, target_scale  numbers; 0 and 1 for classes
    """

    row: Row
    network: Network
    state: dict[str, Tensor]
    shift: Tensor
    scale: Tensor
    target_shift: float
    target_scale: float


def train_one(
    stack: Stack, member: Member, *, device: torch.device | str = "cpu"
) -> tuple[Trained, Task]:
    """Train one trial of a stack as `train` does, and keep its network; the task has its data."""
    with flushed_denormals(), np.errstate(all="ignore"):
        training, outcome = _trained(stack, [member], torch.device(device), torch.float32)
    task, network = training.task, training.network
    names = [*network.parameters(), *network.buffers()]
    own = {
        f"{block.name}.{layer_name}.{key}": value[0].clone()
        for block, layers in zip(network.all_blocks, training.values.layers, strict=True)
        for (layer_name, _), values in zip(block.layers, layers, strict=True)
        for key, value in values.items()
    }
    trained = Trained(
        row=outcome.rows[0],
        network=network,
        state={name: own[name] for name in names},
        shift=task.shift[0],
        scale=task.scale[0],
        target_shift=float(task.target_shift[0]),
        target_scale=float(task.target_scale[0]),
    )
    return trained, task


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
    parts = list(parts_of(network, task.input_shape))
    layout = layout_of(
        parts,
        task.input_shape,
        step=minibatch or train_rows.shape[1],
        smallest=_smallest_pass(task, train_rows.shape[1], minibatch),
        alone=cell.regularisation.name != "dropout",
        device=device,
    )
    if network.foreign is not None and network.foreign.way == "alone":
        layout = replace(layout, spares=0)  # a copy would draw random numbers as well
    members = [*members, *[members[-1]] * layout.spares]
    seed_of = torch.tensor([seeds.index(member.seed) for member in members], device=device)
    start, buffers = initial_values(network, cell, seeds, streams=streams, dtype=dtype)
    flat = padded(start).to(device)[seed_of]  # (M, P)
    blocks = blocks_of(network, flat, buffers.to(device)[seed_of], layout)
    training = _Training(
        cell=cell,
        network=network,
        task=task,
        parameters=start.shape[1],
        layout=layout,
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
        mask=padded(weight_mask(network).unsqueeze(0))[0].to(flat),
        truth=coefficients(stack.task.name, dict(stack.task.settings)) if not cell.depth else None,
        running=torch.zeros_like(flat[:, 0], dtype=torch.float64) if stack.running_loss else None,
    )
    if cell.init.name == "autoencoder":
        x = task.inputs_of(train_rows[:, :: _curve_stride(train_rows.shape[1])][seed_of], seed_of)
        plan = Pretraining(cell, [member.seed for member in members], streams)
        pretrain(plan, network, training.values, x)
    return training, steps


def _curve_stride(examples: int) -> int:
    """Every how many training examples one counts for a learning curve."""
    return -(-examples // CURVE_EXAMPLES)


def _smallest_pass(task: Task, examples: int, minibatch: int | None) -> int:
    """The fewest examples that are ever computed with at once, in training or after it."""
    evaluated = [-(-examples // _curve_stride(examples))]
    evaluated += [rows.shape[1] for rows in task.parts.values() if rows.shape[1]]
    last = examples % (minibatch or examples) or minibatch or examples
    return min(last, *evaluated)


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
    batches = _Minibatches(training)
    (l1, l2), context = _penalties(training), _context(training)
    flat, gradient = training.values.flat, training.whole.gradient.flat
    for t in range(steps):
        x, y, count = batches.draw()
        _add_up(training, x, y, count, context)
        if t == 0 and training.network.foreign is None:
            pairs = [gradient_norms(training.network, b.gradient) for b in training.summed]
            history.gradients = torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs])
        if t + 1 in evaluated:
            found = gradient[:, : training.parameters]
            norms = [torch.linalg.vector_norm(found[b.trials], dim=1) for b in training.summed]
            history.gradient_norm = torch.cat(norms)
        add_penalty(gradient, flat, l1, l2)
        training.optimizer.step(t, flat, gradient)
        if t + 1 not in evaluated:
            continue
        if not history.evaluate(t + 1):
            break
        left = history.left()
        if worth_compacting(len(flat) - len(left), len(history.places)):
            training = history.compact(left)
            batches.keep(training, left)
            (l1, l2), context = _penalties(training), _context(training)
            flat, gradient = training.values.flat, training.whole.gradient.flat
    return history.outcome(steps)


def _context(training: _Training) -> Context:
    """What the layers know in training."""
    dropout = training.cell.settings("regularisation").get("rate")
    rates = None if dropout is None else torch.full_like(training.values.flat[:, 0], float(dropout))
    return Context(training=True, dropout=rates, uniform=_Uniform(training).draw)


def _compacted(training: _Training, rows: Tensor) -> _Training:
    """Some rows of a stack, (K,) ascending, as a stack of their own."""
    seeds, seed_of = training.seed_of[rows].unique(return_inverse=True)
    chosen = seeds.tolist()
    flat, buffers = training.values.flat[rows], training.values.buffers[rows]
    blocks = blocks_of(training.network, flat, buffers, training.layout)
    return replace(
        training,
        task=task_of_some(training.task, seeds),
        whole=blocks[0],
        blocks=blocks[1:],
        optimizer=optimizer_of_some(training.optimizer, rows),
        seed_of=seed_of,
        streams={name: [each[s] for s in chosen] for name, each in training.streams.items()},
        train_rows=training.train_rows[seeds],
        running=None if training.running is None else training.running[rows],
    )


def _add_up(training: _Training, x: Tensor, y: Tensor, count: int, context: Context) -> None:
    """The gradient of a step on `count` examples, of which x (M, N, ...) may repeat the last.

    Many examples are taken in parts, and the trials in blocks, so that what lies between
    two layers stays in the cache. A part has whole vectors of examples for every trial, so
    no trial has a last few elements (see `layout_of`).
    """
    size = training.layout.examples
    if x.shape[1] <= size or not training.divisible:
        for block in training.summed:
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
    training: _Training,
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


class _Minibatches:
    """The examples of one step after the other, drawn without replacement per epoch."""

    def __init__(self, training: _Training) -> None:
        self.training = training
        self.start = 0  # of the next minibatch in this epoch
        self.shuffled = training.train_rows[:, :0]  # (M, n) rows in the order of this epoch
        self.all = self._all() if training.minibatch is None else None

    def keep(self, training: _Training, rows: Tensor) -> None:
        """Go on with some rows of the stack, (K,), which are `training` now."""
        self.training = training
        if self.all is not None:
            self.all = self._all()
        else:
            self.shuffled = self.shuffled[rows]

    def draw(self) -> tuple[Tensor, Tensor, int]:
        """Inputs and targets of the next step, (M, N, ...), and how many examples they are.

        More than that are repeats of the last.
        """
        training = self.training
        if self.all is not None:
            x, y = self.all
            return _disturb(training, x), y, training.train_rows.shape[1]
        assert training.minibatch is not None
        if self.start >= self.shuffled.shape[1]:
            self._shuffle()
        chosen = self.shuffled[:, self.start : self.start + training.minibatch]
        self.start += training.minibatch
        x, y = _take(training, _filled(training, chosen))
        return _disturb(training, x), y, chosen.shape[1]

    def _shuffle(self) -> None:
        rows = self.training.train_rows
        orders = torch.stack(
            [torch.randperm(rows.shape[1], generator=g) for g in self.training.streams["order"]]
        )
        self.shuffled = rows.gather(1, orders.to(rows.device))[self.training.seed_of]
        self.start = 0

    def _all(self) -> tuple[Tensor, Tensor]:
        training = self.training
        rows = _filled(training, training.train_rows)[training.seed_of]
        x, y = _take(training, rows)
        if (
            x.dim() == 3 and training.network.foreign is None
        ):  # features first in memory, examples first in shape
            x = x.transpose(1, 2).contiguous().transpose(1, 2)
        return x, y


def _filled(training: _Training, rows: Tensor) -> Tensor:
    """Rows (S, n) that will be taken in parts, the last repeated until they fill vectors."""
    if rows.shape[1] <= training.layout.examples or not training.divisible:
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
        self.current = training  # the stack of those that are still trained
        self.places = list(range(count))  # which trial each of its rows is, its spares aside
        self.classify = training.task.classes > 0
        self.measure = "accuracy" if self.classify else "r2"
        self.gradient_norm: Tensor | None = None
        self.gradients: tuple[Tensor, Tensor] | None = None  # of the first and last layer, at once
        self.curves: list[list[Row]] = [[] for _ in range(count)]
        self.diverged = [False] * count
        self.stopped_at: list[int | None] = [None] * count
        self.best_loss = [math.inf] * count
        self.best_step = [0] * count
        self.waited = [0] * count
        self.pictures: list[Row] = []
        self.evaluated = 0  # the last step at which
        moments = min(MOMENTS, len(steps) + 1)
        every = [0, *steps]
        self.moments = {every[round(k * len(steps) / max(moments - 1, 1))] for k in range(moments)}
        stopping = training.cell.regularisation.name == "early_stopping"
        settings = training.cell.settings("regularisation")
        self.patience = int(settings["patience"]) if stopping else None
        self.best = training.values.flat.clone(), training.values.buffers.clone()

    def evaluate(self, step: int) -> bool:
        """Record one point of every curve; False when no trial is left to train."""
        training = self.current
        stride = _curve_stride(training.train_rows.shape[1])
        curve_rows: dict[Part, Tensor] = {
            "train": training.train_rows[:, ::stride],
            "val": training.task.parts["val"],
        }
        with torch.no_grad():
            columns = [
                *_measure(training, curve_rows["train"]),
                *_measure(training, curve_rows["val"]),
                (training.trained * 0).sum(1).isfinite().double(),  # infinity * 0 is NaN
            ]
            if self.gradient_norm is not None:
                columns.append(self.gradient_norm.double())
                if training.running is not None:
                    columns.append(training.running / (step - self.evaluated))
                    training.running.zero_()
            self.evaluated = step
            numbers = torch.stack(columns).tolist()  # the one moment that waits for the device
        has_val = curve_rows["val"].shape[1] > 0
        train_loss, train_score, val_loss, val_score, sound, *norm = numbers
        for k, m in enumerate(self.places):
            if self._has_ended(m):
                continue
            finite = sound[k] == 1 and math.isfinite(train_loss[k])
            if not finite or (has_val and not math.isfinite(val_loss[k])):
                self.diverged[m] = True
                continue
            self.curves[m].append(
                {
                    "trial": self.members[m].name,
                    "step": step,
                    "epoch": self._epoch(step),
                    "train_loss": train_loss[k],
                    "val_loss": val_loss[k] if has_val else None,
                    f"train_{self.measure}": _finite(train_score[k]),
                    f"val_{self.measure}": _finite(val_score[k]) if has_val else None,
                    "gradient_norm": _finite(norm[0][k]) if norm else None,
                }
            )
            if len(norm) > 1:
                self.curves[m][-1]["running_loss"] = _finite(norm[1][k])
            if m == 0 and self.stack.pictures and step in self.moments:
                self._draw(step)  # while it is trained, so that company changes nothing
            if self.patience is not None:
                self._watch(m, k, step, val_loss[k])
        return not all(map(self._has_ended, self.places))

    def _has_ended(self, m: int) -> bool:
        return self.diverged[m] or self.stopped_at[m] is not None

    def left(self) -> Tensor:
        """The rows of the stack whose trials have not ended, and its spares, (K,)."""
        rows = [k for k, m in enumerate(self.places) if not self._has_ended(m)]
        spares = range(len(self.places), len(self.current.seed_of))
        return torch.tensor([*rows, *spares], device=self.current.seed_of.device)

    def compact(self, rows: Tensor) -> _Training:
        """Go on with some rows of the stack; what the others have come to is kept."""
        self._keep()
        self.current = _compacted(self.current, rows)
        spares = self.training.layout.spares
        self.places = [self.places[k] for k in rows[: len(rows) - spares].tolist()]
        return self.current

    def _keep(self) -> None:
        """Copy the values of a smaller stack to their places in the whole one."""
        if self.current is not self.training:
            values, count = self.current.values, len(self.places)
            self.training.values.flat[self.places] = values.flat[:count]
            self.training.values.buffers[self.places] = values.buffers[:count]

    def _epoch(self, step: int) -> float:
        size = self.training.minibatch
        count = self.training.train_rows.shape[1]
        return float(step) if size is None else step / -(-count // size)

    def _watch(self, m: int, k: int, step: int, loss: float) -> None:
        """Early stopping: remember the best weights, stop after `patience` worse evaluations."""
        values = self.current.values
        if loss < self.best_loss[m]:
            self.best_loss[m], self.best_step[m], self.waited[m] = loss, step, 0
            self.best[0][m], self.best[1][m] = values.flat[k].detach(), values.buffers[k]
            return
        self.waited[m] += 1
        if self.waited[m] >= (self.patience or 0):
            self.stopped_at[m] = step

    def _draw(self, step: int) -> None:
        if self.members[0].seed != 0:
            return
        picture = function_picture(self.training.task, self._first_outputs)
        if step < self.steps[-1]:  # at the end it is drawn from all examples, and the best weights
            picture = picture or self._confusion_picture(CURVE_EXAMPLES)
        if picture:
            self.pictures.append({"trial": self.members[0].name, "step": step, **picture})

    def _first_outputs(self, x: Tensor) -> Tensor:
        """Outputs (N, C) of the first trial, while it has not ended, on (N, *input_shape)."""
        values = self.current.values
        first = view_values(self.training.network, values.flat[:1], values.buffers[:1])
        with torch.no_grad():
            return stacked_forward(self.training.network, first, x.unsqueeze(0), EVALUATION)[0].T

    def outcome(self, steps: int) -> Outcome:
        """The rows of the stack, described at the last step or, with early stopping, the best."""
        training = self.training
        self._keep()
        self.current = training
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
            if final:
                self._measure(columns)
        rows_out = [self._row(m, columns, steps) for m in range(len(self.members))]
        outcome = Outcome(rows_out, [row for curve in self.curves for row in curve], self.pictures)
        if final:
            self._probe(outcome, steps)
        if self.stack.pictures and self.members[0].seed == 0:
            self._confusion(outcome, steps)
            outcome.points = training_points(training.task, training.train_rows)
        return outcome

    def _measure(self, columns: dict[str, list[float]]) -> None:
        """What else can be said of the trained networks: see `measures`."""
        training = self.training
        stride = _curve_stride(training.train_rows.shape[1])
        rows = whole_vectors(training.train_rows[:, ::stride])[training.seed_of]
        x = training.task.inputs_of(rows, training.seed_of)
        found = _by_block(training, x)
        if self.gradients is not None:
            found["first_gradient"], found["last_gradient"] = self.gradients
        if training.truth is not None:
            found["parameter_error"] = parameter_error(
                training.task, training.truth, training.values, training.seed_of
            )
        columns |= {name: found[name].tolist() for name in MEASURES if name in found}
        l1, l2 = penalty_strengths(training.cell)
        if l1 or l2:
            penalty = (l1 * found["weight_sum"] + l2 / 2 * found["weight_norm"].square()).tolist()
            added = zip(columns["train_loss"], penalty, strict=True)
            columns["penalised_loss"] = [loss + more for loss, more in added]
        if f"test_{self.measure}" in columns:
            scores = zip(
                columns[f"train_{self.measure}"], columns[f"test_{self.measure}"], strict=True
            )
            columns["gap"] = [train - test for train, test in scores]

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
        if self.stack.stage == "final":
            losses = [point["train_loss"] for point in self.curves[m]]
            area = curve_area([point["step"] for point in self.curves[m]], losses)
            row |= {"curve_area": area, "curve_noise": curve_noise(losses)}
        row |= {"steps": last, "best_step": self.best_step[m] if self.patience else last}
        return row

    def _probe(self, outcome: Outcome, steps: int) -> None:
        """What every trial has made of a function that is known."""
        training, task = self.training, self.training.task
        truth = TRUTHS.get(task.name)
        if truth is None:
            return
        x = torch.linspace(-1, 1, PROBES, dtype=task.inputs.dtype, device=task.inputs.device)
        shift, scale = (t[training.seed_of] for t in (task.shift, task.scale))  # (M, 1)
        with torch.no_grad():
            inputs = ((x - shift) / scale).unsqueeze(2)  # (M, N, 1)
            outputs = stacked_forward(training.network, training.values, inputs, EVALUATION)[:, 0]
        unit, middle = (t[training.seed_of] for t in (task.target_scale, task.target_shift))
        fitted = outputs * unit.unsqueeze(1) + middle.unsqueeze(1)
        for m, member in enumerate(self.members):
            if not self.diverged[m]:
                picture = probe_picture(fitted[m], truth(x))
                outcome.pictures.append({"trial": member.name, "step": steps, **picture})

    def _confusion(self, outcome: Outcome, steps: int) -> None:
        picture = None if self.diverged[0] else self._confusion_picture()
        if picture is not None:
            outcome.pictures.append({"trial": self.members[0].name, "step": steps, **picture})

    def _confusion_picture(self, most: int | None = None) -> Row | None:
        """Which images of the test part the first trial takes for which, of `most` at most."""
        task = self.training.task
        rows = task.parts["test"][:1]
        if not (self.classify and len(task.input_shape) == 3 and rows.shape[1]):
            return None
        x, y = task.take(rows[:, :: -(-rows.shape[1] // (most or rows.shape[1]))])
        return confusion_picture(self._first_outputs(x[0]), y[0])


def _by_block(training: _Training, x: Tensor) -> dict[str, Tensor]:
    """Measures of the trained weights and of what they do with examples x (M, N, ...), (M,)."""
    found: dict[str, list[Tensor]] = {}
    for block in training.summed:
        here, weights = x[block.trials], block.values.flat * training.mask
        measured = activity(training.network, block.values, here)
        regions = linear_regions(training.network, block.values, here)
        if regions is not None:
            measured["linear_regions"] = regions
        measured["weight_norm"] = torch.linalg.vector_norm(weights, dim=1).double()
        measured["weight_sum"] = weights.abs().sum(1).double()
        for name, values in measured.items():
            found.setdefault(name, []).append(values)
    return {name: torch.cat(values) for name, values in found.items()}


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
    count, filled, size = rows.shape[1], whole_vectors(rows), training.layout.examples
    outputs = None
    for block in training.blocks:
        seeds = training.seed_of[block.trials]
        for start in range(0, filled.shape[1], size):
            chosen = filled[:, start : start + size][seeds]
            x = training.task.inputs_of(chosen, seeds)
            part = stacked_forward(training.network, block.values, x, EVALUATION)
            if outputs is None:
                outputs = part.new_empty(len(training.seed_of), part.shape[1], filled.shape[1])
            outputs[block.trials, :, start : start + size] = part
    assert outputs is not None
    output = outputs[..., :count].contiguous()  # (M, C, n)
    target = _targets(training, rows[training.seed_of])
    score = accuracy if training.task.classes else r2
    measured = [
        (
            training.reported_loss(output[b.trials], target[b.trials]).double(),
            score(output[b.trials], target[b.trials]),
        )
        for b in training.summed
    ]
    losses, scores = zip(*measured, strict=True)
    return torch.cat(losses), torch.cat(scores)
