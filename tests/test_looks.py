"""Sequential seeds: looks, what each may spend, when a study ends, and how rarely it errs."""

import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_running import Interrupted, failing_train, refuse_to_train, tables, times
from test_studyfile import small_study

from ablations import running, workers
from ablations.design import DesignError, SeedRule
from ablations.looks import ALPHA, differences, moments, open_contrasts, resolved
from ablations.planning import plan, render_text
from ablations.running import Settings, run
from ablations.verification import differences as folder_differences
from ablations.verification import verify
from report.effects import LOWERS, RAISES, contrast_frame

RULE = {"min": 2, "max": 12, "stop": "resolved"}  # looks at 2, 4, 8 and 12


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (5, 30, (5, 10, 20, 30)),
        (3, 14, (3, 6, 14)),  # 12 would be more than four fifths
        (10, 20, (10, 20)),
        (5, 6, (5, 6)),
        (2, 1000, (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)),
    ],
)
def test_looks_double_and_end_at_the_maximum(least, most, expected):
    assert SeedRule(least, most).looks == expected


def test_the_shares_of_four_looks_are_those_computed_by_hand():
    assert SeedRule(5, 30).shares == pytest.approx([1 / 36, 3 / 36, 12 / 36, 20 / 36])


@given(least=st.integers(2, 500), more=st.integers(1, 500))
def test_looks_spend_the_whole_error_and_no_more(least, more):
    rule = SeedRule(least, least + more)
    assert rule.looks == tuple(sorted(set(rule.looks)))
    assert (rule.looks[0], rule.looks[-1]) == (least, least + more)
    assert min(rule.shares) > 0
    assert sum(rule.shares) == pytest.approx(1)
    assert sum(rule.shares) <= 1 + 1e-12


