"""Sentences say what their numbers allow, and numbers have the digits the interval supports."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.estimates import Estimate
from report.headlines import headline
from report.numbers import bounds, counted, decimals, listed, number, p_value, scale_of, seen
from report.prose import Contrast, contrast_sentence, difference_phrase, level_phrase
from report.rankings import Ranking, ranking_sentence

ACCURACY, R2 = scale_of("test_accuracy"), scale_of("test_r2")
CLAIMS = re.compile(r"\b(raises|lowers|above|below|improves|best is|beats)\b")


def contrast(value, low, high, *, p=0.001, label="tanh", **more):
    return Contrast(
        label=label, estimate=Estimate(value, low, high, 10, "98.75% t"), p_holm=p, **more
    )


def ranking(*contrasts, best="tanh", value=93.0, **more):
    return Ranking(
        task="spiral",
        scale=ACCURACY,
        baseline="relu",
        best=best,
        level=Estimate(value, value - 1, value + 1, 10, "95% t"),
        contrasts=contrasts,
        **more,
    )


def test_a_resolved_contrast_has_direction_size_unit_interval_and_n():
    said = contrast_sentence(contrast(-4.21, -5.4, -3.0), ACCURACY, task="spiral", baseline="relu")
    assert said == (
        "On spiral, tanh lowers test accuracy against relu by 4.2 percentage points "
        "(98.75% t interval 3.0 to 5.4, n = 10 seeds)."
    )


def test_an_unresolved_contrast_says_what_could_have_been_found():
    said = contrast_sentence(
        contrast(0.4, -1.0, 1.8, p=0.5, detectable=1.94, seeds_for=160.0),
        ACCURACY,
        task="spiral",
        baseline="relu",
    )
    assert said == (
        "On spiral, tanh has no detectable effect on test accuracy against relu: "
        "+0.4 percentage points (98.75% t interval −1.0 to +1.8, n = 10 seeds); with power .8, "
        "n = 10 finds 1.9 percentage points or more, and this difference would take about "
        "160 seeds."
    )


def test_a_study_too_small_for_what_matters_is_called_underpowered():
    small = contrast(3.0, -2.0, 8.0, p=0.2, detectable=6.0, underpowered=True)
    said = contrast_sentence(small, ACCURACY, task="spiral", baseline="relu")
    assert "is underpowered" in said
    assert "no detectable effect" not in said


finite = st.floats(-50, 50, allow_nan=False)


@given(middle=finite, half=st.floats(0, 50), p=st.floats(0, 1))
def test_no_sentence_claims_a_direction_that_the_one_rule_forbids(middle, half, p):
    """METHODS S5: Holm-adjusted p at most .05 and an interval clear of zero, both."""
    one = contrast(middle, middle - half, middle + half, p=p, detectable=1.0)
    allowed = p <= 0.05 and (middle - half > 0 or middle + half < 0)
    sentences = [
        contrast_sentence(one, ACCURACY, task="spiral", baseline="relu"),
        ranking_sentence(ranking(one)),
        *headline([ranking(one)], noun="activation"),
    ]
    for sentence in sentences:
        assert bool(CLAIMS.search(sentence)) == allowed, sentence


def test_a_small_p_beside_an_interval_that_straddles_zero_claims_nothing():
    assert not contrast(1.0, -0.1, 2.1, p=0.001).resolved


def test_a_clear_interval_beside_a_large_holm_p_claims_nothing():
    assert not contrast(1.0, 0.1, 1.9, p=0.06).resolved


def test_a_contrast_without_a_p_claims_nothing():
    nothing = Contrast(
        label="tanh", estimate=Estimate(1.0, math.nan, math.nan, 1, "95% t"), p_holm=math.nan
    )
    assert not nothing.resolved
    assert nothing.strength == 0.0
    said = contrast_sentence(nothing, ACCURACY, task="spiral", baseline="relu")
    assert said == (
        "On spiral, the difference of tanh from relu in test accuracy cannot be tested: "
        "+1.0 percentage points (no interval can be computed from n = 1 seed)."
    )


@given(value=finite, p=st.floats(0, 1), seeds=st.integers(2, 30))
def test_no_sentence_claims_a_direction_of_a_difference_without_spread(value, p, seeds):
    same = Estimate(value, math.nan, math.nan, seeds, "98.75% t")
    one = Contrast(label="tanh", estimate=same, p_holm=p)
    assert not one.resolved
    assert not one.is_tested
    sentences = [
        contrast_sentence(one, ACCURACY, task="spiral", baseline="relu"),
        ranking_sentence(ranking(one)),
        *headline([ranking(one)], noun="activation"),
        *headline([ranking(one, best="relu")], noun="activation"),
    ]
    for sentence in sentences:
        assert not CLAIMS.search(sentence), sentence
        assert "98.75% t" not in sentence
        assert "nan" not in sentence


def test_a_difference_without_spread_says_so_with_the_floor_of_its_p():
    same = Estimate(1.4, math.nan, math.nan, 3, "97.5% t")
    one = Contrast(label="tanh", estimate=same, p_holm=0.5)
    assert contrast_sentence(one, ACCURACY, task="spiral", baseline="relu") == (
        "On spiral, tanh differs from relu in test accuracy by the same +1.4 percentage points on "
        "every one of 3 seeds, so no t interval can be computed and no direction is claimed "
        "(sign-flip p = .25, its floor)."
    )
    equal = Contrast(label="tanh", estimate=replace(same, value=0.0), p_holm=1.0)
    assert contrast_sentence(equal, ACCURACY, task="spiral", baseline="relu") == (
        "On spiral, tanh has the same test accuracy as relu on every one of 3 seeds."
    )


def test_a_mean_of_seeds_that_agree_has_no_interval():
    same = Estimate(33.3, math.nan, math.nan, 3, "95% t")
    assert level_phrase(same, ACCURACY) == (
        "33.3% (the same on every one of 3 seeds, so no t interval can be computed)"
    )


def test_rivals_are_counted_by_what_was_tested():
    same = Estimate(-4.0, math.nan, math.nan, 10, "98.75% t")
    untested = Contrast(label="elu", estimate=same, p_holm=0.002)
    open_one, worse = contrast(-1, -3, 1, p=0.6), contrast(-5, -7, -3, label="gelu")
    said = {
        (open_one,): "it is the baseline, but tanh cannot be told from it.",
        (open_one, replace(open_one, label="silu")): "but none of the 2 alternatives can be told",
        (open_one, untested): "but tanh cannot be told from it; 1 more could not be tested.",
        (untested,): "it is the baseline, and elu cannot be tested against it.",
        (worse,): "and gelu is worse.",
        (worse, open_one, untested): "and 1 of 2 alternatives is worse; 1 more could not be tested",
    }
    for contrasts, clause in said.items():
        assert clause in ranking_sentence(ranking(*contrasts, best="relu"))


def test_a_ranking_says_how_many_trials_diverged_and_of_which_cells_all():
    some = ranking(contrast(4.2, 3.0, 5.4), diverged=12, trials=30, lost=("sgd", "elu"))
    for sentence in (ranking_sentence(some), headline([some], noun="x")[0]):
        assert "; 12 of 30 trials diverged, all of sgd and all of elu." in sentence
    none = ranking(best="", diverged=30, trials=30, lost=("relu", "tanh"))
    for sentence in (ranking_sentence(none), headline([none], noun="x")[0]):
        assert sentence.startswith(
            "On spiral, all 30 trials diverged, so no cell is the best in test accuracy."
        )


def test_a_difference_of_no_common_seed_is_not_a_number():
    nothing = Estimate(math.nan, math.nan, math.nan, 0, "95% t")
    one = Contrast(label="tanh", estimate=nothing, p_holm=math.nan)
    for sentence in (ranking_sentence(ranking(one)), headline([ranking(one)], noun="x")[0]):
        assert "difference from relu cannot be tested: no seed has a response of both" in sentence


def test_the_baseline_in_the_lead_is_not_said_to_beat_what_is_not_resolved():
    said = headline([ranking(contrast(-1, -3, 1, p=0.6), best="relu")], noun="activation")[0]
    assert said.startswith(
        "On spiral, the baseline relu has the best mean test accuracy (93.0%), and no activation "
        "can be told from it."
    )


def test_a_lead_over_the_runner_up_that_is_not_resolved_is_said_so():
    lead = Estimate(0.2, -0.5, 0.9, 10, "98.75% t")
    first = ranking(contrast(4.2, 3.0, 5.4), runner_up="gelu", lead=lead)
    assert "its lead over gelu is not resolved" in ranking_sentence(first)
    assert "not distinguishable from the runner-up, gelu" in headline([first], noun="x")[0]


def treatments(task, level, *contrasts):
    """The first of some treatments has the best mean, against none."""
    return Ranking(
        task=task,
        scale=ACCURACY,
        baseline="no regularisation",
        best=contrasts[0].label,
        level=level,
        contrasts=contrasts,
    )


def test_nothing_is_said_to_beat_the_absence_of_a_treatment():
    alternatives = contrast(0.3, -1, 1.6, p=0.7, label="l2"), contrast(-9, -10, -8, label="l1")
    bare = treatments("digits", Estimate(90, 89, 91, 10, "95% t"), *alternatives)
    said = headline([bare], noun="regularisation")[0]
    assert said.startswith("On digits, nothing is shown to beat no regularisation in test accuracy")
    assert "; shown to be worse: l1." in said


def test_alternatives_that_beat_the_baseline_are_named_though_the_best_mean_is_not_told():
    """dropout is sure of a little, early stopping not of much."""
    alternatives = (
        contrast(7, -2, 16, p=0.3, label="early_stopping"),
        contrast(2, 0.4, 3.6, label="l2"),
        contrast(6, 0.9, 11, label="dropout"),
        contrast(-9, -10, -8, label="batch_norm"),
    )
    bare = treatments("diabetes", Estimate(44, 41, 47, 10, "95% t"), *alternatives)
    said = headline([bare], noun="regularisation")[0]
    assert said.startswith(
        "On diabetes, dropout and l2 are shown to beat no regularisation in test accuracy; "
        "early_stopping has the best mean (44.0%), but its difference of "
    )
    assert "is not resolved; shown to be worse: batch_norm." in said
    assert "; dropout and l2 are shown to beat no regularisation." in ranking_sentence(bare)
    many = replace(bare, contrasts=(*alternatives, *(contrast(3, 2, 4, label=x) for x in "abcd")))
    assert "6 of 8 are shown to beat no regularisation" in ranking_sentence(many)
    lower = replace(bare, scale=replace(ACCURACY, higher_is_better=False))
    assert "batch_norm is shown to beat no regularisation" in ranking_sentence(lower)


def test_headlines_name_the_interval_once_where_all_tasks_share_it():
    same = [ranking(contrast(4.2, 3.0, 5.4)), ranking(contrast(0.2, -1.0, 1.4, p=0.9))]
    text = " ".join(headline(same, noun="activation"))
    assert text.count("98.75% t") == 1
    assert text.endswith("Differences with 98.75% t intervals, n = 10 seeds.")


def test_headlines_name_each_interval_where_seeds_differ():
    fewer = Contrast(label="tanh", estimate=Estimate(1, -1, 3, 9, "98.75% t"), p_holm=0.5)
    text = " ".join(headline([ranking(contrast(4, 3, 5)), ranking(fewer)], noun="activation"))
    assert "n = 10 seeds)" in text
    assert "n = 9 seeds)" in text


@pytest.mark.parametrize(
    ("margin", "most", "expected"),
    [
        (0.79, 2, 1),
        (0.25, 2, 2),
        (2.7, 2, 1),
        (4.2, 2, 0),
        (12.0, 2, 0),
        (0.012, 3, 3),
        (0.05, 3, 2),
    ],
)
def test_digits_are_those_that_the_margin_supports(margin, most, expected):
    assert decimals([margin], most) == expected


@pytest.mark.parametrize(
    ("value", "digits", "signed", "expected"),
    [
        (1.25, 1, True, "+1.2"),
        (-0.04, 1, True, "0.0"),
        (-3.0, 0, False, "−3"),
        (math.nan, 2, True, "–"),
        (math.inf, 2, False, "–"),
        (-73972244131932160.0, 0, True, "−7.40e+16"),
    ],
)
def test_numbers_have_true_signs(value, digits, signed, expected):
    assert number(value, digits, signed=signed) == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.00001, "< .001"), (0.0123, ".012"), (0.456, ".46"), (1.0, "1"), (math.nan, "–")],
)
def test_p_values_are_never_zero(p, expected):
    assert p_value(p) == expected


def test_levels_carry_their_unit():
    assert level_phrase(Estimate(93.14, 91.9, 94.4, 10, "95% t"), ACCURACY) == (
        "93.1% (95% t interval 91.9 to 94.4, n = 10 seeds)"
    )
    assert level_phrase(Estimate(0.9134, 0.901, 0.926, 1, "95% t"), R2) == (
        "0.913 (95% t interval 0.901 to 0.926, n = 1 seed)"
    )


def test_differences_of_r2_have_no_unit():
    assert difference_phrase(Estimate(0.05, 0.01, 0.09, 5, "95% t"), R2) == (
        "+0.05 (95% t interval +0.01 to +0.09, n = 5 seeds)"
    )


def test_losses_are_lower_better_and_accuracies_are_shares():
    loss = scale_of("test_loss")
    assert (loss.higher_is_better, loss.factor, loss.axis) == (False, 1.0, "test loss")
    assert (ACCURACY.factor, ACCURACY.axis) == (100.0, "test accuracy (%)")
    assert scale_of("val_r2").name == "validation R²"


def test_lists_and_counts_read_as_english():
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]
    assert counted(1, "trial") == "1 trial"
    assert counted(1200, "study", "studies") == "1,200 studies"


def test_a_tiny_difference_that_is_resolved_is_not_shown_as_zero():
    tiny = Estimate(1.4e-5, 2e-6, 2.7e-5, 10, "95% t")
    said = difference_phrase(tiny, scale_of("train_r2"))
    assert said == "+0.000014 (95% t interval +0.000002 to +0.000027, n = 10 seeds)"
    unclear = Estimate(1.4e-5, -2e-6, 3.0e-5, 10, "95% t")
    assert difference_phrase(unclear, scale_of("train_r2")).startswith("0.000 (")


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (-1.4, -0.02, "−1.4 to −0.02"),
        (0.0004, 2.31, "+0.0004 to +2.3"),
        (-1.4, 0.02, "−1.4 to 0.0"),
        (-0.01, 0.02, "0.0 to 0.0"),
        (0.06, 1.0, "+0.1 to +1.0"),
    ],
)
def test_an_interval_clear_of_zero_does_not_read_as_if_it_touched_it(low, high, told):
    assert bounds(Estimate((low + high) / 2, low, high, 5, "95% t"), 1, signed=True) == told


@given(st.floats(1e-11, 1e6), st.integers(0, 4))
def test_a_number_that_is_not_zero_is_seen_with_its_digits(value, digits):
    shown = number(value, seen(value, digits))
    assert float(shown) != 0
    assert seen(value, digits) == digits or round(value, digits) == 0


def test_a_difference_as_small_as_noise_is_not_priced_in_seeds():
    tiny = contrast(0.001, -1.0, 1.8, p=0.9, detectable=1.94, seeds_for=300_000.0)
    said = contrast_sentence(tiny, ACCURACY, task="spiral", baseline="relu")
    assert "a difference as small as this would take more than 10,000 seeds." in said
    never = replace(tiny, seeds_for=math.inf)
    assert "more than 10,000 seeds" in contrast_sentence(
        never, ACCURACY, task="spiral", baseline="relu"
    )


def test_equal_within_a_margin_is_said_of_the_best_as_well():
    same = contrast(0.1, -0.3, 0.5, p=0.9, detectable=9.0, underpowered=True, equal_within=1.0)
    said = ranking_sentence(ranking(same))
    assert ", practically equal to relu: +0.1 percentage points (" in said
    assert "inside ±1 percentage points" in said
    assert not replace(same, equal_within=0.5).is_equal
    assert not replace(same, equal_within=math.nan).is_equal
    assert not contrast(0.4, 0.3, 0.5, equal_within=1.0).is_equal  # it has a direction
