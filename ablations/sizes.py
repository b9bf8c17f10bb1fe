"""How many examples a task has, and which cells do not fit them."""

from __future__ import annotations

from typing import Literal

from ablations.design import (
    Cell,
    TaskSpec,
    canonical,
    layers_of,
    most_blocks,
    normalises_units,
)
from ablations.levels import LevelError
from ablations.sequences import images

Split = tuple[float, float, float] | Literal["none", "test"]
LEAST = 2  # examples of a part: one has no spread, and says little


def split_sizes(rows: int, own_test: int, split: Split) -> tuple[int, int, int]:
    """Examples of the training, validation and test part of a data set.

    Args:
        rows: examples that are split, without the `own_test` of a test part that the data
            set brings with it, which stays as it is and leaves the third share unused.
    """
    if split == "none":
        return rows, 0, own_test
    if split == "test":  # what is watched during training is the test part
        return rows, own_test, own_test
    train, val, test = split
    tested = own_test or round(rows * test)
    left = rows if own_test else rows - tested
    validated = round(left * val / (train + val))
    return left - validated, validated, tested


def split_objection(rows: int, own_test: int, split: Split) -> str | None:
    """Why a data set cannot be split so, with the remedy; None if it can."""
    if split == "test" and not own_test:
        return (
            "split 'test' needs a data set with a test part of its own, such as 'mnist'; give "
            "shares such as [0.6, 0.2, 0.2], or 'none'"
        )
    sizes = split_sizes(rows, own_test, split)
    wanted = sizes[:1] if split == "none" else sizes
    if min(wanted) >= LEAST:
        return None
    parts = ", ".join(f"{n} to {part}" for n, part in zip(sizes, PURPOSES, strict=True))
    given = split if isinstance(split, str) else list(split)
    return f"split {given!r} of {rows:,} examples leaves {parts}; give each at least {LEAST}"


PURPOSES = ("train on", "validate on", "test on")


def known_sizes(task: TaskSpec) -> tuple[int, int, int] | None:
    """Examples of each part before any data are loaded; None where they have to be read."""
    settings, examples = dict(task.settings), task.kind.examples
    if task.kind.generated:
        arms = int(settings.get("arms", 1))
        keys = ("points", "validation_points", "test_points")
        train, val, test = (int(settings[key]) * arms for key in keys)
        return (train, 0, 0) if task.split == "none" else (train, val, test)
    return None if examples is None else split_sizes(*examples, task.split)


def known_shape(task: TaskSpec) -> tuple[int, ...]:
    """Of one example, before any data are loaded: (D,) or (C, H, W)."""
    if task.kind.input_shape is not None:
        return task.kind.input_shape
    settings = dict(task.settings)
    return (1 if settings["grey"] else 3, int(settings["size"]), int(settings["size"]))


def misfit(cell: Cell, task: TaskSpec, examples: int | None) -> str | None:
    """Why a cell does not fit its task's data, with the remedy; None if it does.

    Args:
        examples: of the training part; None while they are not known.
    """
    if cell.network.name == "cnn" and cell.depth > (most := most_blocks(known_shape(task))):
        return f"depth {cell.depth} halves the image away; a cnn here has at most {most} blocks"
    if cell.network.name == "sequential" and task.kind.family == "images":
        try:
            images(layers_of(cell), known_shape(task))
        except LevelError as error:
            return str(error)
    if cell.train_size != "all":
        if examples is not None and int(cell.train_size) > examples:
            return (
                f"train_size {cell.train_size} is more than the {examples:,} training examples; "
                f"give at most {examples}, or 'all'"
            )
        examples = int(cell.train_size)
    return None if examples is None else _lone_example(cell, examples)


def _lone_example(cell: Cell, examples: int) -> str | None:
    """Batch norm of a single example has no variance; an image has many values per channel."""
    cell = canonical(cell)
    size = examples if cell.minibatch == "full" else min(int(cell.minibatch), examples)
    if cell.norm.name != "batch" or not normalises_units(cell) or examples % size != 1 % size:
        return None
    what = (
        "there is 1 training example"
        if examples == 1
        else f"{examples:,} training examples in minibatches of {size:,} leave 1 over"
    )
    return f"batch norm has no variance in a minibatch of 1, and {what}; {REMEDY}"


REMEDY = "choose another minibatch or train_size, or layer norm"
