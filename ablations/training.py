"""One stack, trained to the end.

Nothing in the loop waits for the device: data, orders and histories stay there, and
numbers are read once per evaluation. No operation mixes trials, so a trial that diverges
leaves the others as they were, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ablations.anatomy import parts_of
from ablations.compaction import worth_compacting
from ablations.compiled import CompiledSteps, compilable
from ablations.design import Cell, canonical
from ablations.foreign import own_randomness
from ablations.graphs import CapturedSteps, capturable
from ablations.history import History, evaluation_steps
from ablations.layout import blocks_of, layout_of
from ablations.losses import loss_gradient, stacked_loss
from ablations.measures import gradient_norms
from ablations.minibatches import Minibatches
from ablations.network import Network, describe, initial_values, padded
from ablations.optimizers import FusedAdam, Optimizer, stacked_optimizer, weight_decay_of
from ablations.outcome import Outcome, Row, Way
from ablations.pretraining import Pretraining, pretrain
from ablations.regularisation import schedule_factors, weight_mask
from ablations.stacking import Member, Stack
from ablations.state import Training, curve_stride
from ablations.steps import Steps
from ablations.streams import Streams
from ablations.tasks import Task, TaskError, load_task
from ablations.tasks.generated import coefficients


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
) -> tuple[Training, Outcome]:
    """Trials trained side by side; what a user's module draws comes from the first one's seed."""
    training, steps = _prepare(stack, members, device, dtype)
    foreign = training.network.foreign
    if foreign is None:
        return training, _run(training, stack, members, steps)
    streams = Streams(stack.study_seed, stack.task.name)
    with own_randomness(streams.generator("dropout", members[0].seed)):
        return training, _run(training, stack, members, steps)


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
) -> tuple[Training, int]:
    cell = canonical(stack.cell)
    seeds = list(dict.fromkeys(member.seed for member in members))
    streams = Streams(stack.study_seed, stack.task.name)
    task = load_task(stack.task, seeds, streams=streams, device=device, dtype=dtype)
    train_rows = _first(task.parts["train"], cell.train_size, stack.task.name)
    minibatch = None if cell.minibatch == "full" else min(int(cell.minibatch), train_rows.shape[1])
    per_epoch = 1 if minibatch is None else -(-train_rows.shape[1] // minibatch)
    steps = stack.steps if stack.steps is not None else (stack.epochs or 1) * per_epoch
    network = describe(cell, task.input_shape, task.outputs)
    mixed = stack.dtype == "bfloat16"
    if mixed:  # vmap refuses some modules under autocast
        network = network.alone()
    way = _way(stack, network, device)
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
    training = Training(
        cell=cell,
        network=network,
        task=task,
        parameters=start.shape[1],
        layout=layout,
        whole=blocks[0],
        blocks=blocks[1:],
        optimizer=_optimizer(cell, members, steps, flat, fused=way != "compiled"),
        loss_gradient=loss_gradient(cell),
        reported_loss=stacked_loss(cell, smoothing=False),
        seed_of=seed_of,
        streams={
            name: [streams.generator(name, seed, device=device) for seed in seeds]
            for name in ("order", "dropout", "noise", "augmentation")
        },
        minibatch=minibatch,
        mixed=mixed,
        way=way,
        train_rows=train_rows,
        mask=padded(weight_mask(network).unsqueeze(0))[0].to(flat),
        truth=coefficients(stack.task.name, dict(stack.task.settings)) if not cell.depth else None,
        running=torch.zeros_like(flat[:, 0], dtype=torch.float64) if stack.running_loss else None,
    )
    if cell.init.name == "autoencoder":
        x = task.inputs_of(train_rows[:, :: curve_stride(train_rows.shape[1])][seed_of], seed_of)
        plan = Pretraining(cell, [member.seed for member in members], streams)
        pretrain(plan, network, training.values, x)
    return training, steps


def _way(stack: Stack, network: Network, device: torch.device) -> Way:
    if network.foreign is not None:
        return network.foreign.way
    if compilable(stack, network, device):
        return "compiled"
    return "captured" if capturable(network, device) else "stacked"


def _smallest_pass(task: Task, examples: int, minibatch: int | None) -> int:
    """The fewest examples that are ever computed with at once, in training or after it."""
    evaluated = [-(-examples // curve_stride(examples))]
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
    cell: Cell, members: Sequence[Member], steps: int, flat: Tensor, *, fused: bool
) -> Optimizer | FusedAdam:
    base = torch.tensor([member.learning_rate for member in members], dtype=torch.float64)
    rates = schedule_factors(cell, steps).unsqueeze(1) * base  # (T, M)
    hyper = {
        name: torch.full_like(base, float(value))
        for name, value in cell.settings("optimizer").items()
    }
    decay = torch.full_like(base, weight_decay_of(cell))
    return stacked_optimizer(cell.optimizer.name, rates, hyper, flat, decay, fused=fused)


def _run(training: Training, stack: Stack, members: Sequence[Member], steps: int) -> Outcome:
    history = History(training, stack, members, evaluation_steps(steps, stack.evaluations))
    history.evaluate(0)
    evaluated = set(history.steps)
    batches = Minibatches(training)
    here = steps_of(training, batches)

    def note() -> None:
        """Keep the norms of the gradient that the step up to `end` was taken by."""
        if end == 1 and training.network.foreign is None:
            pairs = [gradient_norms(training.network, b.gradient) for b in training.summed]
            history.gradients = torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs])
        if end in evaluated:
            found = training.whole.gradient.flat[:, : training.parameters]
            norms = [torch.linalg.vector_norm(found[b.trials], dim=1) for b in training.summed]
            history.gradient_norm = torch.cat(norms)

    for start, end in pairwise(sorted({0, 1, *evaluated})):
        here.take(start, end, note)
        if end not in evaluated:
            continue
        if not history.evaluate(end):
            break
        left = history.left()
        if worth_compacting(len(training.seed_of) - len(left), len(history.places)):
            training = history.compact(left)
            batches.keep(training, left)
            here = steps_of(training, batches)
    outcome = history.outcome(steps)
    outcome.way = training.way
    return outcome


def steps_of(training: Training, batches: Minibatches) -> Steps | CompiledSteps:
    """What takes the steps of a stack."""
    match training.way:
        case "compiled":
            return CompiledSteps(training, batches)
        case "captured":
            return CapturedSteps(training, batches)
        case _:
            return Steps(training, batches)
