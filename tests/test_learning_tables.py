"""How cells learned and what factors did, in numbers: tables by hand, scipy, and the CSV alone."""

import numpy as np
import pytest
from scipy import integrate, stats
from simulated_results import write_results
from test_effects import TWO, study

from report.cell_tables import contrast_table
from report.curves import curve_areas, gaps
from report.effects import simple_effects
from report.exports import effect_rows
from report.factor_tables import factor_details
from report.factors import anova, interaction_effects
from report.learning_tables import _arrival, learning_details
from report.tables import read_results
from report.views import view_of

ONE = {"activation": ("relu", "tanh")}
CURVES = {
    (("relu",), 100): [(0, 0.2), (10, 0.6), (30, 0.8)],
    (("relu",), 101): [(0, 0.2), (10, 0.4), (30, 0.6)],
    (("tanh",), 100): [(0, 0.4), (10, 0.4), (30, 0.4)],
    (("tanh",), 101): [(0, 0.25)],
}


def view(results):
    return view_of(results, results.study["tasks"][0], "x")


def test_the_area_is_scipys_trapezia_over_the_steps():
    results = study(np.full((2, 2), 0.5), ONE, curves=CURVES)
    found = curve_areas(results, "spiral").set_index("label")
    by_hand = [integrate.trapezoid(y, [0, 10, 30]) / 30 for y in ([0.2, 0.6, 0.8], [0.2, 0.4, 0.6])]
    assert found.loc["relu", "value"] == pytest.approx(np.mean(by_hand), rel=1e-12)
    low, high = stats.t.interval(0.95, 1, np.mean(by_hand), stats.sem(by_hand))
    np.testing.assert_allclose(found.loc["relu", ["low", "high"]].astype(float), [low, high])
    assert found.loc["tanh", ["value", "n"]].tolist() == [pytest.approx(0.4), 1]  # one point: none


def test_a_diverged_curve_has_the_worst_area():
    """Chance is .25, below every finished area, so that is what a diverged trial is worth."""
    curves = {key: points for key, points in CURVES.items() if key != (("tanh",), 101)}
    results = study(np.full((2, 2), 0.5), ONE, curves=curves, statuses={1: "diverged"})
    found = curve_areas(results, "spiral").set_index("label")
    assert found.loc["tanh", ["value", "n"]].tolist() == [0.25, 1]


@pytest.mark.parametrize(("measure", "sign"), [("accuracy", 1), ("loss", -1)])
def test_the_gap_is_how_much_better_training_is(measure, sign):
    """Training .9 and .8 against test .5 and .7: .4 and .1; for a loss the other way round."""
    results = study(np.array([[0.5, 0.7], [0.6, 0.6]]), ONE, response=f"test_{measure}")
    results.trials[f"train_{measure}"] = [0.9, 0.8, 0.6, 0.6]
    found = gaps(results, "spiral").set_index("label")
    assert found["value"].tolist() == pytest.approx([sign * 0.25, 0])
    assert found["n"].tolist() == [2, 2]


def test_a_trial_that_did_not_finish_has_no_gap():
    results = study(np.full((2, 2), 0.5), ONE, statuses={0: "failed", 1: "diverged"})
    results.trials[["train_accuracy", "test_accuracy"]] = 0.75  # whatever its row may hold
    assert gaps(results, "spiral")["n"].tolist() == [1, 1]


def test_without_a_test_part_there_is_no_gap():
    results = study(np.full((2, 2), 0.5), ONE, response="train_accuracy")
    assert gaps(results, "spiral").empty


def test_the_table_says_how_every_cell_learned():
    results = study(np.full((2, 2), 0.5), ONE, curves=CURVES)
    results.trials["train_accuracy"] = 0.75
    (table,) = learning_details(view(results)).blocks
    assert table.header == ("cell", "area under the curve", "steps to target", "train/test gap")
    relu = next(row for row in table.rows if row[0].startswith("relu"))
    assert relu[1].startswith("52 (")
    assert relu[2] == "never, 50% reached it"  # .25 + .9 (.7 - .25) = .655, and one reached .8
    assert relu[3].startswith("+25")
    assert "first reached 65.5%" in table.note


def test_the_share_that_reached_a_target_is_said_of_trials_that_there_are():
    known = {"value": 80.0, "low": np.nan, "n": 4, "reached": 0.75}
    assert _arrival(known) == "80, 75% reached it"
    assert _arrival(known | {"reached": 1.0}) == "80"
    assert _arrival(known | {"value": np.nan, "n": 0, "reached": np.nan}) == "–"


def test_nothing_known_of_learning_is_no_table():
    assert learning_details(view(study(np.full((2, 2), 0.5), ONE))) is None


