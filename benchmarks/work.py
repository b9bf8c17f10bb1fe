"""How much arithmetic the training of a stack is, counted from its shapes.

Counts do not vary, so they need no interval: beside a measured rate they say how near to the
machine's limit a training comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ablations.anatomy import parts_of
from ablations.compiled import compilable
from ablations.design import canonical
from ablations.history import evaluation_steps
from ablations.network import describe
from ablations.stacking import Stack
from ablations.state import CURVE_EXAMPLES
from ablations.streams import Streams
from ablations.tasks import load_task

FLOAT = 4  # bytes of a float32
UPDATE_TRAFFIC = {
    "sgd": 3,
    "adam": 7,
}  # floats read or written per weight: value, gradient, moments
ACTIVATION_TRAFFIC = 4  # per unit and example: written, read backward; so is its gradient


@dataclass(frozen=True, slots=True)
class Work:
    """What one trial's training computes, and the least that it moves if no cache helps."""

    weights: int
    multiply_adds: int  # of its steps: forward, gradients of weights and of hidden layers
    evaluation_multiply_adds: int  # forward passes of the learning curve and of the last scores
    bytes: int  # of its steps: weights, gradients, moments and activations
    compiled: bool  # whether a trial takes its steps by itself, so that a core's cache helps


def work_of(stack: Stack, device: str = "cpu") -> Work:
    """The work of one trial of a stack.

    A step multiplies twice per weight and example where the layer sees the data (forward, and
    the gradient of its weights), else three times (the gradient of its inputs, too).
    """
    seed = stack.members[0].seed
    task = load_task(stack.task, [seed], streams=Streams(stack.study_seed, stack.task.name))
    cell = canonical(stack.cell)
    network = describe(cell, task.input_shape, task.outputs)
    layers = [part for part in parts_of(network, task.input_shape) if part.multiply_adds]
    forward = sum(layer.multiply_adds for layer in layers)
    rows = {name: part.shape[1] for name, part in task.parts.items()}
    minibatch = None if cell.minibatch == "full" else int(cell.minibatch)
    steps, examples = examples_seen(rows["train"], minibatch, stack.steps, stack.epochs)
    curve = -(-rows["train"] // -(-rows["train"] // CURVE_EXAMPLES)) + rows["val"]
    moments = len(evaluation_steps(steps, stack.evaluations)) + 1
    weights = sum(math.prod(p.shape) for p in network.parameters().values())
    units = sum(layer.units for layer in layers)
    traffic = UPDATE_TRAFFIC.get(cell.optimizer.name, UPDATE_TRAFFIC["adam"])
    return Work(
        weights=weights,
        multiply_adds=examples * (3 * forward - layers[0].multiply_adds),
        evaluation_multiply_adds=forward * (moments * curve + sum(rows.values())),
        bytes=FLOAT * (steps * traffic * weights + examples * ACTIVATION_TRAFFIC * units),
        compiled=compilable(stack, network, torch.device(device)),
    )


def examples_seen(
    count: int, minibatch: int | None, steps: int | None, epochs: int | None
) -> tuple[int, int]:
    """Steps of a training, and the examples in all of them; an epoch's last step has the rest."""
    size = minibatch or count
    per_epoch = -(-count // size)
    steps = steps or (epochs or 1) * per_epoch
    whole, left = divmod(steps, per_epoch)
    return steps, whole * count + min(left * size, count)
