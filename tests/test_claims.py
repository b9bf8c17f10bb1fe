"""Verdicts held against tables done by hand, scipy and statsmodels; claims anyone may write."""

import csv
import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulated_results import LEARNED, LINEAR, WIDER, Plan, write_results
from statsmodels.stats.power import TTestPower
from test_effects import study

from report import published
from report.__main__ import check, main
from report.cells import NamingError, level_of
from report.claim_words import numbers_of, particulars, refutation
from report.claims import judge
from report.claims_section import claims_section, command, open_sentences, tally
from report.exports import CLAIM_COLUMNS, EFFECT_COLUMNS, render_csv
from report.factors import main_effects
from report.published import known_results, noise_floor, tolerance
from report.published_section import published_section
from report.tables import read_results
from report.verdicts import decide
from report.views import view_of

FOUR = np.array([0.10, 0.12, 0.14, 0.16])  # mean .13, interval at 95% .088917 to .171083
ONE = {"activation": ("relu", "identity")}
DEEP = {"depth": ("2", "1", "4")}
SETTINGS = {"regularisation": ("none", "dropout(rate=0.3)", "l1(strength=0.1)", "l1(strength=1)")}
BEATS = {"statement": "s", "better": {"activation": "relu"}, "worse": {"activation": "identity"}}


@pytest.fixture
def rng():
    return np.random.default_rng(8)


HOSTILE = "=<script>alert(1)</script> | `x` [y](javascript:z) \u202e @me $(touch z)"


def judged(results, *claims):
    results.study["claims"] = list(claims)
    return judge(results)


def verdicts(results, *claims):
    return [judgement.verdict for judgement in judged(results, *claims)]


# From numbers to a verdict


@pytest.mark.parametrize(
    ("margin", "m", "verdict"),
    [
        (0.0889, 1, "supported"),
        (0.0890, 1, "unresolved"),
        (0.1710, 1, "unresolved"),
        (0.1711, 1, "contradicted"),
        (0.08, 2, "unresolved"),  # at 97.5% the interval begins at .076082
        (0.0760, 2, "supported"),
    ],
)
def test_a_claim_is_supported_above_its_margin_and_contradicted_below(margin, m, verdict):
    assert decide(FOUR, margin, m=m).verdict == verdict


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("margin", "verdict"),
    [
        (0.1711, "supported"),
        (0.1710, "unresolved"),
        (0.0890, "unresolved"),
        (0.088, "contradicted"),
    ],
)
def test_equality_is_judged_by_the_whole_interval_on_either_side(margin, verdict, sign):
    assert decide(sign * FOUR, margin, is_equality=True).verdict == verdict


def test_the_interval_is_that_of_scipy():
    found = decide(FOUR, 0.0, m=3).estimate
    expected = stats.ttest_1samp(FOUR, 0).confidence_interval(1 - 0.05 / 3)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)
    assert (found.n, found.interval) == (4, "98.33% t")


@settings(deadline=None)
@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=12).filter(lambda x: len(set(x)) > 1),
    st.integers(0, 40),
    st.integers(1, 5),
)
def test_no_verdict_goes_further_than_the_t_test_against_the_margin(values, margin, m):
    p = stats.ttest_1samp(values, margin).pvalue
    verdict = decide(np.array(values, float), margin, m=m).verdict
    if abs(p - 0.05 / m) > 1e-9:
        assert (verdict != "unresolved") == (p < 0.05 / m)
    if verdict != "unresolved":
        assert (verdict == "supported") == (np.mean(values) > margin)


def test_seeds_without_a_score_are_left_out_and_counted():
    found = decide(np.array([*FOUR, np.nan]), 0.05).estimate
    assert found.n == 4
    assert found.value == pytest.approx(0.13)


@pytest.mark.parametrize("values", [[], [0.3], [0.3, np.nan]])
def test_fewer_than_two_seeds_test_nothing(values):
    decision = decide(np.array(values, float), 0.0)
    assert decision.verdict == "untested"
    assert decision.estimate is None
    assert decision.reason.endswith("two are needed")


@pytest.mark.parametrize(("m", "enough"), [(1, 6), (2, 7)])
def test_seeds_that_agree_to_the_last_bit_count_from_the_sign_flip_floor_on(m, enough):
    few = decide(np.full(enough - 1, 0.2), 0.1, m=m)
    assert few.verdict == "unresolved"
    assert few.seeds_needed == enough
    assert "so few may by chance" in few.reason
    assert decide(np.full(enough, 0.2), 0.1, m=m).verdict == "supported"


def test_seeds_that_agree_have_no_interval_whatever_the_verdict():
    for n in (3, 10):
        estimate = decide(np.full(n, 0.2), 0.1).estimate
        assert (estimate.value, estimate.is_constant) == (0.2, True)
    assert decide(np.full(10, 0.2), 0.3).verdict == "contradicted"
    assert decide(np.zeros(10), 0.1, is_equality=True).verdict == "supported"
    at_margin = decide(np.full(10, 0.2), 0.2)
    assert (at_margin.verdict, at_margin.seeds_needed) == ("unresolved", np.inf)


