"""The whole report of a frozen folder, to the letter, and its numbers computed a second time."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from golden import REPORT, RESULTS, rendered
from scipy import stats
from statsmodels.stats.multitest import multipletests

STUDY = RESULTS / "activation"
UNITS = {"spiral": ("test_accuracy", 100), "wave": ("test_r2", 1)}


@pytest.fixture(scope="module")
def golden():
    return REPORT.read_text()


@pytest.mark.slow
def test_the_report_of_the_frozen_folder_is_the_golden_one(golden):
    """Where this fails on purpose: `python tests/golden.py`, and read the diff."""
    fresh = rendered().splitlines()
    for number, (line, known) in enumerate(zip(fresh, golden.splitlines(), strict=False), 1):
        assert line == known, f"line {number} of report.md"
    assert len(fresh) == len(golden.splitlines())


# The numbers again, by plain pandas, scipy and statsmodels from the CSV files


def scores(task):
    """Cells by seeds of the response; METHODS S11 for what diverged, NaN for what failed."""
    response, factor = UNITS[task]
    study = json.loads((STUDY / "study.json").read_text())
    chance = next(t["chance"] for t in study["tasks"] if t["name"] == task)
    rows = pd.read_csv(STUDY / "trials.csv.gz", keep_default_na=False, na_values={response: [""]})
    rows = rows[(rows["task"] == task) & (rows["stage"] == "final")].copy()
    finished = rows["status"] == "finished"
    worst = min(rows.loc[finished, response].min(), chance)
    rows["score"] = rows[response].where(finished, np.nan)
    rows.loc[rows["status"] == "diverged", "score"] = worst
    return factor * rows.pivot_table(
        index="activation", columns="seed", values="score", dropna=False
    )


def table_of(text, caption):
    """The rows of a Markdown table under a caption as dictionaries."""
    lines = text.partition(f"**{caption}**")[2].strip().splitlines()
    cells = [[c.strip() for c in row.strip("|").split("|")] for row in lines if row.startswith("|")]
    end = next(i for i, line in enumerate(lines) if not line.startswith("|"))
    plain = [
        [re.sub(r"\\(.)|\*\*", r"\1", c).replace("−", "-") for c in row] for row in cells[:end]
    ]
    header, _, *rows = plain
    return [dict(zip(header, row, strict=True)) for row in rows]


def assert_shown(text, value):
    """The text is this number to the digits it shows."""
    digits = len(text.partition(".")[2])
    assert float(text) == pytest.approx(value, abs=0.5 * 10.0**-digits * (1 + 1e-9)), (text, value)


@pytest.mark.parametrize("task", UNITS)
def test_every_contrast_of_the_golden_report_equals_a_second_computation(golden, task):
    table = scores(task)
    gaps = table.drop(index="relu") - table.loc["relu"]
    m = len(gaps)
    p = {label: stats.ttest_1samp(row.dropna(), 0).pvalue for label, row in gaps.iterrows()}
    holm = dict(zip(p, multipletests(list(p.values()), method="holm")[1], strict=True))
    unit = "percentage points" if task == "spiral" else "in its own unit"
    rows = table_of(golden, f"Differences from relu on {task} ({unit})")
    assert {row["cell"] for row in rows} == set(gaps.index)
    for row in rows:
        gap = gaps.loc[row["cell"]].dropna()
        n, mean = len(gap), gap.mean()
        reach = stats.t.ppf(1 - 0.05 / m / 2, n - 1) * gap.std(ddof=1) / np.sqrt(n)
        name = next(key for key in row if key.endswith("% t interval"))
        assert float(name.split("%")[0]) == pytest.approx(100 - 5 / m, abs=0.005)
        assert row["n"] == str(n)
        assert_shown(row["difference"], mean)
        for text, bound in zip(row[name].split(" to "), (mean - reach, mean + reach), strict=True):
            assert_shown(text, bound)
        assert_shown(row["d_z"], mean / gap.std(ddof=1))
        shown = row["Holm p"].removeprefix("&lt; ")
        adjusted = holm[row["cell"]]
        assert adjusted < 0.001 if "&lt;" in row["Holm p"] else True
        if "&lt;" not in row["Holm p"]:
            assert_shown(shown, adjusted)
        clear = adjusted <= 0.05 and abs(mean) > reach
        few = float(row["detectable"]) > (10 if task == "spiral" else 0.05)  # a claim's, or R2's
        unresolved = "underpowered" if few else "no detectable effect"
        assert row["word"] == (unresolved if not clear else "raises" if mean > 0 else "lowers")


@pytest.mark.parametrize("task", UNITS)
def test_every_mean_of_the_golden_report_equals_a_second_computation(golden, task):
    table = scores(task)
    rows = table_of(golden, f"Cells of activation on {task}, best mean first")
    assert len(rows) == len(table)
    for row in rows:
        values = table.loc[row["cell"].removesuffix(" (baseline)")].dropna()
        shown = row["test accuracy, %" if task == "spiral" else "test R²"]
        reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        assert row["n"] == str(len(values))
        assert_shown(shown, values.mean())
        ends = (values.mean() - reach, values.mean() + reach)
        for text, bound in zip(row["95% t interval"].split(" to "), ends, strict=True):
            assert_shown(text, bound)


def test_every_number_of_the_golden_answer_is_in_its_tables(golden):
    """The leading cell of each task and its mean, as the findings have them."""
    findings = golden.partition("## Findings")[2].partition("## What was run")[0]
    for task in UNITS:
        table = scores(task)
        best = table.mean(axis=1).idxmax()
        name = best.replace("_", "\\_")
        told = re.search(rf"[Oo]n {task}, .*?best mean.*?\(([\d.]+)%?\)", findings)
        assert name in told[0]
        assert_shown(told[1], table.loc[best].mean())


def test_the_golden_report_counts_every_trial(golden):
    asked, statuses = 0, []
    for study in ("activation", "crossed"):
        asked += len(json.loads((RESULTS / study / "study.json").read_text())["trials"])
        statuses += list(pd.read_csv(RESULTS / study / "trials.csv.gz")["status"])
    finished, diverged = (statuses.count(word) for word in ("finished", "diverged"))
    failed, missing = len(statuses) - finished - diverged, asked - len(statuses)
    told = f"{asked}: {finished} finished, {diverged} diverged, {failed} failed, {missing} missing"
    assert told in golden
    assert min(diverged, failed, missing) > 0, "the frozen folder has one of each"


def test_the_frozen_folder_is_small():
    assert sum(p.stat().st_size for p in RESULTS.rglob("*") if p.is_file()) < 300_000
