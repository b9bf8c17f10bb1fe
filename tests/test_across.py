"""One study over its tasks: ranks, profiles and pooled scores, checked by oracles and hand."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from simulated_results import write_results
from test_effects import study

from report import across, profiles, ranks
from report.across_section import _colours, across_topic, sentences
from report.document import Answer, Table
from report.drawing import house_style
from report.palette import CONTEXT, INK, SERIES
from report.study_section import views_of
from report.tables import read_results
from report.views import by_size, study_colours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import scikit_posthocs

INF = np.inf


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def pooled(*strata, baseline=0, tasks=("spiral", "wave", "digits")):
    cells = len(strata[0])
    return across.Pool(
        tasks=tuple(tasks[: len(strata)]),
        cells=tuple((label,) for label in "abcdefgh"[:cells]),
        labels=tuple("abcdefgh"[:cells]),
        strata=tuple(np.array(part, float) for part in strata),
        baseline=baseline,
    )


# Ranks


def test_friedman_is_scipys(rng):
    means = rng.normal(size=(6, 4))
    found = ranks.agreement(ranks.ranks_of(means))
    oracle = stats.friedmanchisquare(*means.T)
    assert found.chi2 == pytest.approx(oracle.statistic, rel=1e-10)
    assert found.w == pytest.approx(oracle.statistic / (6 * 3), rel=1e-10)


@pytest.mark.parametrize("rounded", [2, 0], ids=["no ties", "ties"])
def test_iman_davenport_is_the_f_of_an_analysis_of_variance_of_ranks(rng, rounded):
    table = ranks.ranks_of(np.round(rng.normal(size=(5, 4)), rounded))
    found = ranks.agreement(table)
    task, level = np.indices(table.shape)
    frame = pd.DataFrame({"y": table.ravel(), "t": task.ravel(), "l": level.ravel()})
    oracle = sm.stats.anova_lm(smf.ols("y ~ C(t) + C(l)", frame).fit()).loc["C(l)"]
    assert found.f == pytest.approx(oracle["F"], rel=1e-10)
    assert found.p == pytest.approx(oracle["PR(>F)"], rel=1e-10)


def test_ranks_of_a_hand_computed_table():
    """The highest is first and ties share; without the second task the order turns."""
    table = ranks.ranks_of(np.array([[0.9, 0.8, 0.8], [0.1, 0.5, 0.3], [0.7, 0.6, 0.5]]))
    assert table.tolist() == [[1, 2.5, 2.5], [3, 1, 2], [1, 2, 3]]
    assert ranks.leave_one_out(table).tolist() == [[2, 1.5, 2.5], [1, 2.25, 2.75], [2, 1.75, 2.25]]


def test_tasks_that_agree_are_as_few_as_they_are():
    """Two tasks order two levels alike every second time, though F is infinite."""
    assert ranks.agreement(np.array([[1.0, 2], [1, 2]])).p == 0.5
    assert ranks.agreement(np.array([[1.0, 2, 3]] * 3)).p == pytest.approx(1 / 36)


def test_tasks_on_which_all_are_equal_have_no_order():
    assert np.isnan(ranks.agreement(np.full((3, 4), 2.5)).p)


@pytest.mark.parametrize(("levels", "tasks"), [(3, 10), (5, 30), (11, 3)])
def test_the_critical_difference_has_p_of_five_percent_in_scikit_posthocs(levels, tasks, rng):
    """Nemenyi's p of the first pair crosses .05 where its mean ranks are that far apart."""
    critical = ranks.critical_difference(levels, tasks)
    table = ranks.ranks_of(rng.normal(size=(tasks, levels)))
    p = scikit_posthocs.posthoc_nemenyi_friedman(-table).to_numpy()
    mean = table.mean(axis=0)
    gap = np.abs(mean[:, None] - mean)
    assert ((p <= 0.05) == (gap >= critical))[~np.eye(levels, dtype=bool)].all()
    scale = stats.studentized_range.isf(p[0, 1], levels, np.inf)
    at_five = stats.studentized_range.isf(0.05, levels, np.inf)
    assert gap[0, 1] * at_five / scale == pytest.approx(critical, rel=1e-6)


def test_demsars_table_of_critical_values_is_met():
    """Demšar 2006, table 5a: q at .05 is 2.343 for 3, 2.569 for 4 and 3.164 for 10 classifiers."""
    for k, q in ((3, 2.343), (4, 2.569), (10, 3.164)):
        found = ranks.critical_difference(k, 14) / np.sqrt(k * (k + 1) / (6 * 14))
        assert found == pytest.approx(q, abs=1e-3)  # the table cuts digits off


# Profiles


