"""Studies out of the ordinary: collapsed grids, divergence, no spread, one seed, failures."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_results import Plan, write_results

from report.__main__ import main

ADAM = [0.001, 0.003, 0.01]
LEAKY = "leaky_relu(negative_slope=0.2)"
ONE = Plan(
    "small",
    "Which activation?",
    {"activation": ("relu", "tanh", "identity")},
    {"": ADAM},
    seeds=4,
    tasks=("spiral",),
)
COLLAPSED = Plan(
    "collapsed",
    "Does depth replace width?",
    {"depth": ("2", "0", "1"), "width": ("32", "8", "4"), "activation": ("relu", "tanh")},
    {"": ADAM},
    seeds=4,
    tasks=("spiral",),
)


def written(folder, plan, change=None, *, curves=None):
    """A results folder of one study whose trials (and curves) were changed before the report."""
    write_results(folder, studies=[plan], spoiled=())
    (folder / "timings.csv").unlink()
    for name, edit in (("trials", change), ("curves", curves)):
        path = folder / plan.name / f"{name}.csv"
        if edit is not None:
            table = pd.read_csv(path, dtype={"depth": str, "width": str})
            edit(table).to_csv(path, index=False)
    return folder


def reported(folder):
    """The Markdown report of a folder."""
    assert main(["--results", str(folder)]) == 0
    return (folder / "report" / "report.md").read_text(encoding="utf-8")


def findings_of(text):
    return text[text.index("## Findings") : text.index("## What was run")]


def figures_of(folder):
    return {path.stem for path in (folder / "report" / "figures").iterdir()}


def is_final(trials, **levels):
    """The final trials of the cells with these levels."""
    mask = trials["stage"] == "final"
    for factor, level in levels.items():
        mask &= trials[factor] == level
    return mask


def diverged(trials, mask):
    """The trials with those of the mask diverged."""
    responses = [name for name in trials if re.match(r"(train|val|test)_", name)]
    trials.loc[mask, "status"] = "diverged"
    trials.loc[mask, responses] = np.nan
    return trials


# A grid that collapses


@pytest.fixture(scope="module")
def collapsed(tmp_path_factory):
    """Three factors, of which depth 0 makes the others void."""
    plan = COLLAPSED
    folder = written(tmp_path_factory.mktemp("collapsed") / "r", plan)
    merge_depth_0(folder / plan.name, plan)
    return folder, reported(folder)


def merge_depth_0(folder, plan):
    """Depth 0 at any width and activation is one network, trained once."""
    study = json.loads((folder / "study.json").read_text())
    first = {"depth": "0", "width": plan.factors["width"][0], "activation": "relu"}
    for cell in study["cells"]:
        if cell["depth"] == "0" and {name: cell[name] for name in first} != first:
            cell["same_as"] = first
    void = {t["trial"] for t in study["trials"] if t["depth"] == "0" and t["activation"] != "relu"}
    study["trials"] = [trial for trial in study["trials"] if trial["trial"] not in void]
    (folder / "study.json").write_text(json.dumps(study))
    for name in ("trials", "curves", "pictures"):
        table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        table[~table["trial"].isin(void)].to_csv(folder / f"{name}.csv", index=False)


def test_a_collapsed_grid_of_three_factors_is_reported_cell_by_cell(collapsed):
    folder, text = collapsed
    drawn = {"contrasts", "curves", "rates", "grid", "regions"}
    expected = {f"collapsed-spiral-{name}" for name in drawn} | {"collapsed-budgets"}
    assert figures_of(folder) == expected
    assert "**Cells of collapsed on spiral, best mean first**" in text
    assert "Contrasts in numbers" in text
    assert text.count("depth 0, width 32, relu") > 3
    assert "depth 0, width 8" not in text.replace("'depth 0, width 8, relu'", "")
    assert "collapsed-spiral-contrasts" in findings_of(text)


def test_a_collapsed_grid_says_what_to_leave_out_for_the_effects_of_factors(collapsed):
    _, text = collapsed
    assert "(without depth 0 the grid is balanced: a study that leaves it out gets these" in text
    assert "read the contrasts instead" in text


@pytest.mark.parametrize("level", ["relu", "tanh"])
def test_its_heat_map_has_the_other_factors_at_the_baseline(level, collapsed, tmp_path):
    folder = tmp_path / "r"
    shutil.copytree(collapsed[0], folder)
    path = folder / "collapsed" / "study.json"
    study = json.loads(path.read_text())
    study["baseline"]["activation"] = level
    path.write_text(json.dumps(study))
    text = reported(folder)
    assert f"Test accuracy (%) by depth and width, spiral with {level}.**" in text
    trials = pd.read_csv(folder / "collapsed" / "trials.csv", dtype={"depth": str, "width": str})
    own = trials[is_final(trials, activation=level)]
    mean = 100 * own.groupby(["depth", "width"])["test_accuracy"].mean()
    best = re.search(r"Highest mean test accuracy on spiral with \w+, ([\d.]+)%, at (.*?)\"", text)
    assert best[2] == "depth {} and width {}.".format(*mean.idxmax())
    assert float(best[1]) == pytest.approx(mean.max(), abs=0.05)
    assert "was trained once and has one box" in text


@pytest.mark.slow
def test_of_very_many_contrasts_a_stated_choice_is_shown(tmp_path):
    many = {
        "activation": ("relu", "tanh", "gelu", LEAKY),
        "depth": ("2", "1", "0"),
        "width": ("32", "8", "4"),
    }
    plan = replace(COLLAPSED, name="many", factors=many, seeds=3)
    text = reported(written(tmp_path / "r", plan))
    rule = (
        "Of 27 comparisons those that depart from the baseline in one factor, and the best cell; "
        "effects.csv has all."
    )
    assert rule not in text
    plan = replace(plan, factors=many | {"optimizer": ("adam", "adamw")})
    folder = written(tmp_path / "s", plan)
    text = reported(folder)
    assert rule.replace("27", "55") in text
    table = text[text.index("**Differences from") : text.index("</details>")]
    plain = table.replace("\\_", "_").splitlines()
    labels = [line.split("|")[1].strip() for line in plain if line.startswith("| ")]
    departs = {
        *("tanh, depth 2, width 32, adam", "gelu, depth 2, width 32, adam"),
        *(f"{LEAKY}, depth 2, width 32, adam", "relu, depth 1, width 32, adam"),
        *("relu, depth 0, width 32, adam", "relu, depth 2, width 8, adam"),
        *("relu, depth 2, width 4, adam", "relu, depth 2, width 32, adamw"),
    }
    assert departs <= set(labels[1:])
    assert len(labels[1:]) <= len(departs) + 1
    assert "One family of m = 55" in table, "what is left out still counts"
    effects = pd.read_csv(folder / "report" / "effects.csv")
    assert (effects["effect"] == "contrast").sum() == 55
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    forest = page[page.index('id="fig-many-spiral-contrasts"') :].partition("<figcaption>")[0]
    names = re.findall(r"<text[^>]*>([^<]+)</text>", forest)
    brief = {"tanh", "gelu", LEAKY, "depth 1", "depth 0", "width 8", "width 4", "adamw"}
    assert brief <= set(names), "a figure names departures where labels are long"
    assert "Names say what differs from the baseline, relu, depth 2, width 32, adam." in text


@pytest.mark.slow
def test_findings_of_many_cells_are_those_that_the_figure_shows(tmp_path):
    many = COLLAPSED.factors | {"optimizer": ("adam", "adamw"), "norm": ("none", "batch")}
    plan = replace(COLLAPSED, name="many", factors=many, seeds=5)
    told = findings_of(reported(written(tmp_path / "r", plan)))
    lowers = re.findall(r"On spiral, ([^.]*?) lowers test accuracy", told)
    base = ["depth 2", "width 32", "relu", "adam", "no norm"]
    assert lowers
    for label in lowers:
        levels = label.split(", ")
        assert sum(a != b for a, b in zip(levels, base, strict=True)) == 1


# Divergence


def test_a_cell_all_of_whose_trials_diverged_is_never_the_best(tmp_path):
    """Everything else is no better than chance, as bad as what the diverged cell is worth."""

    def all_bad(trials):
        trials = diverged(trials, is_final(trials, activation="relu"))
        trials = diverged(trials, is_final(trials, activation="tanh"))
        trials.loc[is_final(trials, activation="identity"), "test_accuracy"] = 1 / 3
        return trials

    text = reported(written(tmp_path / "r", ONE, all_bad))
    assert "identity has the highest mean test accuracy, 33.3%" in text
    assert "8 of 12 trials diverged, all of relu and all of tanh" in findings_of(text)
    assert not re.search(r"(relu|tanh) has the (best|highest)", text)
    table = text[text.index("**Cells of small") : text.index("<details>")]
    assert table.index("| identity") < table.index("relu (baseline)")
    assert "A cell all of whose trials diverged stands last: relu and tanh." in table


def test_a_study_of_which_every_trial_diverged_has_no_best(tmp_path):
    text = reported(written(tmp_path / "r", ONE, lambda trials: diverged(trials, is_final(trials))))
    assert "On spiral, all 12 trials diverged, so no cell is the best" in findings_of(text)
    assert not re.search(r"has the (best|highest)|can be told", text)


def test_sentences_count_only_the_alternatives_that_were_tested(tmp_path):
    """The baseline leads; one alternative is the same on every seed, the other was tested."""

    def one_constant(trials):
        base = trials.loc[is_final(trials, activation="relu"), "test_accuracy"].to_numpy()
        trials.loc[is_final(trials, activation="tanh"), "test_accuracy"] = base - 1 / 64
        noisy = base - 1 / 64 + np.array([-0.05, 0.05, -0.06, 0.05])
        trials.loc[is_final(trials, activation="identity"), "test_accuracy"] = noisy
        return trials

    text = reported(written(tmp_path / "r", ONE, one_constant))
    assert "it is the baseline, but identity cannot be told from it; 1 more could not be" in text
    assert "and identity cannot be told from it; 1 more could not be tested" in findings_of(text)


# No spread


def test_a_difference_without_spread_reads_alike_everywhere(tmp_path):
    claim = {
        "statement": "tanh beats relu",
        "better": {"activation": "tanh"},
        "worse": {"activation": "relu"},
    }
    plan = replace(ONE, seeds=3, claims=(claim,))

    def shifted(trials):
        trials.loc[is_final(trials, activation="relu"), "test_accuracy"] = [0.5, 0.75, 0.625]
        trials.loc[is_final(trials, activation="tanh"), "test_accuracy"] = [0.625, 0.875, 0.75]
        trials.loc[is_final(trials, activation="identity"), "test_accuracy"] = [0.5, 0.25, 0.375]
        return trials

    folder = written(tmp_path / "r", plan, shifted)
    text = reported(folder)
    clause = (
        "differs from relu in test accuracy by the same +12.5 percentage points on every one of "
        "3 seeds, so no t interval can be computed and no direction is claimed (sign-flip p = "
        ".25, its floor)"
    )
    assert text.count(clause) == 2, "in the finding and in the section"
    assert re.search(r"\| tanh +\| +\+12 \| +– \| same on every seed +\|", text)
    assert "Without a bar (1): the difference is the same on every seed" in text
    assert "1 of 2 the same on every seed" in text
    assert "+12.5 to +12.5" not in text
    assert (
        "On spiral, test accuracy is 12.50 percentage points higher with tanh than with relu"
        in text
    )
    assert "(the same on every one of 3 seeds, so no t interval can be computed)" in text
    rows = pd.read_csv(folder / "report" / "effects.csv")
    row = rows[rows["effect"] == "contrast"].set_index("label").loc["tanh"]
    assert row["word"] == "same on every seed"
    assert row[["low", "high", "detectable"]].isna().all()
    assert (row["p"], row["sign_flip_p"]) == (0.25, 0.25)
    row = pd.read_csv(folder / "report" / "claims.csv").iloc[0]
    assert (row["verdict"], row["value"]) == ("unresolved", 0.125)
    assert row[["low", "high"]].isna().all()


# No split, no tuning


def without_split(trials):
    """Only the training data have responses."""
    held_out = [name for name in trials if re.match(r"(val|test)_", name)]
    return trials.assign(**dict.fromkeys(held_out, np.nan))


def test_without_a_split_learning_curves_are_those_of_the_training_data(tmp_path):
    plan = replace(ONE, rates={"": [0.003]}, response="train_accuracy")
    folder = written(tmp_path / "r", plan, without_split, curves=without_split)
    text = reported(folder)
    assert "small-spiral-curves" in figures_of(folder)
    assert "Mean training accuracy of the final trials at each evaluation" in text
    assert "validation" not in text[text.index("### spiral") : text.index("## Methods")]


@pytest.mark.parametrize("plan", [ONE, COLLAPSED], ids=["few factors", "crossed"])
def test_the_finding_of_an_untuned_study_says_that_it_is_no_ranking(plan, tmp_path):
    factors = {**plan.factors, **({"depth": ("2", "1")} if "depth" in plan.factors else {})}
    plan = replace(plan, rates={"": [0.003]}, factors=factors)
    text = reported(written(tmp_path / "r", plan))
    answer = findings_of(text).splitlines()[2]
    assert answer.startswith(f"1. **{plan.name} (untuned)**")
    assert "One learning rate was used for every cell: untuned, not a ranking." in answer
    tuned = reported(written(tmp_path / "s", replace(plan, rates={"": ADAM})))
    assert "untuned" not in tuned


# One seed


@pytest.mark.parametrize("design", ["one alternative", "several factors"])
def test_one_seed_has_no_interval_anywhere(design, tmp_path):
    plan = replace(ONE, factors={"activation": ("relu", "tanh")})
    plan = replace(plan if design == "one alternative" else COLLAPSED, seeds=1)
    text = reported(written(tmp_path / "r", plan))
    body = text[: text.index("## Methods")]
    assert not re.search(r"bands are|[\d.]% t intervals|raises|lowers|mean test", body)
    assert "1 alternative" not in body
    assert "n = 1 seed" in findings_of(text)
    assert "from n = 1 seed" in body
    if design == "one alternative":
        assert re.search(r"(tanh cannot be tested against it|cannot be tested: )", body)


def test_curves_of_the_evaluation_before_the_first_step_can_be_drawn(tmp_path):
    plan = replace(ONE, seeds=1)
    folder = written(tmp_path / "r", plan, curves=lambda rows: rows[rows["step"] == 0])
    reported(folder)
    assert "small-spiral-curves" in figures_of(folder)


# Failures


def fail(folder, plan, mask, status, message):
    """Trials that failed, each with a record that says why."""
    path = folder / plan.name / "trials.csv"
    trials = pd.read_csv(path)
    chosen = mask(trials)
    trials.loc[chosen, "status"] = status
    trials.loc[chosen, "stack"] = "0123456789abcdef01234567"
    trials.to_csv(path, index=False)
    rows = [{"trial": name, "status": status, "message": message} for name in trials["trial"]]
    record = folder / plan.name / "records" / "01" / "0123456789abcdef01234567.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"schema": 1, "payload": {"outcome": {"rows": rows}}}))
    return record


def test_why_trials_failed_stands_in_the_report_shortened_and_inert(tmp_path):
    folder = written(tmp_path / "r", ONE)
    nasty = "RuntimeError: <script>x</script> | `y` " + "z" * 5000
    fail(folder, ONE, lambda t: is_final(t, activation="tanh"), "timed_out", nasty)
    text = reported(folder)
    table = text[text.index("**Trials of small that did not end by themselves**") :]
    line = next(line for line in table.splitlines() if "RuntimeError" in line)
    assert "| timed out |" in line
    assert re.search(r"\| +4 \|", line)
    assert "&lt;script&gt;" in line
    assert "\\|" in line
    assert "<script>" not in text
    assert "z" * 201 not in text
    assert "trains what is missing" not in text
    assert "“make ablations” tries again what failed." in text


@pytest.mark.parametrize("damage", ["{", '{"payload": []}', '{"payload": {"outcome": 3}}', None])
def test_a_damaged_record_costs_the_reason_and_nothing_else(damage, tmp_path):
    folder = written(tmp_path / "r", ONE)
    record = fail(folder, ONE, lambda t: is_final(t, activation="tanh"), "failed", "why")
    record.unlink() if damage is None else record.write_text(damage)
    text = reported(folder)
    assert "no reason is recorded in this folder" in text
    assert "4 failed" in text


def test_the_name_of_a_stack_leads_to_no_file_outside_the_records(tmp_path):
    folder = written(tmp_path / "r", ONE)
    record = fail(folder, ONE, lambda t: is_final(t, activation="tanh"), "failed", "secret")
    outside = folder / "outside.json"
    record.rename(outside)
    path = folder / "small" / "trials.csv"
    stray = path.read_text().replace("0123456789abcdef01234567", "../outside")
    path.write_text(stray)
    assert "secret" not in reported(folder)


def test_final_trials_that_wait_for_a_failed_tuning_are_said_to(tmp_path):
    folder = written(tmp_path / "r", ONE, lambda t: t[~is_final(t, activation="tanh")])
    text = reported(folder)
    assert text.startswith("> **Incomplete: of 30 trials, 4 missing. “make ablations” trains what")
    fail(
        folder,
        ONE,
        lambda t: (t["activation"] == "tanh") & (t["learning_rate"] == 0.01),
        "failed",
        "no luck",
    )
    text = reported(folder)
    assert text.startswith("> **Incomplete: of 30 trials, 4 missing and 2 failed. 4 final trials ")
    assert "4 final trials cannot start, because a tuning trial that would choose the" in text
    assert "no luck" in text
    assert "trains what is missing" not in text


def test_final_trials_may_wait_for_the_tuning_of_another_study(tmp_path):
    tuned = replace(ONE, name="tuned", factors={"optimizer": ("adam", "adamw")})
    plan = replace(ONE, rates={"": [0.003]}, source="tuned", by=None)
    folder = tmp_path / "r"
    write_results(folder, studies=[tuned, plan], spoiled=())
    path = folder / "small" / "trials.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    fail(folder, tuned, lambda t: t["stage"] == "tuning", "failed", "no luck")
    assert "12 final trials cannot start" in reported(folder)


def test_a_report_without_findings_says_what_is_the_case(tmp_path):
    folder = written(tmp_path / "r", ONE, lambda t: t[t["stage"] == "tuning"])
    told = findings_of(reported(folder))
    assert "No final trial has a response, so there is nothing to compare: of 30 trials 18" in told


# Pictures


def pictures(folder, **columns):
    path = folder / "small" / "pictures.csv"
    table = pd.read_csv(path)
    table.loc[0:2, list(columns)] = list(columns.values())
    table.to_csv(path, index=False)


@pytest.mark.parametrize("span", ["1,1,-1,1", "-1,1,0,0", "0,0,0,0"])
def test_a_picture_of_an_empty_range_is_drawn_all_the_same(span, tmp_path):
    folder = written(tmp_path / "r", ONE)
    pictures(folder, range=span)
    reported(folder)
    assert "small-spiral-regions" in figures_of(folder)


@pytest.mark.parametrize(
    ("column", "value"),
    [("range", "1,-1,0,1"), ("range", "nan,1,0,1"), ("shape", "7x7"), ("classes", 0.0)],
)
def test_a_picture_that_cannot_be_drawn_names_file_study_and_trial(column, value, tmp_path, capsys):
    folder = written(tmp_path / "r", ONE)
    pictures(folder, **{column: value})
    assert main(["--results", str(folder)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{folder / 'small' / 'pictures.csv'}: study 'small', trial 'spiral/activation=" in err
    assert "delete pictures.csv" in err