@pytest.mark.parametrize(
    ("margin", "is_equality", "distance", "power"),
    [(0.10, False, 0.03, 0.8), (0.15, False, 0.02, 0.8), (0.15, True, 0.02, 0.9),
     (0.12, True, 0.01, 0.8)],
)  # fmt: skip
def test_the_seeds_an_unresolved_claim_needs_are_those_of_statsmodels(
    margin, is_equality, distance, power
):
    decision = decide(FOUR, margin, is_equality=is_equality, m=2)
    size = distance / FOUR.std(ddof=1)
    n = TTestPower().solve_power(effect_size=size, alpha=0.025, power=power)
    assert decision.verdict == "unresolved"
    assert decision.seeds_needed == math.ceil(n)


def test_a_difference_at_the_margin_would_take_forever():
    values = np.array([-1.0, 1.0, -2.0, 2.0])
    assert decide(values, 0.0).seeds_needed == math.inf


# From a claim to numbers


def test_a_contrast_is_better_minus_worse_paired_by_seed():
    results = study([[0.9, 0.8, 0.9], [0.5, 0.5, 0.3]], ONE)
    [judgement] = judged(results, {**BEATS, "by": 0.1})
    assert judgement.decision.estimate.value == pytest.approx((0.4 + 0.3 + 0.6) / 3)
    assert judgement.decision.estimate.n == 3
    assert judgement.about == "relu over identity"
    assert [name for name, _ in judgement.means] == ["relu", "identity"]
    assert [mean for _, mean in judgement.means] == pytest.approx([2.6 / 3, 1.3 / 3])


def test_for_a_loss_better_means_lower():
    scores = [[0.1, 0.2, 0.15, 0.12], [0.9, 0.8, 0.9, 0.85]]
    [judgement] = judged(study(scores, ONE, response="train_loss"), {**BEATS, "by": 0.3})
    assert judgement.verdict == "supported"
    assert judgement.decision.estimate.value == pytest.approx(0.72)
    assert "training loss is 0.72 lower with relu than with identity (" in numbers_of(judgement)


def test_factors_that_are_not_named_stay_at_the_baseline():
    scores = np.zeros((2, 3, 4))
    scores[0, 0] = [0.9, 0.8, 0.9, 0.8]  # relu, depth 2: the baseline
    scores[1, 0] = [0.5, 0.6, 0.4, 0.4]
    scores[0, 2], scores[1, 2] = [0.7, 0.6, 0.7, 0.7], [0.1, 0.1, 0.2, 0.1]
    results = study(scores, {**ONE, **DEEP})
    deep = {side: {**BEATS[side], "depth": 4} for side in ("better", "worse")}
    at_baseline, at_four = judged(results, BEATS, {"statement": "s", **deep})
    assert at_baseline.decision.estimate.value == pytest.approx(0.375)
    assert at_four.decision.estimate.value == pytest.approx(0.55)
    assert at_four.about == "relu over identity at depth 4"
    assert "with relu than with identity at depth 4 (" in numbers_of(at_four)
    deeper = {"better": {"activation": "relu"}, "worse": {"activation": "relu", "depth": 1}}
    [named] = judged(results, {"statement": "s", **deeper})
    assert "with depth 2 than with depth 1, both with relu (" in numbers_of(named)


def test_a_trend_is_the_slope_from_level_to_level_of_each_seed():
    scores = np.array([[0.2, 0.3, 0.1], [0.1, 0.1, 0.1], [0.5, 0.7, 0.6]])  # depth 2, 1, 4
    claim = {"statement": "s", "trend": {"factor": "depth", "direction": "rises"}}
    [judgement] = judged(study(scores, DEEP), claim)
    slopes = np.polyfit([0, 1, 2], scores[[1, 0, 2]], 1)[0]
    assert judgement.decision.estimate.value == pytest.approx(slopes.mean(), rel=1e-12)
    expected = stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
    assert judgement.decision.estimate.low == pytest.approx(expected.low, rel=1e-10)
    assert judgement.about == "slope over depth 1, 2, 4"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 100), min_size=12, max_size=12))
def test_falling_is_the_opposite_of_rising(numbers):
    results = study(np.array(numbers).reshape(3, 4) / 100, DEEP)
    rises, falls = (
        judged(results, {"statement": "s", "trend": {"factor": "depth", "direction": way}})[0]
        for way in ("rises", "falls")
    )
    up, down = rises.decision.estimate, falls.decision.estimate
    assert (up.value, up.low) == pytest.approx((-down.value, -down.high), abs=1e-12, nan_ok=True)
    opposite = {"supported": "contradicted", "contradicted": "supported"}
    assert falls.verdict == opposite.get(rises.verdict, rises.verdict)


