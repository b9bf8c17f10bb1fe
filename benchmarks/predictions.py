"""Roughly how long one call of a workload takes: enough to decide what fits a budget."""

from __future__ import annotations

import math

from ablations.anatomy import parts_of
from ablations.network import describe
from benchmarks.workloads import Mode, Workload

PASSES: dict[Mode, float] = {  # multiplications, in forward passes
    "training step": 3, "inference": 1, "optimizer step": 0, "forward+backward": 0,
    "input pipeline": 0, "epoch": 3,
}  # fmt: skip
CALL: dict[Mode, float] = {  # seconds of a call with nothing to multiply
    "training step": 4e-4, "inference": 6e-5, "optimizer step": 2e-4, "forward+backward": 5e-5,
    "input pipeline": 1e-4, "epoch": 5e-4,
}  # fmt: skip
MULTIPLICATIONS_PER_SECOND = 5e9  # of one core; a GPU is faster, and predicted too slow
ELEMENTS_PER_SECOND = 1e8  # of an activation and its gradient
LOADED = 1e-5  # seconds for a DataLoader to collect one example
EXAMPLES = 1000  # of a training part, about
COMPILING = 40.0  # seconds, in every process


def predicted_seconds(workload: Workload) -> float:
    """Of one call, or one epoch."""
    mode, size = workload.mode, minibatch_size(workload)
    steps = 1 if mode not in ("input pipeline", "epoch") else math.ceil(EXAMPLES / size)
    seconds = steps * CALL[mode]
    if workload.layer is not None:
        return seconds + math.prod(workload.layer) / ELEMENTS_PER_SECOND
    if workload.way.source == "DataLoader":
        seconds += steps * size * LOADED
    kind = workload.task.kind
    shape = kind.input_shape or (3, 32, 32)
    network = describe(workload.cell, shape, kind.outputs or 10)
    forward = sum(part.multiply_adds for part in parts_of(network, shape))
    work = forward * size * steps * PASSES[mode]
    return seconds + work / MULTIPLICATIONS_PER_SECOND


def minibatch_size(workload: Workload) -> int:
    """Examples of one step."""
    size = workload.cell.minibatch
    return EXAMPLES if size == "full" else int(size)


def set_up_seconds(workload: Workload) -> float:
    """Once in every process, before the first call."""
    return COMPILING if workload.way.run == "compiled" else 0.0
