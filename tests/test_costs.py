"""What a stack does is counted, and prices are found from seconds that were made from them."""

import math

import numpy as np
import pytest
from conftest import stack_of

from ablations import costs
from ablations.costs import predicted_seconds, work
from ablations.planning import fit_prices


def by_hand(**levels):
    return stack_of(
        "spiral",
        seeds=(0, 1),
        steps=4,
        evaluations=2,
        settings={"points": 30, "validation_points": 10, "test_points": 20},
        depth=1,
        width=5,
        minibatch=32,
        **levels,
    )


def test_the_work_of_a_small_stack_by_hand():
    """Two trials and the spare, 90 examples, 4 steps of 32, evaluated 2 times and at the start."""
    trained, evaluated = 3 * 4 * 32, 3 * (3 * (90 + 30) + 90 + 30 + 60)
    units, multiplied = 5 + 3, 2 * 5 + 5 * 3
    either = {
        "stack": 1,
        "loaded": 2 * (90 + 30 + 60) * 2e-6,
        "evaluation": 3,
        "evaluated layer call": 6,
        "row": 6,
        "input": (trained + evaluated) * 2e-6,
    }
    parameters = 3 * 4 * 3 * (multiplied + 5 + 3) * 1e-6
    assert work(by_hand(activation="prelu")) == pytest.approx(
        either
        | {
            "step": 4,
            "layer call": 8,
            "update": 4 * 2,
            "parameter": parameters + 3 * 4 * 3 * 1e-6,  # the slope
            "layer unit": (3 * trained + evaluated) * units * 1e-6,
            "layer multiplication": (3 * trained + evaluated) * multiplied * 1e-9,
            "layer prelu": (3 * trained + evaluated) * 5 * 1e-6,
            "layer prelu call": 4,
        }
    )
    assert work(by_hand()) == pytest.approx(
        either
        | {
            "compiled call": 3 * 4 * 2 * 1e-6,
            "compiled parameter": parameters,
            "compiled unit": 3 * trained * units * 1e-6,
            "compiled multiplication": 3 * trained * multiplied * 1e-9,
            "layer unit": evaluated * units * 1e-6,
            "layer multiplication": evaluated * multiplied * 1e-9,
        }
    )


def grows(name, before, after):
    return work(stack_of(**after))[name] / work(stack_of(**before))[name]


DIGITS = {"task": "digits", "minibatch": 64, "width": 8}
NORMED = {**DIGITS, "norm": "batch"}  # whose steps torch takes
CNN = {**DIGITS, "network": "cnn", "depth": 1}


@pytest.mark.parametrize(
    ("name", "before", "after", "factor"),
    [
        ("step", NORMED, {**NORMED, "steps": 40}, 2),
        ("compiled call", DIGITS, {**DIGITS, "steps": 40}, 2),
        ("loaded", DIGITS, {**DIGITS, "seeds": (0, 1, 2)}, 3),
        ("row", {**DIGITS, "evaluations": 3}, {**DIGITS, "evaluations": 7}, 2),
        ("row", {**DIGITS, "evaluations": 20}, {**DIGITS, "evaluations": 9000}, 1),
        ("step", {**NORMED, "epochs": 1}, {**NORMED, "epochs": 1, "minibatch": 11}, 98 / 17),
        ("convolution call", CNN, {**CNN, "depth": 2}, 3 / 2),
        ("convolution call", CNN, {**CNN, "steps": 40}, 2),
        ("loaded", DIGITS, {**DIGITS, "task": "mnist"}, 70_000 * 784 / (1797 * 64)),
    ],
)
def test_work_grows_with_what_is_asked_for(name, before, after, factor):
    assert grows(name, before, after) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("layer multiplication", {"width": 64}),
        ("layer unit", {"pictures": True, "task": "spiral"}),
    ],
)
def test_work_that_others_do_not_do_is_counted(name, change):
    usual = {**DIGITS, "task": change.get("task", "digits")}
    assert grows(name, usual, {**usual, **change}) > 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("compiled dropout", {"regularisation": "dropout"}),
        ("layer dropout", {"regularisation": "dropout", "norm": "batch"}),
        ("layer layer norm", {"norm": "layer"}),
        ("layer batch norm", {"regularisation": "batch_norm"}),
        ("compiled exponential", {"activation": "gelu"}),
        ("layer exponential", {"activation": "gelu", "norm": "layer"}),
        ("layer prelu", {"activation": "prelu"}),
        ("convolution batch norm", {"network": "cnn", "norm": "batch"}),
        ("update", {"optimizer": "adamw", "norm": "layer"}),
    ],
)
def test_work_that_only_some_levels_do_has_a_price_of_its_own(name, change):
    usual = work(stack_of(**{**DIGITS, "optimizer": "sgd"}))
    assert usual.get(name, 0) == 0
    assert work(stack_of(**{**DIGITS, "optimizer": "sgd", **change}))[name] > 0


def test_a_folder_that_was_not_read_yet_has_a_cost():
    stack = stack_of("imagefolder:x", settings={"size": 16}, network="cnn")
    assert 0 < predicted_seconds(stack) < math.inf


def test_seconds_are_the_sum_of_prices_times_work(monkeypatch):
    monkeypatch.setattr(costs, "prices", lambda: {"stack": 2.0, "step": 0.5})
    assert predicted_seconds(stack_of(steps=20, norm="layer")) == 2 + 0.5 * 20


def test_prices_are_found_again_from_the_seconds_they_made(rng):
    known = {"stack": 0.1, "step": 2e-4, "unit": 3.0}
    works = [
        {"stack": 1.0, "step": float(10 ** rng.uniform(1, 4)), "unit": 10 ** rng.uniform(-4, 1)}
        for _ in range(60)
    ]
    seconds = np.array([sum(known[name] * w[name] for name in known) for w in works])

    assert fit_prices(works, seconds) == pytest.approx(known, rel=1e-6)

    noisy = seconds * np.exp(rng.normal(0, 0.2, len(seconds)))
    found = fit_prices([{**w, "nothing": 0.0} for w in works], noisy)
    predicted = np.array([sum(found.get(n, 0) * a for n, a in w.items()) for w in works])
    # the mean of sixty logarithms of deviation 0.2 is known to 0.026: three of these
    assert np.log(predicted / seconds).mean() == pytest.approx(0, abs=0.08)
    assert all(price > 0 for price in found.values())