def test_where_the_means_of_a_trend_turn_back_is_said():
    scores = np.array([[0.5, 0.51, 0.52], [0.1, 0.12, 0.11], [0.4, 0.41, 0.43]])
    claim = {"statement": "s", "trend": {"factor": "depth", "direction": "rises"}}
    [judgement] = judged(study(scores, DEEP), claim)
    assert judgement.verdict == "supported"
    assert judgement.reversals == (("depth 2", "depth 4"),)
    assert "The means fall from depth 2 to depth 4." in particulars(judgement)


def test_a_family_is_the_claims_on_one_task_and_response():
    results = study([[0.9, 0.8, 0.9], [0.5, 0.5, 0.3]], ONE)
    other = {**BEATS, "response": "train_loss"}
    broken = {**BEATS, "better": {"activation": "rellu"}}
    found = judged(results, BEATS, {**BEATS, "by": 0.1}, other, broken)
    assert [judgement.m for judgement in found] == [3, 3, 1, 3], "written down is counted"
    assert found[0].decision.estimate.interval == "98.33% t"
    assert "one of m = 3 claims here" in numbers_of(found[0])


def test_diverged_trials_count_as_the_worst_and_are_told():
    scores = [[0.9, 0.8, 0.9], [0.5, 0.5, 0.3]]
    [judgement] = judged(study(scores, ONE, statuses={1: "diverged"}), BEATS)
    assert judgement.decision.estimate.value == pytest.approx((0.9 - 0.25 + 0.3 + 0.6) / 3)
    assert "1 diverged trial counts as the worst." in particulars(judgement)


def test_cells_of_which_every_trial_diverged_are_not_compared():
    """Both are worth the worst of the task, which is no evidence that they are equal."""
    results = study(np.full((3, 8), 0.5), {"activation": ("relu", "identity", "tanh")})
    both = results.trials["activation"] != "tanh"
    results.trials.loc[both, "status"] = "diverged"
    results.trials.loc[both, "test_accuracy"] = np.nan
    equal = {**BEATS, "equal_within": 0.01}
    (judgement,) = judged(results, equal)
    assert judgement.verdict == "untested"
    assert judgement.decision.reason == "all 16 trials of the cells compared diverged"


def test_a_seed_that_failed_on_one_side_is_left_out_of_both():
    scores = [[0.9, 0.8, 0.9], [0.5, 0.5, 0.3]]
    [judgement] = judged(study(scores, ONE, statuses={1: "failed"}), BEATS)
    assert judgement.decision.estimate.n == 2
    assert dict(judgement.means)["relu"] == pytest.approx(0.85)


# Names of levels


@pytest.mark.parametrize(
    ("given_level", "level"),
    [
        ("none", "none"),
        ("dropout", "dropout(rate=0.3)"),
        ("dropout(rate=0.3)", "dropout(rate=0.3)"),
        ({"name": "l1", "strength": 1}, "l1(strength=1)"),
    ],
)
def test_a_level_may_be_named_in_every_way_that_means_one(given_level, level):
    assert level_of("regularisation", SETTINGS["regularisation"], given_level) == level


def test_levels_that_are_numbers_may_be_numbers():
    assert level_of("depth", ("2", "1"), 1) == "1"
    assert level_of("width", ("1e-05", "32"), 0.00001) == "1e-05"
    assert level_of("residual", ("false", "true"), True) == "true"
    with pytest.raises(NamingError):
        level_of("depth", ("1", "0"), True)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"better": {"regularisation": "l1"}, "worse": {}},
         "regularisation 'l1' may be l1(strength=0.1) or l1(strength=1); write the settings too"),
        ({"better": {"regularisation": "dropot"}, "worse": {}}, "'dropot' is not a level of"),
        ({"better": {"regularization": "l1"}, "worse": {}}, "did you mean 'regularisation'?"),
        ({"better": {}, "worse": {}}, "both sides are the same network, none"),
        ({"better": {}}, "needs better and worse, or else trend, got better"),
        ({}, "needs better and worse, or else trend, got neither"),
        ({"better": {}, "worse": {}, "trend": {}}, "got better and worse and trend"),
        ({"better": "l1", "worse": {}}, "better must name levels of factors, got 'l1'"),
        ({"better": {}, "worse": {}, "by": 0.1, "equal_within": 0.1}, "by or equal_within, not"),
        ({"better": {}, "worse": {}, "by": -0.1}, "must be positive, got -0.1; swap better and"),
        ({"better": {}, "worse": {}, "by": True}, "must be a finite number, got True"),
        ({"better": {}, "worse": {}, "equal_within": 0}, "the margin must be positive"),
        ({"better": {}, "worse": {}, "table": "curves"}, "unknown table 'curves'; there is trials"),
        ({"better": {}, "worse": {}, "table": "timings"}, "nothing was timed; run `make"),
        ({"trend": {"factor": "regularisation", "direction": "rises"}}, "have no order"),
        ({"trend": {"factor": "regularisation", "direction": "up"}}, "must be rises or falls"),
        ({"trend": {"factor": "depth", "direction": "rises"}}, "unknown factor 'depth'"),
        ({"trend": {"factor": "depth"}}, "trend must name a factor and a direction"),
        ({"trend": {"factor": "x", "direction": "rises"}, "equal_within": 1}, "a trend takes a"),
        ({"better": {}, "worse": {}, "task": "spirl"}, "unknown task 'spirl'"),
        ({"better": {}, "worse": {}, "response": "test_f1"}, "unknown response 'test_f1'"),
        ({"better": {}, "worse": {}, "response": "stack"}, "unknown response 'stack'"),
        ({"better": {}, "worse": {}, "response": "test_r2"}, "test_r2 is empty on spiral"),
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_judged_is_untested_and_says_why(claim, reason):
    results = study(np.full((4, 3), 0.5), SETTINGS)
    [judgement] = judged(results, {"statement": "s", **claim})
    assert judgement.verdict == "untested"
    assert reason in judgement.decision.reason
    assert numbers_of(judgement).startswith(f"On {judgement.task}, not tested: ")


