"""What each factor did, checked against statsmodels, tables done by hand, and simulation."""

import math
import re
from contextlib import suppress
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from report import effects, factors, grids
from report.cell_tables import contrast_table, pair_table
from report.crossed_figures import factorial_of
from report.crossed_section import crossed_findings
from report.curves import (
    curve_areas,
    gaps,
    learning_curves,
    rate_sensitivity,
    steps_to_target,
)
from report.factors import (
    UnbalancedError,
    anova,
    depends_on,
    interaction_effects,
    main_effects,
    marginal_means,
)
from report.pairs import all_pairs
from report.schema import CURVES, FACTORS, PICTURES, POINTS, STACKS, TRIALS
from report.tables import StudyResults
from report.tuning import best_of_rates, inclusions
from report.views import view_of

TWO = {"activation": ("relu", "tanh"), "depth": ("2", "1", "4")}
ONE = {"activation": ("relu", "identity", "tanh")}
FRAMES = [
    effects.scores,
    effects.cell_table,
    effects.contrasts,
    effects.simple_effects,
    rate_sensitivity,
    lambda results, task: learning_curves(results, task, "val_loss"),
    lambda results, task: steps_to_target(results, task, 0.8),
    curve_areas,
    gaps,
    best_of_rates,
    inclusions,
    all_pairs,
]
BALANCED = [
    main_effects,
    marginal_means,
    interaction_effects,
    anova,
    depends_on,
]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def frame(rows, columns):
    kinds = {"text": "str", "whole numbers": "int64", "numbers": "float64"}
    table = pd.DataFrame(rows, columns=list(columns))
    return table.astype({name: kinds[kind] for name, kind in columns.items()})


def name_of(cell, stage, rate, seed):
    levels = ",".join(f"{factor}={level}" for factor, level in cell.items())
    return f"spiral/{levels}/{stage}/learning_rate={rate}/seed={seed}"


def study(
    scores,
    factors,
    *,
    statuses=None,
    response="test_accuracy",
    same_as=None,
    tuning=None,
    rates=(0.01,),
    curves=None,
):
    """Results of one task, `spiral`, whose cells scored `scores`, shape (levels..., S).

    Args:
        statuses: cell index to status of its seed 0; "missing" leaves the row out.
        same_as: cell to its twin, as tuples of levels.
        tuning: {(cell, rate): validation losses over seeds}; NaN has diverged.
        curves: {(cell, seed): [(step, val_accuracy)]}.
    """
    scores = np.asarray(scores, float)
    cells = [dict(zip(factors, levels, strict=True)) for levels in product(*factors.values())]
    flat = scores.reshape(len(cells), -1)
    statuses, same_as = statuses or {}, same_as or {}
    asked, rows = [], []

    def add(cell, stage, rate, seed, status, **responses):
        trial = {"trial": name_of(cell, stage, rate, seed), "task": "spiral", "stage": stage}
        asked.append({**trial, "seed": seed, **cell, "learning_rate": rate})
        if status != "missing":
            row = {**dict.fromkeys(FACTORS, "x"), **cell, **trial, "study": "made-up"}
            row |= {"seed": seed, "learning_rate": rate, "status": status, "stack": ""}
            rows.append(row | responses)

    for (levels, rate), losses in (tuning or {}).items():
        for seed, loss in enumerate(losses):
            cell = dict(zip(factors, levels, strict=True))
            status = "diverged" if math.isnan(loss) else "finished"
            add(cell, "tuning", rate, seed, status, val_loss=loss)
    for index, cell in enumerate(cells):
        if tuple(cell.values()) in same_as:
            continue
        for seed, score in enumerate(flat[index]):
            status = statuses.get(index, "finished") if seed == 0 else "finished"
            value = {response: score} if status == "finished" else {}
            add(cell, "final", rates[index % len(rates)], 100 + seed, status, **value)
    grown = [
        {"trial": name_of(dict(zip(factors, levels, strict=True)), "final", rates[0], seed)}
        | {"step": step, "epoch": step / 10, "val_accuracy": value, "val_loss": 1 - value}
        for (levels, seed), points in (curves or {}).items()
        for step, value in points
    ]
    task = {"name": "spiral", "kind": "classification", "response": response, "chance": 0.25}
    tried = sorted({rate for _, rate in tuning or {}}) or [rates[0]]
    twins = {levels: dict(zip(factors, twin, strict=True)) for levels, twin in same_as.items()}
    return StudyResults(
        {
            "name": "made-up",
            "tasks": [task],
            "factors": [{"name": name, "levels": list(level)} for name, level in factors.items()],
            "baseline": {name: levels[0] for name, levels in factors.items()},
            "learning_rates": {"by": None, "values": {"": tried}, "source": None},
            "cells": [
                {"task": "spiral", **cell, "same_as": twins.get(tuple(cell.values()))}
                for cell in cells
            ],
            "trials": asked,
        },
        frame(rows, TRIALS),
        frame(grown, CURVES).astype({"trial": "category"}),
        frame([], PICTURES),
        frame([], POINTS),
        frame([], STACKS),
    )


# Names


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ({"activation": "relu"}, "relu"),
        ({"depth": "2"}, "depth 2"),
        ({"regularisation": "none"}, "none"),
        ({"activation": "relu", "optimizer": "adam", "depth": "2"}, "relu, adam, depth 2"),
        ({"residual": "true", "train_size": "100"}, "residual true, train size 100"),
        ({"norm": "none", "regularisation": "none"}, "no norm, no regularisation"),
        ({"activation": "prelu", "minibatch": "full"}, "prelu, minibatch full"),
    ],
)
def test_labels_can_be_read_without_a_legend(cell, label):
    assert grids.cell_label(cell) == label


