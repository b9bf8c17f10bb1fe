"""Layer-wise pretraining: each hidden layer first learns to reproduce what it is given.

Bengio et al. (2007): layer after layer is trained as the first half of an autoencoder on the
outputs of the layers before it, then the decoders are thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ablations.design import Cell
from ablations.layers import Activation, Context, Linear
from ablations.network import (
    Block,
    Network,
    StackValues,
    initial_values,
    padded,
    stacked_forward,
    stacked_gradient,
    view_values,
)
from ablations.optimizers import FusedAdam, Optimizer, stacked_optimizer
from ablations.streams import Streams

TRAINING = Context(training=True)
ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How the layers of M networks are pretrained.

    Args:
        cell: its init is `autoencoder`, which says for how many steps and at which rate.
        seeds: of the M networks; the decoders start from streams of their own.
    """

    cell: Cell
    seeds: Sequence[int]
    streams: Streams

    def optimizer(self, flat: Tensor) -> tuple[int, Optimizer | FusedAdam]:
        """The number of steps, and Adam for parameters (M, P)."""
        settings = self.cell.settings("init")
        steps, count = int(settings["steps"]), len(flat)
        rates = torch.full((steps, count), float(settings["rate"]), dtype=torch.float64)
        hyper = {name: torch.full_like(rates[0], number) for name, number in ADAM.items()}
        return steps, stacked_optimizer("adam", rates, hyper, flat, torch.zeros_like(rates[0]))


def pretrain(plan: Pretraining, network: Network, values: StackValues, x: Tensor) -> None:
    """Train the hidden layers of M networks, one layer after the other, in place.

    Args:
        values: the initial weights.
        x: training examples, (M, N, *input_shape).
    """
    h = x.flatten(2).transpose(1, 2).contiguous()  # (M, D, N)
    for block, layers in zip(network.blocks, values.layers, strict=False):
        found = dict(block.layers)
        linear, activation = found.get("linear"), found.get("activation")
        if isinstance(linear, Linear) and isinstance(activation, Activation):
            pieces = dict(zip(found, layers, strict=True))
            encoder = Block("encoder", (("linear", linear), ("activation", activation)))
            back = Linear(linear.outputs, linear.inputs)
            both = Network((encoder, Block(f"decoder of {block.name}", (("linear", back),))))
            h = _encode(plan, both, (pieces["linear"], pieces["activation"]), h)


def _encode(
    plan: Pretraining, both: Network, own: Sequence[Mapping[str, Tensor]], h: Tensor
) -> Tensor:
    """Train one layer, whose values are `own`, on h (M, D, N), and return its outputs."""
    start, _ = initial_values(both, plan.cell, plan.seeds, streams=plan.streams, dtype=h.dtype)
    flat = padded(start).to(h.device)
    gradient, nothing = torch.zeros_like(flat), flat.new_empty(len(flat), 0)
    values, into = view_values(both, flat, nothing), view_values(both, gradient, nothing)
    _copy(own, values.layers[0])
    steps, optimizer = plan.optimizer(flat)
    scale = 2 / (h.shape[1] * h.shape[2])

    def error(outputs: Tensor) -> Tensor:
        return (outputs - h).mul_(scale)

    for t in range(steps):
        stacked_gradient(both, values, into, h, output_gradient=error, context=TRAINING)
        optimizer.step(t, flat, gradient)
    _copy(values.layers[0], own)
    return stacked_forward(Network(both.blocks[:1]), values, h, TRAINING)


def _copy(source: Sequence[Mapping[str, Tensor]], into: Sequence[Mapping[str, Tensor]]) -> None:
    for here, there in zip(source, into, strict=True):
        for name, tensor in here.items():
            there[name].copy_(tensor)
