"""The summary of a report, and how far its studies have come."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from simulated_results import RESPONSES, plans, write_results

from report.__main__ import main
from report.contents import all_findings, build_report, ranked
from report.coverage import ENDINGS, coverage, is_finished, lacking, study_sentence
from report.coverage_map import COLOURS, plot_coverage
from report.coverage_section import coverage_section, shown_rows
from report.drawing import house_style
from report.summary import MOST_LINES, render_summary
from report.tables import read_results


def small(*names):
    kept = {"activation": ("spiral", "wave"), "crossed": ("spiral",), "depth-width": ("wave",)}
    found = [replace(p, tasks=kept[p.name], seeds=4) for p in plans() if p.name in names]
    return [replace(p, claims=(), published=()) if p.name == "depth-width" else p for p in found]


def edit(path, change):
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return write_results(folder, studies=small("activation", "crossed"), spoiled=())


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """Two trials failed otherwise than by diverging, and all of `wave` but one row is missing."""
    folder = tmp_path_factory.mktemp("unfinished")
    write_results(folder, studies=small("activation", "depth-width"), spoiled=())

    def spoil(frame):
        final = frame.index[frame["stage"] == "final"]
        for row, status in zip(final[3:], ("failed", "timed_out", "out_of_memory"), strict=False):
            frame.loc[row, "status"] = status
            frame.loc[row, [*RESPONSES, "best_step", "steps"]] = ""
        wave = frame.index[frame["task"] == "wave"]
        return frame.drop(index=wave[1:])

    edit(folder / "activation" / "trials.csv", spoil)
    return folder


@pytest.fixture(scope="module")
def study(unfinished):
    return next(s for s in read_results(unfinished).studies if s.study["name"] == "activation")


@pytest.fixture(scope="module")
def report(unfinished):
    with house_style():
        return build_report(read_results(unfinished))


# The summary


def test_the_summary_has_at_most_sixty_lines_and_no_picture(finished, unfinished, capsys):
    for folder in (finished, unfinished):
        assert main(["--results", str(folder), "--summary"]) == 0
        text = capsys.readouterr().out
        assert 10 < len(text.splitlines()) <= MOST_LINES
        assert "<img" not in text
        assert "![" not in text
        assert f"python -m report --results {folder}" in text
        assert not (folder / "report").exists(), "a summary writes nothing"


def test_many_warnings_and_claims_are_cut_to_sixty_lines(tmp_path):
    plan = small("activation")[0]
    claims = [{**plan.claims[0], "statement": f"sentence {i}"} for i in range(70)]
    write_results(tmp_path, studies=[replace(plan, claims=tuple(claims))], spoiled=())
    results = read_results(tmp_path)
    text = render_summary(results, tmp_path / "report")
    assert len(text.splitlines()) <= MOST_LINES
    assert "Of 70 claims" in text
    assert re.search(r"The first \d+ of them", text)


@pytest.mark.slow
def test_findings_come_first_and_are_those_of_the_report(unfinished, report):
    """Gathering them draws nothing, and finds what the drawn report says."""
    results = read_results(unfinished)
    lines = [finding.lines for finding in ranked(all_findings(results))]
    assert lines == [finding.lines for finding in report.findings]
    text = render_summary(results, unfinished / "report")
    assert text.index("1. **") < text.index("**Claims on trial.**") < text.index("**Coverage.**")


def test_gathering_the_findings_draws_no_figure(finished, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a figure was made")

    results = read_results(finished)
    monkeypatch.setattr(Figure, "__init__", refuse)
    assert all_findings(results)


def test_the_summary_says_where_the_report_is_once_it_is_there(finished, tmp_path):
    results = read_results(finished)
    (tmp_path / "index.html").touch()
    assert f"`{tmp_path}/index.html`" in render_summary(results, tmp_path)


def test_an_unfinished_study_is_said_at_the_top_and_among_the_warnings(unfinished, capsys):
    main(["--results", str(unfinished), "--summary"])
    text = capsys.readouterr().out
    assert text.startswith("> **Incomplete: ")
    assert "Unfinished: " in text[text.index("**Warnings**") :]


# Coverage


def test_coverage_counts_every_trial_once(study, unfinished):
    """Against a plain count over the two files."""
    frame = coverage(study)
    assert frame["asked"].sum() == len(study.study["trials"])
    rows = pd.read_csv(unfinished / "activation" / "trials.csv", dtype=str)
    for ending in ENDINGS[:-1]:
        assert frame[ending].sum() == (rows["status"] == ending).sum()
    assert frame["missing"].sum() == len(study.study["trials"]) - len(rows)
    by_cell = rows[(rows["task"] == "spiral") & (rows["activation"] == "relu")]
    relu = frame[(frame["task"] == "spiral") & (frame["label"] == "relu")].iloc[0]
    assert relu[list(ENDINGS[:-1])].sum() == len(by_cell)
    assert (frame[list(ENDINGS)].sum(axis=1) == frame["asked"]).all()


def test_an_unfinished_study_is_told_with_its_numbers(study):
    frame = coverage(study)
    text = study_sentence(study)
    assert not is_finished(study)
    missing = int(frame["missing"].sum())
    assert f"1 failed, 1 timed out, 1 out of memory and {missing} missing" in text
    assert lacking(frame[list(ENDINGS)].sum()) in text


def test_a_finished_study_has_no_map_and_one_line(finished, capsys):
    results = read_results(finished)
    assert coverage_section(results.studies, ["a", "b"]) is None
    assert [study_sentence(s) for s in results.studies] == ["", ""]
    main(["--results", str(finished), "--summary"])
    assert "**Coverage.** Complete: every one of" in capsys.readouterr().out


def test_the_map_has_a_bar_for_every_ending_in_its_row(study):
    frame = coverage(study)
    names = {label: label for label in dict.fromkeys(frame["label"])}
    with house_style():
        figure = Figure()
        ax = figure.subplots()
        plot_coverage(ax, frame, names=names)
    ticks = {t.get_text(): y for t, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    failed = frame[frame["failed"] > 0].iloc[0]
    bars = [p for p in ax.patches if p.get_facecolor() == to_rgba(COLOURS["failed"])]
    assert len(bars) == (frame["failed"] > 0).sum()
    middle = bars[0].get_y() + bars[0].get_height() / 2
    assert middle == pytest.approx(ticks[failed["label"]])
    assert bars[0].get_width() == pytest.approx(0.94 * failed["failed"] / failed["asked"])
    said = {text.get_text() for text in ax.texts}
    assert f"{failed['done']} of {failed['asked']}" in said


def test_of_many_cells_the_map_shows_those_that_lack_most():
    labels = [f"cell {i}" for i in range(50)]
    frame = pd.DataFrame({"task": "t", "label": labels, "asked": 10, "done": 10})
    frame.loc[[7, 31], "done"] = (2, 9)
    assert shown_rows(frame) == ["cell 7", "cell 31"]
    assert shown_rows(frame.head(20)) == labels[:20]


@pytest.mark.slow
def test_the_report_of_an_unfinished_study_begins_with_what_is_not_there(report):
    first, *rest = report.sections
    assert first.anchor == "coverage"
    section = next(s for s in rest if s.anchor == "activation")
    assert section.title == "activation (unfinished)"
    assert section.blocks[0].paragraphs[0].startswith("Unfinished: ")
    assert next(s for s in rest if s.anchor == "depth-width").title == "depth-width"


@pytest.mark.slow
def test_incomplete_cells_are_drawn_faint(report):
    section = next(s for s in report.sections if s.anchor == "activation")
    spiral = section.topics[0]
    captions = [p.caption for b in spiral.blocks if b.kind == "figures" for p in b.pictures]
    assert any("Faint: cells of which a trial failed or is missing." in c for c in captions)