def test_a_score_profile_of_a_hand_computed_table():
    """Two tasks of two and four seeds weigh the same."""
    strata = [np.array([[0.2, 0.8]]), np.array([[0.1, 0.3, 0.9, np.nan]])]
    found = profiles.score_profile(strata, np.array([0.0, 0.2, 0.5, 0.9]))
    np.testing.assert_allclose(found, [[1, (1 / 2 + 2 / 3) / 2, (1 / 2 + 1 / 3) / 2, 0]])


def test_a_race_of_a_hand_computed_table():
    """Medians 10 and 20: ratios 1 and 2; a miss is never within anything; no finisher, no race."""
    steps = [np.array([[10.0, 10, 10], [20, 20, INF]]), np.full((2, 3), INF)]
    ratios = profiles.target_ratios(steps)
    assert [part.tolist() for part in ratios] == [[[1, 1, 1], [2, 2, INF]]]
    at = np.array([1.0, 1.9, 2, 4])
    np.testing.assert_allclose(profiles.target_profile(ratios, at), [[1] * 4, [0, 0, 2 / 3, 2 / 3]])
    np.testing.assert_allclose(profiles.target_score(ratios), [1, (2 / 3 + 2 / 3 + 0) / 3])


@given(
    arrays(np.float64, (3, 5), elements=st.one_of(st.floats(1, 50), st.just(INF))),
)
def test_the_target_score_is_the_area_under_the_profile(steps):
    ratios = profiles.target_ratios([np.maximum(steps, 1)])
    if not ratios:
        return
    at = np.linspace(1, 4, 30_001)
    area = np.trapezoid(profiles.target_profile(ratios, at), at, axis=1) / 3
    np.testing.assert_allclose(profiles.target_score(ratios), area, atol=2e-4)


# Pools


def test_a_normalised_score_is_zero_at_chance_and_one_without_error():
    task = {"name": "spiral", "response": "test_accuracy", "chance": 0.25}
    assert across.normalised(np.array([0.25, 0.625, 1]), task).tolist() == [0, 0.5, 1]
    assert across.normalised(np.array([0.3]), {**task, "response": "test_r2"}).tolist() == [0.3]
    assert across.normalised(np.array([0.3]), {**task, "response": "test_loss"}) is None
    assert across.normalised(np.array([0.3]), {"name": "x", "response": "test_accuracy"}) is None


def test_the_summary_pools_tasks_and_ranks_means():
    """Ten seeds on three tasks: scipy's trimmed mean, and intervals from 30 scores on."""
    rng = np.random.default_rng(3)
    pool = pooled(*(rng.normal(size=(4, 10)) for _ in range(3)))
    found = across.summary(pool).sort_values("row")
    for row in range(4):
        scores = np.concatenate([part[row] for part in pool.strata])
        assert found["value"].iloc[row] == pytest.approx(stats.trim_mean(scores, 0.25), rel=1e-12)
    table = stats.rankdata([-part.mean(axis=1) for part in pool.strata], axis=1)
    np.testing.assert_allclose(found["rank"], table.mean(axis=0))
    np.testing.assert_allclose(
        found["rank_low"],
        [min(np.delete(table[:, i], t).mean() for t in range(3)) for i in range(4)],
    )
    assert np.isfinite(found["low"]).all()
    assert across.summary(pooled(*(p[:, :9] for p in pool.strata)))["low"].isna().all()


def test_a_loss_has_no_place_among_normalised_scores():
    """Two tasks of which one is judged by its loss are one task, so nothing is pooled."""
    results = study(np.full((3, 4), 0.5), {"activation": ("relu", "tanh", "elu")})
    assert across.pool_of(results) is None


def test_leaders_are_told_with_every_task_left_out():
    pool = pooled([[0.9], [0.1]], [[0.9], [0.1]], [[0.1], [0.9]])
    assert across.leaders(pool) == {
        "": ("a",), "spiral": ("a", "b"), "wave": ("a", "b"), "digits": ("a",)
    }  # fmt: skip


# What is said


def test_of_tasks_that_do_not_agree_it_is_said_that_nothing_is_shown():
    pool = pooled([[0.9] * 10, [0.1] * 10], [[0.9] * 10, [0.1] * 10], [[0.1] * 10, [0.9] * 10])
    said = sentences(pool, across.summary(pool))
    assert said[1] == (
        "The tasks are not shown to order the cells alike (Iman-Davenport p = .67, N = 3 tasks), "
        "so the order on one is no guide to another."
    )


def test_who_ranks_first_is_said_with_what_it_hangs_on():
    good = [[0.9, 0.91] * 5, [0.8, 0.79] * 5, [0.7, 0.71] * 5, [0.6, 0.61] * 5, [0.1, 0.2] * 5]
    same = pooled(good, good, good)
    said = sentences(same, across.summary(same))
    assert said[0].startswith("Over spiral, wave and digits, a has the highest interquartile mean")
    assert said[0].endswith("n = 30 scores); it is the baseline.")
    assert said[1].endswith("a has the best mean rank, whichever task is left out.")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("across")
    write_results(folder)
    return read_results(folder)