def test_a_cell_that_a_leave_one_out_study_has_not_is_named():
    results = study(np.full((2, 3, 3), 0.5), {**ONE, **DEEP})
    gone = {"activation": "identity", "depth": "4"}
    results.study["cells"] = [c for c in results.study["cells"] if not gone.items() <= c.items()]
    [judgement] = judged(results, {"statement": "s", "better": {}, "worse": gone})
    assert "no cell with activation identity, depth 4; a leave-one-out" in judgement.decision.reason


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["activation", "factor", "direction", "x"]), inner)
    ),
    max_leaves=4,
)
KEYS = ("statement", "task", "response", "better", "worse", "by", "equal_within", "because",
        "expected", "table", "trend", "refuted_by", "id")  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_no_claim_whatever_it_holds_breaks_the_report(claim):
    results = study([[0.9, 0.8, 0.9], [0.5, 0.5, 0.3]], ONE)
    results.study["claims"] = [claim]
    results.study["published"] = [claim]
    for make in (claims_section, published_section):
        section, findings = make([results])
        assert section.blocks
        assert findings[0].lines


# Sentences


def test_a_supported_claim_reads_as_one_sentence_with_its_means():
    scores = [[0.9, 0.92, 0.91, 0.93], [0.5, 0.52, 0.53, 0.53]]
    [judgement] = judged(study(scores, ONE), {**BEATS, "by": 0.1})
    assert numbers_of(judgement) == (
        "On spiral, test accuracy is 39.5 percentage points higher with relu than with identity "
        "(95% t interval 37.9 to 41.1, n = 4 seeds); claimed: more than 10 percentage points "
        "higher."
    )
    assert particulars(judgement) == "Means: relu (91.5%), identity (52.0%)."
    assert refutation(judgement) == (
        "test accuracy being less than 10 percentage points higher with relu than with identity"
    )


def test_an_unresolved_claim_says_how_many_seeds_it_would_take():
    scores = [[0.9, 0.4, 0.8, 0.6], [0.5, 0.5, 0.6, 0.5]]
    [judgement] = judged(study(scores, ONE), {**BEATS, "by": 0.01})
    assert judgement.verdict == "unresolved"
    told = (
        f"To resolve it with power .8 would take about {judgement.decision.seeds_needed:.0f} seeds."
    )
    assert told in particulars(judgement)
    assert "more than 1 percentage point higher." in numbers_of(judgement)


def test_nobody_is_asked_for_more_seeds_than_can_be_trained():
    scores = 0.5 + np.array([[0.3, -0.3, 0.2, -0.2 + 0.012], [0, 0, 0, 0]])
    [judgement] = judged(study(scores, ONE), BEATS)
    assert 10_000 < judgement.decision.seeds_needed < 1_000_000
    told = particulars(judgement)
    assert "It would take more than 10,000 seeds to resolve it with power .8" in told
    [sentence] = open_sentences([judgement])
    assert "too near its margin: more than 10,000 seeds would be needed, 4 were trained" in sentence
    unknown = replace(judgement, decision=replace(judgement.decision, seeds_needed=math.nan))
    assert "How many seeds would resolve it cannot be told" in particulars(unknown)
    assert "nan" not in open_sentences([unknown])[0]


def test_a_difference_that_reads_as_zero_is_neither_higher_nor_lower():
    scores = 0.5 + np.array([[0.3, -0.3, 0.2, -0.2 + 0.012], [0, 0, 0, 0]])
    [judgement] = judged(study(scores, ONE), BEATS)
    told = numbers_of(judgement)
    assert "test accuracy differs by 0 percentage points between relu and identity (" in told
    assert "0 percentage points higher" not in told


