"""Bias and variance of fitted functions, from the probes of a real study and by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import stack_of

from ablations.pictures import PROBES, probe_picture
from ablations.training import train
from report.decomposition import decode, decompose, pseudo_values, with_decomposition


def test_bias_and_variance_by_hand():
    """Two points, three seeds: variances 1 and 4, distances 1^2 and 0^2, less 2.5 / 3."""
    fitted = np.array([[1.0, 0.0], [2.0, 2.0], [3.0, 4.0]])
    bias, variance = decompose(fitted, np.array([3.0, 2.0]))
    assert variance == pytest.approx(2.5)
    assert bias == pytest.approx(0.5 - 2.5 / 3)


def test_the_estimates_are_unbiased(rng):
    """Functions with a planted bias of 0.5 and a variance of 2, over 2,000 studies of 5 seeds."""
    true = np.zeros(40)
    found = [decompose(0.5 + 2**0.5 * rng.normal(size=(5, 40)), true) for _ in range(2000)]
    assert np.mean(found, 0) == pytest.approx([0.25, 2.0], abs=0.01)


def test_pseudo_values_average_to_the_estimate(rng):
    fitted, true = rng.normal(size=(7, 30)), rng.normal(size=30)
    bias, variance = decompose(fitted, true)
    pseudo = pseudo_values(fitted, true)
    assert pseudo[1].mean() == pytest.approx(variance, rel=1e-12)
    assert pseudo[0].mean() == pytest.approx(bias, rel=1e-9)


def test_a_probe_comes_back_to_two_bytes(generator):
    fitted, true = torch.randn(2, PROBES, generator=generator)
    picture = probe_picture(fitted, true)
    assert picture["shape"] == f"2x{PROBES}"
    found = decode(picture["values"], picture["range"])
    width = float(max(fitted.max(), true.max()) - min(fitted.min(), true.min()))
    np.testing.assert_allclose(found, [fitted, true], atol=width / 65535, rtol=0)


def test_every_final_trial_of_a_known_function_is_probed():
    """A linear model of the wave: its probes lie on one line, and the truth is the wave."""
    outcome = train(stack_of("wave", seeds=(0, 1, 2), depth=0, steps=300, rates=(0.1,)))
    probes = [picture for picture in outcome.pictures if picture["kind"] == "probe"]
    assert [probe["trial"] for probe in probes] == [row["trial"] for row in outcome.rows]
    x = np.linspace(-1, 1, PROBES)
    for probe in probes:
        fitted, true = decode(probe["values"], probe["range"])
        np.testing.assert_allclose(np.diff(fitted, 2), 0, atol=2e-4)
        np.testing.assert_allclose(true, np.sin(np.pi * x) + np.cos(3 * np.pi * x) / 2, atol=1e-4)
    assert not [
        p for p in train(stack_of("wave", stage="tuning", depth=0)).pictures if p["kind"] == "probe"
    ]


def test_columns_are_those_of_the_cell_and_empty_elsewhere(rng):
    true = torch.zeros(PROBES)
    functions = torch.tensor(rng.normal(size=(8, PROBES)))
    names = [f"t{k}" for k in range(9)]
    trials = pd.DataFrame({"trial": names, "task": "wave", "depth": ["1"] * 4 + ["2"] * 5})
    rows = [{"trial": f"t{k}", **probe_picture(functions[k], true)} for k in range(8)]
    pictures = pd.DataFrame(rows[::-1])
    found = with_decomposition(trials, pictures, ["depth"])
    for cell in (slice(0, 4), slice(4, 8)):
        bias, variance = decompose(functions[cell].numpy(), np.zeros(PROBES))
        assert found["variance"][cell].mean() == pytest.approx(variance, rel=1e-3)
        assert found["bias"][cell].mean() == pytest.approx(bias, rel=1e-2, abs=1e-3)
    assert np.isnan(found["bias"][8])
    assert with_decomposition(trials, pictures.iloc[:0], ["depth"])["bias"].isna().all()
    fewer = with_decomposition(trials.iloc[4:], pictures, ["depth"])  # a trials.csv that was cut
    np.testing.assert_array_equal(fewer["bias"], found["bias"].iloc[4:])
