"""How long a stack will take: a table measured once and committed, nothing timed at run time.

`python -m ablations costs` trains the studies of the group `costs` and fits the table to
them. The model is a sum of what a stack does, each part with a price in seconds: what is
done once, what every call costs however small, and what grows with the numbers moved.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from ablations.anatomy import parts_of
from ablations.compiled import compilable
from ablations.design import Cell, TaskSpec, canonical
from ablations.foreign import Foreign
from ablations.history import MOMENTS
from ablations.layers import Convolution
from ablations.layout import layout_of
from ablations.network import Network, describe
from ablations.pictures import CURVE, GRID
from ablations.sizes import known_shape, known_sizes
from ablations.stacking import Stack
from ablations.state import CURVE_EXAMPLES

TABLE = Path(__file__).parent / "costs.json"
SPARE = 1  # the copy every stack carries along
UNKNOWN_SIZES = (1200, 400, 400)  # of a folder that has not been read yet
UNKNOWN_CLASSES = 10
SIMPLE = frozenset(
    ("identity", "relu", "leaky_relu", "softsign", "hardtanh", "hardswish", "hardshrink",
     "softshrink")
)  # fmt: skip
STATES = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1}  # others have 2
BACKWARD = 3  # a training step costs three passes: forward, and backward to inputs and weights


def work(stack: Stack) -> dict[str, float]:
    """What a stack does, in units that cost time: calls, numbers moved, multiplications."""
    cell = canonical(stack.cell)
    shape, (_, val, test) = known_shape(stack.task), _sizes(stack.task)
    train, size = _examples(stack.task, cell)
    steps = stack.steps or (stack.epochs or 1) * math.ceil(train / size)
    trials = len(stack.members) + SPARE
    evaluations = min(stack.evaluations, steps) + 1
    curve = min(train, CURVE_EXAMPLES) + val
    rows = train + val + (test if stack.stage == "final" else 0)
    evaluated = trials * (evaluations * curve + rows) + _drawn(stack, shape, evaluations)
    trained = trials * steps * size
    described = describe(cell, shape, _outputs(stack.task))
    network = _network(described, shape, _outputs(stack.task))
    kind = "convolution" if network.images else "layer"
    seeds = len({member.seed for member in stack.members})
    passed = BACKWARD * trained
    states = STATES.get(cell.optimizer.name, 2)
    # fmt: off
    done = {
        "stack": 1.0,
        "loaded": seeds * values_of(stack.task) * 1e-6,
        "evaluation": float(evaluations),
        f"evaluated {kind} call": float(evaluations * network.layers),
        "row": float(evaluations * len(stack.members)),
        "input": (trained + evaluated) * math.prod(shape) * 1e-6,
    }
    if compilable(stack, described, torch.device("cpu")):
        return done | {
            "compiled call": trials * steps * network.layers * 1e-6,
            "compiled parameter": trials * steps * (1 + states) * network.parameters * 1e-6,
            "compiled unit": passed * network.units * 1e-6,
            "compiled multiplication": passed * network.multiplied * 1e-9,
            "layer unit": evaluated * network.units * 1e-6,
            "layer multiplication": evaluated * network.multiplied * 1e-9,
            **{f"compiled {name}": passed * network.hidden * 1e-6 for name in _extras(cell)},
        }
    return done | {
        "step": float(steps),
        "update": float(steps * states),
        f"{kind} call": float(steps * network.layers),
        "parameter": trials * steps * (1 + states) * network.parameters * 1e-6,
        f"{kind} unit": (passed + evaluated) * network.units * 1e-6,
        f"{kind} multiplication": (passed + evaluated) * network.multiplied * 1e-9,
        **{f"{kind} {name}": (passed + evaluated) * network.hidden * 1e-6
           for name in _extras(cell)},
        **{f"{kind} {name} call": float(steps * (network.layers - 1)) for name in _extras(cell)},
    }
    # fmt: on


def passes_alone(stack: Stack) -> bool:
    """Whether the trials of a stack pass one by one on a CPU, so that workers may share them."""
    cell = canonical(stack.cell)
    shape = known_shape(stack.task)
    parts = list(parts_of(describe(cell, shape, _outputs(stack.task)), shape))
    return layout_of(
        parts,
        shape,
        step=_examples(stack.task, cell)[1],
        smallest=1,
        alone=cell.regularisation.name != "dropout",
        device=torch.device("cpu"),
    ).one


def _examples(task: TaskSpec, cell: Cell) -> tuple[int, int]:
    """How many examples a cell trains on, and how many of them in one step."""
    train = _sizes(task)[0]
    train = train if cell.train_size == "all" else min(int(cell.train_size), train)
    return train, train if cell.minibatch == "full" else min(int(cell.minibatch), train)


def _extras(cell: Cell) -> list[str]:
    """What is done to every hidden unit besides the layer and a simple activation."""
    extras = [f"{cell.norm.name} norm"] if cell.norm.name != "none" else []
    if cell.regularisation.name == "dropout":
        extras.append("dropout")
    if cell.activation.name == "prelu":
        extras.append("prelu")
    elif cell.activation.name not in SIMPLE:
        extras.append("exponential")
    return extras


@dataclass(frozen=True, slots=True)
class _Network:
    """What one trial's network holds, and does for one example."""

    layers: int
    parameters: int
    hidden: int  # units between layers, for one example
    units: int  # with the outputs
    multiplied: int
    images: bool  # whether there are convolutions


def _network(described: Network, shape: tuple[int, ...], outputs: int) -> _Network:
    parts = list(parts_of(described, shape))
    if described.foreign is not None:
        return _foreign(described.foreign, parts[0].parameters)
    learned = [part for part in parts if part.multiply_adds]
    hidden = sum(part.units for part in learned[:-1])
    return _Network(
        layers=len(learned),
        parameters=sum(part.parameters for part in parts),
        hidden=hidden,
        units=hidden + outputs,
        multiplied=sum(part.multiply_adds for part in parts),
        images=any(isinstance(part.layer, Convolution) for part in parts),
    )


def _foreign(module: Foreign, parameters: int) -> _Network:
    """A user's module, as a fully connected network of its size."""
    hidden = module.units * (module.layers - 1)
    return _Network(
        layers=module.layers,
        parameters=parameters,
        hidden=hidden,
        units=hidden + module.outputs,
        multiplied=module.multiply_adds,
        images=False,
    )


def _drawn(stack: Stack, shape: tuple[int, ...], evaluations: int) -> int:
    """Points at which functions are drawn."""
    points = {1: CURVE, 2: GRID**2}.get(math.prod(shape), 0)
    return points * min(MOMENTS, evaluations) if stack.pictures else 0


def values_of(task: TaskSpec) -> int:
    """Numbers in all examples of a task."""
    return sum(_sizes(task)) * math.prod(known_shape(task))


def _sizes(task: TaskSpec) -> tuple[int, int, int]:
    return known_sizes(task) or UNKNOWN_SIZES


def _outputs(task: TaskSpec) -> int:
    return task.kind.outputs or int(dict(task.settings).get("arms", UNKNOWN_CLASSES))


@cache
def prices() -> dict[str, float]:
    """Seconds per unit of work, from the committed table."""
    table: dict[str, float] = json.loads(TABLE.read_text())["seconds"]
    return table


def predicted_seconds(stack: Stack) -> float:
    """How long one worker will need for a stack."""
    table = prices()
    return sum(table.get(name, 0.0) * amount for name, amount in work(stack).items())
