"""What several test modules share: settled arithmetic, explicit randomness, small stacks."""

import os
from collections import Counter
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import workers
from ablations.design import TaskSpec, baseline_cell
from ablations.levels import FACTORS, task_kind
from ablations.network import plain_network
from ablations.processor import settle_process
from ablations.stacking import Member, Stack
from ablations.training import train

settle_process()  # before any algebra: MKL reads its environment when it is first used

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
if "ABLATIONS_DATA" not in os.environ and SHARED_DATA.is_dir():
    os.environ["ABLATIONS_DATA"] = str(SHARED_DATA)


@pytest.fixture(autouse=True, scope="session")
def reports_are_drawn_here():
    """Small reports are sooner made by one process; `test_shifts` holds several to the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("report.__main__.cores", lambda: 1)
        yield


@pytest.fixture
def generator():
    """Random tensors that are the same in every run of the tests."""
    return torch.Generator().manual_seed(20)


@pytest.fixture
def trained(monkeypatch):
    """How often each final trial is trained in this process."""
    counts = Counter()

    def counting(stack, members, *, device):
        counts.update(member.name for member in members if stack.stage == "final")
        return train(stack, members, device=device)

    monkeypatch.setattr(workers, "train", counting)
    return counts


@pytest.fixture
def by_torch(monkeypatch):
    """Steps are taken by torch, as on a GPU, where kernels would take them."""
    monkeypatch.setattr("ablations.training.compilable", lambda *_: False)


@pytest.fixture
def rng():
    """Random arrays that are the same in every run of the tests."""
    return np.random.default_rng(20)


def task_spec(task="spiral", *, split=(0.6, 0.2, 0.2), settings: Mapping = {}):
    """A task with its default settings, some of them replaced."""
    kind = task_kind(task)
    defaults = {key: s.default for key, s in {**kind.settings, **kind.common}.items()}
    assert settings.keys() <= defaults.keys()
    return TaskSpec(task, tuple({**defaults, **settings}.items()), split)


def cell_of(task="spiral", **levels):
    """A cell from levels as a study file spells them: `activation="relu"`, `minibatch=7`."""
    values = {factor: FACTORS[factor].parse(factor, value) for factor, value in levels.items()}
    return baseline_cell(task, values)


def stack_of(
    task="spiral",
    *,
    seeds=(0,),
    rates=(0.01,),
    steps=20,
    epochs=None,
    evaluations=4,
    stage="final",
    pictures=False,
    study_seed=0,
    split=(0.6, 0.2, 0.2),
    settings: Mapping = {},
    **levels,
):
    """A stack of one cell at every rate and seed; the levels are those of a study file."""
    members = [Member(f"{task}/rate={r!r}/seed={s}", s, r) for r, s in product(rates, seeds)]
    return Stack(
        study="tests",
        study_seed=study_seed,
        task=task_spec(task, split=split, settings=settings),
        cell=cell_of(task, **levels),
        cell_name="cell",
        stage=stage,
        members=tuple(members),
        steps=None if epochs is not None else steps,
        epochs=epochs,
        evaluations=evaluations,
        pictures=pictures,
    )


def plain_trial(network, flat, buffers=None):
    """The plain module of a network, holding one trial's flat values, (P,) and (B,).

    The flat tensors are cut here by the names and shapes of the module itself, so a
    stack that lays its values out in another order does not go unnoticed.
    """
    module = plain_network(network).to(flat.dtype)
    load_flat(module.named_parameters(), flat)
    if buffers is not None:
        load_flat(_running(module), buffers)
    return module


def flat_parameters(module):
    """All parameters of a plain module side by side, (P,)."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def flat_gradient(module):
    """All gradients of a plain module side by side, (P,)."""
    return torch.cat([parameter.grad.flatten() for parameter in module.parameters()])


def flat_buffers(module):
    """All running statistics of a plain module side by side, (B,)."""
    return torch.cat([torch.empty(0), *[b.flatten() for _, b in _running(module)]])


def _running(module):
    return [(n, b) for n, b in module.named_buffers() if not n.endswith("num_batches_tracked")]


def load_flat(named_tensors, flat):
    """Write consecutive pieces of a flat tensor into named tensors; nothing may be left over."""
    tensors = [tensor for _, tensor in named_tensors]
    pieces = flat.split([tensor.numel() for tensor in tensors])
    with torch.no_grad():
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.view_as(tensor))


def assert_same_numbers(actual, expected, tolerance=1e-12):
    """Equal but for rounding: differences stay below `tolerance` of the largest number.

    Relative to the largest, not to each: where terms cancel, the rounding of a sum is
    proportionate to its terms. 1e-12 is about 4,500 units in the last place of a float64.
    """
    assert actual.shape == expected.shape
    assert torch.isfinite(expected).all()
    largest = expected.abs().max() if expected.numel() else 0
    worst = (actual - expected).abs().max() if expected.numel() else 0
    assert worst <= tolerance * largest, f"{float(worst):.3g} of {float(largest):.3g}"
