"""What paired times allow to say, and how often that is wrong."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.comparison import Outcome
from benchmarks.gate import (
    QUIET,
    SHARED,
    T_975,
    Compared,
    Pairs,
    compared,
    ratio_over_processes,
    verdict,
)
from benchmarks.reliability import Interval


def test_quantiles_are_those_of_scipy():
    expected = stats.t.ppf(0.975, np.arange(1, len(T_975) + 1))
    np.testing.assert_allclose(T_975, expected, atol=5e-5)


def test_a_ratio_is_that_of_the_process_medians_with_student_s_interval():
    """Worked out by hand: medians of log ratios per process, then scipy's t interval."""
    process = np.repeat([0, 1, 2, 3], 3)
    logs = np.array([0.1, 0.2, 9.0, 0.3, 0.1, -4.0, 0.2, 0.4, 0.3, 0.0, 0.1, 0.1])
    control = np.exp(np.linspace(0, 1, 12))  # the machine slows down; pairs do not see it
    found = ratio_over_processes(control * np.exp(logs), control, process)
    medians = np.array([0.2, 0.1, 0.3, 0.1])
    low, high = stats.t.interval(0.95, 3, medians.mean(), stats.sem(medians))
    expected = np.exp([medians.mean(), low, high])
    assert (found.value, found.low, found.high) == pytest.approx(tuple(expected), rel=1e-4)
    assert found.n == 12


def test_one_set_of_processes_has_no_interval():
    found = ratio_over_processes(np.ones(5), np.ones(5), np.zeros(5, dtype=int))
    assert np.isnan(found.low)
    assert verdict(found, SHARED) == "ambiguous"


@pytest.mark.parametrize(
    ("low", "high", "shared", "quiet"),
    [
        (1.11, 1.20, "slower", "slower"),
        (1.06, 1.09, "same", "slower"),
        (1.06, 1.20, "ambiguous", "slower"),
        (0.96, 1.04, "same", "same"),
        (0.80, 0.89, "faster", "faster"),
        (0.91, 0.94, "same", "faster"),
        (0.80, 1.30, "ambiguous", "ambiguous"),
        (0.85, 1.00, "ambiguous", "ambiguous"),
    ],
)
def test_words_follow_the_interval_and_the_margin(low, high, shared, quiet):
    ratio = Interval((low * high) ** 0.5, low, high, 15)
    assert verdict(ratio, SHARED) == shared
    assert verdict(ratio, QUIET) == quiet


def pairs_of(rng, *, slowdown=1.0, sets=5, rounds=5, noise=0.03, between=0.03):
    """Noise of single samples, of whole processes, a common drift, and spikes."""
    process = np.repeat(np.arange(sets), rounds)
    drift = np.linspace(1, 1.3, sets * rounds)

    def side(scale):
        own = np.exp(between * rng.standard_normal(sets))[process]
        spike = np.where(rng.random(len(process)) < 0.02, 5.0, 1.0)
        return 1e-3 * scale * drift * own * spike * np.exp(noise * rng.standard_normal(len(own)))

    return Pairs(process, side(1.0), side(slowdown), side(1.0))


@pytest.mark.parametrize("between", [0.0, 0.03, 0.1], ids="processes differ by {}".format)
@pytest.mark.parametrize("sets", [3, 5, 10])
def test_the_interval_covers_the_truth_as_often_as_it_says(sets, between):
    """Between 90% and 99% of 1,000 comparisons of the same code; nominally 95%."""
    rng = np.random.default_rng([sets, int(100 * between)])
    each = [compared("w", pairs_of(rng, sets=sets, between=between), SHARED) for _ in range(1000)]
    covered = np.mean([e.ratio.low <= 1 <= e.ratio.high for e in each])
    assert 0.90 <= covered <= 0.99


def test_pairs_of_one_process_are_not_taken_for_independent():
    """An interval over all pairs alike would miss the truth most of the time."""
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(200):
        pairs = pairs_of(rng, sets=4, rounds=40, noise=0.01, between=0.05)
        ratio = ratio_over_processes(pairs.head, pairs.base, pairs.process)
        covered += ratio.low <= 1 <= ratio.high
    assert covered >= 0.90 * 200


def test_equal_code_is_hardly_ever_called_slower_or_faster():
    rng = np.random.default_rng(7)
    words = [compared("w", pairs_of(rng), QUIET).verdict for _ in range(1000)]
    assert sum(word in {"slower", "faster"} for word in words) <= 0.01 * 1000


def test_a_fifth_more_is_found():
    rng = np.random.default_rng(8)
    words = [compared("w", pairs_of(rng, slowdown=1.2), QUIET).verdict for _ in range(400)]
    assert words.count("slower") >= 0.95 * 400


def test_the_control_is_base_against_base():
    pairs = pairs_of(np.random.default_rng(9), slowdown=1.5)
    found = compared("w", pairs, SHARED)
    assert found.ratio.value == pytest.approx(1.5, rel=0.1)
    assert found.control.value == pytest.approx(1.0, rel=0.1)
    assert found.base_seconds == np.median(pairs.base)
    assert found.head_seconds == np.median(pairs.head)
    assert found.is_suspect
    assert not compared("w", pairs_of(np.random.default_rng(9), slowdown=1.15), SHARED).is_suspect


@pytest.mark.parametrize(("low", "suspect", "warned"), [(1.26, 1, 1), (1.2, 0, 1), (1.09, 0, 0)])
def test_failing_and_warning_rest_on_the_lower_end_and_not_on_the_ratio(low, suspect, warned):
    """A ratio of 1.6 each time; an interval that reaches down to 1.09 is no reason for either."""
    wide = Interval(1.6, low, 2.3, 15)
    found = Compared("w", 1e-3, 1.6e-3, wide, Interval(1.0, 0.9, 1.1, 15), "slower")
    assert found.is_suspect == suspect
    assert len(Outcome(SHARED, (found,)).warnings) == warned
