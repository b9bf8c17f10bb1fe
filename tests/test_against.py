"""Two results folders against each other: what is said to differ differs, and nothing else."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated_results import plans, write_results

from report.__main__ import main
from report.against import against, common_tasks, differences, verdicts
from report.against_section import against_report
from report.drawing import house_style
from report.schema import FACTORS, TIMINGS
from report.tables import read_results
from report.time_ratios import time_ratios

SHIFT = 0.05  # taken from tanh on spiral, far beyond its noise


def studies():
    (plan,) = (p for p in plans() if p.name == "activation")
    factors = {"activation": ("relu", "identity", "tanh", "gelu")}
    return [replace(plan, factors=factors, tasks=("spiral", "wave"), seeds=8)]


def text_of(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("here"), studies=studies(), spoiled=())


@pytest.fixture(scope="module")
def there(here, tmp_path_factory):
    """The same run elsewhere: tanh is worse on spiral, other torch, gelu's times half as long."""
    folder = tmp_path_factory.mktemp("elsewhere") / "there"
    shutil.copytree(here, folder)
    path = folder / "activation" / "trials.csv"
    trials = text_of(path)
    chosen = (trials["activation"] == "tanh") & (trials["task"] == "spiral")
    chosen &= trials["stage"] == "final"
    noise = np.random.default_rng(3).normal(0, 0.001, int(chosen.sum()))
    shifted = pd.to_numeric(trials.loc[chosen, "test_accuracy"]) - SHIFT + noise
    trials.loc[chosen, "test_accuracy"] = shifted.map(repr)
    trials.to_csv(path, index=False)
    timings = text_of(folder / "timings.csv")
    slow = timings["workload"].str.endswith("activation=gelu")
    timings.loc[slow, "seconds"] = (pd.to_numeric(timings.loc[slow, "seconds"]) / 2).map(repr)
    timings.to_csv(folder / "timings.csv", index=False)
    machine = json.loads((folder / "machine.json").read_text())
    (folder / "machine.json").write_text(json.dumps(machine | {"torch": "2.14.0"}))
    return folder


@pytest.fixture(scope="module")
def found(here, there):
    return against(read_results(here), read_results(there))


def said(report):
    return " ".join(report.findings[0].lines)


def test_two_copies_of_a_folder_differ_in_nothing(here, tmp_path, capsys):
    shutil.copytree(here, tmp_path / "copy")
    assert main(["--results", str(here), "--against", str(tmp_path / "copy")]) == 0
    page, text = (Path(line).read_text() for line in capsys.readouterr().out.split())
    same = "Nothing differs: 4 files of 1 study and the timings are the same to the byte."
    markdown = text
    assert same in markdown
    assert same in page
    assert "Beyond noise" not in markdown


def test_a_compressed_copy_is_the_same_to_the_byte(here, tmp_path):
    shutil.copytree(here, tmp_path / "copy")
    path = tmp_path / "copy" / "activation" / "curves.csv"
    pd.read_csv(path, dtype=str, keep_default_na=False).to_csv(f"{path}.gz", index=False)
    path.unlink()
    assert against(read_results(here), read_results(tmp_path / "copy")).identical


def test_differences_are_paired_by_seed_and_adjusted_within_a_task(found, here, there):
    """Against scipy on the rows of the two files."""
    (pair,) = found.studies
    frame = differences(pair, "spiral").set_index("label")
    tables = [text_of(folder / "activation" / "trials.csv") for folder in (here, there)]
    rows = [
        t[(t["stage"] == "final") & (t["task"] == "spiral") & (t["activation"] == "tanh")]
        for t in tables
    ]
    first, second = (r.set_index("seed")["test_accuracy"].astype(float) for r in rows)
    gap = (first - second).to_numpy()
    assert frame.loc["tanh", "value"] == pytest.approx(gap.mean(), rel=1e-12)
    reach = stats.t.ppf(1 - 0.05 / 4 / 2, 7) * stats.sem(gap)  # four cells in the family
    assert frame.loc["tanh", "high"] == pytest.approx(gap.mean() + reach, rel=1e-9)
    assert frame.loc["tanh", "p_holm"] == pytest.approx(
        4 * stats.ttest_rel(first, second).pvalue, rel=1e-6
    )
    assert frame.loc["tanh", "word"] == "raises"
    assert frame.loc["tanh", "here"] == pytest.approx(first.mean(), rel=1e-12)
    assert list(frame.index[~frame["is_alike"]]) == ["tanh"]


def test_a_look_at_sequential_seeds_is_paid_for_here_as_well(found):
    """At the lesser share of the two looks, whichever folder it is in."""
    (pair,) = found.studies
    m = len(differences(pair, "spiral"))
    shares = ((None, None), (0.5, None), (0.5, 0.125), (0.125, 0.5))
    for (own, other), share in zip(shares, (1, 0.5, 0.125, 0.125), strict=True):
        here, there = (
            replace(side, study=side.study | {"sequential": {"share": x} if x else None})
            for side, x in ((pair.here, own), (pair.there, other))
        )
        frame = differences(replace(pair, here=here, there=there), "spiral")
        assert set(frame["interval"]) == {f"{100 * (1 - 0.05 * share / m):.4g}% t"}


def test_seeds_and_cells_of_one_folder_alone_are_left_out(here, there, tmp_path):
    shutil.copytree(there, tmp_path / "fewer")
    path = tmp_path / "fewer" / "activation" / "trials.csv"
    trials = text_of(path)
    trials = trials[(trials["seed"] != "3") | (trials["stage"] != "final")]
    trials.sample(frac=1, random_state=1).to_csv(path, index=False)
    (pair,) = against(read_results(here), read_results(tmp_path / "fewer")).studies
    assert set(differences(pair, "wave")["n"]) == {7}
    assert differences(pair, "wave")["is_alike"].all()
    assert pair.trials["here"] - pair.trials["both"] == 8  # one seed of four cells on two tasks


