"""Penalties, schedules and augmentation against autograd, torch's schedulers and slow loops."""

import pytest
import torch
from conftest import assert_same_numbers, cell_of, flat_gradient, plain_trial
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, StepLR

from ablations.network import describe
from ablations.regularisation import (
    add_penalty,
    augment,
    penalty_strengths,
    schedule_factors,
    shift_images,
    weight_mask,
)

NETWORKS = {
    "mlp": ("spiral", {"depth": 2, "width": 5, "norm": "batch", "activation": "prelu"}, (2,)),
    "cnn": ("digits", {"depth": 1, "width": 3, "network": "cnn", "activation": "prelu"}, (1, 8, 8)),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("name", ["l1", "l2"])
def test_penalties_are_those_of_autograd(name, kind, generator):
    """strength |w| and strength / 2 |w|^2 of linear and convolution weights, one of them 0."""
    task, levels, shape = NETWORKS[kind]
    network = describe(cell_of(task, **levels), shape, 10)
    mask = weight_mask(network).double()
    flat = torch.randn(2, len(mask), generator=generator, dtype=torch.float64)
    flat[:, 0] = 0.0  # |w| has a corner there, and torch's slope of it is 0
    before = torch.randn(flat.shape, generator=generator, dtype=torch.float64)
    strengths = torch.tensor([[0.3], [0.07]], dtype=torch.float64) * mask
    gradient = before.clone()
    add_penalty(gradient, flat, *((strengths, None) if name == "l1" else (None, strengths)))
    for m, strength in enumerate((0.3, 0.07)):
        module = plain_trial(network, flat[m])
        weights = [
            layer.weight
            for layer in module.modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)  # not norms, not PReLU
        ]
        for p in module.parameters():
            p.grad = torch.zeros_like(p)
        penalty = sum(w.abs().sum() if name == "l1" else w.square().sum() / 2 for w in weights)
        (strength * penalty).backward()
        assert_same_numbers(gradient[m], before[m] + flat_gradient(module))


@pytest.mark.parametrize(
    ("regularisation", "expected"),
    [
        ("none", (0.0, 0.0)),
        ({"name": "l1", "strength": 0.2}, (0.2, 0.0)),
        ({"name": "l2", "strength": 0.2}, (0.0, 0.2)),
        ({"name": "weight_decay", "strength": 0.2}, (0.0, 0.0)),  # the optimizer's business
    ],
    ids=str,
)
def test_only_l1_and_l2_are_penalties(regularisation, expected):
    assert penalty_strengths(cell_of("spiral", regularisation=regularisation)) == expected


def torchs_rates(steps, scheduler):
    """The learning rate of each step under one of torch's schedulers, starting from 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = scheduler(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(rates, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_cosine_is_torchs(steps):
    """torch multiplies its way down the cosine, so its rounding grows with the steps: 1e-10."""
    expected = torchs_rates(steps, lambda optimizer: CosineAnnealingLR(optimizer, T_max=steps))
    assert_same_numbers(schedule_factors(cell_of(schedule="cosine"), steps), expected, 1e-10)


@pytest.mark.parametrize(("steps", "drops"), [(9, 2), (100, 4), (6, 5), (4, 1)])
def test_step_is_torchs_where_the_drops_divide_the_steps(steps, drops):
    cell = cell_of(schedule={"name": "step", "drops": drops, "gamma": 0.3})
    expected = torchs_rates(steps, lambda optimizer: StepLR(optimizer, steps // (drops + 1), 0.3))
    assert_same_numbers(schedule_factors(cell, steps), expected)


@pytest.mark.parametrize(("steps", "drops"), [(11, 2), (7, 3), (2, 4), (1, 1)])
def test_step_never_drops_more_often_than_it_says(steps, drops):
    """StepLR would drop once more in the steps that are left over."""
    cell = cell_of(schedule={"name": "step", "drops": drops, "gamma": 0.3})
    every = max(steps // (drops + 1), 1)
    milestones = [every * k for k in range(1, drops + 1)]
    expected = torchs_rates(steps, lambda optimizer: MultiStepLR(optimizer, milestones, 0.3))
    assert_same_numbers(schedule_factors(cell, steps), expected)


def test_a_constant_schedule_changes_nothing():
    assert torch.equal(schedule_factors(cell_of(), 5), torch.ones(5, dtype=torch.float64))


def shifted_slowly(image, down, right, fill):
    channels, height, width = image.shape
    moved = torch.empty_like(image)
    for c in range(channels):
        for row in range(height):
            for column in range(width):
                r, k = row - down, column - right
                inside = 0 <= r < height and 0 <= k < width
                moved[c, row, column] = image[c, r, k] if inside else fill[c]
    return moved


def test_shift_moves_each_image_as_a_slow_loop_does(generator):
    """Every shift of up to three pixels of images that are not square, two channels."""
    offsets = torch.cartesian_prod(torch.arange(-3, 4), torch.arange(-3, 4))
    x = torch.randn(len(offsets), 2, 4, 5, generator=generator)
    fill = torch.tensor([-7.0, 9.0])
    moved = shift_images(x, offsets, fill)
    for n, (down, right) in enumerate(offsets.tolist()):
        assert torch.equal(moved[n], shifted_slowly(x[n], down, right, fill))


@pytest.mark.parametrize("pixels", [1, 2])
def test_augmented_images_take_every_shift_equally_often(generator, pixels):
    """One bright pixel in the middle tells the shift; each share is within 5 standard errors."""
    count, side = 20_000, 2 * pixels + 1
    x = torch.zeros(count, 1, side, side)
    x[:, :, pixels, pixels] = 1
    cell = cell_of("digits", augmentation={"name": "shift", "pixels": pixels})
    moved = augment(cell, x, torch.zeros(1), generator=generator)
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(count))
    share = 1 / side**2
    error = (share * (1 - share) / count) ** 0.5
    assert ((moved.mean(0) - share).abs() < 5 * error).all()


def test_flip_mirrors_columns_of_half_of_the_images(generator):
    """10,000 coins: five standard errors are 2.5 points."""
    x = torch.randn(10_000, 1, 2, 3, generator=generator)
    flipped = augment(
        cell_of("digits", augmentation="flip"), x, torch.zeros(1), generator=generator
    )
    same = (flipped == x).all((1, 2, 3))
    mirrored = (flipped == x[:, :, :, [2, 1, 0]]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert mirrored.double().mean().item() == pytest.approx(0.5, abs=0.025)


def test_no_augmentation_returns_the_images_themselves(generator):
    x = torch.randn(3, 1, 4, 4, generator=generator)
    assert augment(cell_of("digits"), x, torch.zeros(1), generator=generator) is x
