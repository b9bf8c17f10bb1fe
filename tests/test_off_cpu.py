"""Where a GPU trains, without one: torch's meta device has shapes and types but no numbers.

Reading a number raises there, as on a GPU it would make the loop wait, and every operation is
watched for tensors that lie on the CPU.
"""

from dataclasses import replace

import pytest
import torch
from conftest import stack_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ablations import minibatches
from ablations.graphs import CapturedSteps
from ablations.history import History, evaluation_steps
from ablations.levels import ACTIVATIONS, CLASSIFICATION_LOSSES, OPTIMIZERS, REGULARISERS, Level
from ablations.minibatches import Minibatches
from ablations.sources import source_file
from ablations.steps import Steps
from ablations.streams import Streams
from ablations.training import _prepare, train

META = torch.device("meta")
# with rates on the device these are not known to the meta device; they give nothing back
FUSED = {torch.ops.aten._fused_adam_.tensor_lr, torch.ops.aten._fused_adamw_.tensor_lr}
TASKS = ("spiral", "line", "housing", "wave", "diabetes", "digits")


class Watch(TorchDispatchMode):
    """Where the tensors of every operation lie; a number by itself may lie anywhere."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        self.seen.append((str(function), {t.device.type for t in tensors if t.dim()}))
        if function in FUSED:
            return None
        return function(*args, **(kwargs or {}))

    def having(self, *devices):
        """Operations with tensors on each of some devices."""
        return [name for name, found in self.seen if found >= set(devices)]


class Generator:
    """A generator of the meta device, which has none."""

    device = META


@pytest.fixture(autouse=True)
def pretend_generators(monkeypatch):
    generator = Streams.generator

    def drawn(function):
        def draw(*args, generator=None, **options):
            if isinstance(generator, Generator):
                assert options.get("device") == META
                return function(*args, **options)
            return function(*args, generator=generator, **options)

        return draw

    def of(streams, name, seed, *, device="cpu"):
        if torch.device(device) == META:
            return Generator()
        return generator(streams, name, seed, device=device)

    monkeypatch.setattr(Streams, "generator", of)
    for name in ("rand", "randn", "randint", "randperm"):
        monkeypatch.setattr(torch, name, drawn(getattr(torch, name)))


@pytest.fixture
def waits(monkeypatch):
    """Shapes of the tensors whose numbers are asked for.

    On the meta device they are 1, or 0, 1, 2, ... where they are whole.
    """
    asked = []
    tolist, cpu = torch.Tensor.tolist, torch.Tensor.cpu

    def moved(tensor):
        if tensor.device != META:
            return cpu(tensor)
        asked.append(tuple(tensor.shape))
        floating = tensor.is_floating_point()
        return torch.ones(tensor.shape) if floating else torch.arange(len(tensor))

    monkeypatch.setattr(torch.Tensor, "cpu", moved)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: tolist(moved(tensor)))
    return asked


CNN = {"network": "cnn", "depth": 1, "width": 4}
LEVELS = [
    *({"activation": name} for name in ACTIVATIONS),
    *({"optimizer": name} for name in OPTIMIZERS),
    *({"regularisation": name} for name in REGULARISERS),
    *({"loss": name} for name in CLASSIFICATION_LOSSES),
    *({"augmentation": name} for name in ("shift", "flip")),
    *({"norm": name} for name in ("batch", "layer")),
    *({"norm": name} | CNN for name in ("none", "batch", "layer")),
    {"residual": True, "depth": 3},
]


@pytest.mark.parametrize("levels", LEVELS, ids=lambda levels: "-".join(map(str, levels.values())))
def test_a_step_reads_no_number_and_touches_no_other_device(levels, monkeypatch):
    # looked up before the first step, and on a GPU waited for there
    monkeypatch.setattr(minibatches, "_first_of_seeds", lambda t: range(len(t.train_rows)))
    check_steps(stack_of("digits", minibatch=64, steps=2, **levels))


@pytest.mark.parametrize("task", TASKS)
def test_nor_does_one_on_any_data(task, monkeypatch):
    monkeypatch.setattr(minibatches, "_first_of_seeds", lambda t: range(len(t.train_rows)))
    check_steps(stack_of(task, steps=2))


def check_steps(stack):
    training, _ = _prepare(stack, stack.members, META, torch.float32)
    batches = Minibatches(training)
    with Watch() as watch:
        Steps(training, batches).take(0, 2, lambda: None)
    assert len(watch.having("meta")) > 20
    assert watch.having("cpu") == []

    training.way = "stacked"  # what a graph would hold, without one
    held = CapturedSteps(training, batches)
    with Watch():
        held.take(0, 1, lambda: None)
    with Watch() as watch:
        held.take(1, 2, lambda: None)
    assert len(watch.having("meta")) > 20
    assert watch.having("cpu") == []


@pytest.mark.parametrize("task", TASKS)
def test_an_evaluation_waits_once(task, waits):
    stack = stack_of(task, steps=2)
    training, steps = _prepare(stack, stack.members, META, torch.float32)
    history = History(training, stack, stack.members, evaluation_steps(steps, 2))
    with Watch() as watch:
        history.evaluate(0)
    assert len(waits) == 1
    assert watch.having("cpu") == []


@pytest.mark.parametrize("regularisation", ["none", "early_stopping"])
@pytest.mark.parametrize("task", TASKS)
def test_a_whole_training_never_mixes_devices(task, regularisation, waits):
    check_training(stack_of(task, seeds=(0, 1), steps=4, regularisation=regularisation))
    assert waits


def test_nor_does_one_that_was_pretrained(waits):
    check_training(stack_of("digits", minibatch=64, steps=3, init="autoencoder"))


def test_nor_does_one_in_mixed_precision(waits):
    check_training(replace(stack_of("digits", minibatch=64, steps=3), dtype="bfloat16"))


MODULE = """
from torch import nn

def network(input_shape, outputs):
    first = nn.Linear(*input_shape, 9)
    return nn.Sequential(first, nn.BatchNorm1d(9), nn.Tanh(), nn.Linear(9, outputs))
"""


def test_nor_does_a_module_of_ones_own(tmp_path, waits):
    (tmp_path / "own.py").write_text(MODULE)
    source = "own.py:network"
    level = Level("module", (("source", source),), source_file(source, tmp_path))
    stack = stack_of(steps=4)
    check_training(replace(stack, cell=replace(stack.cell, network=level)))


def check_training(stack):
    with Watch() as watch:
        outcome = train(stack, device=META)
    assert outcome.rows[0]["status"] == "finished"
    assert watch.having("meta", "cpu") == []
