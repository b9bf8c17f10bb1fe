"""How much arithmetic the training of a stack is, counted from its shapes.

Counts do not vary, so they need no interval: beside a measured rate they say how near to the
machine's limit a training comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ablations.design import canonical
from ablations.layers import Convolution, Linear, Pool
from ablations.network import Network, describe
from ablations.stacking import Stack
from ablations.streams import Streams
from ablations.tasks import load_task
from ablations.training import CURVE_EXAMPLES, evaluation_steps

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


def work_of(stack: Stack) -> Work:
    """The work of one trial of a stack.

    A step multiplies twice per weight and example where the layer sees the data (forward, and
    the gradient of its weights), else three times (the gradient of its inputs, too).
    """
    seed = stack.members[0].seed
    task = load_task(stack.task, [seed], streams=Streams(stack.study_seed, stack.task.name))
    cell = canonical(stack.cell)
    network = describe(cell, task.input_shape, task.outputs)
    layers = multiply_adds_of_layers(network, task.input_shape)
    forward = sum(layers)
    rows = {name: part.shape[1] for name, part in task.parts.items()}
    minibatch = None if cell.minibatch == "full" else int(cell.minibatch)
    steps, examples = examples_seen(rows["train"], minibatch, stack.steps, stack.epochs)
    curve = -(-rows["train"] // -(-rows["train"] // CURVE_EXAMPLES)) + rows["val"]
    moments = len(evaluation_steps(steps, stack.evaluations)) + 1
    weights = sum(math.prod(p.shape) for p in network.parameters().values())
    units = units_of_layers(network, task.input_shape)
    traffic = UPDATE_TRAFFIC.get(cell.optimizer.name, UPDATE_TRAFFIC["adam"])
    return Work(
        weights=weights,
        multiply_adds=examples * (3 * forward - layers[0]),
        evaluation_multiply_adds=forward * (moments * curve + sum(rows.values())),
        bytes=FLOAT * (steps * traffic * weights + examples * ACTIVATION_TRAFFIC * units),
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


def multiply_adds_of_layers(network: Network, input_shape: tuple[int, ...]) -> list[int]:
    """Of one example's forward pass, for every linear layer and convolution in order."""
    return [weights * area for weights, _, area in _layers(network, input_shape)]


def units_of_layers(network: Network, input_shape: tuple[int, ...]) -> int:
    """Outputs of all linear layers and convolutions for one example."""
    return sum(outputs * area for _, outputs, area in _layers(network, input_shape))


def _layers(network: Network, input_shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Weights, outputs and positions of every layer that multiplies."""
    found, area = [], math.prod(input_shape[1:])
    for block in network.blocks:
        for _, layer in block.layers:
            match layer:
                case Linear():
                    found.append((layer.inputs * layer.outputs, layer.outputs, 1))
                case Convolution():
                    weights = layer.inputs * layer.outputs * layer.kernel**2
                    found.append((weights, layer.outputs, area))
                case Pool():
                    area //= 4
    return found
