"""Layers that first learn to reproduce their inputs, and heads in the middle."""

import torch
from conftest import assert_same_numbers, cell_of, flat_gradient, plain_trial, stack_of
from torch import nn

from ablations.layers import Context
from ablations.losses import loss_gradient, plain_loss
from ablations.network import (
    describe,
    initial_values,
    plain_network,
    stacked_gradient,
    view_values,
)
from ablations.pretraining import Pretraining, pretrain
from ablations.streams import Streams
from ablations.training import train

STREAMS = Streams(0, "spiral")


def test_layers_are_trained_as_autoencoders_one_after_the_other():
    """By torch: Adam on the mean squared error of encoder, activation and decoder."""
    init = {"name": "autoencoder", "steps": 7, "rate": 0.01}
    cell = cell_of("spiral", depth=2, width=5, activation="tanh", init=init)
    network = describe(cell, (2,), 3)
    flat, buffers = initial_values(network, cell, [3], streams=STREAMS, dtype=torch.float64)
    module = plain_trial(network, flat[0])
    x = torch.randn(1, 11, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    pretrain(Pretraining(cell, [3], STREAMS), network, view_values(network, flat, buffers), x)

    h = x[0]
    for name in ("hidden0", "hidden1"):
        encoder = getattr(module, name)
        decoder = nn.Linear(5, h.shape[1]).double()
        for kind, parameter in decoder.named_parameters():
            stream = STREAMS.generator(f"init decoder of {name}.linear.{kind}", 3)
            drawn = torch.rand(parameter.shape, generator=stream) * 2 - 1
            parameter.data = (drawn / 5**0.5).double()
        optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
        for _ in range(7):
            optimizer.zero_grad()
            nn.functional.mse_loss(decoder(encoder(h)), h).backward()
            optimizer.step()
        h = encoder(h).detach()
    expected = torch.cat([p.detach().flatten() for p in module.parameters()])
    torch.testing.assert_close(flat[0], expected, rtol=1e-9, atol=1e-12)


def test_pretrained_trials_do_not_depend_on_the_rest_of_the_stack():
    levels = {"depth": 3, "width": 8, "activation": "sigmoid", "init": "autoencoder"}
    together = train(stack_of(seeds=(0, 1, 2), rates=(0.01, 0.1), steps=5, **levels)).rows
    alone = train(stack_of(seeds=(1,), rates=(0.1,), steps=5, **levels)).rows
    assert alone[0] in together


def test_a_head_in_the_middle_is_trained_with_its_weight(generator):
    """Gradients equal those of torch for the loss of both heads."""
    regularisation = {"name": "auxiliary_loss", "weight": 0.4}
    for levels in ({"depth": 1}, {"depth": 4, "residual": True}, {"depth": 3, "norm": "batch"}):
        cell = cell_of("spiral", width=6, regularisation=regularisation, **levels)
        network = describe(cell, (2,), 3)
        size = sum(p.numel() for p in plain_network(network).parameters())
        flat = torch.randn(1, size, generator=generator, dtype=torch.float64)
        buffers = torch.cat(
            [torch.full((1, *s), start).flatten(1) for s, start in network.buffers().values()]
            or [torch.empty(1, 0)],
            1,
        ).double()
        module = plain_trial(network, flat[0], buffers[0]).train()
        x = torch.randn(1, 9, 2, generator=generator, dtype=torch.float64)
        y = torch.randint(3, (1, 9), generator=generator)
        gradient = torch.full_like(flat, torch.nan)
        stacked_gradient(
            network,
            view_values(network, flat, buffers),
            view_values(network, gradient, buffers),
            x,
            output_gradient=lambda outputs, cell=cell, y=y: loss_gradient(cell)(outputs, y, 9),
            context=Context(training=True),
        )
        plain_loss(cell)(module(x[0]), y[0]).backward()
        assert_same_numbers(gradient[0], flat_gradient(module))
        assert module.eval()(x[0]).shape == (9, 3)


def test_a_head_without_weight_leaves_the_network_as_it_is(by_torch):
    """Its own values move nothing else, and the rows are those of the plain network."""
    head = {"name": "auxiliary_loss", "weight": 0.0}
    with_head = train(stack_of(depth=2, width=32, regularisation=head)).rows[0]
    without = train(stack_of(depth=2, width=32)).rows[0]
    assert with_head["test_loss"] == without["test_loss"]
    assert with_head["parameters"] == without["parameters"] + 32 * 3 + 3
