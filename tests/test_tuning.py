"""Whether the comparison was fair: the best of so many rates, and what optimizers contain."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_effects import study

from report.drawing import house_style
from report.study_section import views_of
from report.tuning import best_of_rates, expected_best, inclusions, tuning_response
from report.tuning_section import inclusion_sentences, tuning_topic
from report.views import study_colours

NAN = float("nan")
OPTIMIZERS = {"optimizer": ("sgd", "momentum", "adam", "adamw(weight_decay=0.01)")}


@given(
    arrays(np.float64, st.integers(1, 4), elements=st.floats(-1e3, 1e3)),
    st.booleans(),
)
def test_the_expected_best_is_the_mean_over_all_draws(values, lower):
    """Every one of the B^b ways to draw b values with replacement, by enumeration."""
    best = min if lower else max
    every = [
        np.mean([best(drawn) for drawn in product(values.tolist(), repeat=b)])
        for b in range(1, len(values) + 1)
    ]
    np.testing.assert_allclose(expected_best(values, lower=lower), every, atol=1e-9)


def test_the_expected_best_of_a_hand_computed_table():
    """0 and 1: half the time the one draw is 1, three times in four the best of two."""
    assert expected_best(np.array([1.0, 0.0])).tolist() == [0.5, 0.75]
    assert expected_best(np.array([1.0, 0.0]), lower=True).tolist() == [0.5, 0.25]
    assert expected_best(np.array([[3.0], [4.0]])).tolist() == [[3], [4]]
    assert np.isnan(expected_best(np.array([1.0, NAN]))).all()


def tuned(losses):
    return study(
        np.full((2, 3), 0.5),
        {"optimizer": ("sgd", "adam")},
        response="test_loss",
        tuning=losses,
        rates=(0.1,),
    )


def test_rates_are_worth_their_mean_over_seeds_and_a_diverged_trial_the_worst():
    """sgd .2, .4 and (.6 + .8)/2; adam .3 and a rate that diverged once: (.5 + .8)/2."""
    found = best_of_rates(
        tuned(
            {
                (("sgd",), 0.1): [0.2, 0.4],
                (("sgd",), 0.3): [0.6, 0.8],
                (("adam",), 0.1): [0.3, 0.3],
                (("adam",), 0.3): [0.5, NAN],
            }
        ),
        "spiral",
    )
    by_label = {label: own["value"].tolist() for label, own in found.groupby("label")}
    np.testing.assert_allclose(by_label["sgd"], [0.5, 0.75 * 0.3 + 0.25 * 0.7])
    np.testing.assert_allclose(by_label["adam"], [0.475, 0.75 * 0.3 + 0.25 * 0.65])
    assert set(found["n"]) == {2}


def test_no_rate_is_worth_less_than_the_constant_predictor(rng):
    results = tuned({(("sgd",), r): [0.1, 0.1] for r in (0.1, 0.3)})
    results.study["tasks"][0]["response"] = "test_r2"
    results.trials["val_r2"] = np.where(results.trials["learning_rate"] > 0.2, -7.0, 0.6)
    assert best_of_rates(results, "spiral")["value"].tolist() == pytest.approx([0.3, 0.45])


def test_without_tuning_there_is_nothing_to_say(rng):
    results = study(rng.normal(size=(2, 3)), {"optimizer": ("sgd", "adam")})
    assert best_of_rates(results, "spiral").empty
    with house_style():
        assert tuning_topic(views_of(results_of(results), "x"), {}, "x") is None


def results_of(results):
    results.study.setdefault("question", "?")
    results.study.setdefault("design", "full-factorial")
    return results


def test_the_column_of_tuning_goes_with_the_response():
    assert tuning_response({"response": "test_accuracy"}) == "val_accuracy"


# Inclusion


def test_every_optimizer_is_held_against_those_that_it_contains(rng):
    found = inclusions(study(rng.normal(size=(4, 5)), OPTIMIZERS, response="test_loss"), "spiral")
    assert found["label"].tolist() == [
        "momentum over sgd",
        "adam over sgd",
        "adam over momentum",
        "adamw(weight_decay=0.01) over sgd",
        "adamw(weight_decay=0.01) over momentum",
        "adamw(weight_decay=0.01) over adam",
    ]
    assert set(found["m"]) == {6}


@pytest.mark.parametrize(("response", "worse"), [("test_accuracy", -0.2), ("test_loss", 0.2)])
def test_a_general_optimizer_that_is_worse_is_a_violation_and_said(rng, response, worse):
    """Adam is planted worse than sgd and momentum, by far more than the noise."""
    scores = 0.6 + 0.01 * rng.normal(size=(3, 10))
    scores[2] += worse
    results = results_of(
        study(scores, {"optimizer": ("sgd", "momentum", "adam")}, response=response)
    )
    found = inclusions(results, "spiral")
    assert found.set_index("label")["violation"].to_dict() == {
        "momentum over sgd": False,
        "adam over sgd": True,
        "adam over momentum": True,
    }
    with house_style():
        said = inclusion_sentences(views_of(results, "x"))
    assert len(said) == 2
    assert said[0].startswith("On spiral, adam contains sgd, yet is worse in test")
    assert "tune more of them before ranking it" in said[0]


def test_a_general_optimizer_that_is_better_is_none(rng):
    scores = 0.6 + 0.01 * rng.normal(size=(2, 10)) + np.array([[0.0], [0.2]])
    assert not inclusions(study(scores, {"optimizer": ("sgd", "adam")}), "spiral")[
        "violation"
    ].any()


def test_optimizers_are_compared_at_the_same_levels_of_everything_else(rng):
    factors = {"optimizer": ("sgd", "adam"), "depth": ("1", "2")}
    found = inclusions(study(rng.normal(size=(2, 2, 4)), factors), "spiral")
    assert found[["label", "at"]].to_numpy().tolist() == [
        ["adam over sgd", "depth 1"],
        ["adam over sgd", "depth 2"],
    ]


def test_a_study_of_something_else_includes_nothing(rng):
    results = results_of(study(rng.normal(size=(2, 4)), {"activation": ("relu", "tanh")}))
    assert inclusions(results, "spiral").empty
    with house_style():
        assert inclusion_sentences(views_of(results, "x")) == ()


def test_what_tuning_bought_is_said_for_the_least_and_the_most(rng):
    results = results_of(
        tuned(
            {
                (("sgd",), 0.1): [0.2, 0.2],
                (("sgd",), 0.3): [0.8, 0.8],
                (("adam",), 0.1): [0.3, 0.3],
                (("adam",), 0.3): [0.3, 0.3],
            }
        )
    )
    views = views_of(results, "x")
    with house_style():
        topic = tuning_topic(views, study_colours(views), "x")
    assert topic.blocks[0].sentences[0] == (
        "On spiral, one rate drawn at random instead of 2 costs adam least (0.000) and sgd most "
        "(0.150) of expected validation loss; from n = 2 tuning seeds, without an interval."
    )