REFUSED = {
    "no max": ({"min": 5, "stop": "resolved"}, "[study] seeds needs max; write seeds = {"),
    "misspelt": ({**RULE, "mx": 1}, "unknown [study] seeds key 'mx'; did you mean 'max'?"),
    "one seed": ({**RULE, "min": 1}, "min must be at least 2, got 1; one seed has no spread"),
    "nothing to add": (
        {**RULE, "max": 2},
        "max must be above min, got 2 and 2; a fixed number is written seeds = 2",
    ),
    "tuning seeds": ({**RULE, "max": 1001}, "[study] seeds max must be at most 1000, got 1001"),
    "half a seed": ({**RULE, "min": 2.5}, "[study] seeds min needs a whole number, got 2.5"),
    "true": ({**RULE, "min": True}, "[study] seeds min needs a whole number, got True"),
    "another stop": ({**RULE, "stop": "bored"}, "stop got 'bored'; there is only 'resolved'"),
    "no margin": ({**RULE, "equal_within": 0}, "equal_within got 0; give a difference above 0"),
    "margin in words": ({**RULE, "equal_within": "1%"}, "equal_within needs a number, got '1%'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_rule_is_refused_in_one_line(tmp_path, case):
    rule, message = REFUSED[case]
    with pytest.raises(DesignError) as error:
        small_study(tmp_path, {"study.seeds": rule})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_rule_is_read_and_a_profile_may_have_a_fixed_number(tmp_path):
    changes = {"study.seeds": {**RULE, "equal_within": 0.02}, "profile.quick": {"seeds": 3}}
    study = small_study(tmp_path, changes)
    assert (study.seeds, study.most_seeds, study.rule) == (2, 12, SeedRule(2, 12, 0.02))
    quick = small_study(tmp_path, changes, "quick")
    assert (quick.seeds, quick.most_seeds, quick.rule) == (3, 3, None)
    changes = {"study.seeds": 4, "profile.full": {"seeds": RULE}}
    assert small_study(tmp_path, changes).rule is None
    assert small_study(tmp_path, changes, "full").rule == SeedRule(2, 12)


def test_the_limit_of_trials_counts_every_seed_that_may_come(tmp_path):
    many = {"factors.width": list(range(1, 301)), "fixed": {"steps": 3}}
    small_study(tmp_path, {**many, "study.seeds": {**RULE, "max": 80}})
    with pytest.raises(DesignError, match="more than the limit"):
        small_study(tmp_path, {**many, "study.seeds": {**RULE, "max": 200}})


# Decisions


def test_a_contrast_is_resolved_when_scipys_interval_is_clear_or_inside_the_margin():
    rng = np.random.default_rng(7)
    difference = rng.normal(rng.normal(0, 1, size=(200, 1)), 1, size=(200, 6))
    level, margin = 0.03, 1.0
    interval = stats.ttest_1samp(difference, 0, axis=1).confidence_interval(1 - level)
    apart = (interval.low > 0) | (interval.high < 0)
    alike = (interval.low > -margin) & (interval.high < margin)
    assert 20 < apart.sum() < 180
    assert (alike & ~apart).sum() > 5
    np.testing.assert_array_equal(resolved(difference, level), apart)
    both = resolved(difference, level, equal_within=margin)
    np.testing.assert_array_equal(both, apart | alike)


@pytest.mark.parametrize(("seeds", "enough"), [(5, False), (6, True)])
def test_a_difference_without_spread_is_resolved_at_the_floor_of_its_signs(seeds, enough):
    """2/2^6 = 0.031 is below .05, 2/2^5 = 0.0625 is not; so for equal arms."""
    for value in (0.25, 0.0):
        difference = np.full((1, seeds), value)
        assert resolved(difference, 0.05).tolist() == [enough]
        assert resolved(difference, 0.05, equal_within=1.0).tolist() == [enough]


def test_nothing_is_resolved_by_one_seed_or_none():
    difference = np.array([[np.nan, np.nan, 0.5], [np.nan, np.nan, np.nan]])
    assert resolved(difference, 0.05, equal_within=1.0).tolist() == [False, False]


def test_moments_are_those_of_numpy_without_what_is_missing():
    values = np.array([[1.0, 2.5, np.nan, 4.0], [0.1, 0.1, 0.1, np.nan]])
    n, mean, deviation = moments(values)
    assert n.tolist() == [3, 3]
    np.testing.assert_allclose(mean, np.nanmean(values, axis=1), rtol=1e-15)
    np.testing.assert_allclose(deviation, [np.nanstd(values[0], ddof=1), 0], rtol=1e-15)


def final_rows(scores, response="test_accuracy"):
    """Rows of the small study's final trials; None for a diverged trial."""
    return {
        f"spiral/activation={level}/final/seed={seed}": {
            "status": "diverged" if score is None else "finished",
            response: score,
        }
        for level, row in scores.items()
        for seed, score in enumerate(row)
    }


def test_diverged_trials_are_the_worst_of_the_task_and_failed_ones_nothing(tmp_path):
    study = small_study(tmp_path, {"study.seeds": 3})
    (task,) = study.tasks
    rows = final_rows({"relu": [0.75, 0.5, 0.25], "tanh": [0.5, None, 0.5]})
    found = differences(study, task, rows, chance=1 / 3)
    assert found.tolist() == [[-0.25, -0.25, 0.25]]  # 0.25 is worse than chance
    rows = final_rows({"relu": [0.75, 0.5, 0.75], "tanh": [0.5, None, 0.5]})
    np.testing.assert_allclose(differences(study, task, rows, chance=1 / 3)[0, 1], 1 / 3 - 0.5)
    rows["spiral/activation=tanh/final/seed=1"]["status"] = "failed"
    assert np.isnan(differences(study, task, rows, chance=1 / 3)[0]).tolist() == [0, 1, 0]


def test_a_response_that_overflowed_has_diverged_as_in_the_report(tmp_path):
    study = small_study(tmp_path, {"study.seeds": 2})
    rows = final_rows({"relu": [0.75, 0.5], "tanh": [-np.inf, 0.75]})
    found = differences(study, study.tasks[0], rows, chance=0.25)
    assert found.tolist() == [[-0.5, 0.25]]


def test_a_diverged_trial_has_the_largest_loss(tmp_path):
    study = small_study(tmp_path, {"study.response": {"spiral": "test_loss"}, "study.seeds": 2})
    (task,) = study.tasks
    rows = final_rows({"relu": [1.0, 2.0], "tanh": [None, 3.0]}, "test_loss")
    assert differences(study, task, rows, chance=1 / 3).tolist() == [[2.0, 1.0]]


def test_differences_that_agree_but_for_rounding_are_the_same(tmp_path):
    study = small_study(tmp_path, {"study.seeds": 2})
    rows = final_rows({"relu": [1.0, 0.2], "tanh": [1.1, 0.3]})
    assert 1.1 - 1.0 != 0.3 - 0.2
    found = differences(study, study.tasks[0], rows, chance=1 / 3)
    assert found[0, 0] == found[0, 1]


def test_a_look_tests_at_its_own_share_of_the_error(tmp_path):
    """Three numbers whose p is known: mean 1, deviation 0.1, so t = 17.3 and p = .0033."""
    study = replace(small_study(tmp_path, {"study.seeds": {**RULE, "min": 3, "max": 6}}))
    rows = final_rows({"relu": [0.0, 0.0, 0.0], "tanh": [0.9, 1.0, 1.1]})
    p = float(stats.ttest_1samp([0.9, 1.0, 1.1], 0).pvalue)
    assert study.rule.shares == (0.25, 0.75)
    assert 0.25 * ALPHA / 4 < p < 0.25 * ALPHA

    def left(study):
        return open_contrasts(study, rows, lambda task: 1 / 3)

    assert left(study) == []
    stricter = replace(study, rule=SeedRule(3, 11))  # share 9/121, level .0037
    assert left(stricter) == []
    strictest = replace(study, rule=SeedRule(3, 12))  # share 1/16, level .0031
    assert left(strictest) == [("spiral", "activation=tanh")]


def test_the_contrasts_of_one_task_are_a_family(tmp_path):
    """The same p = .0033 for two contrasts and four: .25 * .05 / 4 is below it."""
    for levels, resolves in ((["tanh", "elu"], True), (["tanh", "elu", "gelu", "selu"], False)):
        changes = {"factors.activation": ["relu", *levels], "study.seeds": {**RULE, "min": 3}}
        study = replace(small_study(tmp_path, changes), rule=SeedRule(3, 6))
        rows = final_rows({"relu": [0.0] * 3} | {key: [0.9, 1.0, 1.1] for key in levels})
        left = open_contrasts(study, rows, lambda task: 1 / 3)
        assert left == ([] if resolves else [("spiral", f"activation={x}") for x in levels])


def test_the_words_of_the_report_are_those_that_end_the_study():
    """What is resolved here, the report calls raised or lowered at the same share."""
    rng = np.random.default_rng(3)
    m, n = 60, 8
    control = rng.normal(size=(1, n)).repeat(m, axis=0)
    treated = control + rng.normal(rng.normal(0, 3, size=(m, 1)), 1, size=(m, n))
    for share in (1.0, 1 / 3, 1 / 36):
        named = pd.DataFrame({"label": [str(row) for row in range(m)]})
        words = contrast_frame(named, treated, control, share=share)["word"]
        done = resolved(treated - control, ALPHA * share / m)
        assert 3 < done.sum() < m - 3
        np.testing.assert_array_equal(words.isin([RAISES, LOWERS]), done)


# Calibration: 4,000 studies of up to 30 seeds, looked at after 5, 10, 20 and 30

STUDIES = 4000


def looked_at(effects, rule, *, seed, level=None):
    """Which contrasts of simulated studies each look resolves, (looks, studies, m).

    Contrasts of a study share its baseline, as contrasts do.

    Args:
        effects: mean differences in deviations of the paired difference, (m,).
        level: of every contrast at every look; by the rule if None.
    """
    rng, m = np.random.default_rng(seed), len(effects)
    scores = rng.normal(size=(STUDIES, m + 1, rule.maximum)) / np.sqrt(2)
    difference = scores[:, 1:] - scores[:, :1] + np.array(effects)[:, None]
    found = []
    for seeds, share in zip(rule.looks, rule.shares, strict=True):
        part = difference[..., :seeds].reshape(-1, seeds)
        at = ALPHA * share / m if level is None else level
        found.append(resolved(part, at).reshape(STUDIES, m))
    return np.array(found)


def at_the_end(found):
    """What each study says when it stops: at the first look that resolves all, else the last."""
    done = found.all(axis=2)
    last = np.where(done.any(axis=0), done.argmax(axis=0), len(found) - 1)
    return found[last, np.arange(found.shape[1])], last


@pytest.mark.parametrize(
    "effects",
    [[0.0], [0.0] * 4, [0.0] * 18, [0.0, 3.0, 3.0, 3.0], [0.0] * 3 + [3.0]],
    ids=["one", "four", "eighteen", "one null of four", "three nulls of four"],
)
def test_at_most_five_percent_of_studies_call_a_difference_that_is_not_there(effects):
    rule, null = SeedRule(5, 30), np.array(effects) == 0
    found = looked_at(effects, rule, seed=11)
    said, _ = at_the_end(found)
    assert said[:, null].any(axis=1).mean() <= 0.055
    # Not even to whoever reads every look and believes the most exciting one:
    assert found[..., null].any(axis=(0, 2)).mean() <= 0.055


def test_looking_as_often_without_paying_errs_in_more_than_a_tenth_of_the_studies():
    found = looked_at([0.0], SeedRule(5, 30), seed=11, level=ALPHA)
    assert at_the_end(found)[0].mean() > 0.1


@pytest.mark.parametrize(
    ("effect", "m", "most_lost", "seeds"),
    [(0.55, 1, 0.08, 26), (0.8, 1, 0.03, 21), (0.8, 10, 0.07, 26), (2.0, 10, 0.005, 14)],
)
def test_what_looking_early_costs_and_saves(effect, m, most_lost, seeds):
    """Power of one contrast against 30 seeds looked at once, and the seeds used on average."""
    rule = SeedRule(5, 30)
    power, fixed, used = [], [], []
    rng = np.random.default_rng(5)
    difference = rng.normal(effect, 1, size=(STUDIES, rule.maximum))
    found = np.array(
        [
            resolved(difference[:, :n], ALPHA * share / m)
            for n, share in zip(rule.looks, rule.shares, strict=True)
        ]
    )[..., None]
    said, last = at_the_end(found)
    power, used = said.mean(), np.array(rule.looks)[last].mean()
    fixed = resolved(difference, ALPHA / m).mean()
    assert fixed - most_lost <= power <= fixed
    assert used <= seeds


def test_an_equality_that_does_not_hold_is_called_in_at_most_five_percent():
    """The true difference lies on the margin itself."""
    rule, margin, rng = SeedRule(5, 30), 0.5, np.random.default_rng(13)
    difference = rng.normal(margin, 1, size=(STUDIES, rule.maximum))
    inside = np.zeros(STUDIES, bool)
    for seeds, share in zip(rule.looks, rule.shares, strict=True):
        part = difference[:, :seeds]
        apart = resolved(part, ALPHA * share)
        inside |= resolved(part, ALPHA * share, equal_within=margin) & ~apart
    assert inside.mean() <= 0.055


# Runs

EARLY = {"min": 4, "max": 9, "stop": "resolved", "equal_within": 10.0}  # no accuracy differs so
LATE = {"min": 2, "max": 9, "stop": "resolved", "equal_within": 1e-9}
SETTINGS = {"study.tasks": ["spiral", "line"], "nuisance.learning_rate": [0.01]}


@pytest.fixture
def go(tmp_path):
    """Run the small study with these seeds in a folder of results."""

    def go_(seeds, *, results="results", **settings):
        study = small_study(tmp_path / "studies", {**SETTINGS, "study.seeds": seeds})
        return run([study], Settings(tmp_path / results, quiet=True, **settings))

    return go_


def study_json(folder):
    return json.loads((folder / "tiny" / "study.json").read_text())


@pytest.mark.parametrize(("rule", "seeds", "share"), [(EARLY, 4, 16 / 81), (LATE, 9, 65 / 81)])
def test_a_study_that_ended_is_the_one_with_so_many_seeds(go, tmp_path, rule, seeds, share):
    """Not a byte of its results depends on how its number of seeds was found."""
    done, fixed = go(rule), go(seeds, results="fixed")
    assert str(done) == str(fixed) == f"{4 * seeds} trials: {4 * seeds} finished"
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "fixed" / "tiny")
    ours, theirs = study_json(tmp_path / "results"), study_json(tmp_path / "fixed")
    told = ours.pop("sequential")
    assert ours == theirs
    assert ours["seeds"] == seeds
    assert (told["min"], told["max"]) == (rule["min"], 9)
    assert told["looks"][told["shares"].index(told["share"])] == seeds
    assert told["share"] == pytest.approx(share)
    assert folder_differences(tmp_path / "results", tmp_path / "fixed") == []


def test_no_seed_is_trained_twice_on_the_way(go, trained):
    assert go(LATE).complete
    assert len(trained) == 4 * 9
    assert set(trained.values()) == {1}


def test_a_sequential_study_that_is_done_trains_nothing_and_touches_no_file(
    go, tmp_path, monkeypatch
):
    go(LATE)
    before = times(tmp_path / "results")
    monkeypatch.setattr(workers, "train", refuse_to_train)
    monkeypatch.setattr(running, "Here", refuse_to_train)
    assert go(LATE).complete
    assert times(tmp_path / "results") == before


@pytest.mark.parametrize("results", [0, 3, 4, 7, 11])  # of twelve
def test_interrupted_at_any_stack_it_takes_the_same_looks(go, tmp_path, monkeypatch, results):
    go(LATE, results="at once")
    with monkeypatch.context() as patch:
        patch.setattr(running, "Here", lambda *_: Interrupted(results))
        with pytest.raises(KeyboardInterrupt):
            go(LATE)
    assert go(LATE).complete
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "at once" / "tiny")
    assert study_json(tmp_path / "results") == study_json(tmp_path / "at once")