def test_an_unknown_task_or_column_is_named(rng):
    results = study(rng.random((3, 4)), ONE)
    with pytest.raises(ValueError, match=r"unknown task 'spirl'; did you mean 'spiral'\?"):
        effects.scores(results, "spirl")
    with pytest.raises(ValueError, match=r"no column 'val_los'; did you mean 'val_loss'\?"):
        learning_curves(results, "spiral", "val_los")


# Scores


def test_scores_are_the_rows_of_the_final_stage(rng):
    values = rng.random((3, 2))
    results = study(values, ONE, tuning={(("relu",), 0.1): [9.0]})
    table = effects.scores(results, "spiral")
    assert list(table) == ["label", "activation", "seed", "learning_rate", "status", "score"]
    assert table["label"].tolist() == ["relu", "relu", "identity", "identity", "tanh", "tanh"]
    assert table["seed"].tolist() == [100, 101] * 3
    np.testing.assert_array_equal(table["score"], values.ravel())


@pytest.mark.parametrize(
    ("response", "worst_finished", "scored"),
    [
        ("test_accuracy", 0.4, 0.25),  # chance is worse than any that finished
        ("test_accuracy", 0.1, 0.1),  # a finished one is worse than chance
        ("test_r2", 0.3, 0.0),
        ("test_r2", -2.0, -2.0),
        ("test_loss", 0.9, 0.95),  # the highest loss is the worst
    ],
)
def test_a_diverged_trial_scores_as_the_worst(response, worst_finished, scored):
    """METHODS S11: the worse of the constant predictor and the worst finished trial."""
    values = [[0.9, worst_finished], [0.95, 0.9], [0.5, 0.9]]
    results = study(values, ONE, response=response, statuses={2: "diverged"})
    table = effects.scores(results, "spiral")
    assert table["score"].tolist()[4] == scored
    assert table["status"].tolist()[4] == "diverged"


@pytest.mark.parametrize("status", ["failed", "timed_out", "out_of_memory", "missing"])
def test_a_trial_that_was_not_trained_has_no_score(status):
    results = study(np.full((3, 2), 0.5), ONE, statuses={1: status})
    table = effects.scores(results, "spiral")
    assert math.isnan(table["score"][2])
    assert table["status"][2] == status
    assert len(table) == 6


def test_a_network_is_shown_once():
    """Depth 0 is the same network at any width."""
    factors = {"depth": ("2", "0"), "width": ("8", "16")}
    results = study(np.full((2, 2, 3), 0.5), factors, same_as={("0", "16"): ("0", "8")})
    labels = ["depth 2, width 8", "depth 2, width 16", "depth 0, width 8"]
    assert effects.cell_table(results, "spiral")["label"].tolist() == labels


# Cells


def test_cell_table_is_scipys_t_interval_and_counts(rng):
    values = rng.random((3, 5))
    results = study(values, ONE, statuses={1: "failed", 2: "missing"})
    table = effects.cell_table(results, "spiral").set_index("label")
    oracle = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    np.testing.assert_allclose(table.loc["relu", ["low", "high"]].astype(float), oracle, rtol=1e-10)
    assert table["n"].tolist() == [5, 4, 4]
    assert table["failed"].tolist() == [0, 1, 0]
    assert table["missing"].tolist() == [0, 0, 1]
    assert table["diverged"].sum() == 0
    assert table["is_baseline"].tolist() == [True, False, False]


def test_every_trial_without_a_row_is_counted(rng):
    results = study(rng.random((3, 5)), ONE)
    results = replace(results, trials=results.trials.drop(index=[5, 6, 14]))
    assert effects.cell_table(results, "spiral")["missing"].tolist() == [0, 2, 1]


def test_diverged_trials_are_counted_and_scored():
    values = [[0.9, 0.8], [0.7, 0.6], [0.5, 0.4]]
    table = effects.cell_table(study(values, ONE, statuses={1: "diverged"}), "spiral")
    assert table["diverged"].tolist() == [0, 1, 0]
    assert table["n"].tolist() == [2, 2, 2]
    assert table["value"][1] == pytest.approx((0.25 + 0.6) / 2)


def test_a_cell_is_lost_when_none_of_its_trials_finished():
    """An infinite response has diverged too; a trial that failed says nothing either way."""
    values = [[0.9, 0.8], [np.inf, np.inf], [np.inf, 0.4]]
    table = effects.cell_table(study(values, ONE), "spiral")
    assert table["diverged"].tolist() == [0, 2, 1]
    assert table["is_lost"].tolist() == [False, True, False]
    failed = study([[0.9], [0.8], [0.7]], ONE, statuses={0: "failed", 1: "missing", 2: "diverged"})
    assert effects.cell_table(failed, "spiral")["is_lost"].tolist() == [False, False, True]


def test_a_rate_at_the_edge_is_flagged_only_after_tuning():
    tuning = {((level,), rate): [1.0] for level in ONE["activation"] for rate in (0.1, 0.2, 0.3)}
    values = np.full((3, 2), 0.5)
    tuned = study(values, ONE, tuning=tuning, rates=(0.1, 0.2, 0.3))
    table = effects.cell_table(tuned, "spiral")
    assert table["lr_at_edge"].tolist() == [True, False, True]
    assert table["learning_rate"].tolist() == [0.1, 0.2, 0.3]
    assert not effects.cell_table(study(values, ONE), "spiral")["lr_at_edge"].any()


# Contrasts


