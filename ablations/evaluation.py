"""Losses, scores and measures of trained weights, in the parts of a layout."""

from __future__ import annotations

import torch
from torch import Tensor

from ablations.layers import EVALUATION
from ablations.losses import accuracy, r2
from ablations.measures import activity, linear_regions
from ablations.network import stacked_forward
from ablations.state import Training, targets_of, whole_vectors


def measured_on(training: Training, rows: Tensor) -> tuple[Tensor, Tensor]:
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
    target = targets_of(training, rows[training.seed_of])
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
        regions = linear_regions(training.network, block.values, here)
        if regions is not None:
            measured["linear_regions"] = regions
        measured["weight_norm"] = torch.linalg.vector_norm(weights, dim=1).double()
        measured["weight_sum"] = weights.abs().sum(1).double()
        for name, values in measured.items():
            found.setdefault(name, []).append(values)
    return {name: torch.cat(values) for name, values in found.items()}
