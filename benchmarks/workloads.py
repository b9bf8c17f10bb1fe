"""Studies become named computations on the plain modules that a user would write.

Every task has one base network, the baseline of the first study that has the task, and
every level of the studies' factors departs from it in that one factor. Data lie on the
device before anything is timed: a step is `zero_grad`, forward, loss, penalties, backward
and the optimizer's update on one minibatch, and nothing else (METHODS.md T4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from ablations.design import Cell, Study, TaskSpec, baseline_cell, canonical, objection
from ablations.layers import Convolution, Linear, Pool
from ablations.levels import Level, Value, text
from ablations.losses import plain_loss
from ablations.network import Network, describe, plain_network
from ablations.optimizers import plain_optimizer
from ablations.regularisation import augment, penalty_strengths
from ablations.tasks import Task
from benchmarks.clock import Step

Mode = Literal["training step", "inference"]
MODES: tuple[Mode, ...] = ("training step", "inference")
AGAIN = " (again)"  # ends the name of the second half of an A/A pair
LEARNING_RATE = 1e-6  # its value costs no time; so small that the weights stay as they are
NEVER_IN_A_STEP = ("init", "schedule")  # factors that act before a step or between steps
ABSENT_IN_INFERENCE = ("optimizer", "loss", "regularisation", "augmentation")
PASSES = {"training step": 3, "inference": 1}  # multiplications, in forward passes
CALL = {"training step": 4e-4, "inference": 6e-5}  # seconds of a call with nothing to multiply
MULTIPLICATIONS_PER_SECOND = 5e9  # of one core; a GPU is faster, and predicted too slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A named computation: one call of a cell's plain module in one mode."""

    name: str  # spiral/activation=tanh
    task: TaskSpec
    study_seed: int  # of the study that the data come from
    cell: Cell
    mode: Mode
    is_base: bool = False  # the base network of its task, or its twin

    @property
    def factors(self) -> dict[str, str]:
        """The fifteen factor columns of timings.csv."""
        return self.cell.texts()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A workload that is not timed, and why."""

    workload: str
    mode: str
    reason: str


@dataclass(frozen=True, slots=True)
class SameAs:
    """A level that is not timed, because it computes what another workload does."""

    workload: str
    mode: str
    same_as: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is timed, the most important first, and what is not."""

    workloads: tuple[Workload, ...]
    left_out: tuple[LeftOut, ...] = ()
    same_as: tuple[SameAs, ...] = ()
    rule: str = ""  # by which workloads were left out


@dataclass(frozen=True, slots=True)
class _Base:
    """What a task's levels depart from."""

    study: Study
    task: TaskSpec

    def cell(self, levels: Mapping[str, Value]) -> Cell:
        values: dict[str, Value] = dict(self.study.fixed)
        values |= {factor.name: factor.baseline for factor in self.study.factors}
        return baseline_cell(self.task.name, {**values, **levels})


def workloads_of(studies: Sequence[Study]) -> Plan:
    """The workloads of some studies, the most important first.

    First the base network of each task family, twice, in both modes; then task by task,
    one task of each family before the others, training steps before inference.
    """
    bases = {task.name: _Base(study, task) for study in reversed(studies) for task in study.tasks}
    names = list(dict.fromkeys(task.name for study in studies for task in study.tasks))
    families = {bases[name].task.kind.family: name for name in reversed(names)}
    first = [name for name in names if name in families.values()]
    later = [name for name in names if name not in first]
    chosen = [w for name in first for mode in MODES for w in _pair(bases[name], mode)]
    left_out: list[LeftOut] = []
    same_as: list[SameAs] = []
    for name in first + later:
        for mode in MODES:
            if name in later:
                chosen += _pair(bases[name], mode)
            for found in _departures(bases[name], studies, mode):
                match found:
                    case Workload():
                        chosen.append(found)
                    case LeftOut():
                        left_out.append(found)
                    case SameAs():
                        same_as.append(found)
    return Plan(tuple(chosen), tuple(left_out), tuple(same_as))


def _pair(base: _Base, mode: Mode) -> list[Workload]:
    """The base network and its twin: an A/A control (T15)."""
    first = _workload(base, "baseline", {}, mode, is_base=True)
    return [first, replace(first, name=first.name + AGAIN)]


def _workload(
    base: _Base, what: str, levels: Mapping[str, Value], mode: Mode, *, is_base: bool = False
) -> Workload:
    return Workload(
        name=f"{base.task.name}/{what}",
        task=base.task,
        study_seed=base.study.seed,
        cell=base.cell(levels),
        mode=mode,
        is_base=is_base,
    )


def _departures(
    base: _Base, studies: Sequence[Study], mode: Mode
) -> Iterator[Workload | LeftOut | SameAs]:
    """Each level of a task's factors: to be timed, impossible, or the same as an earlier one."""
    first_with = {computed_cell(base.cell({}), mode): f"{base.task.name}/baseline"}
    for factor, level in _levels(base.task.name, studies):
        workload = _workload(base, f"{factor}={text(level)}", {factor: level}, mode)
        reason = objection(workload.cell)
        if reason is not None:
            yield LeftOut(workload.name, mode, reason)
            continue
        same = first_with.setdefault(computed_cell(workload.cell, mode), workload.name)
        yield workload if same == workload.name else SameAs(workload.name, mode, same)


