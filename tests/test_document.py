"""The report end to end: its numbers are those of the CSV files, and nothing in it can act."""

import ast
import base64
import csv
import hashlib
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats
from simulated_results import plans, rename, write_results

from report.__main__ import default_folder, main
from report.contents import ranked
from report.document import Finding
from report.escaping import html_attribute, markdown, visible
from report.page import write_whole
from report.throughput import relative_times

ROOT = Path(__file__).parents[1]
PARTS = ("playground", "explore")  # of the page, that have data of their own
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b|c",
    "`tick` ```",
    "[x](javascript:alert(1))",
    "\u202egnp.exe",
    "=1+1",
    "$x^2$ &amp; http://example.com @someone",
    "../../x",
)


def small_plans():
    """The five studies with fewer tasks, so that a report takes seconds."""
    tasks = {
        "activation": ("spiral", "digits"),
        "optimizer": ("wave",),
        "depth-width": ("spiral",),
        "regularisation": ("diabetes",),
        "crossed": ("spiral",),
    }
    return [replace(plan, tasks=tasks[plan.name]) for plan in plans()]


MEASURED: list[tuple[str, bool]] = []  # every label drawn, and whether it lies in its figure


def save_measured(figure, *arguments, save=Figure.savefig, **options):
    """Save a figure and note which of its labels lie inside it."""
    if options["format"] != "png":  # by then the layout has run and is fixed
        return save(figure, *arguments, **options)
    figure.draw_without_rendering()
    edge = figure.bbox.padded(2)  # pixels of 1/72 inch: rounding of the glyphs' boxes
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible() and text.axes is not None:
            box = text.get_window_extent()
            across = edge.x0 <= box.x0 <= box.x1 <= edge.x1
            MEASURED.append((text.get_text(), across and edge.y0 <= box.y0 <= box.y1 <= edge.y1))
    return save(figure, *arguments, **options)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = write_results(tmp_path_factory.mktemp("results") / "standard", studies=small_plans())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_measured)
        assert main(["--results", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(results):
    return parse((results / "report" / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def text(results):
    return (results / "report" / "report.md").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Elements, attributes, tables and words of a page."""

    def __init__(self):
        super().__init__()
        self.elements, self.words, self.tables, self.stack = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag in self.stack:
            while self.stack.pop() != tag:
                pass

    def handle_data(self, data):
        if self.stack and self.stack[-1] in ("td", "th") and "tr" in self.stack:
            self.tables[-1][-1][-1] += data
        if not {"style", "script"} & set(self.stack):
            self.words.append(data)

    def values(self, name):
        return [attrs[name] for _, attrs in self.elements if name in attrs]


def parse(html):
    page = Page()
    page.feed(html)
    page.close()
    return page


def said(page):
    return " ".join(" ".join(page.words).split())


# Numbers


def rows_of(results, study):
    with (results / study / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def independent_mean(results, study, task, **levels):
    """Mean and t interval from the CSV by the textbook, sharing no code with the report."""
    values = [
        float(row["test_accuracy"]) * 100
        for row in rows_of(results, study)
        if row["task"] == task
        and row["stage"] == "final"
        and row["status"] == "finished"
        and all(row[factor] == level for factor, level in levels.items())
    ]
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values), half, len(values)


def test_every_cell_of_a_table_equals_an_independent_recomputation(results, page):
    table = next(
        t for t in page.tables if t[0][0] == "cell" and any("hardshrink" in r[0] for r in t)
    )
    assert len(table) == 10
    for label, mean, interval, n, *_ in table[1:]:
        level = label.removesuffix(" (baseline)")
        value, half, count = independent_mean(results, "activation", "spiral", activation=level)
        digits = len(mean.partition(".")[2])
        assert mean == f"{value:.{digits}f}"
        assert interval == f"{value - half:.{digits}f} to {value + half:.{digits}f}"
        assert n == str(count)


def test_every_contrast_of_a_table_equals_an_independent_recomputation(results, page):
    table = next(t for t in page.tables if t[0][:2] == ["cell", "difference"])
    frame = pd.read_csv(results / "activation" / "trials.csv")
    final = frame[(frame["task"] == "spiral") & (frame["stage"] == "final")]
    wide = final.pivot_table(index="seed", columns="activation", values="test_accuracy") * 100
    assert len(table) == 9
    for label, difference, interval, word, *_ in table[1:]:
        change = (wide[label] - wide["relu"]).dropna()
        half = stats.t.ppf(1 - 0.025 / 8, len(change) - 1) * stats.sem(change)
        digits = len(difference.partition(".")[2])
        assert unsigned(difference) == f"{abs(change.mean()):.{digits}f}"
        bounds = [f"{abs(change.mean() + sign * half):.{digits}f}" for sign in (-1, 1)]
        assert [unsigned(x) for x in interval.split(" to ")] == bounds
        clear = change.mean() - half > 0 or change.mean() + half < 0
        assert clear or word in {"no detectable effect", "underpowered"}


def unsigned(text):
    return text.replace("+", "").replace("−", "")


def test_the_header_counts_every_trial_asked_for(results, page):
    counts = dict.fromkeys(("finished", "diverged", "failed"), 0)
    for plan in small_plans():
        for row in rows_of(results, plan.name):
            counts[row["status"]] += 1
    expected = sum(counts.values()) + 1  # one left no row
    line = (
        f"{expected:,}: {counts['finished']:,} finished, {counts['diverged']:,} diverged, "
        f"{counts['failed']:,} failed, 1 missing"
    )
    assert counts["failed"] == 1
    assert line in said(page)


def test_relative_times_are_medians_of_paired_ratios(results):
    timings = pd.read_csv(results / "timings.csv")
    speeds = relative_times(timings).set_index(["task", "mode", "workload"])
    one = timings[(timings["task"] == "spiral") & (timings["mode"] == "inference")]
    wide = one.pivot_table(index=["process", "round"], columns="workload", values="seconds")
    ratio = wide["spiral/activation=gelu"] / wide["spiral/baseline"]
    found = speeds.loc["spiral", "inference", "spiral/activation=gelu"]
    assert found["value"] == pytest.approx(ratio.median(), rel=1e-3)
    assert found["pairs"] == 30
    ordered = np.sort(ratio)
    assert (found["low"], found["high"]) == pytest.approx((ordered[9], ordered[20]))
    assert not [name for name in speeds.index.get_level_values(2) if "again" in name]


def test_a_time_inside_the_noise_floor_is_not_resolved(results):
    speeds = relative_times(pd.read_csv(results / "timings.csv"))
    reach = np.maximum(speeds["high"] - 1, 1 - speeds["low"])
    assert not speeds.loc[reach <= speeds["noise_floor"], "resolved"].any()
    assert speeds.loc[speeds["label"] == "depth 4", "resolved"].all()
    assert not speeds.loc[speeds["is_baseline"], "resolved"].any()


# Order and completeness


def test_incomplete_is_said_before_anything_else(page, text):
    assert text.startswith("> **Incomplete: of ")
    words = [word.strip() for word in page.words if word.strip()]
    start = words.index("Skip to the findings")
    main_words = words[start:]
    incomplete = next(i for i, w in enumerate(main_words) if w.startswith("Incomplete: of"))
    assert incomplete < main_words.index("What the ablations found")
    assert "1 missing and 1 failed" in main_words[incomplete]


def test_a_complete_study_does_not_say_incomplete(tmp_path, results):
    folder = write_results(tmp_path / "r", studies=[small_plans()[3]], spoiled=())
    assert main(["--results", str(folder)]) == 0
    assert "ncomplete" not in (folder / "report" / "report.md").read_text(encoding="utf-8")


def test_the_quick_profile_says_in_its_first_line_that_it_is_a_smoke_test(tmp_path):
    folder = write_results(tmp_path / "r", studies=[small_plans()[3]], profile="quick")
    assert main(["--results", str(folder)]) == 0
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert text.splitlines()[0].startswith("> **Smoke test: the quick profile")


def test_findings_come_first_and_are_at_most_twelve(page, text):
    assert text.index("## Findings") < text.index("## What was run") < text.index("## activation")
    numbered = re.findall(r"^(\d+)\. \*\*", text, flags=re.MULTILINE)
    assert [int(number) for number in numbered] == list(range(1, len(numbered) + 1))
    assert 5 <= len(numbered) <= 12


def test_every_study_has_an_answer_among_the_findings(text):
    findings = text[text.index("## Findings") : text.index("## What was run")]
    for plan in small_plans():
        assert f"**{plan.name}**" in findings


def test_findings_are_ranked_by_effect_over_margin_after_the_answers():
    weights = [3.0, 9.0, 1.0, 5.0]
    effects = [Finding(topic="x", lines=(str(w),), weight=w) for w in weights]
    answer = Finding(topic="a", lines=("answer",), weight=2.0, is_answer=True)
    warning = Finding(topic="w", lines=("warning",), weight=99.0, is_warning=True)
    order = [f.lines[0] for f in ranked([*effects, warning, answer])]
    assert order == ["answer", "9.0", "5.0", "3.0", "1.0", "warning"]
    assert len(ranked(effects * 9)) == 12


def test_of_more_studies_than_places_the_claims_come_first():
    studies = [Finding(topic=f"{k}", lines=("",), weight=k, is_answer=True) for k in range(1, 14)]
    claims = Finding(topic="claims", lines=("",), is_answer=True, of_all=True)
    assert [f.topic for f in ranked([*studies[:11], claims])][-1] == "claims"
    topics = [f.topic for f in ranked([*studies, claims])]
    assert topics == ["claims", *map(str, range(13, 2, -1))]


def test_every_link_inside_the_page_has_its_target(page):
    ids = page.values("id")
    assert len(ids) == len(set(ids)), "every id is there once"
    links = [value[1:] for value in page.values("href") if value.startswith("#")]
    assert [link for link in links if link not in ids] == []
    assert [link for link in links if link.startswith("fig-")]


def test_every_figure_is_in_both_reports_with_words_for_it(results, page, text):
    drawn = {path.stem for path in (results / "report" / "figures").iterdir()}
    figures = {
        value.removeprefix("fig-") for value in page.values("id") if value.startswith("fig-")
    }
    named = set(re.findall(r'<img src="figures/([^"]+)\.png"', text))
    assert drawn == figures == named
    alts = [attrs["aria-label"] for _, attrs in page.elements if attrs.get("class") == "frame"]
    assert len(alts) == len(drawn)
    assert all(len(alt) > 20 for alt in alts)
    expected = {
        "activation-spiral-contrasts", "activation-spiral-curves", "activation-spiral-rates",
        "activation-spiral-regions", "activation-digits-mistakes", "optimizer-wave-fits",
        "depth-width-spiral-grid", "crossed-spiral-main-effects", "crossed-spiral-shares",
        "crossed-spiral-interactions", "time-cpu-training-step",
    }  # fmt: skip
    assert expected <= drawn


def test_captions_name_method_level_and_n(results, page):
    captions = re.findall(
        r"<figcaption>(.*?)</figcaption>",
        (results / "report" / "index.html").read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert captions
    for caption in captions:
        assert re.search(r"n = \d|[Mm]ean over n", caption), caption
    forests = [c for c in captions if "Difference in" in c]
    assert forests
    assert all(re.search(r"[\d.]+% t intervals", c) for c in forests)


def test_headings_descend_without_gaps(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_no_label_of_any_figure_is_clipped(results):
    """Measured in DejaVu Sans, which is wider than what browsers show."""
    assert len(MEASURED) > 300
    assert [label for label, inside in MEASURED if not inside] == []


def test_claims_and_known_results_follow_the_studies(page, text):
    order = ["## activation", "## crossed", "## Textbook claims on trial", "## Known results"]
    order.append("## Methods")
    places = [text.index(heading) for heading in order]
    assert places == sorted(places)
    for words in ("Without an activation a network stays linear", "a composition of affine maps"):
        assert words in text
        assert words in said(page)
    assert "**claims** – Of 2 claims, " in text


def test_the_contents_page_names_every_module():
    modules = {path.stem for path in (ROOT / "report").glob("*.py")}
    told = set(re.findall(r"[a-z_]+", (ROOT / "report" / "__init__.py").read_text()))
    assert len(modules) > 20, "is this test looking in the right place?"
    assert modules - told == {"__init__", "__main__"}


# Nothing loads, and nothing runs but our own scripts


def assert_inert(page):
    assert not {tag for tag, _ in page.elements} & {
        *("iframe", "object", "embed", "link", "base", "form", "img", "foreignobject")
    }
    for tag, attrs in page.elements:
        if tag == "script":
            assert attrs in ({}, *({"type": "text/plain", "id": f"{part}-data"} for part in PARTS))
        assert not [name for name in attrs if name.startswith("on") or name == "style"], tag
        for name in ("href", "src", "xlink:href", "action", "srcset", "data", "poster"):
            value = attrs.get(name)
            assert value is None or re.match(r"#|data:image/png;base64,", value), (tag, value)


def test_the_page_loads_nothing_and_runs_only_what_it_names(page):
    assert_inert(page)


def test_the_policy_allows_this_style_and_these_scripts_and_nothing_else(results, page):
    html = (results / "report" / "index.html").read_text(encoding="utf-8")
    [style] = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert len(scripts) == 2, "the charts' library and our own"
    [policy] = [a["content"] for t, a in page.elements if a.get("http-equiv")]
    assert policy == (
        f"default-src 'none'; script-src {' '.join(map(digest, scripts))}; "
        f"style-src {digest(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style


def digest(content):
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def hostile_plans():
    activation = next(plan for plan in small_plans() if plan.name == "activation")
    levels = dict(zip(activation.factors["activation"], NASTY, strict=True))
    plan = rename(activation, levels.__getitem__)
    return [replace(plan, name="nasty", question="<b>Why</b> | `this`?", tasks=("spiral",))]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = write_results(tmp_path_factory.mktemp("hostile"), studies=hostile_plans(), spoiled=())
    assert main(["--results", str(folder)]) == 0
    return folder


def test_hostile_names_are_shown_and_stay_inert_in_html(hostile):
    page = parse((hostile / "report" / "index.html").read_text(encoding="utf-8"))
    assert_inert(page)
    assert "<script>alert(1)</script>" in said(page), "shown as text"
    assert "\u202e" not in "".join(page.words)
    assert "\\u202egnp.exe" in said(page)


def test_hostile_names_stay_inert_in_markdown(hostile):
    text = (hostile / "report" / "report.md").read_text(encoding="utf-8")
    assert "\u202e" not in text
    tags = set(re.findall(r"(?<!\\)<(/?[a-zA-Z]+)", text))
    assert tags == {"img", "br", "details", "/details", "summary", "/summary"} - (
        {"br"} if "<br>" not in text else set()
    )
    images = re.findall(r"<img [^>]*>", text)
    assert all(
        re.fullmatch(r'<img src="figures/[a-z0-9-]+\.png" alt="[^"<>]*" width="\d+">', i)
        for i in images
    )
    foreign = r"(?<!\\)\]\((?!figures/|index\.html#claim-[a-z0-9-]+\))"
    assert not re.search(foreign, text), "no link but to our figures and claims"
    assert "http://" not in text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) > 5
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1, table[0]


def test_hostile_names_write_nothing_outside_the_report(hostile):
    found = {p.relative_to(hostile).parts[0] for p in hostile.rglob("*")}
    assert found == {"nasty", "report", "machine.json", "timings.csv"}
    names = [p.name for p in (hostile / "report").rglob("*") if p.is_file()]
    assert all(re.fullmatch(r"[a-z0-9-]+\.(png|html|md|csv)", name) for name in names)


@pytest.mark.parametrize("name", NASTY)
def test_escaped_markdown_has_no_live_markup(name):
    escaped = markdown(name)
    bare = re.sub(r"\\[\\`*_{}\[\]|~$#!]", "", escaped)
    assert not set("`*_[]|<>$") & set(bare)
    assert "://" not in bare
    assert "@" not in bare
    assert "\u202e" not in escaped


def test_attributes_cannot_be_left():
    assert html_attribute('"><img onerror=x>') == "&#34;&#62;&#60;img onerror=x&#62;"


def test_long_and_invisible_text_is_cut_and_spelled_out():
    assert len(visible("x" * 1_000_000)) == 2000
    assert visible("a\u202eb\x00c\u200bd\ne") == "a\\u202eb\\u0000c\\u200bd e"


# The command


def refused(capsys, *arguments):
    assert main([*map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_no_results_name_the_command_that_makes_them(tmp_path, capsys):
    assert "make ablations" in refused(capsys, "--results", tmp_path / "nothing")


def test_a_broken_table_is_refused_in_one_line(tmp_path, capsys):
    folder = write_results(tmp_path / "r", studies=[small_plans()[3]])
    trials = folder / "regularisation" / "trials.csv"
    trials.write_text(trials.read_text(encoding="utf-8").replace("status", "state", 1))
    assert "trials.csv" in refused(capsys, "--results", folder)


def test_a_picture_that_cannot_be_decoded_is_refused_in_one_line(tmp_path, capsys):
    folder = write_results(tmp_path / "r", studies=[small_plans()[0]])
    pictures = pd.read_csv(folder / "activation" / "pictures.csv")
    pictures.loc[pictures["kind"] == "region", "shape"] = "7x7"
    pictures.to_csv(folder / "activation" / "pictures.csv", index=False)
    assert "delete pictures.csv" in refused(capsys, "--results", folder)


def test_an_unknown_study_gets_a_suggestion(results, capsys):
    err = refused(capsys, "--results", results, "--study", "activaton")
    assert "did you mean 'activation'?" in err


def test_one_study_can_be_asked_for(results, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("report"))
    assert main(["--results", str(folder), "--study", "regularisation"]) == 0
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert "## regularisation" in text
    assert "## activation" not in text


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path, capsys):
    folder = write_results(tmp_path / "r", studies=[small_plans()[3]])
    (folder / "report").write_text("in the way")
    assert "the report cannot be written" in refused(capsys, "--results", folder)


def test_paths_are_printed(tmp_path, capsys):
    folder = write_results(tmp_path / "r", studies=[small_plans()[3]])
    assert main(["--results", str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [str(folder / "report" / "index.html"), str(folder / "report" / "report.md")]


def test_default_folders_never_mix_devices():
    assert default_folder("standard", "auto") == Path("results/standard")
    assert default_folder("quick", "cuda") == Path("results/quick-cuda")


@pytest.mark.slow
def test_the_report_is_made_twice_with_the_same_bytes(results, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("report"))
    assert main(["--results", str(folder)]) == 0
    for name in ("index.html", "report.md"):
        assert (folder / "report" / name).read_bytes() == (results / "report" / name).read_bytes()


def test_figures_of_an_earlier_report_are_removed(tmp_path):
    folder = write_results(tmp_path / "r", studies=[small_plans()[3]])
    (folder / "report" / "figures").mkdir(parents=True)
    (folder / "report" / "figures" / "old.png").write_bytes(b"old")
    assert main(["--results", str(folder)]) == 0
    assert not (folder / "report" / "figures" / "old.png").exists()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "index.html"
    path.write_text("old")
    monkeypatch.setattr(
        "report.page.os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(OSError, match="full"):
        write_whole(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
    assert path.read_text() == "old"


def test_an_empty_study_still_makes_a_report(tmp_path):
    folder = write_results(tmp_path / "r", studies=[small_plans()[3]], spoiled=())
    for name in ("trials", "curves", "pictures"):
        path = folder / "regularisation" / f"{name}.csv"
        path.write_text(path.read_text(encoding="utf-8").splitlines()[0] + "\n")
    assert main(["--results", str(folder)]) == 0
    assert "Incomplete" in (folder / "report" / "report.md").read_text(encoding="utf-8")


def test_missing_tables_and_facts_are_lived_with(tmp_path):
    folder = write_results(tmp_path / "r", studies=[small_plans()[0]])
    for path in ("timings.csv", "machine.json", "activation/pictures.csv", "activation/points.csv",
                 "activation/curves.csv", "activation/stacks.csv"):  # fmt: skip
        (folder / path).unlink()
    assert main(["--results", str(folder)]) == 0


@pytest.mark.slow
def test_a_grid_with_a_hole_says_why_it_has_no_analysis_of_variance(tmp_path):
    crossed = next(plan for plan in small_plans() if plan.name == "crossed")
    folder = write_results(tmp_path / "r", studies=[crossed], spoiled=("crossed",))
    assert main(["--results", str(folder)]) == 0
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert "trials are lacking: 1 failed, 1 missing" in text
    assert "Share of variance" not in text


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_leave_one_out_study_of_many_factors_with_hardly_any_seeds_is_reported(seeds, tmp_path):
    crossed = next(plan for plan in small_plans() if plan.name == "crossed")
    few = {name: levels[:2] for name, levels in list(crossed.factors.items())[:3]}
    plan = replace(
        crossed, factors=few, design="leave-one-out", seeds=seeds, tasks=("spiral", "digits")
    )
    folder = write_results(tmp_path / "r", studies=[plan], spoiled=())
    assert main(["--results", str(folder)]) == 0
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    if seeds == 1:
        findings = text[: text.index("## What was run")]
        assert not re.search(r"\b(raises|lowers)\b", findings), "one seed supports nothing"


def test_a_response_that_no_table_has_is_refused_in_one_line(tmp_path, capsys):
    plan = replace(small_plans()[3], response="test_f1")
    folder = write_results(tmp_path / "r", studies=[plan], spoiled=())
    assert "test_f1" in refused(capsys, "--results", folder)


@pytest.mark.parametrize("response", ["test_loss", "train_accuracy"])
def test_other_responses_can_be_analysed(response, tmp_path):
    plan = replace(small_plans()[0], response=response, tasks=("spiral",))
    folder = write_results(tmp_path / "r", studies=[plan], spoiled=())
    assert main(["--results", str(folder)]) == 0
    name = response.replace("_", " ").replace("train", "training")
    assert name in (folder / "report" / "report.md").read_text(encoding="utf-8")


# What it may import


def test_the_report_imports_neither_torch_nor_the_other_packages():
    modules = sorted((ROOT / "report").glob("*.py"))
    assert modules, "is this test looking in the right place?"
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used = {name.partition(".")[0] for name in names}
            assert not used & {"torch", "ablations", "benchmarks"}, module.name


def test_loading_the_report_loads_no_torch():
    code = "import sys, report.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
