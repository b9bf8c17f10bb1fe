"""Known results that are arithmetic, and the study files of the others."""

import tomllib

import pytest
import torch
from conftest import cell_of

from ablations.design import cells_of
from ablations.layers import Context
from ablations.network import describe, initial_values, stacked_gradient, view_values
from ablations.optimizers import stacked_optimizer
from ablations.streams import Streams
from ablations.studyfile import load_study, study_groups

KNOWN = study_groups()["known"] + study_groups()["downloads"]


def test_one_step_on_the_l1_loss_of_a_cnn_lowers_it(generator):
    """R7: conv 6@3, conv 16@3, 512-64-2, ReLU, one SGD step of 0.01: 1.304 became 1.257.

    One image of 32 x 32 normal numbers with two normal targets, for 20 draws of all: the
    published loss lies among ours, and the published fall as well.
    """
    layers = {"name": "sequential", "layers": "conv 6@3, conv 16@3, linear 512, linear 64"}
    cell = cell_of("digits", network=layers)
    network = describe(cell, (1, 32, 32), 2)
    flat, buffers = initial_values(network, cell, range(20), streams=Streams(0, "R7"))
    x = torch.randn(20, 1, 1, 32, 32, generator=generator)
    y = torch.randn(20, 2, 1, generator=generator)
    values, gradient = view_values(network, flat, buffers), torch.zeros_like(flat)
    into, losses = view_values(network, gradient, buffers), []

    def l1_gradient(outputs):
        losses.append((outputs - y).abs().mean((1, 2)))
        return (outputs - y).sign() / 2

    rates = torch.full((1, 20), 0.01, dtype=torch.float64)
    nothing = torch.zeros(20, dtype=torch.float64)
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
        claim["id"].rstrip("abcdefgh")
        for path in study_groups()["claims"]
        for claim in load_study(path).claims
    }
    assert ids == {f"C{n}" for n in range(1, 14)}
