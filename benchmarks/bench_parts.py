"""The parts of a step on their own: activations by size, updates, and the data of an epoch."""

from typing import Any

import pytest
import torch
from torch.utils.benchmark import timer

from ablations.design import baseline_cell
from ablations.levels import FACTORS
from ablations.network import describe, plain_network
from benchmarks.catalogue import LAYERS
from benchmarks.epochs import minibatches, one_epoch
from benchmarks.steps import activation, optimizer_step
from benchmarks.ways import Source

ACTIVATIONS = ("relu", "tanh", "gelu", "mish")
OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")
SOURCES: tuple[Source, ...] = ("tensors", "DataLoader")
EXAMPLES = 1000

pytestmark = pytest.mark.benchmark(timer=timer)  # waits for the device at both readings


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("size", LAYERS, ids=lambda size: f"{size[0]}x{size[1]}")
def bench_activation(benchmark: Any, name: str, size: tuple[int, int], device: str) -> None:
    benchmark.group = f"activation and gradient of a layer of {size[0]} x {size[1]}, {device}"
    cell = baseline_cell("spiral", {"activation": FACTORS["activation"].parse("activation", name)})
    step = activation(cell, size, torch.device(device))

    gradient = benchmark.pedantic(step, warmup_rounds=3, rounds=20, iterations=5)

    assert gradient.shape == size
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def bench_update(benchmark: Any, name: str, device: str) -> None:
    benchmark.group = f"one update of 2 x 32 hidden units, {device}"
    cell = baseline_cell("digits", {"optimizer": FACTORS["optimizer"].parse("optimizer", name)})
    model = plain_network(describe(cell, (1, 8, 8), 10)).to(device)
    before = [parameter.detach().clone() for parameter in model.parameters()]

    benchmark.pedantic(optimizer_step(cell, model), warmup_rounds=5, rounds=20, iterations=20)

    after = list(model.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("source", SOURCES)
def bench_input_pipeline(benchmark: Any, source: Source, device: str) -> None:
    benchmark.group = f"minibatches of 64 from {EXAMPLES} examples of 64 numbers, {device}"
    x = torch.arange(float(EXAMPLES * 64), device=device).reshape(EXAMPLES, 64)
    seen: list[int] = []
    epoch = minibatches(x, torch.arange(EXAMPLES, device=device), 64, source)

    benchmark.pedantic(one_epoch(epoch, lambda x, y: x), warmup_rounds=2, rounds=10, iterations=2)

    for _, y in epoch():
        seen += y.tolist()
    assert sorted(seen) == list(range(EXAMPLES))
