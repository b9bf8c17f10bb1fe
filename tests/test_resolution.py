"""`plan --power`: what seeds can resolve, against statsmodels and a table written by hand."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower
from test_studyfile import small_study, write_study

from ablations.__main__ import main
from ablations.design import DesignError, SeedRule
from ablations.power import power_of_t, seeds_needed, smallest_effect
from ablations.resolution import render_text, resolutions
from ablations.studyfile import find_studies, load_study
from report.effects import contrasts
from report.tables import read_results

REFERENCE = Path(__file__).resolve().parents[1] / "results" / "reference" / "standard-cpu"
HEADER = "trial,study,task,stage,seed,status,test_accuracy\n"


@pytest.mark.parametrize("level", [0.05, 0.05 / 4, 0.05 / 18, 0.05 / 107])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 200])
def test_power_is_statsmodels(n, level):
    theirs = TTestPower()
    for d in (0.01, 0.3, 1.0, 2.5):
        expected = theirs.power(d, n, level)
        found = power_of_t(d, n, level)
        assert found == power_of_t(-d, n, level)
        if math.isnan(expected):  # scipy's series gives up in the far tail
            assert 0.99 < found <= 1
        else:
            assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("level", [0.05, 0.05 / 18, 0.05 / 107])
@pytest.mark.parametrize("n", [3, 5, 10, 30, 200])
def test_the_smallest_effect_is_found_with_power_80_by_statsmodels(n, level):
    d = smallest_effect(n, level)
    assert TTestPower().power(d, n, level) == pytest.approx(0.8, abs=1e-10)


@pytest.mark.parametrize("level", [0.05, 0.05 / 18])
@pytest.mark.parametrize("d", [0.1, 0.5, 0.8, 1.5, 4.0])
def test_the_seeds_needed_are_the_fewest_that_statsmodels_finds_enough(d, level):
    n, theirs = seeds_needed(d, level), TTestPower()
    assert n == math.ceil(theirs.solve_power(d, alpha=level, power=0.8) - 1e-9)
    assert theirs.power(d, n, level) >= 0.8
    assert seeds_needed(-d, level) == n


def test_what_cannot_be_known_is_nan_and_what_cannot_be_reached_infinite():
    assert math.isnan(smallest_effect(1, 0.05))
    assert math.isnan(seeds_needed(math.nan, 0.05))
    assert seeds_needed(0.0, 0.05) == math.inf
    assert seeds_needed(1e-9, 0.05) == math.inf
    assert seeds_needed(1e9, 0.05) == 2


def stated(studies, deviation, effect=None):
    return resolutions(studies, deviation=deviation, pilot=Path(), effect=effect)


def test_a_stated_deviation_needs_no_results(tmp_path):
    levels = ["relu", "tanh", "elu", "gelu", "selu"]
    study = small_study(tmp_path, {"factors.activation": levels, "study.seeds": 10})
    (row,) = stated([study], 0.02, effect=0.03)
    assert (row.study, row.task, row.response) == ("tiny", "spiral", "test_accuracy")
    assert (row.m, row.seeds, row.level, row.pairs) == (4, 10, 0.0125, 0)
    assert TTestPower().power(row.finds / 0.02, 10, 0.0125) == pytest.approx(0.8, abs=1e-10)
    expected = TTestPower().solve_power(1.5, alpha=0.0125, power=0.8)
    assert row.seeds_needed == math.ceil(expected)


def test_cells_that_are_the_same_network_are_no_contrasts(tmp_path):
    changes = {"factors": {"depth": [0, 1], "width": [4, 8]}, "fixed": {"steps": 3}}
    (row,) = stated([small_study(tmp_path, changes)], 0.02)
    assert row.m == 2  # depth 0 has no width


def test_sequential_seeds_have_the_power_of_their_last_look(tmp_path):
    study = small_study(tmp_path, {"study.seeds": 30})
    (fixed,) = stated([study], 0.02)
    (row,) = stated([replace(study, seeds=5, rule=SeedRule(5, 30))], 0.02)
    assert (row.seeds, row.level) == (30, pytest.approx(0.05 * 20 / 36))
    assert row.finds > fixed.finds
    assert "sequential seeds: at the last look" in render_text([row], source="stated", effect=None)


@pytest.fixture
def pilot(tmp_path):
    """A pilot of the small study: four seeds, of which tanh has a diverged and lacks another."""
    rows = {
        "relu": ["0.5", "0.625", "0.75", "0.875"],
        "tanh": ["0.5", "0.75", "diverged", ""],
        "elu": ["0.25", "0.375", "0.5", "0.625"],  # always 0.25 less
    }
    text = HEADER
    for level, scores in rows.items():
        for seed, score in enumerate(scores):
            name = f"spiral/activation={level}/final/seed={seed}"
            if score:
                ending = "diverged," if score == "diverged" else f"finished,{score}"
                text += f"{name},tiny,spiral,final,{seed},{ending}\n"
    folder = tmp_path / "pilot" / "tiny"
    folder.mkdir(parents=True)
    (folder / "trials.csv").write_text(text)
    tasks = {"tasks": [{"name": "spiral", "chance": 0.125}]}
    (folder / "study.json").write_text(json.dumps(tasks))
    return folder.parent


LEVELS = {"factors.activation": ["relu", "tanh", "elu", "gelu"], "study.seeds": 10}


def test_deviations_of_a_pilot_are_those_of_paired_differences(tmp_path, pilot):
    """By hand: tanh differs by 0, 0.125 and, diverged and worth chance, 0.125 - 0.75."""
    study = small_study(tmp_path, LEVELS)
    rows = resolutions([study], deviation=None, pilot=pilot, effect=0.5)
    tanh, elu, gelu = rows
    assert [row.contrast for row in rows] == [f"activation={x}" for x in ("tanh", "elu", "gelu")]
    assert (tanh.pairs, elu.pairs, gelu.pairs) == (3, 4, 0)
    assert tanh.deviation == pytest.approx(np.std([0, 0.125, -0.625], ddof=1), rel=1e-15)
    assert TTestPower().power(tanh.finds / tanh.deviation, 10, 0.05 / 3) == pytest.approx(0.8)
    assert elu.deviation == 0
    assert all(math.isnan(x) for x in (elu.finds, elu.seeds_needed, gelu.deviation, gelu.finds))
    text = render_text(rows, source="here", effect=0.5)
    assert "2 of 3 contrasts have no deviation there" in text
    assert "0.402 (0.402)" in text


def test_the_pilot_may_be_the_studys_own_folder_or_of_other_studies(tmp_path, pilot):
    study = small_study(tmp_path, LEVELS)
    whole = resolutions([study], deviation=None, pilot=pilot, effect=None)
    own = resolutions([study], deviation=None, pilot=pilot / "tiny", effect=None)
    assert str(own) == str(whole)
    other = replace(study, name="other")
    both = resolutions([other, study], deviation=None, pilot=pilot, effect=None)
    assert str(both) == str(whole)
    with pytest.raises(DesignError, match="holds no trials of other to take deviations from"):
        resolutions([other], deviation=None, pilot=pilot, effect=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"a,b\n1,2\n", "has no column 'trial'; name another pilot"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_pilot_that_is_no_table_of_trials_is_refused(tmp_path, pilot, content, message):
    (pilot / "tiny" / "trials.csv").write_bytes(content)
    with pytest.raises(DesignError, match=message):
        resolutions([small_study(tmp_path, LEVELS)], deviation=None, pilot=pilot, effect=None)


def test_a_pilot_without_final_trials_knows_no_deviation(tmp_path, pilot):
    (pilot / "tiny" / "trials.csv").write_text(HEADER)
    rows = resolutions([small_study(tmp_path, LEVELS)], deviation=None, pilot=pilot, effect=0.1)
    assert all(math.isnan(row.finds) and row.pairs == 0 for row in rows)
    text = render_text(rows, source="here", effect=0.1)
    assert "?" in text
    assert "nan" not in text


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference run is not here")
def test_it_says_of_the_reference_run_what_the_report_says():
    """Deviations and smallest effects, contrast by contrast, from the same files."""
    study = next(s for s in read_results(REFERENCE).studies if s.study["name"] == "regularisation")

    rows = resolutions(
        [load_study(find_studies("regularisation")[0])],
        deviation=None,
        pilot=REFERENCE,
        effect=None,
    )
    for task in ("spiral", "diabetes", "digits"):
        theirs = contrasts(study, task)
        mine = [row for row in rows if row.task == task]
        assert len(mine) == len(theirs) == mine[0].m
        np.testing.assert_allclose([r.finds for r in mine], theirs["detectable"], rtol=1e-10)


# The command


@pytest.fixture
def command(tmp_path, capsys):
    def command_(*words):
        path = write_study(tmp_path / "studies", LEVELS)
        code = main(["plan", "--study", str(path), *words])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return command_


def test_the_command_prints_a_table_with_its_terms(command):
    code, out, err = command("--power", "--deviation", "0.02", "--effect", "0.01")
    assert (code, err) == (0, [])
    assert out[0].split()[:4] == ["study", "task", "response", "contrasts"]
    assert out[0].endswith("seeds for 0.01")
    seeds = math.ceil(TTestPower().solve_power(0.5, alpha=0.05 / 3, power=0.8))
    finds = 0.02 * TTestPower().solve_power(nobs=10, alpha=0.05 / 3, power=0.8)
    assert out[2].split()[2:] == ["test_accuracy", "3", "10", "0.02", f"{finds:.3g}", str(seeds)]
    assert out[-1] == "deviation: of paired differences, as stated"


def test_the_command_takes_deviations_from_the_results_by_default(command, pilot):
    code, out, _ = command("--power", "--results", str(pilot))
    assert code == 0
    assert command("--power", "--pilot", str(pilot))[1] == out
    assert [line.split()[1] for line in out if line.startswith("spiral")] == [
        "activation=tanh",
        "activation=elu",
        "activation=gelu",
    ]


def test_the_command_speaks_json(command, pilot):
    code, out, _ = command("--power", "--pilot", str(pilot), "--effect", "0.5", "--json")
    found = json.loads("\n".join(out))
    assert code == 0
    assert (found["alpha"], found["power"], found["effect"]) == (0.05, 0.8, 0.5)
    assert found["pilot"] == str(pilot)
    assert [row["pairs"] for row in found["rows"]] == [3, 4, 0]
    assert found["rows"][1]["finds"] is None
    assert found["rows"][0]["seeds_needed"] >= 2


def test_bad_questions_are_exit_code_2_and_one_line(command, pilot, tmp_path):
    for words, message in (
        (("--effect", "1"), "--effect says nothing without --power; add it"),
        (("--deviation", "1"), "--deviation says nothing without --power; add it"),
        (("--pilot", "x"), "--pilot says nothing without --power; add it"),
        (
            ("--power", "--deviation", "1", "--pilot", "x"),
            "--deviation and --pilot both say how far seeds vary; give one of them",
        ),
        (
            ("--power", "--results", str(tmp_path / "none")),
            f"{tmp_path / 'none'} holds no trials of tiny to take deviations from; give "
            "--deviation 0.02, or --pilot with a folder that does",
        ),
    ):
        assert command(*words) == (2, [], [f"ablations: {message}"])
    shutil.rmtree(pilot)
    assert command("--power", "--pilot", str(pilot))[0] == 2