def test_contrasts_are_scipys_with_statsmodels_holm(rng):
    values = 0.5 + 0.1 * rng.random((3, 6)) + np.array([[0.0], [0.2], [0.01]])
    table = effects.contrasts(study(values, ONE), "spiral").set_index("label")
    oracle = [stats.ttest_rel(values[row], values[0]) for row in (1, 2)]
    p = [result.pvalue for result in oracle]
    np.testing.assert_allclose(table["p"], p, rtol=1e-10)
    np.testing.assert_allclose(table["p_holm"], multipletests(p, method="holm")[1], rtol=1e-10)
    bounds = [result.confidence_interval(1 - 0.05 / 2) for result in oracle]
    np.testing.assert_allclose(table[["low", "high"]], bounds, rtol=1e-10)
    assert table["interval"].tolist() == ["97.5% t"] * 2
    assert table["m"].tolist() == [2, 2]
    flips = [
        stats.permutation_test(
            (row - values[0],), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        for row in values[1:]
    ]
    np.testing.assert_allclose(table["sign_flip_p"], flips, rtol=1e-10)
    assert table["word"].tolist() == ["raises", "no detectable effect"]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_seeds_for_a_difference_are_statsmodels_at_the_level_of_its_family(rng, share):
    results = study(rng.normal(size=(3, 6)) + np.array([[0], [0.5], [0.9]]), ONE)
    results.study["sequential"] = {"share": share}
    for row in effects.contrasts(results, "spiral").itertuples():
        enough, too_few = (
            TTestPower().power(abs(row.d_z), row.seeds_for - less, 0.05 * share / 2)
            for less in (0, 1)
        )
        assert enough >= 0.8 > too_few


def test_contrasts_use_the_seeds_that_both_cells_have(rng):
    values = rng.random((3, 5))
    table = effects.contrasts(study(values, ONE, statuses={0: "failed"}), "spiral")
    assert table["n"].tolist() == [4, 4]
    np.testing.assert_allclose(table["value"], (values[1:] - values[0])[:, 1:].mean(axis=1))


def test_all_pairs_are_scipys_with_statsmodels_benjamini_hochberg(rng):
    scores = rng.normal(size=(3, 8)) + np.array([[0], [0.9], [2.0]])
    scores[1, 2] = np.nan
    results = study(scores, ONE, statuses={})
    found = all_pairs(results, "spiral")
    pairs = [(0, 1), (0, 2), (1, 2)]
    names = ONE["activation"]
    assert [*zip(found["label"], found["against"], strict=True)] == [
        (names[a], names[b]) for a, b in pairs
    ]
    tests = [stats.ttest_rel(scores[a], scores[b], nan_policy="omit") for a, b in pairs]
    np.testing.assert_allclose(found["p"], [test.pvalue for test in tests], rtol=1e-10)
    adjusted = multipletests(found["p"], method="fdr_bh")[1]
    np.testing.assert_allclose(found["p_bh"], adjusted, rtol=1e-10)
    for row, test in zip(found.itertuples(), tests, strict=True):
        interval = test.confidence_interval(0.95)
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert found["n"].tolist() == [7, 8, 7]
    assert found["is_apart"].tolist() == (adjusted <= 0.05).tolist()
    assert 0 < found["is_apart"].sum() < 3
    results.study["sequential"] = {"share": 0.25}
    dear = all_pairs(results, "spiral")
    np.testing.assert_allclose(dear["p_bh"], np.minimum(adjusted / 0.25, 1), rtol=1e-10)
    assert set(dear["interval"]) == {"98.75% t"}


def test_the_table_of_pairs_counts_who_is_told_from_whom():
    """relu .5, identity .7, tanh .7 alike but for noise: relu is told from both, they are not."""
    noise = 0.01 * np.random.default_rng(3).normal(size=(3, 10))
    scores = np.array([[0.5], [0.7], [0.7]]) + noise
    for response, better in (("test_accuracy", 1), ("test_loss", 2)):
        results = study(scores, ONE, response=response)
        table = pair_table(view_of(results, results.study["tasks"][0], "s"))
        assert table.header == ("cell", "better than", "worse than", "not told from")
        counts = {row[0]: row[1:] for row in table.rows}
        mine, theirs = [0, 2, 0], [1, 0, 1]
        if better == 2:
            mine, theirs = [2, 0, 0], [0, 1, 1]
        assert counts["relu"] == tuple(map(str, mine))
        assert counts["tanh"] == counts["identity"] == tuple(map(str, theirs))
        assert "m = 3 pairs" in table.note


def test_two_cells_one_seed_and_very_many_cells_have_no_table_of_pairs(rng):
    two = {"activation": ("relu", "tanh")}
    many = {"width": tuple(map(str, range(1, 33)))}
    for scores, own in (
        (rng.normal(size=(2, 4)), two),
        (rng.normal(size=(3, 1)), ONE),
        (rng.normal(size=(32, 3)), many),
    ):
        results = study(scores, own)
        assert pair_table(view_of(results, results.study["tasks"][0], "s")) is None
    assert all_pairs(results, "spiral").empty


@pytest.mark.parametrize(("seeds", "at_floor"), [(5, True), (6, True), (7, False)])
def test_a_sign_flip_at_its_floor_is_flagged(rng, seeds, at_floor):
    """Two contrasts need 2/2^n <= .025: seven seeds."""
    table = effects.contrasts(study(rng.random((3, seeds)), ONE), "spiral")
    assert table["at_floor"].tolist() == [at_floor] * 2
    assert table["sign_flip_floor"][0] == 2 / 2**seeds


def test_one_seed_is_untested():
    table = effects.contrasts(study([[0.5], [0.9], [0.1]], ONE), "spiral")
    assert table["word"].tolist() == ["untested", "untested"]
    assert table["p"].isna().all()
    assert table["sign_flip_p"].isna().all()
    np.testing.assert_allclose(table["value"], [0.4, -0.4])


def test_three_equal_differences_are_no_evidence():
    """One test example more for each of three seeds: no interval, no power, and p = 2/2^3."""
    values = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [0.7, 0.8, 0.9]])
    values[1] += 1 / 60
    row = effects.contrasts(study(values, ONE), "spiral").iloc[0]
    assert np.isnan(row[["low", "high", "detectable", "seeds_for", "d_z"]].astype(float)).all()
    assert row["p"] == row["sign_flip_floor"] == 0.25
    assert row["word"] == "same on every seed"