def test_the_top_says_what_differs_beyond_noise_and_only_that(found):
    with house_style():
        report = against_report(found)
    text = said(report)
    assert "Beyond noise, 3 things differ." in text  # tanh on spiral, gelu's times in two modes
    assert "1 of 4 cells (1 higher here); the largest difference is tanh's, +" in text
    assert "wave" not in text.split("Time of")[0]
    assert "gelu, 2.0" in text
    assert ("machine", "torch", "2.13.0+cpu", "2.14.0") in report.sections[0].blocks[0].rows


def test_noise_alone_is_not_called_a_difference(here, tmp_path):
    """Other seeds' noise on every cell: at a family-wise rate of 5% this seed finds nothing."""
    shutil.copytree(here, tmp_path / "noise")
    path = tmp_path / "noise" / "activation" / "trials.csv"
    trials, rng = text_of(path), np.random.default_rng(5)
    for column in ("test_accuracy", "test_r2"):
        known = trials[column] != ""
        values = pd.to_numeric(trials.loc[known, column])
        trials.loc[known, column] = (values + rng.normal(0, 0.01, len(values))).map(repr)
    trials.to_csv(path, index=False)
    with house_style():
        report = against_report(against(read_results(here), read_results(tmp_path / "noise")))
    assert report.findings[0].lines[0].startswith("Nothing differs beyond noise.")


def test_a_verdict_that_turns_is_told(here, tmp_path):
    shutil.copytree(here, tmp_path / "turned")
    path = tmp_path / "turned" / "activation" / "trials.csv"
    trials = text_of(path)
    relu = (trials["activation"] == "relu") & (trials["task"] == "spiral")
    relu &= trials["stage"] == "final"
    trials.loc[relu, "test_accuracy"] = "0.25"
    trials.to_csv(path, index=False)
    found = against(read_results(here), read_results(tmp_path / "turned"))
    ((statement, task, now, then),) = verdicts(found.studies[0])
    assert (task, now, then) == ("spiral", "supported", "contradicted")
    with house_style():
        assert f"the claim “{statement}” on spiral was contradicted there" in said(
            against_report(found)
        )


def test_settings_that_differ_are_named_down_to_the_key(here, tmp_path):
    shutil.copytree(here, tmp_path / "other")
    path = tmp_path / "other" / "activation" / "study.json"
    study = json.loads(path.read_text())
    study["tasks"][0]["settings"]["noise"] = 0.3
    study["fixed"]["steps"] = 500
    path.write_text(json.dumps(study))
    (pair,) = against(read_results(here), read_results(tmp_path / "other")).studies
    assert pair.settings == (
        ("fixed.steps", "400", "500"),
        ("tasks.spiral.settings.noise", "0.2", "0.3"),
    )
    assert common_tasks(pair) == ["spiral", "wave"]


def test_a_study_that_only_one_folder_has_is_named(here, tmp_path):
    write_results(tmp_path, studies=[replace(studies()[0], name="other")], spoiled=())
    found = against(read_results(here), read_results(tmp_path))
    assert (found.only_here, found.only_there) == (("activation",), ("other",))
    assert not found.identical


def test_an_other_folder_that_is_none_is_refused_in_one_line(here, tmp_path, capsys):
    assert main(["--results", str(here), "--against", str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("--against: ")
    assert error.count("\n") == 1


# Times


def timings(rng, scale=1.0, processes=3, spread=0.0, device="cpu"):
    """One workload: every process has its own level, every sample its noise of 2%."""
    levels = rng.normal(0, spread, processes)
    base = {"workload": "w", "task": "t", "mode": "training step", "device": device, "threads": 1}
    rows = [
        base
        | {"dtype": "float32", "process": p, "round": r, "order": 0, "iterations": 1}
        | {"seconds": scale * np.exp(levels[p] + 0.02 * rng.normal())}
        for p in range(processes)
        for r in range(10)
    ]
    blank = dict.fromkeys(FACTORS, "none")
    return pd.DataFrame([blank | row for row in rows])[list(TIMINGS)]


def test_a_ratio_of_times_is_the_ratio_of_medians_with_its_interval():
    rng = np.random.default_rng(1)
    here, there = timings(rng, 1.3), timings(rng)
    (row,) = time_ratios(here, there, rng=rng).to_dict("records")
    assert row["value"] == pytest.approx(here["seconds"].median() / there["seconds"].median())
    assert row["low"] < 1.3 < row["high"]
    assert row["word"] == "slower"


def test_one_process_allows_no_word_and_other_devices_are_paired_where_each_has_one():
    rng = np.random.default_rng(2)
    frame = time_ratios(timings(rng, 2, processes=1, device="cuda"), timings(rng), rng=rng)
    (row,) = frame.to_dict("records")
    assert (row["device_here"], row["device_there"]) == ("cuda", "cpu")
    assert np.isnan(row["low"])
    assert row["word"] == "ambiguous"


@pytest.mark.slow
def test_the_same_code_is_seldom_called_slower_or_faster():
    """Processes that differ by 3%, three a side: at most 5% of 200 pairs get such a word."""
    rng = np.random.default_rng(10)
    words = [
        time_ratios(timings(rng, spread=0.03), timings(rng, spread=0.03), rng=rng)["word"].iloc[0]
        for _ in range(200)
    ]
    assert sum(word in ("slower", "faster") for word in words) <= 10