def test_the_margin_that_matters_is_that_of_a_difference_in_the_response(rng):
    """A share of the seconds, or a slope from level to level, is no difference of accuracies."""
    results = study(0.5 + 0.01 * rng.normal(size=(2, 4)), ONE)
    own = {**BEATS, "task": "spiral", "by": 0.03}
    trend = {"statement": "s", "task": "spiral", "by": 0.001}
    trend["trend"] = {"factor": "activation", "direction": "rises"}
    for claims, matters in (
        ([own], 3.0),
        ([{**own, "table": "timings", "by": 0.5}], 2.0),
        ([trend], 2.0),
        ([{**own, "by": math.inf}], 2.0),
    ):
        results.study["claims"] = claims
        assert view_of(results, results.study["tasks"][0], "s").matters == pytest.approx(matters)


def test_equality_is_spoken_of_as_a_difference():
    scores = [[0.9, 0.92, 0.91, 0.93], [0.9, 0.93, 0.91, 0.92]]
    [judgement] = judged(study(scores, ONE), {**BEATS, "equal_within": 0.05})
    assert judgement.verdict == "supported"
    assert "claimed: no more than 5 percentage points apart" in numbers_of(judgement)
    assert "differing by more than 5 percentage points between" in refutation(judgement)


def test_the_tally_counts_every_verdict():
    scores = [[0.9, 0.92, 0.91, 0.93], [0.5, 0.52, 0.53, 0.53]]
    wrong = {"statement": "s", "better": BEATS["worse"], "worse": BEATS["better"]}
    claims = [{**claim, "task": "spiral"} for claim in (BEATS, wrong, {"statement": "x"})]
    found = judged(study(scores, ONE), *claims)
    assert tally(found) == "Of 3 claims, 1 supported, 1 contradicted and 1 untested."


@pytest.mark.parametrize(
    ("name", "profile", "line"),
    [
        ("activation", "standard", "make ablations report STUDY=activation"),
        ("two words", "quick", "make ablations report STUDY='two words' PROFILE=quick"),
        ("$(touch x)", "standard", ""),
        ("a;b", "standard", ""),
        ("a\nb", "standard", ""),
        ("a", "$(x)", "make ablations report STUDY=a"),
    ],
)
def test_a_command_holds_only_names_that_mean_nothing_to_a_shell(name, profile, line):
    results = study(np.full((2, 2), 0.5), ONE)
    results.study.update({"name": name, "profile": profile})
    assert command(results) == line


# Known results


@pytest.mark.parametrize(
    ("values", "spread", "n", "expected"),
    [
        ((0.5,), 0.02, 4, 3 * math.sqrt(0.0004 + 0.0001)),  # borrows ours
        ((0.5, 0.52), 0.02, 4, 3 * math.sqrt(0.0004 + 0.0001)),  # two runs close together
        ((0.5, 0.6), 0.02, 4, 3 * math.sqrt(0.005 + 0.0001)),
        ((0.4, 0.5, 0.6), 0.2, 4, 3 * math.sqrt(0.01 + 0.01)),  # three runs speak for themselves
    ],
)
def test_tolerance_joins_both_spreads(values, spread, n, expected):
    assert tolerance(values, spread, n) == pytest.approx(expected, rel=1e-12)


def test_the_noise_floor_is_the_standard_error_of_one_accuracy():
    assert noise_floor(0.9, 100) == pytest.approx(0.03)
    assert noise_floor(0.9, 0) == noise_floor(1.2, 100) == noise_floor(0.9, None) == 0


def known(results, **entry):
    results.study["published"] = [{"id": "K", "cell": {"activation": "relu"}, **entry}]
    return known_results(results)[0]


def test_a_published_value_is_within_or_outside():
    results = study([[0.90, 0.92, 0.94], [0.5, 0.5, 0.3]], ONE)
    # spread .02 over 3 seeds: tolerance 3 sqrt(.0004 + .0004 / 3) = .0693
    assert known(results, values=[0.985]).verdict == "within"
    outside = known(results, values=[0.99])
    assert outside.verdict == "outside"
    assert outside.tolerance == pytest.approx(0.0692820323)
    assert (outside.cell, outside.measured.n) == ("relu", 3)
    assert known(results, values=[0.42], cell={"activation": "identity"}).verdict == "within"


def test_a_cell_that_always_diverged_agrees_with_no_publication():
    """It is scored as the constant predictor, .25, which nothing measured."""
    results = study([[0.5] * 3, [0.5] * 3], ONE)
    results.trials.loc[results.trials["activation"] == "relu", "status"] = "diverged"
    always = known(results, values=[0.25])
    assert always.verdict == "outside"
    assert (always.diverged, always.measured.value) == (3, 0.25)