@pytest.mark.parametrize("seeds", [3, 10, 20])
@pytest.mark.parametrize("shift", [0.0, 0.25, -0.25])
def test_a_difference_without_spread_claims_no_direction_at_any_n(seeds, shift, rng):
    control = rng.integers(1, 4, seeds) / 4
    row = effects.contrasts(study([control, control + shift, control], ONE), "spiral").iloc[0]
    assert row["word"] == "same on every seed"
    assert row["value"] == shift
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["p"] == (1 if shift == 0 else 2 / 2**seeds)


def test_the_baseline_need_not_be_the_first_level(rng):
    values = rng.random((2, 3, 4))
    results = study(values, TWO)
    results.study["baseline"] = {"activation": "tanh", "depth": "4"}
    means = values.mean(axis=2)
    table = effects.contrasts(results, "spiral").set_index("label")["value"]
    assert table["relu, depth 1"] == pytest.approx(means[0, 1] - means[1, 2])
    table = main_effects(results, "spiral").set_index("label")["value"]
    assert list(table.index) == ["relu", "depth 2", "depth 1"]
    assert table["depth 1"] == pytest.approx((means[:, 1] - means[:, 2]).mean())
    table = effects.simple_effects(results, "spiral").set_index("label")["value"]
    assert table["relu at depth 1"] == pytest.approx(means[0, 1] - means[1, 1])


@given(arrays(np.float64, (4, 5), elements=st.floats(0, 1)))
@settings(deadline=None)
def test_no_word_contradicts_its_interval_or_its_p(values):
    factors = {"activation": ("relu", "identity", "tanh", "elu")}
    table = effects.contrasts(study(values, factors), "spiral")
    for row in table.itertuples():
        if row.word == "raises":
            assert row.low > 0
        if row.word == "lowers":
            assert row.high < 0
        if row.word in ("raises", "lowers"):
            assert row.p_holm <= 0.05
        if math.isnan(row.low):
            assert row.word == "same on every seed"
        elif row.p_holm > 0.05:
            assert row.word == "no detectable effect"


def test_the_baseline_may_be_the_twin_of_another_cell(rng):
    values = rng.random((2, 2, 4))
    factors = {"width": ("8", "16"), "depth": ("0", "2")}
    results = study(values, factors, same_as={("8", "0"): ("16", "0")})
    table = effects.contrasts(results, "spiral")
    assert table["label"].tolist() == ["width 8, depth 2", "width 16, depth 2"]
    np.testing.assert_allclose(table["value"][0], (values[0, 1] - values[1, 0]).mean())


def test_simple_effects_compare_cells_that_differ_in_one_factor(rng):
    values = rng.random((2, 3, 4))
    table = effects.simple_effects(study(values, TWO), "spiral").set_index("label")
    assert len(table) == 3 + 2 * 2  # tanh at each depth; two depths at each activation
    row = table.loc["tanh at depth 4"]
    assert (row["factor"], row["level"], row["at"]) == ("activation", "tanh", "depth 4")
    assert row["value"] == pytest.approx((values[1, 2] - values[0, 2]).mean())
    assert table["m"].unique().tolist() == [7]


def test_simple_effects_of_a_network_on_itself_are_left_out():
    factors = {"depth": ("2", "0"), "width": ("8", "16")}
    results = study(np.full((2, 2, 3), 0.5), factors, same_as={("0", "16"): ("0", "8")})
    labels = effects.simple_effects(results, "spiral")["label"].tolist()
    assert labels == ["width 16 at depth 2", "depth 0 at width 8", "depth 0 at width 16"]


# Main effects and interactions


def test_main_effects_of_a_hand_computed_table():
    """Rows .1 .2 .3 / .5 .4 .6: tanh is +.3 over relu; depth 1 is 0, depth 4 +.15 over depth 2."""
    cells = np.array([[0.1, 0.2, 0.3], [0.5, 0.4, 0.6]])
    seeds = np.array([-0.01, 0.0, 0.01])
    table = main_effects(study(cells[..., None] + seeds, TWO), "spiral")
    assert table["label"].tolist() == ["tanh", "depth 1", "depth 4"]
    np.testing.assert_allclose(table["value"], [0.3, 0.0, 0.15], atol=1e-12)
    assert table["m"].unique().tolist() == [3]
    assert table["n"].unique().tolist() == [3]


def test_main_effects_of_one_factor_are_its_contrasts(rng):
    results = study(rng.random((3, 4)), ONE)
    shared = list(effects.CONTRAST_COLUMNS)
    pd.testing.assert_frame_equal(
        main_effects(results, "spiral")[shared],
        effects.contrasts(results, "spiral")[shared],
    )


