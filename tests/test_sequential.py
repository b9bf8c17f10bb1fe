"""A study that looked early speaks at the level of its look, in every word and interval."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from test_claims import BEATS, judged
from test_effects import ONE, TWO, study
from test_studyfile import small_study

from ablations.running import Settings, run
from report import effects
from report.document import Text
from report.factors import anova, main_effects
from report.leads import ranking_of
from report.methods import methods_section
from report.schema import TableError
from report.sequential import at_share, share_of
from report.sequential_words import sequential_note
from report.study_section import study_blocks
from report.tables import read_results
from report.verdicts import decide
from report.views import view_of

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
        "Seeds were added look by look until every contrast is resolved (look 2 of 4, 10 of at "
        "most 30 seeds). They are, on spiral: 1 apart from the baseline and 1 within ±0.02 of it, "
        "of 2 contrasts. Looking early is paid for: this look may spend 0.083 of the error of 5%, "
        "in every interval of a difference from the baseline, every adjusted p and every claim."
    )
    assert any(isinstance(block, Text) and note in block.paragraphs for block in blocks)
    open_, _ = note_of(sequential(study(scores, ONE), equal_within=None))
    assert "1 apart from the baseline and 1 open, of 2 contrasts" in open_
    results.study.pop("sequential")
    assert note_of(results)[0] == ""


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
