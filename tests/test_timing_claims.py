"""Claims about cost: planted ratios, scipy's order statistics, and what a machine cannot tell."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_effects import study
from test_throughput import samples

from report.claim_words import numbers_of, particulars, refutation
from report.claims import judge
from report.throughput import each_iteration
from report.timing_claims import ratio_of, ratios_of

LEVELS = {"activation": ("relu", "tanh", "sigmoid")}
QUIET = {"processor": "quiet"}  # notes without a flag: nothing else kept the machine busy


def timed(*claims, tanh=1.5e-3, again=1e-3, n=30, notes=QUIET, more=()):
    """One study on spiral whose baseline takes 1 ms; sigmoid takes as long to 1%."""
    rows = samples("spiral/baseline", 1e-3, n=n) + samples("spiral/baseline (again)", again, n=n)
    rows += samples("spiral/activation=tanh", tanh, activation="tanh", n=n)
    rows += samples("spiral/activation=sigmoid", 1.005e-3, activation="sigmoid", n=n)
    rows = [*more, *rows]
    results = study(np.full((3, 3), 0.5), LEVELS)
    results.study["claims"] = [{"statement": "s", "table": "timings", **claim} for claim in claims]
    return replace(results, timings=pd.DataFrame(rows), timing_notes=notes)


def cheaper(better, worse, **rest):
    return {"better": {"activation": better}, "worse": {"activation": worse}, **rest}


def verdicts(*claims, **rest):
    return [judgement.verdict for judgement in judge(timed(*claims, **rest))]


def test_a_faster_level_is_supported_and_a_slower_one_contradicted():
    """tanh takes 1.5 times as long: relu saves a third of its time."""
    assert verdicts(cheaper("relu", "tanh")) == ["supported"]
    assert verdicts(cheaper("tanh", "relu")) == ["contradicted"]
    assert verdicts(cheaper("relu", "tanh", by=0.3)) == ["supported"]
    assert verdicts(cheaper("relu", "tanh", by=0.34)) == ["unresolved"]
    assert verdicts(cheaper("relu", "tanh", by=0.5)) == ["contradicted"]


def test_what_the_machine_cannot_tell_is_no_support():
    """Two percent slower with intervals of one: real, but less than 5%, or 10% when busy."""
    assert verdicts(cheaper("relu", "tanh"), tanh=1.03e-3) == ["unresolved"]
    assert verdicts(cheaper("relu", "tanh"), tanh=1.08e-3) == ["supported"]
    assert verdicts(cheaper("relu", "tanh"), tanh=1.08e-3, notes={}) == ["unresolved"]
    assert verdicts(cheaper("relu", "tanh"), tanh=1.08e-3, again=1.2e-3) == ["unresolved"]


def test_equality_is_judged_by_the_whole_interval():
    assert verdicts(cheaper("relu", "sigmoid", equal_within=0.05)) == ["supported"]
    assert verdicts(cheaper("relu", "sigmoid", equal_within=0.001)) == ["unresolved"]
    assert verdicts(cheaper("relu", "tanh", equal_within=0.05)) == ["contradicted"]


def test_the_ratio_is_the_median_over_rounds_with_order_statistics():
    """Pairs of the same process and round; ranks 10 and 21 of 30 (METHODS T10)."""
    group = each_iteration(timed().timings)
    found = ratio_of(ratios_of(group, "spiral/baseline", "spiral/activation=tanh"))
    each = group.pivot_table(index=["process", "round"], columns="workload", values="each")
    ratios = np.sort(each["spiral/baseline"] / each["spiral/activation=tanh"])
    assert found.n == 30
    assert found.value == pytest.approx(stats.gmean(ratios[14:16]), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((ratios[9], ratios[20]), rel=1e-12)


def test_a_family_of_claims_on_one_mode_widens_the_interval():
    one = judge(timed(cheaper("relu", "tanh")))[0].decision.estimate
    two = judge(timed(cheaper("relu", "tanh"), cheaper("relu", "sigmoid")))[0].decision.estimate
    assert (one.interval, two.interval) == ("95% order statistics", "97.5% order statistics")
    assert two.high - two.low > one.high - one.low


def test_another_way_to_run_the_baseline_is_no_level():
    """The baseline on two threads has the baseline's levels, and is not compared in its place."""
    slow = samples("spiral/threads=2", 9e-3, threads=2)
    assert verdicts(cheaper("relu", "tanh"), more=slow) == ["supported"]


def test_a_mode_may_be_named():
    rows = samples("spiral/baseline", 1e-3, mode="inference")
    rows += samples("spiral/baseline (again)", 1e-3, mode="inference")
    rows += samples("spiral/activation=tanh", 9e-4, mode="inference", activation="tanh")
    claims = [cheaper("relu", "tanh"), cheaper("relu", "tanh", response="inference")]
    assert verdicts(*claims, more=rows) == ["supported", "contradicted"]


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (cheaper("relu", "tanh", response="infrence"), "unknown mode 'infrence'; timings.csv has"),
        (cheaper("relu", "relu"), "both sides are the same workload, spiral/baseline"),
        (cheaper("relu", "gelu"), "'gelu' is not a level of activation"),
        ({"better": {"activaton": "relu"}, "worse": {}}, "unknown factor 'activaton'"),
        ({"better": {"width": "64"}, "worse": {}}, "'64' is not a level of width"),
        ({"better": 1, "worse": {}}, "better must name levels of factors, got 1"),
        ({"trend": {"factor": "depth", "direction": "rises"}}, "needs better and worse, not trend"),
        (cheaper("relu", "tanh", by=1.0), "nothing takes 1.0 less time"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_untested_and_says_why(claim, reason):
    (judgement,) = judge(timed(claim))
    assert judgement.verdict == "untested"
    assert reason in judgement.decision.reason


def test_five_pairs_have_no_interval_and_no_verdict():
    (judgement,) = judge(timed(cheaper("relu", "tanh"), n=5))
    assert judgement.verdict == "unresolved"
    assert "5 pairs of samples are too few for an interval" in judgement.decision.reason
    assert "no interval can be computed from n = 5 pairs of samples" in numbers_of(judgement)


def test_a_claim_on_cost_reads_as_one_sentence():
    (judgement,) = judge(timed(cheaper("relu", "tanh", by=0.1)))
    said = numbers_of(judgement)
    assert said.startswith("On spiral, the training step with relu takes 0.66")
    assert said.endswith("n = 30 pairs of samples); claimed: less than 0.9 times.")
    assert "95% order statistics interval 0.66" in said
    told = particulars(judgement)
    assert told.startswith("Medians: relu (1")
    assert "Nearer to 1 than 5% is not told from this machine's own differences." in told
    assert refutation(judgement) == "a ratio of the two times whose interval lies above 0.95"


def test_two_that_take_the_same_time_are_said_to():
    (judgement,) = judge(timed(cheaper("relu", "sigmoid")))
    assert judgement.verdict == "unresolved"
    assert "As far as this machine can tell the two take the same time." in particulars(judgement)