def _levels(task: str, studies: Sequence[Study]) -> Iterator[tuple[str, Value]]:
    """Every level of every factor that some study has on a task, each once."""
    seen: set[tuple[str, str]] = set()
    for study in studies:
        for spec in study.tasks:
            if spec.name != task:
                continue
            for factor in study.factors:
                for level in factor.levels:
                    key = (factor.name, text(level))
                    if key not in seen and key not in spec.skip:
                        seen.add(key)
                        yield factor.name, level


def computed_cell(cell: Cell, mode: Mode) -> Cell:
    """The cell without what one call does not compute: equal for equal computations."""
    plain = Cell(task=cell.task)
    ignored = NEVER_IN_A_STEP + (ABSENT_IN_INFERENCE if mode == "inference" else ())
    cell = replace(canonical(cell), **{name: getattr(plain, name) for name in ignored})
    if cell.regularisation.name == "early_stopping":
        cell = replace(cell, regularisation=Level("none"))  # it acts at evaluations
    if cell.minibatch != "full":
        cell = replace(cell, train_size="all")
    return cell


def predicted_seconds(workload: Workload) -> float:
    """Roughly how long one call takes: enough to decide what fits a budget."""
    kind = workload.task.kind
    shape = kind.input_shape or (3, 32, 32)
    network = describe(workload.cell, shape, kind.outputs or 10)
    size = 1000 if workload.cell.minibatch == "full" else int(workload.cell.minibatch)
    work = multiplications(network, shape) * size * PASSES[workload.mode]
    return CALL[workload.mode] + work / MULTIPLICATIONS_PER_SECOND


def multiplications(network: Network, input_shape: tuple[int, ...]) -> int:
    """Of one example's forward pass, in linear layers and convolutions."""
    total, area = 0, math.prod(input_shape[1:])
    for block in network.blocks:
        for _, layer in block.layers:
            match layer:
                case Linear():
                    total += layer.inputs * layer.outputs
                case Convolution():
                    total += layer.inputs * layer.outputs * layer.kernel**2 * area
                case Pool():
                    area //= 4
    return total


def prepare(workload: Workload, task: Task) -> Step:
    """The call to be timed, with its network and one minibatch on the task's device."""
    cell = canonical(workload.cell)
    network = describe(cell, task.input_shape, task.outputs)
    x, y = minibatch(cell, task)
    model = plain_network(network).to(x.device)
    if workload.mode == "inference":
        return inference(model, x)
    black = -task.shift[0] / task.scale[0]  # what a raw zero has become
    generator = torch.Generator(x.device).manual_seed(0)
    return training_step(cell, network, model, x, y, black=black, generator=generator)


def minibatch(cell: Cell, task: Task) -> tuple[Tensor, Tensor]:
    """The first minibatch of the first seed's training part.

    Shapes of the result: (N, *input_shape) and (N,) classes or (N, C) numbers.
    """
    rows = task.parts["train"][:1]  # (1, n)
    for size in (cell.train_size, cell.minibatch):
        rows = rows if isinstance(size, str) else rows[:, :size]
    x, y = task.take(rows)
    return x[0].contiguous(), y[0].contiguous()


def inference(model: nn.Module, x: Tensor) -> Step:
    """A forward pass in evaluation mode; x is (N, *input_shape)."""
    model.eval()

    def forward() -> Tensor:
        with torch.inference_mode():
            outputs: Tensor = model(x)
        return outputs

    return forward


def training_step(
    cell: Cell,
    network: Network,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    black: Tensor,
    generator: torch.Generator,
    learning_rate: float = LEARNING_RATE,
) -> Step:
    """One update of a model, as a user would write it for this cell.

    Args:
        network: the description that the model was made from; says which parameters are weights.
        x, y: one minibatch, (N, *input_shape) and (N,) classes or (N, C) numbers.
        black: (C,) what augmentation fills in, per channel.
        generator: of input noise, on the device of x.
    """
    model.train()
    optimizer = plain_optimizer(cell, model.parameters(), learning_rate)
    loss_of = plain_loss(cell)
    l1, l2 = penalty_strengths(cell)
    roles = network.parameters()
    weights = [p for name, p in model.named_parameters() if roles[name].role == "weight"]
    noise = _noise_deviation(cell)
    shuffle = torch.Generator().manual_seed(0)  # augmentation draws on the CPU
    augmented = cell.augmentation.name != "none"

    def step() -> Tensor:
        seen = augment(cell, x, black, generator=shuffle) if augmented else x
        if noise:
            drawn = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            seen = seen + noise * drawn
        optimizer.zero_grad(set_to_none=True)
        loss: Tensor = loss_of(model(seen), y)
        if l1:
            loss = loss + l1 * torch.stack([w.abs().sum() for w in weights]).sum()
        if l2:
            loss = loss + l2 / 2 * torch.stack([w.square().sum() for w in weights]).sum()
        loss.backward()
        optimizer.step()
        return loss

    return step


def _noise_deviation(cell: Cell) -> float:
    if cell.regularisation.name != "input_noise":
        return 0.0
    return float(cell.settings("regularisation")["deviation"])
