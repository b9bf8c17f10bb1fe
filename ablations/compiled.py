"""Steps of plain fully connected networks on a CPU, compiled.

Torch takes all trials of a stack through one operation after the other: in every step the
weights, gradients, moments and activations of all of them stream through the cache, and every
operation is called from Python. The kernels take one trial through all its steps up to the next
evaluation and then turn to the next trial, so that what a trial needs stays with its core.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ablations.design import Cell, canonical
from ablations.layers import SELU_ALPHA, SELU_SCALE, Activation, Dropout, Flatten, Layer, Linear
from ablations.losses import label_smoothing
from ablations.minibatches import Minibatches
from ablations.network import Network
from ablations.optimizers import Optimizer
from ablations.products import narrow
from ablations.provenance import code_hash
from ablations.regularisation import penalty_strengths
from ablations.stacking import Stack
from ablations.state import Training
from ablations.steps import Note

Numbers = npt.NDArray[Any]


class Values(NamedTuple):
    """What training changes. In all but `flat` the weights of a layer lie transposed, (D, H).

    So views of a stack's gradient as layers have right norms and wrong places.
    """

    flat: Numbers  # (M, P) parameters, written after the last step
    own: Numbers  # (M, P) the same, as the kernels have them
    gradient: Numbers  # (M, P) of the last step, without penalties
    first: Numbers  # (M, P) state of the optimizer, or (M, 0)
    second: Numbers


class Recipe(NamedTuple):
    """What all trials of a stack have in common; kinds are places in the lists below."""

    sizes: Numbers  # (L + 1,) units of each layer, inputs and outputs included
    at_once: int  # examples that pass through the network together
    thin: int  # rows or columns of a sum over examples up to which the kernels sum themselves
    activation: int
    setting: Numbers  # of the activation, see `kernels.activated`
    dropout: np.number  # rate; negative for none
    loss: int
    delta: np.number  # of the loss
    smoothing: np.number  # of the labels
    rule: int
    l1: np.number  # strengths of penalties on weights
    l2: np.number


class Schedule(NamedTuple):
    """What T steps have of their own."""

    start: int  # steps before them
    coefficients: Numbers  # (T, M, K) of the optimizer's rule
    decay: Numbers  # (T, M) weight decay that is added to the gradient
    shrink: Numbers  # (T, M) what decoupled weight decay multiplies parameters by
    rows: Numbers  # (M, T', N) of the task in each step; T' is 1 where all steps have the same
    counts: Numbers  # (T',) how many of a step's rows count


class Examples(NamedTuple):
    """All n examples of a task, and what makes them those of a trial."""

    inputs: Numbers  # (n, D), times factor less offset; or (0, D) where they are pixels
    pixels: Numbers  # (n, D) bytes likewise, or (0, D)
    factor: Numbers  # (M, D)
    offset: Numbers  # (M, D)
    labels: Numbers  # (n,) classes, or (0,) where targets are numbers
    numbers: Numbers  # (n, C), times unit less middle
    unit: Numbers  # (M,)
    middle: Numbers  # (M,)
    keys: Numbers  # (M,) seeds of dropout's random numbers


HERE = Path(__file__).parent
ROWS = 1 << 20  # rows of a task's examples that are laid out for one call of the kernels
WORK = 1 << 33  # multiplications of forward passes in one call: a Ctrl-C waits for its end

# What the kernels know, and by which numbers: the places in these lists.
ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "elu", "gelu", "silu", "mish", "softplus", "softsign",
    "tanh", "sigmoid", "hardtanh", "hardswish", "hardshrink", "softshrink", "tanhshrink",
)  # fmt: skip
LOSSES = ("cross_entropy", "bce", "mse", "quadratic", "l1", "huber")
RULES = (
    "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam",
    "radam", "adamax",
)  # fmt: skip
OTHERS = {"input_noise", "auxiliary_loss"}  # regularisers that they do not know


def compilable(stack: Stack, network: Network, device: torch.device) -> bool:
    """Whether the kernels take the steps of a stack whose network this is.

    Linear models are so small that torch, which takes all of them at once, is faster.
    """
    cell = canonical(stack.cell)
    first, *layers = (layer for block in network.blocks for _, layer in block.layers)
    kinds = [layer for layer in layers if not isinstance(layer, Dropout)]
    return (
        device.type == "cpu"
        and stack.dtype == "float32"
        and not stack.running_loss
        and cell.regularisation.name not in OTHERS
        and cell.augmentation.name == "none"
        and not any(block.residual for block in network.blocks)
        and isinstance(first, Flatten)
        and len(kinds) > 1
        and all(map(_is_linear, kinds[::2]))
        and all(map(_is_known, kinds[1::2]))
    )


def _is_linear(layer: Layer) -> bool:
    return isinstance(layer, Linear) and layer.bias


def _is_known(layer: Layer) -> bool:
    return isinstance(layer, Activation) and layer.name in {*ACTIVATIONS, "selu", "celu"}


class CompiledSteps:
    """The steps of a stack that is compilable; its optimizer is an `Optimizer`."""

    def __init__(self, training: Training, batches: Minibatches) -> None:
        self.training, self.batches = training, batches
        self.recipe, self.examples = _recipe(training), _examples(training)
        self.values = _values(training)
        _kernels().turned(self.values.flat, self.values.own, self.recipe.sizes)

    def take(self, start: int, end: int, note: Note) -> None:
        """Take the steps from `start`, counted from 0, up to `end`.

        Args:
            note: told when the gradient of the stack is that of the last step, without penalties.
        """
        training, sizes = self.training, self.recipe.sizes
        size = len(training.seed_of) * (training.minibatch or training.train_rows.shape[1])
        work = size * int((sizes[:-1] * sizes[1:]).sum())
        most = max(1, min(ROWS // size, WORK // work))
        for first in range(start, end, most):
            schedule = _schedule(training, self.batches, first, min(first + most, end))
            _kernels().take_steps(self.values, self.recipe, schedule, self.examples)
        note()


def kept_in() -> Path:
    """The folder of compiled kernels: of this very code, since Numba looks at one file of it."""
    name = f"kernels-{code_hash()[:12]}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    if os.access(HERE, os.W_OK) or not home.is_absolute():  # who has no home keeps nothing
        return HERE / "__pycache__" / name
    return home / "torch-ablations" / name


@cache
def _kernels() -> ModuleType:
    """The kernels; their matrix products take as many threads as torch does."""
    from scipy.linalg import cython_blas  # noqa: F401, PLC0415, which Numba multiplies by
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from ablations import kernels  # noqa: PLC0415, half a second that only training needs

    threadpool_limits(torch.get_num_threads(), user_api="blas")
    return kernels


def prepare() -> None:
    """Compile the kernels for single precision, which takes seconds once, or load them."""
    kernels, number = _kernels(), np.float32(0)
    flat, whole = np.zeros(0, np.float32), np.zeros(0, np.int64)
    table = np.zeros((0, 2), np.float32)
    kernels.turned(table, table, whole)
    kernels.take_steps(
        Values(*[table] * 5),
        Recipe(np.ones(2, np.int64), 1, 0, 0, flat, number, 0, number, number, 0, number, number),
        Schedule(0, table[None], table, table, whole[None, None], whole),
        Examples(
            table, table.astype(np.uint8), table, table, whole, table, flat, flat,
            whole.astype(np.uint64),
        ),
    )  # fmt: skip


def _values(training: Training) -> Values:
    flat, gradient = training.values.flat.numpy(), training.whole.gradient.flat.numpy()
    trials = len(flat) - training.layout.spares  # which need no training
    states = [state.numpy() for state in training.optimizer.state.values()]
    nothing = np.empty((len(flat), 0), flat.dtype)
    own = np.empty((trials, training.parameters), flat.dtype)
    return Values(flat, own, gradient, *states, *[nothing] * (2 - len(states)))


def _recipe(training: Training) -> Recipe:
    cell, number = training.cell, training.values.flat.numpy().dtype.type
    layers = [layer for block in training.network.blocks for _, layer in block.layers]
    linear = [layer for layer in layers if isinstance(layer, Linear)]
    l1, l2 = penalty_strengths(cell)
    activation, setting = _activation(cell)
    return Recipe(
        at_once=training.layout.examples,
        thin=narrow(),
        sizes=np.array([linear[0].inputs, *(layer.outputs for layer in linear)]),
        activation=ACTIVATIONS.index(activation),
        setting=np.array(setting, number),
        dropout=number(cell.settings("regularisation").get("rate", -1)),
        loss=LOSSES.index(cell.loss.name),
        delta=number(cell.settings("loss").get("delta", 0)),
        smoothing=number(label_smoothing(cell)),
        rule=RULES.index(cell.optimizer.name),
        l1=number(l1),
        l2=number(l2),
    )


def _activation(cell: Cell) -> tuple[str, list[float]]:
    """The kernels' name for an activation, and its three settings."""
    name, given = cell.activation.name, cell.settings("activation")
    match name:
        case "elu":
            return "elu", [1, float(given["alpha"]), 1]
        case "selu":
            return "elu", [SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1]
        case "celu":
            return "elu", [1, float(given["alpha"]), 1 / float(given["alpha"])]
        case _:
            return name, [*map(float, given.values()), 0, 0, 0][:3]