def test_main_effects_and_marginal_means_are_means_over_the_other_factors(rng):
    values = rng.random((2, 3, 4))
    results = study(values, TWO)
    means = marginal_means(results, "spiral")
    np.testing.assert_allclose(means["value"][:2], values.mean(axis=(1, 2)))
    np.testing.assert_allclose(means["value"][2:], values.mean(axis=(0, 2)))
    assert means["is_baseline"].tolist() == [True, False, True, False, False]
    table = main_effects(results, "spiral")
    oracle = stats.ttest_rel(values[1].mean(axis=0), values[0].mean(axis=0))
    np.testing.assert_allclose(table["p"][0], oracle.pvalue, rtol=1e-10)
    np.testing.assert_allclose(
        table[["low", "high"]].iloc[0], oracle.confidence_interval(1 - 0.05 / 3), rtol=1e-10
    )


def test_interactions_of_a_hand_computed_table():
    """1 2 / 3 8 leaves 1 -1 / -1 1 beyond rows and columns."""
    factors = {"activation": ("relu", "tanh"), "depth": ("2", "1")}
    cells = np.array([[1.0, 2.0], [3.0, 8.0]])
    results = study(cells[..., None] + np.array([-1.0, 1.0]), factors, response="test_loss")
    table = interaction_effects(results, "spiral")
    assert table["value"].tolist() == [1, -1, -1, 1]
    assert table["mean"].tolist() == [1, 2, 3, 8]
    assert table[["factor_a", "level_a", "factor_b", "level_b"]].values.tolist()[1] == [
        *("activation", "relu", "depth", "1")
    ]
    assert table["low"].isna().all()  # the same for every seed, so without an interval


def test_an_additive_grid_has_no_interaction(rng):
    factors = {"activation": ("relu", "tanh"), "depth": ("2", "1", "4"), "width": ("8", "16")}
    parts = [rng.normal(size=size) for size in (2, 3, 2, 5)]
    values = sum(
        np.reshape(p, [-1 if a == i else 1 for a in range(4)]) for i, p in enumerate(parts)
    )
    results = study(values, factors, response="test_loss")
    table = interaction_effects(results, "spiral")
    assert len(table) == 6 + 4 + 6
    np.testing.assert_allclose(table[["value", "low", "high"]], 0, atol=1e-12)
    assert depends_on(results, "spiral").empty


# Analysis of variance


def test_anova_is_statsmodels(rng):
    values = rng.random((2, 3, 4))
    results = study(values, TWO)
    table = anova(results, "spiral").set_index("term")
    data = effects.scores(results, "spiral").astype({"seed": str})
    oracle = sm.stats.anova_lm(smf.ols("score ~ activation * depth + seed", data).fit())
    for ours, theirs in (
        ("activation", "activation"),
        ("depth", "depth"),
        ("activation × depth", "activation:depth"),
        ("seed", "seed"),
    ):
        np.testing.assert_allclose(
            table.loc[ours, ["df", "ss", "ms", "f", "p"]].astype(float),
            oracle.loc[theirs, ["df", "sum_sq", "mean_sq", "F", "PR(>F)"]].astype(float),
            rtol=1e-10,
        )
    np.testing.assert_allclose(
        table.loc["error", ["df", "ss", "ms"]].astype(float),
        oracle.loc["Residual", ["df", "sum_sq", "mean_sq"]].astype(float),
        rtol=1e-10,
    )
    assert table["order"].tolist() == [1, 1, 2, 0, 0]


def test_shares_and_effect_sizes_of_a_hand_computed_table():
    """SS 32, 18, 8 (df 1 each), seed 8 (df 1), error 6 (df 3): total 72, MS error 2."""
    cells = np.array([[1.0, 2.0], [3.0, 8.0]])
    # Orthogonal to rows, columns and seeds together: SS 3 x 2 x 1 = 6 with these sizes.
    noise = np.sqrt(6 / 8) * np.array([[1.0, -1.0], [-1.0, 1.0]])
    seeds = np.array([-1.0, 1.0])
    values = cells[..., None] + seeds + noise[..., None] * seeds
    factors = {"activation": ("relu", "tanh"), "depth": ("2", "1")}
    table = anova(study(values, factors, response="test_loss"), "spiral")
    np.testing.assert_allclose(table["ss"], [32, 18, 8, 8, 6])
    np.testing.assert_allclose(table["share"], np.array([30, 16, 6, 6, 7 * 2]) / 72)
    np.testing.assert_allclose(table["omega2"][:4], np.array([30, 16, 6, 6]) / 74)
    np.testing.assert_allclose(table["partial_eta2"][:4], [32 / 38, 18 / 24, 8 / 14, 8 / 14])
    assert table["share"].sum() == pytest.approx(1)


def test_without_noise_nothing_is_tested():
    table = anova(study(np.full((2, 3, 3), 0.5), TWO), "spiral")
    assert (table["ss"] == 0).all()
    assert table[["f", "p", "share"]].isna().all(axis=None)


def test_a_crossover_depends_on_the_other_factor(rng):
    """Deeper helps relu as much as it hurts tanh: the main effect is nothing, the pair is all."""
    factors = {"activation": ("relu", "tanh"), "depth": ("2", "4"), "width": ("8", "16")}
    values = np.full((2, 2, 2, 5), 0.5) + 0.01 * rng.normal(size=(2, 2, 2, 5))
    values[0, 1] += 0.2
    values[1, 0] += 0.2
    table = depends_on(study(values, factors), "spiral")
    assert table["factor"].tolist() == ["activation", "depth"]
    assert table["on"].tolist() == ["depth", "activation"]
    assert (table["interaction_share"] > 0.8).all()


