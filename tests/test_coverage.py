"""How often intervals of ratios cover the truth: simulated here, measured by a command."""

import math

import numpy as np
import pytest
from test_clock import simulated_pair

from benchmarks import coverage
from benchmarks.__main__ import main
from benchmarks.coverage import Coverage, of_passes, of_the_gate, twins
from benchmarks.reliability import Interval
from benchmarks.workloads import AGAIN

RIGHT, WRONG = Interval(1.0, 0.98, 1.02, 30), Interval(1.1, 1.08, 1.12, 30)


def test_coverage_is_the_share_of_intervals_that_contain_one():
    found = Coverage("passes", (RIGHT,) * 95 + (WRONG,) * 5)
    assert found.share == 0.95
    assert found.half_width == pytest.approx(0.02)
    assert str(found) == (
        "passes: 95% of 100 95% intervals of a ratio of the same code contain 1; median "
        "half-width 2.0%"
    )


@pytest.mark.parametrize(
    ("right", "calibrated"), [(89, False), (90, True), (99, True), (100, False)]
)
def test_too_rarely_and_too_often_are_both_wrong(right, calibrated):
    """An interval that never errs is too wide to be of use."""
    found = Coverage("passes", (RIGHT,) * right + (WRONG,) * (100 - right))
    assert found.is_calibrated is calibrated


def test_an_interval_without_bounds_covers_nothing():
    assert Coverage("x", (Interval(1.0, math.nan, math.nan, 1),)).share == 0


def test_twins_are_pairs_of_the_same_computation_over_the_base_networks():
    found = twins(20)
    assert len(found) == 40
    assert len({(w.name, w.mode) for w in found}) == 40
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert second.name == first.name + AGAIN
        assert (first.cell, first.mode, first.task) == (second.cell, second.mode, second.task)
    assert len({(w.task.name, w.mode) for w in found}) == 8


def test_the_ratio_interval_of_simulated_samples_covers_90_to_99_percent():
    """With noise, a common drift and spikes, from the harness itself on a pretend machine."""
    intervals = tuple(simulated_pair(1.0, seed) for seed in range(1000, 1300))
    assert Coverage("simulated", intervals).is_calibrated


def test_the_command_prints_both_and_fails_outside_of_90_to_99_percent(monkeypatch, capsys):
    good, bad = (Coverage(n, (RIGHT,) * k + (WRONG,) * 4) for n, k in (("good", 96), ("bad", 4)))
    monkeypatch.setattr(coverage, "WAYS", (lambda *a: good, lambda *a: good))
    assert main(["coverage"]) == 0
    monkeypatch.setattr(coverage, "WAYS", (lambda *a: good, lambda *a: bad))
    assert main(["coverage"]) == 1
    assert "bad: 50% of 8 95% intervals" in capsys.readouterr().out


@pytest.mark.slow
def test_real_comparisons_of_the_same_code_mostly_say_so():
    """Eight of the passes, 20 of the gate; the command measures a hundred of each."""
    silent = lambda line: None  # noqa: E731
    passes, gate = of_passes(8, "cpu", silent), of_the_gate(20, "cpu", silent)
    assert len(passes.intervals) == 8
    assert len(gate.intervals) == 20
    assert passes.share >= 0.75  # by chance below in 1 of 200 runs, were it 95%
    assert gate.share >= 0.8
    assert np.isfinite(gate.half_width)