def test_an_accuracy_on_test_data_is_allowed_the_noise_of_its_test_set():
    same = [[0.925] * 3, [0.5] * 3]
    results = study(same, ONE)
    assert known(results, values=[0.9]).verdict == "outside"
    results.study["tasks"][0]["examples"] = {"test": 100}
    assert known(results, values=[0.9]).verdict == "within"
    trained = study(same, ONE, response="train_accuracy")
    trained.study["tasks"][0]["examples"] = {"test": 100, "train": 100}
    assert known(trained, values=[0.9]).verdict == "outside"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"values": [0.5], "cell": {"activation": "relo"}}, "did you mean 'relu'?"),
        ({"values": ["x"]}, "needs values"),
        ({"values": []}, "needs values"),
        ({"values": [float("nan")]}, "needs values"),
        ({"values": [0.5], "task": "wave"}, "unknown task 'wave'"),
        ({"values": [0.5], "response": "speed"}, "unknown response 'speed'"),
        ({"values": [0.5], "response": "test_r2"}, "0 seeds with a value; two are needed"),
    ],
)
def test_a_publication_that_cannot_be_compared_says_why(entry, reason):
    found = known(study([[0.90, 0.92, 0.94], [0.5, 0.5, 0.3]], ONE), **entry)
    assert found.verdict == published.UNTESTED
    assert reason in found.reason


def test_known_results_say_when_they_were_read_and_where_published():
    results = study([[0.90, 0.92, 0.94], [0.5, 0.5, 0.3]], ONE)
    cell = {"activation": "relu"}
    results.study["published"] = [
        {"id": "K", "cell": cell, "values": [0.92], "source": "a book"},
        {"id": "K", "cell": cell, "values": [0.99]},
        {"id": "L", "cell": cell, "values": [0.92], "last": 5},
        {"id": "L", "cell": cell, "values": [0.92], "step": 40},
        {"id": "M", "response": "val_loss", "values": [0.92], "last": "x"},
    ]
    section, [finding] = published_section([results])
    [table] = section.blocks[1:]
    column = {name: [row[i] for row in table.rows] for i, name in enumerate(table.header)}
    assert column["read"][:2] == ["at the end", "at the end"]
    assert column["read"][2:4] == ["mean of the last 5 evaluations", "at step 40"]
    assert column["source"] == ["a book", "a book", "–", "–", "–"]
    outside = [line for line in finding.lines if line.startswith("K, relu on spiral")]
    assert outside == [
        "K, relu on spiral: test accuracy, read at the end, is 92% here (spread 2.0, n = 3 seeds) "
        "where 99% was published: below it by more than the 6.9 percentage points allowed."
    ]
    assert any("step, last and best_of must be whole numbers" in line for line in finding.lines)


def test_values_read_off_the_curves_are_those_of_pandas():
    """The mean over the last two evaluations of every trial, and the one at a step."""
    results = study([[0.9, 0.9, 0.9], [0.5, 0.5, 0.3]], ONE)
    trials = results.trials.loc[results.trials["stage"] == "final", "trial"].astype(str)
    rng = np.random.default_rng(3)
    rows = [(trial, step, rng.random()) for trial in trials for step in (0, 20, 40)]
    curves = pd.DataFrame(rows, columns=["trial", "step", "val_loss"])
    results = replace(results, curves=curves)
    mine = curves[curves["trial"].str.contains("activation=relu")]
    late = mine[mine["step"] > 0].groupby("trial")["val_loss"].mean()
    entry = {"values": [0.5], "response": "val_loss"}
    assert known(results, last=2, **entry).measured.value == pytest.approx(late.mean())
    middle = mine.loc[mine["step"] == 20, "val_loss"]
    assert known(results, step=20, **entry).measured.value == pytest.approx(middle.mean())
    assert known(results, step=20, **entry).spread == pytest.approx(middle.std())


@pytest.mark.parametrize("response", ["val_loss", "val_accuracy"])
def test_the_best_of_several_runs_is_held_against_groups_of_as_many(response):
    """Seven seeds in groups of three: the best of 0 to 2 and of 3 to 5, and the last is left."""
    results = study([[0.5] * 7, [0.5] * 7], ONE)
    trials = results.trials.loc[results.trials["stage"] == "final", "trial"].astype(str)
    rng = np.random.default_rng(5)
    rows = [(trial, step, rng.random()) for trial in trials for step in (0, 20, 40)]
    curves = pd.DataFrame(rows, columns=["trial", "step", response])
    results = replace(results, curves=curves)
    mine = curves[curves["trial"].str.contains("activation=relu")]
    best = min if response == "val_loss" else max
    own = [best(rows[response]) for _, rows in mine.groupby("trial", sort=False)]
    groups = [best(own[:3]), best(own[3:6])]
    found = known(results, best_of=3, values=[0.5], response=response)
    assert found.measured.n == 2
    assert found.measured.value == pytest.approx(np.mean(groups))
    assert found.spread == pytest.approx(np.std(groups, ddof=1))
    alone = known(results, best_of=1, values=[0.5], response=response)
    assert (alone.measured.n, alone.measured.value) == (7, pytest.approx(np.mean(own)))