@pytest.mark.slow
def test_two_workers_take_the_looks_that_one_takes(go, tmp_path):
    for count in (1, 2):
        assert go(LATE, results=str(count), workers=count).complete
    one, two = (tmp_path / str(count) for count in (1, 2))
    assert tables(one / "tiny") == tables(two / "tiny")
    assert study_json(one) == study_json(two)


def test_a_budget_may_end_between_two_looks(go, tmp_path, monkeypatch, capsys):
    """What the next look asks for is missing then, and said to be."""
    clock, spent = time.monotonic, []
    further = running._further

    def late(found, studies):
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000)
        spent.append(True)
        return further(found, studies)

    with monkeypatch.context() as patch:
        patch.setattr(running, "_further", late)
        done = go(LATE, budget=500.0)
    monkeypatch.setattr(time, "monotonic", clock)
    assert "the budget is spent" in capsys.readouterr().err
    assert str(done) == "16 trials: 16 missing"
    assert study_json(tmp_path / "results")["seeds"] == 4
    assert go(LATE).complete
    go(LATE, results="at once")
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "at once" / "tiny")


def test_a_look_with_a_failed_trial_is_not_taken(go, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        culprit = "line/activation=tanh/final/seed=1"
        patch.setattr(workers, "train", failing_train({culprit}, ValueError("a bad day")))
        assert str(go(LATE)) == "8 trials: 7 finished, 1 failed"
    assert study_json(tmp_path / "results")["seeds"] == 2
    assert go(LATE).complete


def test_plan_status_and_verify_speak_of_the_look_that_was_reached(go, tmp_path):
    study = small_study(tmp_path / "studies", {**SETTINGS, "study.seeds": LATE})
    results = tmp_path / "results"
    before = plan([study], results, "cpu")
    assert sum(row.trials for row in before.rows) == 8
    assert before.notes == ("tiny: look 1 of 3, 2 of at most 9 seeds; it is not complete",)
    assert before.most_seconds(1) > before.wall_seconds(1)
    go(LATE)
    after = plan([study], results, "cpu")
    assert [row.done for row in after.rows] == [18, 18]
    assert "look 3 of 3, 9 of at most 9 seeds" in render_text(after, 2)
    assert render_text(after, 2).endswith("36 trials, 36 done; nothing to do")
    assert verify([study], results, "cpu", 100) == []
    trials = results / "tiny" / "trials.csv"
    trials.write_text(trials.read_text().replace("finished", "diverged", 1))
    assert len(verify([study], results, "cpu", 0)) == 1


def test_a_longer_rule_goes_on_from_what_is_there(go, trained):
    go(EARLY)
    trained.clear()
    assert go({**LATE, "min": 4}).complete
    assert len(trained) == 4 * 5
    trained.clear()
    assert go({**LATE, "min": 4, "max": 15}).complete
    assert len(trained) == 4 * 6


def test_only_the_studies_that_are_open_go_on(tmp_path, trained):
    studies = [
        small_study(tmp_path / name, {**SETTINGS, "study.seeds": rule, "study.name": name})
        for name, rule in (("early", EARLY), ("late", LATE), ("fixed", 3))
    ]
    done = run(studies, Settings(tmp_path / "results", quiet=True))
    assert str(done) == "64 trials: 64 finished"  # 4 cells of 4, 9 and 3 seeds
