"""A study that looked early speaks at the level of its look, in every word and interval."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from test_claims import BEATS, judged
from test_effects import ONE, TWO, study
from test_studyfile import small_study

from ablations.looks import resolved
from ablations.running import Settings, run
from report import effects, estimates
from report.contrast_pictures import forest
from report.crossed_figures import factorial_of
from report.crossed_section import crossed_findings
from report.document import Text
from report.effects import UNRESOLVED
from report.exports import effect_rows
from report.factors import anova, main_effects
from report.leads import ranking_of
from report.methods import methods_section
from report.orders import order_sentence
from report.prose import contrast_sentence
from report.schema import TableError
from report.sequential import at_share, share_of
from report.sequential_words import sequential_note
from report.study_section import study_blocks
from report.tables import read_results
from report.verdicts import decide
from report.views import contrasts_of, view_of

SHARE = 1 / 12
RULE = {"min": 5, "max": 30, "looks": [5, 10, 20, 30], "share": SHARE, "equal_within": 0.02}


@pytest.fixture
def rng():
    return np.random.default_rng(9)


def sequential(results, **changes):
    """The same results of a study that has come to its second look."""
    results.study["sequential"] = {**RULE, **changes}
    results.study["seeds"] = 10
    return results


def scores_of(rng, *shape):
    return 0.5 + 0.05 * rng.normal(size=(*shape, 10)) + 0.1 * rng.random((*shape, 1))


def test_intervals_and_adjusted_p_are_those_of_scipy_and_statsmodels_at_the_share(rng):
    scores = scores_of(rng, 3)
    found = effects.contrasts(sequential(study(scores, ONE)), "spiral")
    level = 0.05 * SHARE / 2
    for row, cell in zip(found.itertuples(), scores[1:], strict=True):
        theirs = stats.ttest_rel(cell, scores[0]).confidence_interval(1 - level)
        assert (row.low, row.high) == pytest.approx((theirs.low, theirs.high), rel=1e-10)
        assert row.interval == f"{100 * (1 - level):.4g}% t"
    p = [stats.ttest_rel(cell, scores[0]).pvalue for cell in scores[1:]]
    holm = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(found["p"], p, rtol=1e-10)
    np.testing.assert_allclose(found["p_holm"], np.minimum(holm / SHARE, 1), rtol=1e-10)


def test_a_word_needs_the_level_of_the_look():
    """t = 5 over ten pairs: p = .0007, below .05/2 but not below a twelfth of a twelfth of it."""
    noise = np.array([1, -1] * 5) * 0.03
    noise *= 0.03 / noise.std(ddof=1)
    scores = np.full((3, 10), 0.5)
    scores[1] += 5 * 0.03 / np.sqrt(10) + noise
    scores[2] += noise[::-1]
    fixed = effects.contrasts(study(scores, ONE), "spiral")
    assert fixed["p"].iloc[0] == pytest.approx(2 * stats.t.sf(5, 9), rel=1e-9)
    assert fixed["word"].tolist() == ["raises", "no detectable effect"]
    here = effects.contrasts(sequential(study(scores, ONE)), "spiral")
    assert here["word"].tolist() == ["raises", "no detectable effect"]
    earlier = effects.contrasts(sequential(study(scores, ONE), share=1 / 144), "spiral")
    assert earlier["word"].tolist() == ["no detectable effect"] * 2
    assert (earlier["low"] < here["low"]).all()
    assert (earlier["detectable"] > here["detectable"]).all()
    assert (here["detectable"] > fixed["detectable"]).all()


def test_effects_of_factors_pay_as_well(rng):
    scores = scores_of(rng, 2, 3)
    fixed, here = study(scores, TWO), sequential(study(scores, TWO))
    for frame in (main_effects, effects.simple_effects):
        cheap, dear = frame(fixed, "spiral"), frame(here, "spiral")
        margin = (dear["high"] - dear["low"]) / (cheap["high"] - cheap["low"])
        m = len(dear)
        expected = stats.t.isf(0.025 * SHARE / m, 9) / stats.t.isf(0.025 / m, 9)
        np.testing.assert_allclose(margin, expected, rtol=1e-9)
        np.testing.assert_allclose(dear["p_holm"], np.minimum(cheap["p_holm"] / SHARE, 1))
    cheap, dear = anova(fixed, "spiral"), anova(here, "spiral")
    np.testing.assert_allclose(dear["p"], np.minimum(cheap["p"] / SHARE, 1), rtol=1e-12)
    np.testing.assert_array_equal(dear["share"], cheap["share"])


def test_claims_and_the_lead_pay_as_well(rng):
    scores = np.array([0.8 + 0.02 * rng.random(10), 0.78 + 0.02 * rng.random(10)])
    factors = {"activation": ("relu", "identity")}
    results = sequential(study(scores, factors))
    (judgement,) = judged(results, BEATS)
    level = 0.05 * SHARE
    interval = stats.ttest_rel(*scores).confidence_interval(1 - level)
    estimate = judgement.decision.estimate
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high))
    lead = ranking_of(view_of(results, results.study["tasks"][0], "s")).lead
    assert lead.interval == f"{100 * (1 - level):.4g}% t"
    assert lead.low == pytest.approx(100 * interval.low)


def test_a_claim_that_a_fixed_number_of_seeds_supports_may_be_open_at_a_look():
    values = np.array([0.1, 0.3, 0.2, 0.15, 0.25])
    assert decide(values, 0.0).verdict == "supported"
    assert decide(values, 0.0, share=SHARE).verdict == "unresolved"
    few = decide(np.full(8, 0.2), 0.1, share=SHARE)  # 2/2^8 is above .05/12
    assert (few.verdict, few.seeds_needed) == ("unresolved", 9)
    assert decide(np.full(9, 0.2), 0.1, share=SHARE).verdict == "supported"


def test_a_p_is_never_above_one_and_one_that_is_missing_stays_so():
    p = np.array([0.01, 0.5, np.nan])
    np.testing.assert_array_equal(at_share(p, 0.125), [0.08, 1, np.nan])
    assert at_share(np.array([0.01]), 1.0) == 0.01


@pytest.mark.parametrize("share", [None, 0, -0.1, 1.5, "half", float("nan"), True, [1]])
def test_a_share_that_is_none_is_refused_with_what_to_do(rng, share):
    results = sequential(study(scores_of(rng, 3), ONE), share=share)
    with pytest.raises(TableError, match=r"made-up: 'sequential' of study.json needs a share"):
        effects.contrasts(results, "spiral")
    results.study["sequential"] = "yes"
    with pytest.raises(TableError, match="run `python -m ablations run` again"):
        share_of(results)


def note_of(results):
    view = view_of(results, results.study["tasks"][0], "s")
    return sequential_note(results, [view]), study_blocks(results, [view], ["Said."])


def test_the_study_says_how_it_ended_and_what_that_cost():
    rng = np.random.default_rng(4)
    scores = np.full((3, 10), 0.5)
    scores[1] += 0.3 + 0.01 * rng.normal(size=10)
    scores[2] += 0.001 * rng.normal(size=10)
    results = sequential(study(scores, ONE))
    note, blocks = note_of(results)
    assert note == (
        "Seeds are added look by look until every contrast is resolved (look 2 of 4, 10 of at "
        "most 30 seeds). At this look, on spiral 1 is apart from the baseline and 1 is practically "
        "equal to it (within ±0.02), of 2 contrasts. Looking early is paid for: this look may "
        "spend 0.083 of the error of 5%, in every interval of a difference from the baseline, "
        "every adjusted p and every claim."
    )
    assert any(isinstance(block, Text) and note in block.paragraphs for block in blocks)
    open_, _ = note_of(sequential(study(scores, ONE), equal_within=None))
    assert "on spiral 1 is apart from the baseline and 1 is open, of 2 contrasts" in open_
    results.study.pop("sequential")
    assert note_of(results)[0] == ""


def test_a_figure_of_contrasts_names_the_level_that_its_look_requires(rng):
    results = study(scores_of(rng, 3), ONE)
    fixed = forest(view_of(results, results.study["tasks"][0], "s"), 3.0).caption
    sequential(results, share=0.12)
    look = forest(view_of(results, results.study["tasks"][0], "s"), 3.0).caption
    assert "Bars are 97.5% t intervals: 95% for the whole family of 2 comparisons" in fixed
    assert "Bars are 99.7% t intervals: 99.4%, as this look requires, for the whole" in look


def test_a_real_run_says_so_in_methods_and_findings(tmp_path):
    rule = {"min": 4, "max": 8, "stop": "resolved", "equal_within": 10.0}
    changes = {"study.seeds": rule, "nuisance.learning_rate": [0.01]}
    run([small_study(tmp_path, changes)], Settings(tmp_path / "results", quiet=True))
    results = read_results(tmp_path / "results")
    (one,) = results.studies
    assert share_of(one) == 0.25
    frame = effects.contrasts(one, "spiral")
    assert frame["interval"].tolist() == ["98.75% t"]
    assert isinstance(frame, pd.DataFrame)
    note, _ = note_of(one)
    assert "look 1 of 2, 4 of at most 8 seeds" in note
    (text,) = methods_section(results).blocks
    assert sum(paragraph.startswith("Sequential seeds.") for paragraph in text.paragraphs) == 1
    one.study.pop("sequential")
    (text,) = methods_section(results).blocks
    assert not any(paragraph.startswith("Sequential seeds.") for paragraph in text.paragraphs)


def test_inside_the_margin_a_contrast_is_practically_equal_and_said_to_be():
    rng = np.random.default_rng(4)
    scores = np.full((3, 10), 0.5)
    scores[1] += 0.004 + 0.001 * rng.normal(size=10)  # inside, and yet clear of zero
    scores[2] += 0.01 * rng.normal(size=10)
    results = sequential(study(scores, ONE))
    found = effects.contrasts(results, "spiral")
    assert found["word"].tolist() == ["raises", "practically equal"]
    assert found["low"].iloc[1] > -0.02
    assert found["high"].iloc[1] < 0.02
    narrow = sequential(study(scores, ONE), equal_within=0.8 * float(found["high"].iloc[1]))
    assert effects.contrasts(narrow, "spiral")["word"].tolist() == ["raises", UNRESOLVED]
    none = sequential(study(scores, ONE), equal_within=None)
    assert effects.contrasts(none, "spiral")["word"].tolist() == ["raises", UNRESOLVED]
    view = view_of(results, results.study["tasks"][0], "s")
    last = contrasts_of(view)[1]
    said = contrast_sentence(last, view.scale, task="spiral", baseline="relu")
    assert said.startswith("On spiral, tanh is practically equal to relu in test accuracy: ")
    assert said.endswith("n = 10 seeds), inside ±2 percentage points.")
    row = next(r for r in effect_rows(results) if r["label"] == "tanh")
    assert row["word"] == "practically equal"


@given(
    st.lists(st.floats(-0.05, 0.05), min_size=10, max_size=10),
    st.sampled_from([0.001, 0.01, 0.03]),
)
@settings(max_examples=8, deadline=None)
def test_the_report_and_the_rule_that_stops_agree_on_every_contrast(values, margin):
    scores = np.array([np.full(10, 0.5), 0.5 + np.array(values)])
    results = sequential(study(scores, {"activation": ("relu", "tanh")}), equal_within=margin)
    word = effects.contrasts(results, "spiral")["word"].iloc[0]
    level = 0.05 * SHARE
    same = estimates.differences(scores[1:], scores[:1])
    done = bool(resolved(same, level, equal_within=margin)[0])
    assert done == (word in ("raises", "lowers", "practically equal", effects.SAME))


def test_what_depends_on_what_is_told_at_the_level_of_the_look():
    rng = np.random.default_rng(2)
    scores = scores_of(rng, 2, 3, 2) / 4
    scores[1, 2] += 0.3
    factors = {**TWO, "optimizer": ("adam", "sgd")}
    told = []
    for results in (study(scores, factors), sequential(study(scores, factors))):
        part = factorial_of(view_of(results, results.study["tasks"][0], "s"))
        told.append(crossed_findings(results, [part])[1].lines[0])
    assert "(95% t intervals, n = 10 seeds)" in told[0]
    assert "(99.58% t intervals, n = 10 seeds)" in told[1]
    pair = scores[1, 2].mean(axis=0), scores[0, 2].mean(axis=0)
    for text, level in zip(told, (0.05, 0.05 * SHARE), strict=True):
        interval = stats.ttest_rel(*pair).confidence_interval(1 - level)
        low, high = (f"+{100 * x:.1f}" for x in (interval.low, interval.high))
        assert f"({low} to {high}) with depth 4" in text


def test_the_order_of_cells_is_told_at_the_level_of_the_look(rng):
    results = sequential(study(scores_of(rng, 3), ONE))
    assert "(99.79% t intervals" in order_sentence(results, results.study["tasks"][0])


def test_the_lead_pays_for_the_choice_among_all_rivals(rng):
    scores = scores_of(rng, 3)
    lead = ranking_of(view_of(results := study(scores, ONE), results.study["tasks"][0], "s")).lead
    assert lead.interval == "97.5% t"  # two rivals


def test_a_factor_that_does_nothing_explains_nothing(rng):
    scores = 0.5 + 0.01 * rng.normal(size=(2, 3, 2, 6))
    scores[1] += 0.2
    results = study(scores, {**TWO, "optimizer": ("adam", "sgd")})
    part = factorial_of(view_of(results, results.study["tasks"][0], "s"))
    said = crossed_findings(results, [part])[0].lines[0].partition(";")[0]
    assert "activation explains" in said
    assert "optimizer" not in said
    assert "depth" not in said