def _schedule(training: Training, batches: Minibatches, start: int, end: int) -> Schedule:
    optimizer = training.optimizer
    assert isinstance(optimizer, Optimizer)
    own = {name: c[start:end, :, 0].numpy() for name, c in optimizer.coefficients.items()}
    like = own["rate"]
    decay, shrink = own.pop("decay", np.zeros_like(like)), own.pop("shrink", np.ones_like(like))
    rows, counts = batches.next_rows(end - start)
    return Schedule(
        start=start,
        coefficients=np.stack(list(own.values()), 2),
        decay=np.ascontiguousarray(decay),
        shrink=np.ascontiguousarray(shrink),
        rows=rows.numpy(),
        counts=counts,
    )


def _examples(training: Training) -> Examples:
    task = training.task.of_trials(training.seed_of)
    shift, scale = task.shift, task.scale
    middle, unit = task.target_shift, task.target_scale
    if not task.raw:
        shift, scale, middle, unit = shift * 0, scale * 0 + 1, middle * 0, unit * 0 + 1
    bytewise = task.inputs.dtype == torch.uint8
    inputs = task.inputs.flatten(1).contiguous()
    of_channel = task.inputs[0, 0].numel()  # pixels; a plain feature is one
    keys = np.array([each.initial_seed() for each in training.streams["dropout"]], np.uint64)
    return Examples(
        inputs=inputs[:0].to(scale).numpy() if bytewise else inputs.numpy(),
        pixels=inputs.numpy() if bytewise else inputs[:0].byte().numpy(),
        factor=(1 / (scale * (255 if bytewise else 1))).repeat_interleave(of_channel, 1).numpy(),
        offset=(shift / scale).repeat_interleave(of_channel, 1).numpy(),
        labels=task.targets.numpy() if task.classes else np.empty(0, np.int64),
        numbers=shift.new_empty(0, 1).numpy() if task.classes else task.targets.numpy(),
        unit=(1 / unit).numpy(),
        middle=(middle / unit).numpy(),
        keys=keys[training.seed_of.numpy()],
    )
