"""The claims on trial as the page shows them, every number computed again from the CSV files."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from math import log10

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_claims import BEATS, HOSTILE, ONE, judged
from test_effects import study
from test_timing_claims import cheaper, timed

from report.claim_marks import tick_text, ticks
from report.claim_pictures import pictures_of
from report.claim_words import numbers_of, particulars, refutation
from report.claims import judge
from report.claims_section import claims_section, open_sentences
from report.document import Ballot, Report, Trial
from report.markdown import render_markdown
from report.page import render_html
from report.plain_levels import plain_level

WIDTHS = {"width": ("32", "4", "8")}
SCORES = np.array([
    [0.91, 0.93, 0.90, 0.94, 0.92, 0.95],
    [0.52, 0.50, 0.55, 0.51, 0.57, 0.49],
    [0.70, 0.71, 0.74, 0.69, 0.73, 0.72],
])  # fmt: skip
RESPONSES = {  # name in sentences, factor from the CSV, unit, more, less
    "test_accuracy": ("test accuracy", 100, " percentage points", "higher", "lower"),
    "train_loss": ("training loss", 1, "", "higher", "lower"),
    "curve_area": ("the mean loss along the learning curve", 1, "", "higher", "lower"),
    "curve_noise": ("the unevenness of the learning curve", 1, "", "larger", "smaller"),
    "gap": ("the gap between training and test", 1, "", "larger", "smaller"),
    "first_gradient": (
        "the gradient of the first layer at the start",
        1,
        " powers of ten",
        "larger",
        "smaller",
    ),
    "sparsity": ("the share of weights near zero", 100, " percentage points", "larger", "smaller"),
    "bias": ("the squared bias", 1, "", "larger", "smaller"),
    "variance": ("the variance between seeds", 1, "", "larger", "smaller"),
}
LESS_IS_BETTER = {"train_loss", "curve_area", "curve_noise", "gap", "bias", "variance"}


def with_response(scores, response, levels=ONE):
    """A study whose final trials have these values in a column, whatever its task's response."""
    results = study(scores, levels)
    return replace(
        results, trials=results.trials.assign(**{response: results.trials["test_accuracy"]})
    )


def table_of(results, response):
    """Final trials as cells by seeds, by pandas."""
    final = results.trials[results.trials["stage"] == "final"]
    [factor] = [f["name"] for f in results.study["factors"]]
    return final.pivot_table(index=factor, columns="seed", values=response, observed=True)


