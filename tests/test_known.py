"""Known results that are arithmetic, and the study files of the others."""

import re
import tomllib

import pytest
import torch
from conftest import cell_of, plain_trial, stack_of, task_spec

from ablations.anatomy import parts_of
from ablations.costs import passes_alone
from ablations.design import canonical, cells_of
from ablations.layers import Context
from ablations.network import describe, initial_values, stacked_gradient, view_values
from ablations.optimizers import stacked_optimizer
from ablations.sizes import known_shape, known_sizes
from ablations.streams import Streams
from ablations.studyfile import load_study, study_groups
from ablations.training import train

KNOWN = study_groups()["known"] + study_groups()["downloads"]


def test_one_step_on_the_l1_loss_of_a_cnn_lowers_it(generator):
    """R7: conv 6@3, conv 16@3, 512-64-2, ReLU, one SGD step of 0.01: 1.304 became 1.257.

    One image of 32 x 32 normal numbers with two normal targets, for 8 draws of all: the
    published loss lies among ours, and the published fall as well.
    """
    layers = {"name": "sequential", "layers": "conv 6@3, conv 16@3, linear 512, linear 64"}
    cell = cell_of("digits", network=layers)
    network = describe(cell, (1, 32, 32), 2)
    flat, buffers = initial_values(network, cell, range(8), streams=Streams(0, "R7"))
    x = torch.randn(8, 1, 1, 32, 32, generator=generator)
    y = torch.randn(8, 2, 1, generator=generator)
    values, gradient = view_values(network, flat, buffers), torch.zeros_like(flat)
    into, losses = view_values(network, gradient, buffers), []

    def l1_gradient(outputs):
        losses.append((outputs - y).abs().mean((1, 2)))
        return (outputs - y).sign() / 2

    rates = torch.full((1, 8), 0.01, dtype=torch.float64)
    nothing = torch.zeros(8, dtype=torch.float64)
    optimizer = stacked_optimizer("sgd", rates, {"weight_decay": nothing}, flat, nothing)
    for _ in range(2):
        stacked_gradient(
            network, values, into, x, output_gradient=l1_gradient, context=Context(training=True)
        )
        optimizer.step(0, flat, gradient)
    before, after = losses
    fall = before - after
    assert (fall > 0).all()
    assert before.min() < 1.304 < before.max()
    assert fall.min() < 0.047 < fall.max()


@pytest.mark.parametrize("path", KNOWN, ids=lambda path: path.stem)
@pytest.mark.parametrize("profile", ["quick", "standard"])
def test_published_results_name_cells_that_are_trained(path, profile):
    study = load_study(path, profile)
    assert study.profile == profile
    for entry in study.published:
        assert entry["values"]
        assert cells_of(study, study.task(entry.get("task", study.tasks[0].name)))


def test_every_known_result_that_needs_training_has_a_study():
    """R7 and R14 are arithmetic; R3 and R6 on MNIST have nothing published to hold against."""
    found = {
        entry["id"]
        for path in KNOWN
        for entry in tomllib.loads(path.read_text()).get("published", [])
    }
    assert found == {f"R{n}" for n in (1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13)}


@pytest.mark.parametrize("path", study_groups()["claims"], ids=lambda path: path.stem)
@pytest.mark.parametrize("profile", ["quick", "standard", "full"])
def test_studies_of_claims_can_be_read_and_say_what_they_claim(path, profile):
    study = load_study(path, profile)
    assert study.claims
    assert all(claim["id"].startswith("C") and claim["because"] for claim in study.claims)
    assert profile == "quick" or study.seeds >= 10


def test_every_textbook_claim_is_on_trial():
    ids = {
        re.match(r"C\d+", claim["id"])[0]
        for path in study_groups()["claims"]
        for claim in load_study(path).claims
    }
    assert ids == {f"C{n}" for n in range(1, 14)}


def test_every_result_has_a_source():
    for path in KNOWN:
        entries = tomllib.loads(path.read_text()).get("published", [])
        ids = {entry["id"] for entry in entries}
        assert ids == {entry["id"] for entry in entries if entry.get("source")}, path.stem


