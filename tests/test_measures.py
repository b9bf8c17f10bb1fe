"""Measures of trained networks, against counts and derivatives found another way."""

import math

import numpy as np
import pytest
import torch
from conftest import cell_of, stack_of

from ablations.layers import Activation
from ablations.levels import ACTIVATIONS
from ablations.measures import (
    activity,
    curve_area,
    curve_noise,
    gradient_norms,
    linear_regions,
    slopes,
    steepest,
)
from ablations.network import describe, view_values
from ablations.training import train, train_one


def network_of(parameters, **levels):
    """A network of one input, one output and one trial with the given parameters."""
    network = describe(cell_of("wave", **levels), (1,), 1)
    flat = torch.tensor([parameters], dtype=torch.float64)
    return network, view_values(network, flat, torch.empty(1, 0))


# Two units of one input: relu(x) and relu(-x - 10), and the sum of both.
TWO_UNITS = [1.0, -1.0, 0.0, -10.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_torchs_derivatives(name, generator):
    layer = Activation(name, tuple(cell_of(activation=name).settings("activation").items()))
    x = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    values = {"weight": torch.tensor([[0.25], [0.5]], dtype=torch.float64)}
    (expected,) = torch.autograd.grad(layer.stacked(x.clone(), values, None).sum(), x)
    torch.testing.assert_close(slopes(layer, values, x.detach()), expected)


def test_the_steepest_slopes_are_the_known_ones():
    assert steepest("sigmoid", ()) == pytest.approx(0.25)
    assert steepest("tanh", ()) == pytest.approx(1.0)
    assert steepest("prelu", (("start", 0.25),)) == 1.0


def test_a_unit_that_is_off_on_every_example_is_dead():
    """Of two units one never fires; the other is off on one of four examples."""
    network, values = network_of(TWO_UNITS, depth=1, width=2)
    x = torch.tensor([[[-1.0], [1.0], [2.0], [3.0]]], dtype=torch.float64)
    found = activity(network, values, x)
    assert found["dead_units"].tolist() == [0.5]
    assert found["saturation"].tolist() == [(4 + 1) / 8]


# One unit a layer: relu(x), then relu(relu(x) - 10), and what the second one gives.
TWO_LAYERS = [1.0, 0.0, 1.0, -10.0, 1.0, 0.0]


def test_units_and_kinks_of_every_layer_count():
    """The first unit fires above 0, the second one above 10: kinks at both."""
    network, values = network_of(TWO_LAYERS, depth=2, width=1)
    x = torch.tensor([[[-20.0], [5.0], [6.0], [20.0]]], dtype=torch.float64)
    low = x.clamp(max=6.0)
    # pairs: -20 with 6, where the first unit begins, and 5 with 20, where the second one does
    assert linear_regions(network, values, x).tolist() == [2.0]
    assert linear_regions(network, values, x[:, [0, 1, 3, 2]]).tolist() == [(3 + 1) / 2]
    assert activity(network, values, x)["dead_units"].tolist() == [0.0]
    assert activity(network, values, x)["saturation"].tolist() == [(1 + 3) / 8]
    assert activity(network, values, low)["dead_units"].tolist() == [0.5]  # the second one
    assert activity(network, values, -x.abs())["dead_units"].tolist() == [1.0]


def test_a_linear_model_has_no_hidden_units():
    network, values = network_of([1.0, 0.0], depth=0)
    x = torch.zeros(1, 4, 1, dtype=torch.float64)
    assert activity(network, values, x) == {}
    assert linear_regions(network, values, x) is None


def test_kinks_between_two_examples_are_counted():
    """relu(x) and relu(-x - 10) have kinks at 0 and -10: three pieces from -20 to 20."""
    network, values = network_of(TWO_UNITS, depth=1, width=2)
    wide = torch.tensor([[[-20.0], [20.0]]], dtype=torch.float64)
    narrow = torch.tensor([[[-3.0], [20.0]]], dtype=torch.float64)
    assert linear_regions(network, values, wide).tolist() == [3.0]
    assert linear_regions(network, values, narrow).tolist() == [2.0]


def test_a_curved_activation_has_no_linear_regions():
    network, values = network_of(TWO_UNITS, depth=1, width=2, activation="tanh")
    assert linear_regions(network, values, torch.zeros(1, 2, 1, dtype=torch.float64)) is None


def test_gradients_are_measured_at_the_first_and_last_weights():
    """Weights (3, 4) and (100,) have norms 5 and 100; biases and the head do not count."""
    network, values = network_of([3.0, 4.0, 9.0, 9.0, 60.0, 80.0, 9.0], depth=1, width=2)
    first, last = gradient_norms(network, values)
    assert first.tolist() == pytest.approx([math.log10(5)])
    assert last.tolist() == pytest.approx([2.0])


def test_the_area_is_that_of_numpy(rng):
    steps = np.unique(rng.integers(0, 500, 12)).tolist()
    losses = rng.random(len(steps)).tolist()
    expected = np.trapezoid(losses, steps) / (steps[-1] - steps[0])
    assert curve_area(steps, losses) == pytest.approx(expected, rel=1e-12)


def test_a_curve_that_falls_evenly_has_no_noise():
    assert curve_noise([math.exp(-k / 3) for k in range(12)]) == pytest.approx(0, abs=1e-12)
    assert curve_noise([1.0, 0.5]) is None


def test_noise_is_the_spread_of_the_later_changes(rng):
    losses = rng.random(21) + 0.1
    changes = np.diff(np.log(losses[10:]))
    assert curve_noise(losses.tolist()) == pytest.approx(changes.std(ddof=1), rel=1e-12)


def test_rows_of_final_trials_have_the_measures_and_others_do_not():
    final = train(stack_of("spiral", seeds=(0, 1), depth=2, width=8)).rows
    tuned = train(stack_of("spiral", seeds=(0, 1), depth=2, width=8, stage="tuning")).rows
    for row in final:
        assert row["gap"] == row["train_accuracy"] - row["test_accuracy"]
        assert 0 <= row["dead_units"] <= 1
        assert row["linear_regions"] >= 1
        assert row["weight_norm"] > 0
    assert not {"gap", "dead_units", "curve_area"} & tuned[0].keys()


def test_the_penalty_is_added_to_the_loss_that_is_reported():
    """Half the strength times the squared weights, biases left out; l1 the absolute ones."""
    l2 = train(stack_of(depth=0, regularisation={"name": "l2", "strength": 0.5})).rows[0]
    expected = l2["train_loss"] + 0.25 * l2["weight_norm"] ** 2
    assert l2["penalised_loss"] == pytest.approx(expected, rel=1e-6)
    assert "penalised_loss" not in train(stack_of(depth=0)).rows[0]


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_the_penalty_is_that_of_the_plain_modules_weights(name):
    """Trained alone, so that its tensors can be summed here: biases are not penalised."""
    stack = stack_of(depth=1, width=6, regularisation={"name": name, "strength": 0.02})
    trained, _ = train_one(stack, stack.members[0])
    weights = torch.cat([w.flatten() for k, w in trained.state.items() if k.endswith("weight")])
    penalty = weights.abs().sum() if name == "l1" else weights.square().sum() / 2
    expected = trained.row["train_loss"] + 0.02 * float(penalty)
    assert trained.row["penalised_loss"] == pytest.approx(expected, rel=1e-5)
    assert trained.row["weight_norm"] == pytest.approx(float(weights.norm()), rel=1e-5)


def test_coefficients_are_held_against_those_that_made_the_data():
    """A line fitted to noiseless points, standardised or not, has no error left."""
    for standardise in (True, False):
        settings = {"noise": 0.0, "standardise": standardise}
        rows = train(
            stack_of("line", settings=settings, depth=0, rates=(0.3,), steps=4000, optimizer="sgd")
        ).rows
        assert rows[0]["parameter_error"] < 1e-4
    off = train(stack_of("housing", depth=0, steps=1, rates=(1e-6,))).rows[0]
    assert off["parameter_error"] > 1


def test_the_running_loss_is_the_mean_of_the_steps_losses():
    """Full batch: the loss before every update, which curves of every step have as well."""
    from dataclasses import replace  # noqa: PLC0415

    every = train(stack_of(steps=8, evaluations=8, depth=1)).curves
    some = train(replace(stack_of(steps=8, evaluations=2, depth=1), running_loss=True)).curves
    losses = [row["train_loss"] for row in every]
    assert "running_loss" not in some[0]
    assert some[1]["running_loss"] == pytest.approx(np.mean(losses[0:4]), rel=1e-5)
    assert some[2]["running_loss"] == pytest.approx(np.mean(losses[4:8]), rel=1e-5)
    assert "running_loss" not in every[1]