def test_the_best_of_several_runs_is_told_with_its_groups_and_its_note():
    results = study([[0.5] * 7, [0.5] * 7], ONE)
    one = results.trials.index[results.trials["activation"] == "relu"][0]
    results.trials.loc[one, "status"] = "diverged"
    trials = results.trials.loc[results.trials["stage"] == "final", "trial"].astype(str)
    rows = [(trial, 40, 0.5 + k / 1000) for k, trial in enumerate(trials)]
    results = replace(results, curves=pd.DataFrame(rows, columns=["trial", "step", "val_accuracy"]))
    entry = {"id": "K", "cell": {"activation": "relu"}, "response": "val_accuracy"}
    results.study["published"] = [{**entry, "values": [0.9], "best_of": 3, "note": "Few epochs."}]
    _, [finding] = published_section([results])
    [line] = finding.lines[1:]
    assert "read at its best evaluation, the best of 3 runs, is " in line
    assert "n = 2 groups of 3 seeds, 1 diverged) where 90% was published" in line
    assert line.endswith(" allowed. Few epochs.")
    assert known_results(results)[0].verdict == "outside"


def test_an_accuracy_that_is_watched_is_allowed_the_noise_of_what_is_watched():
    results = study([[0.5] * 3, [0.5] * 3], ONE)
    trials = results.trials.loc[results.trials["stage"] == "final", "trial"].astype(str)
    rows = [(trial, 40, 0.925) for trial in trials]
    results = replace(results, curves=pd.DataFrame(rows, columns=["trial", "step", "val_accuracy"]))
    entry = {"values": [0.9], "response": "val_accuracy", "last": 1}
    assert known(results, **entry).verdict == "outside"
    results.study["tasks"][0]["examples"] = {"val": 100}
    assert known(results, **entry).verdict == "within"


def test_a_known_study_without_numbers_tells_the_order_of_its_cells():
    scores = [[0.7, 0.72, 0.71, 0.69], [0.9, 0.91, 0.92, 0.9], [0.71, 0.7, 0.69, 0.72]]
    results = study(scores, {"activation": ("relu", "elu", "gelu")})
    results.study.update({"group": "known", "claims": [], "published": []})
    section, findings = published_section([results])
    means = [100 * float(np.mean(row)) for row in scores]
    p = stats.ttest_rel(scores[1], scores[0]).pvalue
    assert p < 0.025
    assert findings == []
    [told] = section.blocks[0].sentences
    assert "from the best test accuracy on: elu (" in told
    order = re.findall(r"(\w+) \(([\d.]+)%\)", told)
    assert [name for name, _ in order] == ["elu", "relu", "gelu"]
    assert [float(x) for _, x in order] == pytest.approx([means[1], means[0], means[2]], abs=0.51)
    assert re.search(r"elu \([\d.]+%\), relu \([\d.]+%\) = gelu", told)
    assert "= where a step is not resolved (97.5% t intervals" in told