def test_published_data_are_taken_as_they_are():
    """No part held out of what was trained on, no standardisation, unless stated."""
    for path in KNOWN:
        study = load_study(path)
        if study.name == "mnist-mlp":  # a configuration of ours, for CI
            continue
        for task in study.tasks:
            assert task.split in ("none", "test"), path.stem
            assert not dict(task.settings)["standardise"], path.stem


def test_depth_is_compared_with_width_at_equal_parameters():
    """Every network of a task has within 2% as many parameters as the others."""
    [path] = [p for p in study_groups()["claims"] if p.stem == "depth-or-width"]
    study = load_study(path)
    for task in study.tasks:
        counts = {}
        for cell in cells_of(study, task):
            shape, outputs = known_shape(task), task.kind.outputs or dict(task.settings)["arms"]
            parts = parts_of(describe(canonical(cell), shape, outputs), shape)
            counts[str(cell.network)] = sum(part.parameters for part in parts)
        assert len(counts) == 3
        assert max(counts.values()) <= 1.02 * min(counts.values()), counts


# What the known results and the claims rest on


def test_a_scaled_schedule_is_another_learning_rate():
    scaled = train(stack_of(rates=(0.01,), schedule={"name": "constant", "scale": 4.0}))
    direct = train(stack_of(rates=(0.04,)))
    for row, other in zip(scaled.curves, direct.curves, strict=True):
        assert row["train_loss"] == other["train_loss"]
    assert scaled.rows[0]["test_loss"] == direct.rows[0]["test_loss"]
    assert scaled.rows[0]["test_loss"] != train(stack_of(rates=(0.01,))).rows[0]["test_loss"]


@pytest.mark.parametrize("biases", ["zero", "drawn"])
@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        ({"name": "normal", "deviation": 0.5}, 0.5),
        ({"name": "xavier"}, (2 / (200 + 300)) ** 0.5),
        ({"name": "kaiming"}, (2 / 200) ** 0.5),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_initial_weights_and_biases_have_their_distribution(init, deviation, biases):
    """A layer from 200 to 300 units: as scikit-learn's Glorot, biases are drawn like weights."""
    cell = cell_of("digits", init=init | {"biases": biases}, depth=1, width=300)
    network = describe(cell, (200,), 10)
    flat, buffers = initial_values(network, cell, [0, 1], streams=Streams(0, "init"))
    found = plain_trial(network, flat[0], buffers[0]).state_dict()
    weight, bias = found["hidden0.linear.weight"], found["hidden0.linear.bias"]
    assert weight.shape == (300, 200)
    assert float(weight.std()) == pytest.approx(deviation, rel=0.01)
    drawn = [weight]
    if biases == "zero":
        assert not bias.any()
    else:
        assert float(bias.std()) == pytest.approx(deviation, rel=0.15)
        drawn.append(bias)
    if init["name"] == "normal":
        inside = float(((weight / deviation).abs() < 1).double().mean())
        assert inside == pytest.approx(0.6827, abs=0.01)
    else:
        limit = 3**0.5 * deviation
        assert all(limit * 0.97 < float(values.abs().max()) <= limit for values in drawn)


def test_a_test_part_that_is_watched_takes_no_training_data():
    assert known_sizes(task_spec("mnist", split="test")) == (60_000, 10_000, 10_000)
    assert known_sizes(task_spec("mnist", split="none")) == (60_000, 0, 10_000)
    assert known_sizes(task_spec("cifar10", split="test")) == (50_000, 10_000, 10_000)
    assert known_sizes(task_spec("mnist", split=(0.8, 0.1, 0.1))) == (53_333, 6_667, 10_000)


def test_the_network_of_cifar10_passes_alone_and_a_small_one_in_company():
    layers = "conv 6@3, conv 16@3, linear 512, linear 64"
    large = {"network": {"name": "sequential", "layers": layers}, "minibatch": 16}
    assert passes_alone(stack_of("cifar10", split="test", **large))
    assert not passes_alone(stack_of("spiral", depth=2, width=32, minibatch=64))
    assert not passes_alone(stack_of("cifar10", split="test", depth=1, width=32, minibatch=16))