def test_a_real_interaction_smaller_than_the_main_effects_is_no_dependence(rng):
    factors = {"activation": ("relu", "tanh"), "depth": ("2", "4")}
    values = np.array([[0.1, 0.4], [0.5, 0.9]])[..., None] + 0.001 * rng.normal(size=(2, 2, 5))
    results = study(values, factors)
    assert anova(results, "spiral")["p"][2] < 1e-6
    assert depends_on(results, "spiral").empty


def test_a_dependence_needs_a_p_that_is_adjusted_over_all_pairs(rng, monkeypatch):
    """Three pairs: .03 is no finding among them, .01 is; both interactions are as large."""
    results = study(rng.normal(size=(2, 3, 2, 4)), {**TWO, "optimizer": ("adam", "sgd")})
    for p, found in ((0.03, []), (0.01, ["activation", "depth"])):
        table = anova(results, "spiral")
        table["share"] = np.where(table["order"] == 2, 0.3, 0.1)
        table.loc[table["order"] == 2, "p"] = [p, 0.6, 0.7]
        monkeypatch.setattr(factors, "anova", lambda *_, table=table: table)
        assert depends_on(results, "spiral")["factor"].tolist() == found
        monkeypatch.undo()


@pytest.mark.slow
def test_planted_shares_are_found(rng):
    """200 grids of ten seeds: mean shares within 2 points of the variances planted."""
    factors = {"activation": ("relu", "tanh", "elu"), "depth": ("2", "1", "4", "8")}
    row, column = np.array([-1.0, 0, 1]), np.array([-1.0, -1, 1, 1])
    pair = np.outer(row, [1.0, -1, -1, 1])
    planted = {"activation": 0.4, "depth": 0.1, "activation × depth": 0.2, "seed": 0.1}
    scale = [
        np.sqrt(planted[k] / np.mean(v**2))
        for k, v in zip(planted, (row, column, pair), strict=False)
    ]
    cells = scale[0] * row[:, None] + scale[1] * column + scale[2] * pair
    found = []
    for _ in range(200):
        seeds = np.sqrt(0.1) * rng.normal(size=10)
        noise = np.sqrt(0.2) * rng.normal(size=(3, 4, 10))
        results = study(cells[..., None] + seeds + noise, factors, response="test_loss")
        found.append(anova(results, "spiral").set_index("term")["share"])
    mean = pd.concat(found, axis=1).mean(axis=1)
    for term, share in {**planted, "error": 0.2}.items():
        assert mean[term] == pytest.approx(share, abs=0.02), term


@pytest.mark.parametrize("function", BALANCED)
@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ({"statuses": {1: "failed", 2: "missing"}}, "are lacking: 1 failed, 1 missing"),
        ({"statuses": {1: "out_of_memory"}}, "are lacking: 1 out of memory"),
        ({"same_as": {("tanh", "1"): ("relu", "1")}}, "'tanh, depth 1' is the same network as"),
        ({"scores": np.full((2, 3, 1), 0.5)}, "it has 1 seed"),
    ],
)
def test_a_grid_with_holes_is_refused_with_the_reason(function, given_, reason):
    given_ = {"scores": np.full((2, 3, 4), 0.5), **given_}
    results = study(factors=TWO, **given_)
    with pytest.raises(UnbalancedError) as error:
        function(results, "spiral")
    assert reason in str(error.value)
    assert str(error.value).startswith("no effects averaged over the grid of 'made-up' on 'spiral'")
    assert str(error.value).endswith("; read the contrasts instead")


DEEP = {"depth": ("0", "1", "2"), "activation": ("relu", "tanh")}
AT_0 = {("0", "tanh"): ("0", "relu")}


@pytest.mark.parametrize(
    ("factors", "same_as", "remedy"),
    [
        (DEEP, AT_0, "without depth 0 the grid is balanced"),
        ({**DEEP, "depth": ("0", "1")}, AT_0, None),  # one factor would be left
        (DEEP, AT_0 | {("1", "tanh"): ("1", "relu")}, None),  # no one level does it
    ],
)
def test_a_collapsed_grid_names_the_level_to_leave_out_if_one_will_do(factors, same_as, remedy):
    shape = (*(len(levels) for levels in factors.values()), 4)
    results = study(np.full(shape, 0.5), factors, same_as=same_as)
    with pytest.raises(UnbalancedError) as error:
        anova(results, "spiral")
    said = re.findall(r"without .* the grid is balanced", str(error.value))
    assert said == ([remedy] if remedy else [])


def test_leave_one_out_is_refused_with_the_reason(rng):
    results = study(rng.random((2, 3, 4)), TWO)
    results.study["cells"] = [
        cell for cell in results.study["cells"] if "relu" in cell.values() or cell["depth"] == "2"
    ]
    with pytest.raises(UnbalancedError, match="it has 4 of the 6 combinations of its levels"):
        anova(results, "spiral")
    assert len(effects.contrasts(results, "spiral")) == 3


def test_a_level_that_a_task_does_not_have_is_no_hole(rng):
    """Label smoothing is nothing to a regression; its grid is complete without."""
    values = rng.random((2, 3, 4))
    results = study(values, TWO)
    results.study["cells"] = [c for c in results.study["cells"] if c["depth"] != "1"]
    results.study["factors"][0]["levels"].append("elu")
    assert anova(results, "spiral")["df"].tolist() == [1, 1, 1, 3, 9]
    assert main_effects(results, "spiral")["label"].tolist() == ["tanh", "depth 4"]
    table = interaction_effects(results, "spiral")
    assert table["level_b"].tolist() == ["2", "4", "2", "4"]