def numbers_in(text):
    return [float(x.replace("−", "-")) for x in re.findall(r"[+−]?\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("turned", [False, True])
def test_a_difference_is_better_minus_worse_by_scipy(response, turned):
    """Estimate and interval of the response itself, told as more or less of it."""
    results = with_response(SCORES[:2][::-1] if turned else SCORES[:2], response)
    [judgement] = judged(results, {**BEATS, "response": response, "by": 0.01})
    name, factor, unit, more, less = RESPONSES[response]
    table = factor * table_of(results, response)
    difference = table.loc["relu"] - table.loc["identity"]
    size, word = abs(difference), more if difference.mean() > 0 else less
    interval = stats.ttest_1samp(size, 0).confidence_interval(0.95)
    said = numbers_of(judgement)
    told = re.fullmatch(
        rf"On spiral, {name} is ([\d.]+){unit} {word} with relu than with identity"
        r"(?:, a factor of ([\d.,]+))? \(95% t interval ([\d.]+) to ([\d.]+), "
        r"n = 6 seeds\); claimed: .*",
        said,
    )
    assert told, said
    expected = (size.mean(), interval.low, interval.high)
    for shown, value in zip((told[1], told[3], told[4]), expected, strict=True):
        digits = len(shown.partition(".")[2])
        assert float(shown) == pytest.approx(value, abs=0.5001 * 10**-digits)
    if unit == " powers of ten":
        assert log10(float(told[2].replace(",", ""))) == pytest.approx(size.mean(), abs=0.03)
    wanted = less if response in LESS_IS_BETTER else more
    assert f"claimed: more than {factor * 0.01:.10g}" in said
    assert said.endswith(f" {wanted}.")
    assert judgement.verdict == ("supported" if word == wanted else "contradicted")


@pytest.mark.parametrize("direction", ["rises", "falls"])
@pytest.mark.parametrize("response", ["test_r2", "gap", "variance"])
def test_a_trend_is_the_slope_of_each_seed_by_numpy(response, direction):
    results = with_response(SCORES[[2, 0, 1]], response, WIDTHS)
    claim = {"statement": "s", "response": response}
    [judgement] = judged(results, {**claim, "trend": {"factor": "width", "direction": direction}})
    table = table_of(results, response).loc[["4", "8", "32"]]
    slopes = np.polyfit([0, 1, 2], table.to_numpy(), 1)[0]
    assert slopes.mean() < 0, "so that the sentence has a size to tell"
    interval = stats.ttest_1samp(-slopes, 0).confidence_interval(0.95)
    falls, rises = ("falls", "rises") if response == "test_r2" else ("shrinks", "grows")
    said = numbers_of(judgement)
    told = re.search(
        rf" {falls} by ([\d.]+) from level to level of width 4, 8, 32 "
        r"\(95% t interval ([\d.]+) to ([\d.]+), n = 6 seeds\); claimed: it (\w+)\.$",
        said,
    )
    assert told, said
    for shown, value in zip(told.groups(), (-slopes.mean(), *interval), strict=False):
        digits = len(shown.partition(".")[2])
        assert float(shown) == pytest.approx(value, abs=0.5001 * 10**-digits)
    assert told[4] == {"falls": falls, "rises": rises}[direction]
    assert judgement.verdict == {"falls": "supported", "rises": "contradicted"}[direction]


def test_means_are_those_of_pandas():
    results = with_response(SCORES[:2], "gap")
    [judgement] = judged(results, {**BEATS, "response": "gap"})
    shown = re.search(r"Means: relu \(([\d.]+)\), identity \(([\d.]+)\)\.", particulars(judgement))
    means = table_of(results, "gap").mean(axis=1)
    assert [float(x) for x in shown.groups()] == pytest.approx(
        [means["relu"], means["identity"]], abs=0.01
    )


@pytest.mark.parametrize(
    ("claim", "response", "said"),
    [
        ({"by": 0.1}, "gap", "the gap between training and test being less than 0.1 smaller with "
         "relu than with identity"),
        ({}, "curve_noise", "the unevenness of the learning curve not being smaller with relu "
         "than with identity"),
        ({"equal_within": 0.02}, "test_accuracy", "test accuracy differing by more than 2 "
         "percentage points between relu and identity"),
    ],
)  # fmt: skip
def test_what_would_have_contradicted_a_claim_is_derived_from_its_margin(claim, response, said):
    results = with_response(SCORES[:2], response)
    [judgement] = judged(results, {**BEATS, **claim, "response": response})
    assert refutation(judgement) == said


# The page


class Shown(HTMLParser):
    """The articles of a page with their ids, the links, and every tag that stands in it."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.links, self.tags, self.attributes = [], [], set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given_ = dict(attrs)
        self.tags.add(tag)
        self.attributes |= set(given_)
        if "id" in given_:
            self.ids.append(given_["id"])
        if tag == "a":
            self.links.append(given_["href"])


def page_of(*results):
    section, findings = claims_section(results)
    return Report(
        title="t", notices=(), subtitle="", facts=(), findings=tuple(findings), sections=(section,)
    )


def test_the_contents_lead_to_every_claim_by_family():
    claims = [{**BEATS, "id": name, "task": "spiral"} for name in ("C10", "C2b", "C2a", "")]
    results = study(SCORES[:2], ONE)
    results.study["claims"] = claims
    section, _ = claims_section([results])
    [ballot] = [block for block in section.blocks if isinstance(block, Ballot)]
    names = [(group.name, [t.label for t in group.trials]) for group in ballot.groups]
    assert names == [("C2", ["C2a", "C2b"]), ("C10", ["C10"]), ("made-up", [""])]
    trials = [block for block in section.blocks if isinstance(block, Trial)]
    assert [trial.label for trial in trials] == ["C2a", "C2b", "C10", ""]
    assert [t.after for t in trials] == [*[t.anchor for t in trials[1:]], ""]
    shown = Shown(render_html(page_of(results)))
    assert len(shown.ids) == len(set(shown.ids)), "no id twice"
    inner = {link[1:] for link in shown.links if link.startswith("#")}
    assert inner <= {*shown.ids}, "every link leads somewhere"
    assert {trial.anchor for trial in trials} <= inner


def test_hostile_claims_stay_inert_in_pictures_and_contents():
    hostile = "=<script>alert(1)</script>\"'><img onerror=x> `x` [y](javascript:z) \u202e"
    results = study(SCORES[:2], {"activation": ("relu", hostile)})
    claim = {"statement": hostile, "id": hostile, "because": hostile, "refuted_by": hostile}
    results.study["claims"] = [{**claim, "better": {}, "worse": {"activation": hostile}}]
    results.study["name"] = hostile
    report = page_of(results)
    page = render_html(report)
    shown = Shown(page)
    assert page.count('<svg class="drawing"') == 2
    assert "img" not in shown.tags
    assert not {name for name in shown.attributes if name.startswith("on")}
    for text in (page, render_markdown(report)):
        assert "<script>alert" not in text
        assert "\u202e" not in text
    assert not any("javascript" in link for link in shown.links)


def test_a_verdict_is_told_by_word_and_sign_not_by_colour_alone():
    results = study(SCORES[:2], ONE)
    wrong = {"statement": "t", "better": BEATS["worse"], "worse": BEATS["better"]}
    even = {**BEATS, "by": 0.405}
    results.study["claims"] = [BEATS, wrong, even, {"statement": "u"}]
    page = render_html(page_of(results))
    signs = re.findall(r'<p class="word \w+"><span aria-hidden="true">(.)</span> (\w+)</p>', page)
    assert {word: sign for sign, word in signs} == {
        "supported": "✓",
        "contradicted": "✗",
        "unresolved": "?",
        "untested": "–",
    }


def test_unresolved_claims_say_at_the_top_how_many_seeds_they_need():
    results = study(SCORES[:2], ONE)
    [judgement] = judged(results, {**BEATS, "by": 0.405, "id": "C99"})
    assert judgement.verdict == "unresolved"
    [line] = open_sentences([judgement])
    needed = judgement.decision.seeds_needed
    assert line == (
        f"Unresolved: C99 on spiral (about {needed:,.0f} seeds would decide with power .8, "
        "6 were trained)."
    )


# Pictures


def places(svg, mark):
    """Where the dots of a mark stand, from its path."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke="var\(--' + mark + r'\)"', svg)
    return [
        (float(x), float(y)) for path in paths for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", path)
    ]


def test_every_seed_is_drawn_where_its_value_is():
    """Dots of the left drawing are a straight line of the scores, means are those of pandas."""
    results = study(SCORES[:2], ONE)
    [judgement] = judged(results, {**BEATS, "by": 0.1})
    left, right = pictures_of(judgement)
    dots = places(left, "series-1")
    scores = table_of(results, "test_accuracy").loc[["relu", "identity"]].to_numpy()
    assert len(dots) == scores.size
    fit = stats.linregress(scores.ravel(), [y for _, y in dots])
    assert fit.rvalue == pytest.approx(-1, abs=1e-4)
    seeds = places(right, "series-1")
    difference = scores[0] - scores[1]
    across = stats.linregress(difference, [x for x, _ in seeds])
    assert across.rvalue == pytest.approx(1, abs=1e-4)
    [(middle, _)] = places(right, "series-3")
    assert middle == pytest.approx(across.intercept + across.slope * difference.mean(), abs=0.2)


def test_the_margin_and_what_it_allows_stand_where_they_belong():
    """Less is better for a gap: what is claimed lies left of minus the margin."""
    results = with_response(SCORES[:2][::-1], "gap")
    [judgement] = judged(results, {**BEATS, "response": "gap", "by": 0.1})
    _, right = pictures_of(judgement)
    table = table_of(results, "gap")
    difference = table.loc["relu"] - table.loc["identity"]
    across = stats.linregress(difference, [x for x, _ in places(right, "series-1")])
    box = re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', right)
    edge = float(box[1]) + float(box[2])
    assert edge == pytest.approx(across.intercept - 0.1 * across.slope, abs=0.3)
    assert "relu minus identity" in right


def test_the_ratio_of_times_is_drawn_with_what_the_machine_cannot_tell():
    (judgement,) = judge(timed(cheaper("relu", "tanh", by=0.1)))
    (drawing,) = pictures_of(judgement)
    boxes = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawing)
    assert len(boxes) == 2
    (low, high) = (float(boxes[1][0]), float(boxes[1][0]) + float(boxes[1][1]))
    claimed = float(boxes[0][0]) + float(boxes[0][1])
    scale = (high - low) / (2 * judgement.within)
    assert claimed == pytest.approx((low + high) / 2 - 0.1 * scale, abs=0.5)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1e308, 5e-324]),
        min_size=8,
        max_size=8,
    )
)
def test_any_numbers_can_be_drawn_or_are_left_out(numbers):
    results = with_response(np.array(numbers).reshape(2, 4), "gap")
    for claim in ({}, {"equal_within": 0.1}):
        [judgement] = judged(results, {**BEATS, **claim, "response": "gap"})
        for drawing in pictures_of(judgement):
            assert "nan" not in drawing
            assert "inf" not in drawing
            assert len(drawing) < 10_000