def test_one_factor_has_no_tables_of_factors(rng):
    assert factor_details(view(study(rng.normal(size=(2, 4)), ONE))) == []


def test_the_tables_of_factors_hold_every_term_and_every_simple_effect(rng):
    """Two factors of 2 and 3 levels: 3 terms, seed and error; 2 x 2 + 3 simple effects."""
    results = study(rng.uniform(size=(2, 3, 5)), TWO)
    variance, simple = (details.blocks[0] for details in factor_details(view(results)))
    frame = anova(results, "spiral")
    assert [row[0] for row in variance.rows] == frame["term"].tolist()
    shares = [float(row[-1].replace("−", "-")) for row in variance.rows]
    np.testing.assert_allclose(shares, 100 * frame["share"], atol=0.051)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert len(simple.rows) == 7
    assert {row[:3] for row in simple.rows} >= {
        ("tanh", "relu", "depth 1"),
        ("depth 4", "depth 2", "relu"),
    }


def test_a_grid_with_holes_still_has_simple_effects(rng):
    results = study(rng.uniform(size=(2, 3, 5)), TWO, statuses={1: "failed"})
    (simple,) = factor_details(view(results))
    assert simple.summary.startswith("Simple effects")


def test_the_family_of_simple_effects_counts_those_that_were_not_tested(rng):
    """Seven pairs, of which the three with the lost cell have no score to compare."""
    scores = rng.uniform(size=(2, 3, 2))
    scores[0, 1] = np.nan
    (simple,) = factor_details(view(study(scores, TWO)))
    (table,) = simple.blocks
    assert len(table.rows) == 5
    assert "one family of m = 7" in table.note


def test_effects_csv_has_simple_effects_and_interactions(rng):
    results = study(rng.uniform(size=(2, 3, 5)), TWO)
    rows = list(effect_rows(results))
    kinds = [row["effect"] for row in rows]
    every = ("contrast", "simple effect", "main effect", "interaction")
    assert [kinds.count(kind) for kind in every] == [5, 7, 3, 6]
    pairs = [row for row in rows if row["effect"] == "interaction"]
    expected = interaction_effects(results, "spiral")
    assert [row["value"] for row in pairs] == expected["value"].tolist()
    assert pairs[0]["label"] == "relu × depth 2"
    assert {row["interval"] for row in pairs} == {"95% t"}
    simple = [row["value"] for row in rows if row["effect"] == "simple effect"]
    assert simple == simple_effects(results, "spiral")["value"].tolist()


def test_every_number_of_the_tables_is_that_of_the_csv(tmp_path):
    """F39: made again from trials.csv and curves.csv by plain pandas, to the digits shown."""
    results = read_results(write_results(tmp_path)).studies[0]
    task = results.study["tasks"][0]
    response = task["response"]
    kind = response.partition("_")[2]
    rows = results.trials[results.trials["task"] == task["name"]]
    final = rows[(rows["stage"] == "final") & (rows["status"] == "finished")]
    unit = 100 if kind == "accuracy" else 1

    def agrees(text, value):
        shown = text.split(" ")[0].replace("−", "-")
        return abs(float(shown) - value) <= 0.5001 * 10.0 ** -len(shown.partition(".")[2])

    (table,) = learning_details(view(results)).blocks
    gap = (final[f"train_{kind}"] - final[response]).groupby(final["activation"]).mean() * unit
    curves = results.curves[results.curves["trial"].isin(final["trial"])].astype({"trial": "str"})
    area = {
        trial: np.trapezoid(own[f"val_{kind}"], own["step"]) / np.ptp(own["step"])
        for trial, own in curves.groupby("trial")
    }
    mean_area = final["trial"].map(area).groupby(final["activation"]).mean() * unit
    diverged = set(rows.loc[(rows["status"] == "diverged"), "activation"])
    checked = 0
    for row in table.rows:
        label = row[0].removesuffix(" (baseline)")
        assert agrees(row[3], gap[label])
        if label not in diverged:
            assert agrees(row[1], mean_area[label])
            checked += 1
    assert checked >= 5

    shown = contrast_table(view(results))
    wide = final.pivot_table(index="seed", columns="activation", values=response)
    place = {name: i for i, name in enumerate(shown.header)}
    for row in shown.rows:
        if row[0] in diverged:
            continue
        difference = (wide[row[0]] - wide["relu"]).dropna()
        assert agrees(row[place["difference"]].replace("+", ""), unit * difference.mean())
        wins = (difference > 0).mean() + (difference == 0).mean() / 2
        assert agrees(row[place["better on, %"]], 100 * wins)