def test_diverged_trials_stay_in_the_anova(rng):
    results = study(rng.random((2, 3, 4)), TWO, statuses={3: "diverged"})
    assert anova(results, "spiral")["df"].tolist() == [1, 2, 2, 3, 15]


# Rates and curves


def test_rate_sensitivity_is_the_mean_over_finished_tuning_trials():
    tuning = {
        (("relu",), 0.1): [1.0, 3.0],
        (("relu",), 0.2): [2.0, math.nan],
        (("tanh",), 0.1): [math.nan, math.nan],
    }
    results = study(np.full((3, 2), 0.5), ONE, tuning=tuning, rates=(0.1,))
    losses = results.trials["val_loss"].where(results.trials["status"] != "diverged", 99.0)
    results = replace(results, trials=results.trials.assign(val_loss=losses))
    table = rate_sensitivity(results, "spiral")
    assert table["label"].tolist() == ["relu", "relu", "tanh"]
    np.testing.assert_array_equal(table["value"], [2.0, 2.0, np.nan])
    assert table["n"].tolist() == [2, 1, 0]
    assert table["diverged"].tolist() == [0, 1, 2]
    assert table["chosen"].tolist() == [True, False, True]
    assert table["high"][0] == pytest.approx(2 + stats.t.ppf(0.975, 1))
    assert rate_sensitivity(study(np.full((3, 2), 0.5), ONE), "spiral").empty


def test_learning_curves_average_seeds_and_say_how_many_are_left():
    curves = {
        (("relu",), 100): [(0, 0.4)],
        (("relu",), 101): [(0, 0.2), (10, 0.6)],
        (("tanh",), 100): [(0, 0.1)],
    }
    results = study(np.full((3, 2), 0.5), ONE, curves=curves, statuses={0: "diverged"})
    table = learning_curves(results, "spiral", "val_accuracy")
    assert table["label"].tolist() == ["relu", "relu", "tanh"]
    assert table["step"].tolist() == [0, 10, 0]
    assert table["epoch"].tolist() == [0, 1, 0]
    np.testing.assert_allclose(table["value"], [0.3, 0.6, 0.1])
    assert table["n"].tolist() == [2, 1, 1]
    assert table["held"].tolist() == [False, False, False]
    assert table["high"][0] == pytest.approx(0.3 + stats.t.ppf(0.975, 1) * 0.1)


def test_a_trial_that_stopped_early_keeps_its_last_value_in_learning_curves():
    """Else the mean would jump to that of the seeds that were slow to learn."""
    curves = {
        (("relu",), 100): [(0, 0.1), (10, 0.4)],
        (("relu",), 101): [(0, 0.2), (10, 0.6), (20, 0.8), (30, 1.0)],
        (("tanh",), 100): [(0, 0.1), (10, 0.3)],
    }
    results = study(np.full((3, 2), 0.5), ONE, curves=curves)
    table = learning_curves(results, "spiral", "val_accuracy")
    assert table["step"].tolist() == [0, 10, 20, 30, 0, 10]
    np.testing.assert_allclose(table["value"], [0.15, 0.5, 0.6, 0.7, 0.1, 0.3])
    assert table["n"].tolist() == [2, 2, 2, 2, 1, 1]
    assert table["held"].tolist() == [False, False, True, True, False, False]


def test_tuning_and_final_trials_do_not_mix_in_curves():
    curves = {(("relu",), 100): [(0, 0.2)]}
    results = study(np.full((3, 2), 0.5), ONE, curves=curves, tuning={(("relu",), 0.01): [1.0]})
    tuned = results.curves.assign(trial=name_of({"activation": "relu"}, "tuning", 0.01, 0))
    everything = pd.concat([results.curves.astype({"trial": "str"}), tuned])
    results = StudyResults(
        results.study, results.trials, everything, results.pictures, results.points, results.stacks
    )
    table = learning_curves(results, "spiral", "val_accuracy")
    assert table["n"].tolist() == [1]


def test_steps_to_target_count_misses_as_infinite():
    """Six of seven reach .8: the median is over all seven, not a mean over successes."""
    curves = {
        (("relu",), 100 + seed): [(0, 0.1), (10 * (seed + 1), 0.8), (90, 0.9 if seed else 0.8)]
        for seed in range(6)
    }
    curves[("relu",), 106] = [(0, 0.1), (90, 0.79)]
    table = steps_to_target(study(np.full((3, 7), 0.5), ONE, curves=curves), "spiral", 0.8)
    row = table.iloc[0]
    assert (row["value"], row["low"], row["high"], row["n"]) == (40, 10, np.inf, 7)
    assert row["reached"] == 6 / 7
    assert table["n"].tolist() == [7, 0, 0]


def test_steps_to_target_of_a_loss_reach_it_from_above():
    curves = {(("relu",), 100): [(0, 0.1), (10, 0.8)]}  # val_loss .9, .2
    results = study(np.full((3, 1), 0.5), ONE, curves=curves, response="test_loss")
    assert steps_to_target(results, "spiral", 0.25)["value"][0] == 10


# F25


@pytest.mark.slow
@given(
    arrays(np.float64, (2, 3, 3), elements=st.one_of(st.floats(), st.just(0.5), st.just(np.nan))),
    st.dictionaries(
        st.integers(0, 5), st.sampled_from(["diverged", "failed", "timed_out", "missing"])
    ),
    st.sampled_from(["test_accuracy", "test_r2", "test_loss"]),
)
@settings(deadline=None, max_examples=60)
def test_no_numbers_and_no_failures_crash_the_effects(values, statuses, response):
    results = study(values, TWO, statuses=statuses, response=response)
    for function in FRAMES:
        function(results, "spiral")
    for function in BALANCED:
        with suppress(UnbalancedError):
            function(results, "spiral")


