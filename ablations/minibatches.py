"""The examples of every step: drawn, filled up, disturbed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ablations.regularisation import augment
from ablations.state import Training, features_first, whole_vectors

Numbers = npt.NDArray[np.int64]


class Minibatches:
    """The examples of one step after the other, drawn without replacement per epoch."""

    def __init__(self, training: Training) -> None:
        self.training, self.task = training, training.task.of_trials(training.seed_of)
        self.left: deque[Tensor] = deque()  # rows of the minibatches of this epoch, (M, n) each
        self.first = _first_of_seeds(training)
        self.all: tuple[Tensor, Tensor] | None = None  # where each step takes all examples
        cell = training.cell
        noisy = cell.regularisation.name == "input_noise"
        self.disturbs = noisy or cell.augmentation.name != "none"

    def keep(self, training: Training, rows: Tensor) -> None:
        """Go on with some rows of the stack, (K,), which are `training` now."""
        self.training, self.task = training, training.task.of_trials(training.seed_of)
        self.first = _first_of_seeds(training)
        self.all = None
        self.left = deque(each[rows] for each in self.left)

    def draw(self) -> tuple[Tensor, Tensor, int]:
        """Inputs and targets of the next step, (M, N, ...), and how many examples they are.

        More than that are repeats of the last.
        """
        training = self.training
        if training.minibatch is None:
            x, y = self.all = self.all or self._all()
            return self._disturbed(x), y, training.train_rows.shape[1]
        if not self.left:
            self._shuffle()
        chosen = self.left.popleft()
        x, y = self._taken(_filled(training, chosen))
        return self._disturbed(x), y, chosen.shape[1]

    def next_rows(self, steps: int) -> tuple[Tensor, Numbers]:
        """Rows of the task in the next steps, (M, T, N), and how many of them count, (T,).

        T is 1 where every step takes all examples.
        """
        training = self.training
        if training.minibatch is None:
            rows = training.train_rows[training.seed_of].unsqueeze(1)
            return rows, np.array([rows.shape[2]])
        while len(self.left) < steps:
            self._shuffle()
        chosen = [self.left.popleft() for _ in range(steps)]
        rows = chosen[0].new_zeros(len(training.seed_of), steps, training.minibatch)
        for t, each in enumerate(chosen):
            rows[:, t, : each.shape[1]] = each
        return rows, np.array([each.shape[1] for each in chosen])

    def _shuffle(self) -> None:
        """A new epoch, cut into minibatches that each lie in one piece."""
        rows, size = self.training.train_rows, self.training.minibatch
        assert size is not None
        orders = [
            torch.randperm(rows.shape[1], generator=g, device=g.device)
            for g in self.training.streams["order"]
        ]
        shuffled = rows.gather(1, torch.stack(orders))[self.training.seed_of]  # (M, n)
        whole = shuffled.shape[1] // size * size
        self.left.extend(shuffled[:, :whole].unflatten(1, (-1, size)).transpose(0, 1).contiguous())
        if whole < shuffled.shape[1]:
            self.left.append(shuffled[:, whole:].contiguous())

    def _taken(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Examples of every trial, targets features first.

        Shapes: rows (M, n); results (M, n, ...) and (M, n) or (M, C, n).
        """
        x, y = self.task.take(rows)
        return x, y.transpose(1, 2) if y.dim() == 3 else y

    def _all(self) -> tuple[Tensor, Tensor]:
        training = self.training
        rows = _filled(training, training.train_rows)[training.seed_of]
        x, y = self._taken(rows)
        return features_first(training, x), y

    def _disturbed(self, x: Tensor) -> Tensor:
        """Augmentation and input noise, the same for trials of one seed: (M, N, ...)."""
        if not self.disturbs:
            return x
        training = self.training
        if training.cell.augmentation.name != "none":
            x = self._augmented(x)
        if training.cell.regularisation.name == "input_noise":
            deviation = float(training.cell.settings("regularisation")["deviation"])
            noise = [
                torch.randn(x.shape[1:], generator=g, dtype=x.dtype, device=g.device)
                for g in training.streams["noise"]
            ]
            x = x + deviation * torch.stack(noise)[training.seed_of]
        return x

    def _augmented(self, x: Tensor) -> Tensor:
        training, task = self.training, self.training.task
        black = -task.shift / task.scale  # (S, C) what a raw zero has become
        changed = [
            augment(training.cell, x[m], black[s], generator=training.streams["augmentation"][s])
            for s, m in enumerate(self.first)
        ]
        return torch.stack(changed)[training.seed_of]


def _filled(training: Training, rows: Tensor) -> Tensor:
    """Rows (S, n) that will be taken in parts, the last repeated until they fill vectors."""
    if rows.shape[1] <= training.layout.examples or not training.divisible:
        return rows
    return whole_vectors(rows)


def _first_of_seeds(training: Training) -> list[int]:
    """The first trial of each seed, looked up once: in a step it would wait for the device."""
    seeds = training.seed_of.tolist()
    return [seeds.index(s) for s in range(len(training.train_rows))]


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform numbers for dropout, from the stream of each trial's seed."""

    training: Training

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """(M, *shape) numbers in [0, 1)."""
        flat = self.training.values.flat
        drawn = [
            torch.rand(shape, generator=g, dtype=flat.dtype, device=g.device)
            for g in self.training.streams["dropout"]
        ]
        return torch.stack(drawn)[self.training.seed_of]