# In the report


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A report of one study with claims that come out in every way, and hostile words."""
    factors = {"activation": ("relu", "identity"), "width": ("32", "4", "8")}
    hostile = {**LINEAR, "statement": HOSTILE, "because": HOSTILE, "refuted_by": HOSTILE}
    wrong = {**LINEAR, "better": LINEAR["worse"], "worse": LINEAR["better"], "id": HOSTILE}
    plan = Plan(
        "trials",
        "What of it?",
        factors,
        {"": [0.003]},
        tasks=("spiral", "wave"),
        claims=(hostile, wrong, {**WIDER, "by": 0.001}, {"statement": "-1"}),
        published=({**LEARNED, "values": [0.96], "source": HOSTILE, "id": HOSTILE},),
    )
    folder = write_results(tmp_path_factory.mktemp("claims"), studies=[plan], spoiled=())
    assert main(["--results", str(folder)]) == 0
    return folder


def rows_of(reported, name):
    with (reported / "report" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_claim_is_in_both_reports_with_verdict_and_command(reported):
    markdown = (reported / "report" / "report.md").read_text(encoding="utf-8")
    page = (reported / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count('<article class="trial"') == 4
    for word, sign in (("supported", "✓"), ("contradicted", "✗"), ("untested", "–")):
        assert f"| {sign} {word} " in markdown
        assert f'<span aria-hidden="true">{sign}</span> {word}<' in page
    assert "<code>make ablations report STUDY=trials</code>" in page


def test_hostile_words_of_a_claim_stay_inert(reported):
    markdown = (reported / "report" / "report.md").read_text(encoding="utf-8")
    page = (reported / "report" / "index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page
    for text in (markdown, page):
        assert "<script>alert" not in text  # the page has scripts of its own
        assert "\u202e" not in text
    foreign = r"(?<!\\)\]\((?!figures/|index\.html#claim-)"
    assert not re.search(foreign, markdown), "no link but to our figures and claims"


def test_claims_csv_round_trips_and_starts_no_formula(reported):
    rows = rows_of(reported, "claims.csv")
    assert tuple(rows[0]) == CLAIM_COLUMNS
    [results] = read_results(reported).studies
    for row, judgement in zip(rows, judge(results), strict=True):
        assert row["verdict"] == judgement.verdict
        estimate = judgement.decision.estimate
        assert row["value"] == ("" if estimate is None else repr(estimate.value))
        for column in ("statement", "because", "id", "reason", "about"):
            assert not row[column].startswith(("=", "+", "-", "@"))
    assert rows[0]["statement"].startswith("'=<script>")
    assert rows[-1]["statement"] == "'-1"


def test_effects_csv_holds_every_contrast_and_main_effect(reported):
    rows = rows_of(reported, "effects.csv")
    assert tuple(rows[0]) == EFFECT_COLUMNS
    counts = Counter((row["task"], row["effect"]) for row in rows)
    assert counts == {
        (task, effect): count
        for task in ("spiral", "wave")
        for effect, count in (
            ("contrast", 5),
            ("pair (exploratory)", 15),
            ("simple effect", 7),
            ("main effect", 3),
            ("interaction", 6),
        )
    }
    [results] = read_results(reported).studies
    expected = main_effects(results, "wave").iloc[0]
    row = next(r for r in rows if r["task"] == "wave" and r["effect"] == "main effect")
    assert (row["label"], row["against"]) == ("identity", "relu")
    assert row["value"] == repr(float(expected["value"]))
    assert row["p_holm"] == repr(float(expected["p_holm"]))


def test_what_does_not_exist_is_an_empty_cell():
    row = {"a": math.nan, "b": None, "c": np.float64(-0.5), "d": np.bool_(True), "e": "-x"}
    assert render_csv([row], "abcdef") == "a,b,c,d,e,f\n,,-0.5,true,'-x,\n"


def test_text_in_a_table_is_one_visible_line():
    assert render_csv([{"a": "x\u202ey\n=1"}], "a") == "a\nx\\u202ey =1\n"


def test_check_fails_when_an_expected_claim_is_contradicted_and_names_it(reported, capsys):
    assert main(["--results", str(reported), "--check"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("contradicted: trials: “Without an activation a network stays linear")
    assert "\u202e" not in told


def test_check_is_content_with_what_nobody_expected(tmp_path, capsys):
    unexpected = {key: value for key, value in LINEAR.items() if key != "expected"}
    wrong = {**unexpected, "better": LINEAR["worse"], "worse": LINEAR["better"]}
    factors = {"activation": ("relu", "identity")}
    plan = Plan("x", "?", factors, {"": [0.003]}, tasks=("spiral",), claims=(LINEAR, wrong))
    folder = write_results(tmp_path / "r", studies=[plan], spoiled=())
    assert main(["--results", str(folder), "--check"]) == 0
    assert capsys.readouterr().err == ""
    assert [row["verdict"] for row in rows_of(folder, "claims.csv")] == [
        "supported",
        "contradicted",
    ]


def test_check_names_an_expected_claim_that_could_not_be_tested(tmp_path, capsys):
    lost = {**LINEAR, "better": {"activation": "rule"}}
    factors = {"activation": ("relu", "identity")}
    plan = Plan("x", "?", factors, {"": [0.003]}, tasks=("spiral",), claims=(lost,))
    results = read_results(write_results(tmp_path / "r", studies=[plan], spoiled=()))
    assert check(results.studies) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("not tested: x: “Without an activation")
    assert "'rule' is not a level of activation" in told


def test_check_of_every_folder_at_once_is_refused_and_not_passed_over(tmp_path, capsys):
    assert main(["--index", str(tmp_path), "--check"]) == 2
    assert "--check reads the claims of one results folder" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["claims", "published"])
@pytest.mark.parametrize("value", ["x", [1], {"a": 1}])
def test_claims_that_are_no_list_of_objects_are_refused_in_one_line(key, value, tmp_path, capsys):
    plan = Plan("x", "?", ONE, {"": [0.003]}, tasks=("spiral",))
    folder = write_results(tmp_path / "r", studies=[plan], spoiled=())
    file = folder / "x" / "study.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    assert main(["--results", str(folder)]) == 2
    err = capsys.readouterr().err
    assert key in err
    assert err.count("\n") == 1


def test_a_study_without_claims_has_no_section_for_them():
    results = study(np.full((2, 3), 0.5), ONE)
    empty = replace(results, study={**results.study, "claims": [], "published": []})
    assert claims_section([empty]) == published_section([empty]) == (None, [])
