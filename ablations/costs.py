"""How long a stack will take: a table measured once and committed, nothing timed at run time.

`python -m ablations costs RESULTS` fits the table to the stacks.csv files of a results
folder. The model is a sum of what a stack does, each part with a price in seconds.
"""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import pairwise
from pathlib import Path

from ablations.design import TaskSpec, canonical
from ablations.stacking import Stack

TABLE = Path(__file__).parent / "costs.json"
SPARE = 1  # the copy every stack carries along
UNKNOWN_IMAGES = (2000, (3, 32, 32), 10)  # a folder that has not been read yet


def work(stack: Stack) -> dict[str, float]:
    """What a stack does, in units that cost time: calls, numbers moved, multiplications."""
    cell = canonical(stack.cell)
    examples, inputs, outputs = _sizes(stack.task)
    train = examples if cell.train_size == "all" else min(int(cell.train_size), examples)
    size = train if cell.minibatch == "full" else min(int(cell.minibatch), train)
    steps = stack.steps or (stack.epochs or 1) * math.ceil(train / size)
    trials = len(stack.members) + SPARE
    seen = size * steps * trials
    layers = cell.depth + 1
    if cell.network.name == "cnn":
        area = inputs[1] * inputs[2]
        channels = [inputs[0], *[cell.width] * cell.depth]
        kernel = int(cell.settings("network")["kernel"]) ** 2
        multiplied = sum(
            a * b * kernel * area / 4**n for n, (a, b) in enumerate(pairwise(channels))
        )
        return {
            "stack": 1.0,
            "convolution call": float(steps * layers * trials),
            "convolution": seen * multiplied * 1e-9,
            "evaluated convolution": stack.evaluations * trials * 2 * train * multiplied * 1e-9,
        }
    widths = [math.prod(inputs), *[cell.width] * cell.depth, outputs]
    multiplied = sum(a * b for a, b in pairwise(widths))
    units = sum(widths[1:]) * (1.0 + (cell.norm.name != "none") + _dropout(stack))
    return {
        "stack": 1.0,
        "step": float(steps),
        "layer": float(steps * layers),
        "input": seen * widths[0] * 1e-6,
        "parameter": steps * trials * multiplied * 1e-6,
        "unit": seen * units * 1e-6,
        "multiplication": seen * multiplied * 1e-9,
        "evaluation": float(stack.evaluations * layers),
        "evaluated unit": stack.evaluations * trials * (2 * train) * (units + widths[0]) * 1e-6,
    }


def _dropout(stack: Stack) -> float:
    return 2.0 if stack.cell.regularisation.name == "dropout" else 0.0


def _sizes(task: TaskSpec) -> tuple[int, tuple[int, ...], int]:
    """Training examples, shape of one, outputs."""
    kind, settings = task.kind, dict(task.settings)
    if kind.generated:
        arms = int(settings.get("arms", 1))
        assert kind.input_shape is not None
        return int(settings["points"]) * arms, kind.input_shape, kind.outputs or arms
    if kind.examples is None or kind.input_shape is None or kind.outputs is None:
        return UNKNOWN_IMAGES
    train, test = kind.examples
    if task.split == "none":
        return train, kind.input_shape, kind.outputs
    shares = task.split
    share = shares[0] / (shares[0] + shares[1]) if test else shares[0]
    return round(train * share), kind.input_shape, kind.outputs


@cache
def prices() -> dict[str, float]:
    """Seconds per unit of work, from the committed table."""
    table: dict[str, float] = json.loads(TABLE.read_text())["seconds"]
    return table


def predicted_seconds(stack: Stack) -> float:
    """How long one worker will need for a stack."""
    table = prices()
    return sum(table.get(name, 0.0) * amount for name, amount in work(stack).items())