def test_a_picture_is_small():
    scores = np.random.default_rng(0).normal(0.8, 0.1, size=(2, 500)).round(4)
    [judgement] = judged(study(scores, ONE), BEATS)
    assert sum(map(len, pictures_of(judgement))) < 10_000


def test_an_untested_claim_has_no_picture():
    [judgement] = judged(study(SCORES[:2], ONE), {"statement": HOSTILE})
    assert pictures_of(judgement) == ()


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.0, 1.0, ["0", "0.25", "0.5", "0.75", "1"]),
        (-3.2, 3.2, ["−2", "0", "2"]),
        (0.0, 2e-7, ["0", "5.0e−08", "1.0e−07", "1.5e−07", "2.0e−07"]),
    ],
)
def test_ticks_are_round_numbers(low, high, said):
    rungs = ticks(low, high)
    assert [tick_text(rung, rungs) for rung in rungs] == said


# Words


@pytest.mark.parametrize(
    ("factor", "level", "said"),
    [
        ("norm", "batch", "batch norm"),
        ("norm", "none", "no norm"),
        ("residual", "true", "residual connections"),
        ("minibatch", "full", "full batches"),
        ("minibatch", "32", "minibatches of 32"),
        ("minibatch", "1", "single examples"),
        ("schedule", "constant(scale=30.0)", "30 times the rate"),
        ("schedule", "constant(scale=0.1)", "0.1 times the rate"),
        ("regularisation", "dropout(rate=0.3)", "dropout (rate 0.3)"),
        ("network", "sequential(layers=linear 10, linear 10)", "2 × linear 10"),
        ("network", "sequential(layers=linear 64)", "linear 64"),
        ("pooling", "max", "max-pooling"),
        ("depth", "4", "depth 4"),
        ("activation", "leaky_relu", "leaky relu"),
    ],
)
def test_levels_are_spoken(factor, level, said):
    assert plain_level(factor, level) == said


@given(st.sampled_from(["norm", "network", "schedule", "minibatch"]), st.text(max_size=60))
def test_any_level_has_a_name(factor, level):
    assert isinstance(plain_level(factor, level), str)