def test_every_number_of_the_table_is_that_of_the_csv(simulated):
    """F39: the table is made again from trials.csv and study.json by plain numpy and scipy."""
    results = next(s for s in simulated.studies if s.study["name"] == "activation")
    views = views_of(results, "activation")
    with house_style():
        topic = across_topic(views, study_colours(views), "activation")
    table = next(block for block in topic.blocks if isinstance(block, Table))
    assert isinstance(topic.blocks[0], Answer)
    rows = results.trials[results.trials["stage"] == "final"]
    pooled_scores, means = {}, {}
    for task in results.study["tasks"]:
        own = rows[rows["task"] == task["name"]]
        finished = own[own["status"] == "finished"]
        chance = task["chance"] if task["response"].endswith("accuracy") else 0.0
        worst = min(chance, finished[task["response"]].min())
        for level, cell in own.groupby("activation"):
            y = cell[task["response"]].where(cell["status"] == "finished")
            y = y.mask(cell["status"] == "diverged", worst).dropna()
            z = (y - chance) / (1 - chance)
            pooled_scores.setdefault(level, []).extend(z)
            means.setdefault(level, []).append(z.mean())
    order = stats.rankdata(
        [[-m for m in column] for column in zip(*means.values(), strict=True)], axis=1
    )
    mean_ranks = dict(zip(means, order.mean(axis=0), strict=True))
    column = {name: i for i, name in enumerate(table.header)}
    assert len(table.rows) == len(means)
    for row in table.rows:
        label = row[0].removesuffix(" (baseline)")
        shown = row[column["interquartile mean"]]
        exact = stats.trim_mean(pooled_scores[label], 0.25)
        assert float(shown.replace("−", "-")) == pytest.approx(
            exact, abs=0.5001 * 10.0 ** -len(shown.partition(".")[2])
        )
        assert row[column["n"]] == str(len(pooled_scores[label]))
        assert float(row[column["mean rank"]]) == pytest.approx(mean_ranks[label], abs=0.0501)


def test_a_colour_means_the_same_cell_in_all_figures_of_a_study():
    shown = pd.DataFrame({"label": list("abcdefgh"), "is_baseline": [x == "c" for x in "abcdefgh"]})
    study = {**dict.fromkeys("adh", CONTEXT), "c": INK, **dict(zip("befg", SERIES, strict=False))}
    assert _colours(shown, study) == {label: study[label] for label in "befgc"}


def test_the_best_over_all_tasks_have_a_colour(simulated):
    """Of twelve alternatives more are far from the baseline than there are colours."""
    results = next(s for s in simulated.studies if s.study["name"] == "activation")
    views = [
        replace(v, cells=_twelve(v.cells), contrasts=_twelve(v.contrasts))
        for v in views_of(results, "x")
    ]
    places = pd.concat([v.ranked.assign(place=range(len(v.cells))) for v in views])
    places = places[places["label"] != views[0].baseline]
    best = places.groupby("label", sort=False)["place"].sum().sort_values(kind="stable").index[:3]
    colours = study_colours(views)
    assert len(colours) > len(SERIES) + 1
    assert CONTEXT not in {colours[label] for label in best}


def _twelve(frame):
    """Rows, and again those of them that are no baseline, far below, under other names."""
    own = frame[~frame["is_baseline"]] if "is_baseline" in frame else frame
    return pd.concat([frame, own.assign(label=own["label"] + "!", value=own["value"] - 50)])


@given(arrays(np.float64, (3, 4), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_no_scores_break_the_summary(scores):
    """F25, F26: whatever the numbers, there is a summary and there are sentences."""
    finite = np.where(np.isfinite(scores) & (np.abs(scores) < 1e300), scores, 0.5)
    pool = pooled(finite, finite[::-1])
    assert len(across.summary(pool)) == 3
    assert len(sentences(pool, across.summary(pool))) == 2


def test_levels_that_are_numbers_stand_in_their_order_and_names_in_the_study_s():
    frame = pd.DataFrame({"a": list("yyxx"), "depth": ["10", "2", "10", "2"]})
    assert by_size(frame, ["a", "depth"]).to_numpy().tolist() == [
        ["y", "2"], ["y", "10"], ["x", "2"], ["x", "10"]
    ]  # fmt: skip


def test_a_study_with_one_task_has_nothing_across(simulated):
    results = simulated.studies[0]
    one = [results.study["tasks"][0]]
    assert across.pool_of(replace(results, study={**results.study, "tasks": one})) is None
