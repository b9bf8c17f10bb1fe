"""Named computations on the plain modules that a user would write.

What there is to be timed is listed in `catalogue`, what it computes in `steps`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ablations.design import Cell, TaskSpec, canonical
from ablations.levels import Level
from benchmarks.ways import PLAIN, Way

Mode = Literal[
    "training step", "inference", "optimizer step", "forward+backward", "input pipeline", "epoch"
]
MODES: tuple[Mode, ...] = ("training step", "inference")  # in which every level is timed
AGAIN = " (again)"  # ends the name of the second half of an A/A pair
NEVER_IN_A_STEP = ("init", "schedule")  # factors that act before a step or between steps
ABSENT_IN_INFERENCE = ("optimizer", "loss", "regularisation", "augmentation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A named computation: one call of a cell's plain module in one mode, or one epoch."""

    name: str  # spiral/activation=tanh
    task: TaskSpec
    study_seed: int  # of the study that the data come from
    cell: Cell
    mode: Mode
    is_base: bool = False  # the base network of its task, or its twin
    way: Way = PLAIN
    layer: tuple[int, int] | None = None  # examples and units of an activation on its own
    repeats: bool = False  # examples are repeated where the minibatch is larger than the data

    @property
    def factors(self) -> dict[str, str]:
        """The fifteen factor columns of timings.csv."""
        return self.cell.texts()

    @property
    def group(self) -> str:
        """Column `task` of timings.csv: workloads of one device, mode and group are compared."""
        return self.task.name if self.layer is None else layer_name(self.layer)

    def identity(self) -> list[Any]:
        """Everything that decides what is computed, as JSON can hold it."""
        way = [self.way.dtype, self.way.threads, self.way.run, self.way.source]
        data = [self.task.identity(), self.study_seed, self.layer, self.repeats]
        return [self.name, self.mode, self.cell.resolved(), *way, *data]


def layer_name(size: tuple[int, int]) -> str:
    """What stands for a task where only a hidden layer's activation is computed."""
    return f"layer {size[0]}x{size[1]}"


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
    always: int = 2  # so many of the first are timed whatever the budget: an A/A pair, and claims
    rule: str = ""  # by which workloads were left out


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
