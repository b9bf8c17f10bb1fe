"""The page's scripts, policy and data: numbers are those of the CSV files, names stay inert."""

import base64
import json
import re
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats
from simulated_results import plans, rename, write_results

from report import playground as playground_module
from report import scripts
from report.charts import explore_data
from report.contents import TITLE
from report.document import Interactive, Report
from report.drawing import draw
from report.grids import grid_of
from report.interactive import packed, rounded, sampled_rows, thinned
from report.page import render_html
from report.playground import SHADES, moments_within, playground_data
from report.tables import read_results
from report.vectors import compact

ROOT = Path(__file__).parents[1]
OWN = sorted((ROOT / "report" / "templates").glob("*.js"))
HOSTILE = (
    "</script><script>window.hurt=1</script>",
    "<img src=x onerror=window.hurt=1>",
    "line\u2028separator\u202eknurd",
    "'); window.hurt=1; ('",
    "datum.constructor",
    "${window.hurt=1}",
    "=HYPERLINK(1)",
    "--><!--<script>",
    "x" * 5000,
)


def few(*names):
    return [plan for plan in plans() if plan.name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_results(
        tmp_path_factory.mktemp("page"), studies=few("activation", "crossed"), spoiled=()
    )


@pytest.fixture(scope="module")
def studies(folder):
    return read_results(folder).studies


@pytest.fixture(scope="module")
def explore(studies):
    return explore_data(studies)


@pytest.fixture(scope="module")
def playground(studies):
    return playground_data(studies)


def unpacked(text):
    return json.loads(zlib.decompress(base64.b64decode(text)))


def task_of(explore, study, task):
    [found] = [s for s in explore["studies"] if s["name"] == study]
    return next(t for t in found["tasks"] if t["name"] == task)


def finals(folder, study, task):
    trials = pd.read_csv(folder / study / "trials.csv")
    return trials[(trials["stage"] == "final") & (trials["task"] == task)]


# Numbers


@pytest.mark.parametrize("column", ["test_accuracy", "val_loss"])
def test_the_means_that_can_be_explored_equal_an_independent_recomputation(folder, explore, column):
    task = task_of(explore, "activation", "digits")
    [response] = [r for r in task["responses"] if r["column"] == column]
    trials = finals(folder, "activation", "digits")
    factor = 100 if column == "test_accuracy" else 1
    for place, cell in enumerate(task["cells"]):
        own = factor * trials.loc[trials["activation"] == cell["label"], column]
        expected = stats.t.interval(0.95, len(own) - 1, own.mean(), stats.sem(own))
        told = [response[name][place] for name in ("value", "low", "high")]
        np.testing.assert_allclose(told, [own.mean(), *expected], rtol=1e-5)  # six digits
        assert response["n"][place] == len(own)


def test_a_diverged_trial_counts_as_the_worst_of_its_task(folder, studies):
    study = next(s for s in studies if s.study["name"] == "activation")
    own = finals(folder, "activation", "digits")
    lost = own.index[own["activation"] == "tanh"][0]
    trials = study.trials.copy()
    trials.loc[lost, "status"] = "diverged"
    trials.loc[lost, "test_accuracy"] = np.nan
    told = task_of(explore_data([replace(study, trials=trials)]), "activation", "digits")
    place = next(i for i, cell in enumerate(told["cells"]) if cell["label"] == "tanh")
    worst = min(own["test_accuracy"].drop(lost).min(), 0.1)  # 0.1: chance with ten classes
    kept = own.loc[own["activation"] == "tanh", "test_accuracy"].drop(lost)
    assert told["responses"][0]["value"][place] == pytest.approx(
        100 * np.mean([*kept, worst]), rel=1e-5
    )


def test_the_learning_curves_that_can_be_explored_are_means_over_seeds(folder, explore):
    task = task_of(explore, "activation", "spiral")
    curve = task["curves"][0]
    assert curve["column"] == "val_accuracy"
    trials = finals(folder, "activation", "spiral")
    rows = pd.read_csv(folder / "activation" / "curves.csv").merge(trials, on="trial")
    for place, cell in enumerate(task["cells"]):
        own = rows[rows["activation"] == cell["label"]].groupby("step")["val_accuracy_x"].mean()
        np.testing.assert_allclose(
            np.array(curve["value"][place], float), 100 * own[curve["steps"]], rtol=1e-3
        )


def test_the_playground_shows_the_pictures_of_the_results_folder(folder, playground):
    [wall] = [w for w in playground["walls"] if (w["study"], w["task"]) == ("activation", "spiral")]
    pictures = pd.read_csv(folder / "activation" / "pictures.csv").set_index(["trial", "step"])
    trials = finals(folder, "activation", "spiral").set_index("activation")["trial"]
    content = np.frombuffer(zlib.decompress(base64.b64decode(wall["pictures"])), np.uint8)
    content = content.reshape(-1, *wall["shape"])
    for cell, frames in zip(wall["cells"], wall["frames"], strict=True):
        candidates = {t for t in trials[cell["label"]] if (t, wall["steps"][0]) in pictures.index}
        [trial] = candidates
        for step, frame in zip(wall["steps"], frames, strict=True):
            raw = base64.b64decode(pictures.loc[(trial, step), "values"])
            values = np.frombuffer(raw, np.uint8).reshape(wall["shape"])
            winner = np.minimum(values // 85, 2)
            np.testing.assert_array_equal(content[frame] // SHADES, winner)
            shade = (values - 85 * winner) / 85
            assert np.abs(content[frame] % SHADES / SHADES - shade).max() <= 1 / SHADES


def test_a_fitted_curve_keeps_every_byte(folder, playground):
    [wall] = [w for w in playground["walls"] if (w["study"], w["task"]) == ("activation", "wave")]
    content = np.frombuffer(zlib.decompress(base64.b64decode(wall["pictures"])), np.uint8)
    told = {bytes(np.cumsum(row, dtype=np.uint8)) for row in content.reshape(-1, 192)}
    pictures = pd.read_csv(folder / "activation" / "pictures.csv")
    values = pictures.loc[pictures["kind"] == "curve", "values"]
    assert told == {base64.b64decode(text) for text in values}


def test_the_numbers_beside_a_picture_are_those_of_its_own_network(folder, playground):
    [wall] = [w for w in playground["walls"] if (w["study"], w["task"]) == ("activation", "digits")]
    trials = finals(folder, "activation", "digits")
    for cell in wall["cells"]:
        own = trials[(trials["activation"] == cell["label"]) & (trials["seed"] == cell["seed"])]
        assert cell["reached"] == pytest.approx(100 * own["test_accuracy"].item(), rel=1e-5)


# What is left out, and by which rule


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (1000, 7)])
def test_thinned_moments_keep_the_first_and_the_last(count, most):
    moments = list(range(0, 10 * count, 10))
    kept = thinned(moments[::-1], most)
    assert len(kept) == min(count, most)
    assert set(kept) <= set(moments)
    assert (kept[0], kept[-1]) == (moments[0], moments[-1])
    gaps = np.diff(kept)
    assert not len(gaps) or gaps.max() <= 2 * gaps.min()


def test_of_many_cells_the_baseline_the_best_and_the_worst_are_kept(studies):
    grid = grid_of(next(s for s in studies if s.study["name"] == "crossed"), "spiral")
    mean = np.random.default_rng(3).permutation(len(grid.cells)).astype(float)
    kept = sampled_rows(grid, list(mean), 10)
    assert len(kept) in (9, 10)
    assert {grid.baseline_row, int(mean.argmax()), int(mean.argmin())} <= set(kept)
    ranks = np.sort(mean[[row for row in kept if row != grid.baseline_row]])
    assert np.diff(ranks).max() <= 2 * len(mean) / 8


@pytest.mark.parametrize(
    ("walls", "most", "moments"),
    [([(10, 12)], 120, 12), ([(10, 12)], 119, 11), ([(100, 12), (5, 3)], 20, 3), ([], 9, 12)],
)
def test_moments_are_as_many_as_the_budget_of_pictures_allows(walls, most, moments):
    assert moments_within(walls, most) == moments


def test_a_wall_over_budget_has_fewer_moments_and_says_how_many_cells_there_are(
    studies, monkeypatch
):
    monkeypatch.setattr(playground_module, "MOST_PICTURES", 1)
    monkeypatch.setattr(playground_module, "FEWEST_MOMENTS", 2)
    monkeypatch.setattr(playground_module, "MOST_TILES", 5)
    for wall in playground_data(studies)["walls"]:
        assert len(wall["steps"]) <= 2
        assert len(wall["cells"]) <= 5 < wall["all_cells"]


def test_a_moment_after_the_last_picture_shows_the_last_picture(studies, playground):
    study = next(s for s in studies if s.study["name"] == "activation")
    stopped = study.pictures["trial"] == study.pictures["trial"].iloc[0]
    late = study.pictures["step"] == study.pictures["step"].max()
    [wall, *_] = playground_data([replace(study, pictures=study.pictures[~(stopped & late)])])[
        "walls"
    ]
    assert any(frames[-1] == frames[-2] for frames in wall["frames"])
    assert all(frame >= 0 for frames in wall["frames"] for frame in frames)


# Nothing acts


def report_of(interactive):
    return Report(
        title=TITLE, notices=(), subtitle="", facts=(), findings=(), interactive=interactive
    )


def test_numbers_that_are_not_finite_are_null():
    assert rounded([np.nan, np.inf, -np.inf, -0.0, 1 / 3]) == [None, None, None, 0.0, 0.333333]


def test_packed_data_cannot_leave_their_element_and_come_back_whole():
    data = {"name": list(HOSTILE), "value": [1.5, None]}
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", packed(data))
    assert unpacked(packed(data)) == data


def test_hostile_names_reach_the_page_as_short_visible_text(tmp_path):
    [plan] = few("activation")
    levels = dict(zip(plan.factors["activation"], HOSTILE, strict=True))
    folder = write_results(
        tmp_path,
        studies=[replace(rename(plan, levels.__getitem__), name="<img src=x>")],
        spoiled=(),
    )
    studies = read_results(folder).studies
    for data in (explore_data(studies), playground_data(studies)):
        text = json.dumps(data, ensure_ascii=False)
        assert not re.search("[\u2028\u202e\x00-\x1f]", text)
        assert "line\\\\u2028separator" in text
        labels = [name for name in strings(data) if len(name) > 400]
        assert all(re.fullmatch(r"[A-Za-z0-9+/=]+", name) for name in labels), "pictures only"
    html = render_html(
        report_of(Interactive(explore=explore_data(studies), playground=playground_data(studies)))
    )
    assert "hurt" not in html
    assert html.count("</script>") == html.count("<script") == 4


def strings(data):
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from strings(value)
    elif isinstance(data, list):
        for value in data:
            yield from strings(value)


def test_our_scripts_never_turn_text_into_code_or_markup_and_load_nothing():
    assert {path.stem for path in OWN} == set(scripts.OWN)
    for path in OWN:
        text = path.read_text("utf-8")
        assert text.startswith("// "), f"{path.name} says first what it does"
        assert not re.search(
            r"\beval\b(?!\.)|new Function|innerHTML|outerHTML|insertAdjacent|document\.write"
            r"|fetch\(|XMLHttp|WebSocket|EventSource|import\(|sendBeacon|setAttribute\(.style",
            re.sub(r"//.*", "", text),
        ), path.name
        assert max(map(len, text.splitlines())) <= 140, f"{path.name} is for people to read"
        assert text.count("\n") <= 320, f"{path.name} is too long"


@pytest.mark.parametrize("bad", ["x = '</script>'", "x = '</SCRIPT >'", "a <!-- b"])
def test_a_script_that_would_end_its_element_is_refused(bad):
    with pytest.raises(ValueError, match="would end it"):
        scripts._inlined(bad)


def test_a_policy_without_scripts_lets_none_run():
    assert "script-src 'none'" in scripts.policy(["a{}"], [])


def test_without_the_charts_library_the_page_has_no_charts_and_all_else(studies, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    scripts.chart_script.cache_clear()
    data = Interactive(explore=explore_data(studies), playground=playground_data(studies))
    html = render_html(report_of(data))
    scripts.chart_script.cache_clear()
    assert 'id="explore"' not in html
    assert 'id="playground"' in html


# Smaller drawings


def test_a_compact_drawing_has_the_same_marks_in_the_same_places():
    figure = Figure(figsize=(4, 3))
    ax = figure.subplots()
    ax.plot(np.linspace(0, 1, 400), np.random.default_rng(1).normal(size=400), label="a & b")
    ax.scatter([0.2, 0.4], [1, 2])
    ax.legend()
    drawing = draw(figure, "one-long-name")

    small = compact(drawing.svg, "v1")

    before, after = ET.fromstring(drawing.svg), ET.fromstring(small)
    assert len(small) < 0.9 * len(drawing.svg)
    for tag in ("path", "use", "text", "image"):
        assert len(list(before.iter(tag))) == len(list(after.iter(tag)))
    assert [e.text for e in before.iter("text")] == [e.text for e in after.iter("text")]
    numbers = [
        [
            float(n)
            for path in root.iter("path")
            for n in re.findall(r"-?\d+\.?\d*", path.get("d", ""))
        ]
        for root in (before, after)
    ]
    np.testing.assert_allclose(*numbers, atol=0.051)  # a tenth of a point
    ids = [e.get("id") for e in after.iter() if e.get("id")]
    assert all(re.fullmatch("v1-[0-9a-f]+", name) for name in ids)
    links = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', small)
    assert {one or other for one, other in links} == set(ids)


def test_groups_keep_what_they_say():
    svg = '<svg><g><g opacity="0.5"><path d="M 1.000 2.000 L 3.004 4.000" /></g></g></svg>'
    assert compact(svg, "v") == '<svg><g opacity="0.5"><path d="M1 2L3 4" /></g></svg>'
