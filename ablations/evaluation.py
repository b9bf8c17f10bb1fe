"""Losses, scores and measures of trained weights, in the parts of a layout."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ablations.layers import EVALUATION
from ablations.layout import Block
from ablations.losses import accuracy, r2
from ablations.measures import activity, linear_regions
from ablations.network import stacked_forward
from ablations.state import Training, features_first, targets_of, whole_vectors

FEW = 1 << 17  # numbers of a trial's inputs that are kept from one evaluation to the next


class Sample:
    """Some examples of every seed, on which a stack is measured, perhaps many times.

    Few numbers are taken once and kept. Whether they are few does not depend on the number of
    trials: kept examples lie features first, which may change the last bits of a product.
    """

    def __init__(self, training: Training, rows: Tensor) -> None:
        """The rows (S, n) of each seed."""
        self.training, self.rows = training, rows
        self.filled = whole_vectors(rows)
        numbers = self.filled.shape[1] * math.prod(training.task.input_shape)
        self.few = 0 < numbers <= FEW
        self.target = targets_of(training, rows[training.seed_of])  # (M, n) or (M, C, n)
        self.kept = list(self._pieces()) if self.few else None

    def _pieces(self) -> Iterator[tuple[Block, slice, Tensor]]:
        """Blocks of trials with parts of their examples, (M, N, ...)."""
        training, size = self.training, self.training.layout.examples
        for block in training.blocks:
            seeds = training.seed_of[block.trials]
            for start in range(0, self.filled.shape[1], size):
                piece = slice(start, start + size)
                x = training.task.inputs_of(self.filled[:, piece][seeds], seeds)
                yield block, piece, features_first(training, x) if self.few else x

    def measure(self) -> tuple[Tensor, Tensor]:
        """Loss and accuracy or r2 of every trial, (M,) in float64; NaN without examples."""
        training, count = self.training, self.rows.shape[1]
        if not count:
            nothing = torch.full(
                (len(training.seed_of),), torch.nan, dtype=torch.float64, device=self.rows.device
            )
            return nothing, nothing
        outputs = None
        for block, piece, x in self.kept or self._pieces():
            part = stacked_forward(training.network, block.values, x, EVALUATION)
            if outputs is None:
                shape = len(training.seed_of), part.shape[1], self.filled.shape[1]
                outputs = part.new_empty(shape)
            outputs[block.trials, :, piece] = part
        assert outputs is not None
        output, target = outputs[..., :count].contiguous(), self.target
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


def by_block(training: Training, x: Tensor) -> dict[str, Tensor]:
    """Measures of the trained weights and of what they do with examples x (M, N, ...), (M,)."""
    found: dict[str, list[Tensor]] = {}
    for block in training.summed:
        here, weights = x[block.trials], block.values.flat * training.mask
        measured = activity(training.network, block.values, here)
        measured["weight_norm"] = torch.linalg.vector_norm(weights, dim=1).double()
        measured["weight_sum"] = weights.abs().sum(1).double()
        for name, values in measured.items():
            found.setdefault(name, []).append(values)
    for block in training.blocks:  # counted, not added up
        regions = linear_regions(training.network, block.values, x[block.trials])
        if regions is not None:
            found.setdefault("linear_regions", []).append(regions)
    return {name: torch.cat(values) for name, values in found.items()}
