"""Trials of equal shape, grouped into stacks that are trained side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ablations.design import (
    Cell,
    Stage,
    Study,
    TaskSpec,
    canonical,
    cell_name,
    trained_cells,
    trial_name,
    tuning_seeds,
)

BLOCK = 10  # consecutive final seeds in one stack


@dataclass(frozen=True, slots=True)
class Member:
    """One trial of a stack."""

    name: str
    seed: int
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Stack:
    """One cell at all its rates, for a block of seeds: everything needed to train it.

    Stacks never hold two cells, so adding a level to a study leaves the others as they are.
    """

    study: str
    study_seed: int
    task: TaskSpec
    cell: Cell
    cell_name: str  # its levels of the study's factors
    stage: Stage
    members: tuple[Member, ...]
    steps: int | None
    epochs: int | None
    evaluations: int
    pictures: bool
    running_loss: bool = False  # whether the mean loss of the steps is kept
    dtype: str = "float32"  # of the products of a training step

    def config(self) -> dict[str, Any]:
        """Everything about the stack that can change its numbers."""
        return {
            "study_seed": self.study_seed,
            "task": self.task.identity(),
            "cell": canonical(self.cell).resolved(),
            "stage": self.stage,
            "members": [
                {"trial": m.name, "seed": m.seed, "learning_rate": m.learning_rate}
                for m in self.members
            ],
            "steps": self.steps,
            "epochs": self.epochs,
            "evaluations": self.evaluations,
            "pictures": self.pictures,
            "running_loss": self.running_loss,
            "dtype": self.dtype,
        }


def tuning_stack(study: Study, task: TaskSpec, cell: Cell) -> Stack | None:
    """The stack that chooses a cell's rate; None where there is nothing to choose."""
    if not study.rates.tunes(cell):
        return None
    pairs = [(rate, seed) for rate in study.rates.of(cell) for seed in tuning_seeds(study)]
    return _stack(study, task, cell, "tuning", pairs)


def final_stacks(study: Study, task: TaskSpec, cell: Cell, rate: float) -> Iterator[Stack]:
    """A cell's final trials at the chosen rate, in blocks of ten seeds."""
    for start in range(0, study.seeds, BLOCK):
        seeds = range(start, min(start + BLOCK, study.seeds))
        yield _stack(study, task, cell, "final", [(rate, seed) for seed in seeds])


def _stack(
    study: Study, task: TaskSpec, cell: Cell, stage: Stage, pairs: Sequence[tuple[float, int]]
) -> Stack:
    shown = cell_name(study, cell)
    members = tuple(
        Member(trial_name(task.name, shown, stage, seed, rate), seed, rate) for rate, seed in pairs
    )
    return Stack(
        study=study.name,
        study_seed=study.seed,
        task=task,
        cell=cell,
        cell_name=shown,
        stage=stage,
        members=members,
        steps=study.steps,
        epochs=study.epochs,
        evaluations=study.evaluations,
        pictures=stage == "final" and pairs[0][1] == 0,
        running_loss=study.running_loss,
        dtype=study.dtype,
    )


def final_block_count(study: Study) -> int:
    """Stacks of final trials per cell."""
    return -(-study.seeds // BLOCK)


def stack_count(study: Study) -> int:
    """Stacks of a whole study."""
    return sum(
        study.rates.tunes(cell) + final_block_count(study)
        for task in study.tasks
        for cell in trained_cells(study, task)
    )