@pytest.mark.parametrize("status", ["failed", "missing", "diverged"])
def test_a_study_of_which_nothing_finished_is_shown_all_the_same(status):
    results = study(np.full((2, 3, 1), 0.5), TWO, statuses=dict.fromkeys(range(6), status))
    for function in FRAMES:
        function(results, "spiral")
    table = effects.cell_table(results, "spiral")
    assert table[status].tolist() == [1] * 6
    assert effects.contrasts(results, "spiral")["word"].unique().tolist() == ["untested"]


def test_a_study_that_asks_for_nothing_yet_has_empty_frames():
    results = study(np.full((3, 2), 0.5), ONE)
    results.study["trials"] = []
    for function in FRAMES:
        function(results, "spiral")
    results.study["cells"] = []
    for function in FRAMES:
        assert function(results, "spiral").empty


# Calibration (S14); seeds fixed before looking


def redrawn(results, values):
    """The same study with other responses; building it anew would cost more than analysing it."""
    return replace(results, trials=results.trials.assign(test_loss=np.ravel(values)))


def found(rng, levels, seeds, count, shift=0.0):
    """Which contrasts are worded as effects, shape (count, levels - 1).

    Scores are a seed's own plus noise, so that paired differences have deviation 1; the second
    level is `shift` of them better than the others, which are equal.
    """
    names = tuple(f"level{i}" for i in range(levels))
    results = study(np.zeros((levels, seeds)), {"activation": names}, response="test_loss")
    words = []
    for _ in range(count):
        values = rng.normal(size=seeds) + rng.normal(size=(levels, seeds)) / np.sqrt(2)
        values[1] += shift
        words.append(effects.contrasts(redrawn(results, values), "spiral")["word"])
    return np.isin(np.array(words), ["raises", "lowers"])


@pytest.mark.slow
def test_equal_levels_are_called_different_in_one_of_twenty():
    assert 0.04 <= found(np.random.default_rng(1), 2, 5, 4_000).mean() <= 0.06


@pytest.mark.slow
def test_a_family_of_equal_levels_is_wrong_in_at_most_one_of_twenty():
    assert found(np.random.default_rng(2), 5, 5, 4_000).any(axis=1).mean() <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize(("levels", "power"), [(2, 0.95), (5, 0.88)])
def test_an_effect_of_one_and_a_half_deviations_is_found(levels, power):
    assert found(np.random.default_rng(3), levels, 10, 1_000, shift=1.5)[:, 0].mean() >= power


@pytest.mark.slow
def test_main_effects_of_a_null_grid_are_wrong_in_at_most_one_of_twenty():
    rng = np.random.default_rng(4)
    results = study(np.zeros((2, 3, 5)), TWO, response="test_loss")
    words = [
        main_effects(redrawn(results, rng.normal(size=(2, 3, 5))), "spiral")["word"]
        for _ in range(4_000)
    ]
    assert np.isin(np.array(words), ["raises", "lowers"]).any(axis=1).mean() <= 0.06


# The share of seeds on which a cell wins (S8)


def test_the_share_of_seeds_above_the_baseline_is_simultaneous(rng):
    """Three cells, so m = 2: Wilson at 97.5%, as statsmodels has it; ties are one half."""
    scores = np.array([[0.5] * 8, [0.6] * 6 + [0.5, 0.4], rng.normal(size=8)])
    row = effects.contrasts(study(scores, ONE), "spiral").iloc[0]
    low, high = proportion_confint(6.5, 8, alpha=0.025, method="wilson")
    assert row["above"] == 6.5 / 8
    np.testing.assert_allclose([row["above_low"], row["above_high"]], [low, high], rtol=1e-10)


@pytest.mark.parametrize(("response", "text"), [("accuracy", "100 (65 to 100)"), ("loss", "0 (0")])
def test_better_on_means_lower_for_a_loss(response, text):
    """Seven of seven seeds above the baseline are seven on which a loss is worse."""
    scores = np.array([[0.5] * 7, np.linspace(0.6, 0.9, 7)])
    results = study(scores, {"activation": ("relu", "tanh")}, response=f"test_{response}")
    view = view_of(results, results.study["tasks"][0], "x")
    table = contrast_table(view)
    shown = table.rows[0][table.header.index("better on, %")]
    assert shown.startswith(text)
    assert shown.endswith(", better") == (response == "accuracy")


def test_a_main_effect_no_larger_than_an_interaction_is_no_finding_of_its_own(rng):
    """Depth matters with tanh alone, a little for activation too; alone, both are told."""

    def findings(scores):
        results = study(scores + 0.001 * rng.normal(size=(2, 3, 8)), TWO)
        part = factorial_of(view_of(results, results.study["tasks"][0], "s"))
        return " ".join(line for f in crossed_findings(results, [part]) for line in f.lines)

    base = np.full((2, 3, 1), 0.5)
    crossed = base.copy()
    crossed[:, 1] += [[0.2], [-0.2]]
    crossed[1] += 0.01
    said = findings(crossed)
    assert "The main effects of activation and depth should not be read alone" in said
    assert "averaged over all other factors" not in said
    crossed[1] += 0.5
    said = findings(crossed)
    assert "The main effect of depth should not be read alone: its interaction with act" in said
    assert "averaged over all other factors, tanh raises" in said
    base[:, 1] += 0.2
    said = findings(base)
    assert "should not be read alone" not in said
    assert "averaged over all other factors, depth 1 raises" in said
