"""Minibatches of an epoch: from tensors that lie on the device, or from a DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.ways import Source

Minibatches = Iterator[tuple[Tensor, Tensor]]


def minibatches(x: Tensor, y: Tensor, size: int, source: Source) -> Callable[[], Minibatches]:
    """An epoch in a new order at every call; the last minibatch holds what is left.

    Shapes: x (n, *input_shape), y (n,) or (n, C), both on the device.
    """
    return (_loaded if source == "DataLoader" else _selected)(x, y, size)


def _selected(x: Tensor, y: Tensor, size: int) -> Callable[[], Minibatches]:
    """Shuffled on the device, with nothing that waits for it."""
    generator = torch.Generator(x.device).manual_seed(0)

    def epoch() -> Minibatches:
        order = torch.randperm(len(x), generator=generator, device=x.device)
        for rows in order.split(size):
            yield x.index_select(0, rows), y.index_select(0, rows)

    return epoch


def _loaded(x: Tensor, y: Tensor, size: int) -> Callable[[], Minibatches]:
    """As in torch's tutorials: examples one by one from main memory, then to the device."""
    generator = torch.Generator().manual_seed(0)
    dataset = TensorDataset(x.cpu(), y.cpu())
    loader = DataLoader(dataset, batch_size=size, shuffle=True, generator=generator)

    def epoch() -> Minibatches:
        for inputs, targets in loader:
            yield inputs.to(x.device), targets.to(x.device)

    return epoch


def one_epoch(
    epoch: Callable[[], Minibatches], update: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[], Tensor]:
    """A call that goes through all minibatches; the result of the last update."""

    def call() -> Tensor:
        for x, y in epoch():
            result = update(x, y)
        return result

    return call
