"""Every command, its exit code, and the one line that answers a mistake."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_running import failing_train, read_rows, tables
from test_studyfile import (
    BAD,
    BAD_FILES,
    RICH,
    VALUES,
    changed,
    places,
    replaced,
    write_study,
    write_toml,
)
from test_tasks import write_image

from ablations import planning, running, workers
from ablations.__main__ import main, parser
from ablations.levels import FACTORS, TASKS
from ablations.planning import show_seconds
from ablations.studyfile import study_groups
from ablations.tasks import TaskError
from ablations.tasks.sources import load_source

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Default folders are made where the test is, never in the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(tmp_path, capsys):
    """Run a command on the small study: its exit code, output lines and error lines."""

    def run(*words, study="study.toml", results="results"):
        given = [*words, "--study", str(tmp_path / study), "--results", str(tmp_path / results)]
        code = main(given)
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return run


def usage_error(capsys, *words):
    """The one line that answers bad usage."""
    with pytest.raises(SystemExit) as error:
        main(list(words))
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("name", ["run", "plan", "status", "verify"])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_study_is_exit_code_2_and_one_line(tmp_path, command, case, name):
    changes, message = BAD[case]
    path = write_study(tmp_path, changes)
    assert command(name) == (2, [], [f"ablations: {path}: {message}"])
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_study_is_exit_code_2_and_one_line(tmp_path, command, case):
    content, message = BAD_FILES[case]
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    code, out, err = command("run")
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(f"ablations: {path}: {message}")


def test_a_folder_in_place_of_a_study_is_refused(tmp_path, command):
    (tmp_path / "study.toml").mkdir()
    assert command("run") == (
        2,
        [],
        [f"ablations: {tmp_path}/study.toml: is a folder without studies; give a .toml file"],
    )


def test_a_path_with_nul_is_refused(capsys):
    assert main(["plan", "--study", "a\0b.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "embedded null byte" in line


def test_an_unknown_study_is_refused(capsys):
    assert main(["run", "--study", "activaton"]) == 2
    assert capsys.readouterr().err == (
        "ablations: unknown study 'activaton'; did you mean 'activation'?\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "ablations: the following arguments are required: COMMAND; see ablations --help"),
        (["run", "--profile", "fast"], "argument --profile: invalid choice: 'fast'"),
        (["run", "--workers", "-1"], "needs a whole number from 0 to 999, got '-1'"),
        (["run", "--workers=-1"], "needs a whole number from 0 to 999, got '-1'"),
        (["run", "--workers", "two"], "needs a whole number from 0 to 999, got 'two'"),
        (["run", "--workers", "²"], "needs a whole number from 0 to 999, got '²'"),
        (["run", "--workers", "100000"], "needs a whole number from 0 to 999, got '100000'"),
        (["run", "--budget", "soon"], "needs a time such as 90s, 10m or 1h, got 'soon'"),
        (["run", "--budget", "-3s"], "argument --budget: expected one argument"),
        (["run", "--timeout", "0"], "argument --timeout: needs a time above 0, got '0'; without"),
        (["run", "--timeout", "0.0m"], "argument --timeout: needs a time above 0, got '0.0m'"),
        (["plan", "--power", "--effect", "0"], "--effect: needs a number above 0, got '0'"),
        (["plan", "--power", "--deviation=-1"], "needs a number above 0, got '-1'"),
        (["plan", "--power", "--deviation", "nan"], "needs a number above 0, got 'nan'"),
        (["plan", "--power", "--deviation", "small"], "needs a number above 0, got 'small'"),
        (["verify", "--sample", "-1"], "needs a whole number from 0 to 999, got '-1'"),
        (["run", "--stduy", "core"], "unrecognized arguments: --stduy core"),
        (["trian"], "invalid choice: 'trian'"),
        (["diff", "one"], "the following arguments are required: b"),
    ],
)
def test_bad_usage_is_exit_code_2_and_one_line(capsys, words, message):
    line = usage_error(capsys, *words)
    assert message in line
    assert line.startswith("ablations")
    assert line.endswith("--help")


def test_an_unknown_device_is_refused(tmp_path, command, monkeypatch):
    write_study(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, message in {
        "gpu": "unknown device 'gpu'; choose auto, cpu or cuda",
        "cuda": "device 'cuda' is not available here; choose cpu or auto",
        "cpu:1": "device 'cpu:1' is not available here; choose cpu or auto",
    }.items():
        assert command("run", "--device", device) == (2, [], [f"ablations: {message}"])


def test_a_gpu_that_is_not_there_is_refused(tmp_path, command, monkeypatch):
    write_study(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("cuda:2", "cuda:x", "cuda:", "cpu:0"):
        assert command("run", "--device", device) == (
            2,
            [],
            [f"ablations: device {device!r} is not one of the 2 here; choose auto or cuda:0"],
        )


@pytest.mark.parametrize("name", ["run", "plan", "status", "verify"])
def test_results_that_are_a_file_are_refused(tmp_path, command, name):
    write_study(tmp_path)
    path = tmp_path / "results"
    path.write_text("")
    assert command(name) == (
        2,
        [],
        [f"ablations: results folder {path} is a file; choose another with --results"],
    )
    assert path.read_text() == ""


def test_results_below_a_file_or_under_an_endless_name_are_refused(tmp_path, command):
    write_study(tmp_path)
    (tmp_path / "file").write_text("")
    code, _, (line,) = command("run", "--workers", "0", results="file/below")
    assert (code, line) == (
        2,
        f"ablations: {tmp_path}/file/below/tiny/study.json: cannot be written (Not a directory); "
        "make room or choose another folder with --results, then run again: what is finished is "
        "kept",
    )
    code, _, (line,) = command("run", results="x" * 300)
    assert code == 2
    assert line.endswith(": File name too long; choose another with --results")


def test_a_read_only_folder_is_refused_and_still_read(tmp_path, command, monkeypatch):
    write_study(tmp_path)
    assert command("run", "--workers", "0", "--budget", "0")[0] == 1

    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for owner, name in ((Path, "mkdir"), (Path, "rename"), (os, "replace"), (os, "open")):
        monkeypatch.setattr(owner, name, refuse)
    code, out, (line,) = command("run", "--workers", "0")
    assert (code, out) == (2, [])
    assert "cannot be written (Read-only file system); " in line
    assert "choose another folder with --results" in line
    assert command("status") == (
        1,
        ["tiny: 8 trials: 8 missing", ],
        [],
    )  # fmt: skip
    assert command("plan")[0] == 0


def test_missing_data_are_refused(tmp_path, command, monkeypatch):
    monkeypatch.setenv("ABLATIONS_DATA", str(tmp_path / "data"))
    write_study(tmp_path, {"study.tasks": ["imagefolder:pets"], "task": {}})
    for name in ("run", "plan", "status", "verify", "costs"):
        code, out, (line,) = command(name)
        assert (code, out) == (2, [])
        assert line.startswith(f"ablations: {tmp_path}/data/pets holds no images (")


def test_costs_trains_what_is_missing_and_writes_the_table(tmp_path, command, monkeypatch, capsys):
    write_study(tmp_path)
    table = tmp_path / "costs.json"
    monkeypatch.setattr(planning, "TABLE", table)

    code, out, _ = command("costs", "--workers", "0")

    assert code == 0
    assert len(read_rows(tmp_path / "results" / "tiny")) == 8
    written = json.loads(table.read_text())
    assert (written["stacks"], written["measured"][:2]) == (4, "20")
    assert all(price > 0 for price in written["seconds"].values())
    assert [line.split()[:2] for line in out[-2:]] == [["tiny", "4"], ["all", "4"]]
    usual = main(["costs", "--study", str(tmp_path / "study.toml"), "--workers", "0"])
    assert usual == 0, "without --results it measures in a folder of its own"
    assert sorted(tmp_path.glob("results*")) == [tmp_path / "results"]


def test_costs_leaves_out_what_has_no_data(tmp_path, command, monkeypatch):
    def refuse(spec):
        raise TaskError(f"no {spec.name}")

    monkeypatch.setattr(planning, "checksum", refuse)
    write_study(tmp_path)
    assert command("costs", "--workers", "0") == (
        2,
        [],
        [
            "study 'tiny' is left out: no spiral",
            "ablations: no study is left to measure; get the data or name other studies",
        ],
    )


def test_costs_measures_the_studies_made_for_it_and_the_others_stay_with_theirs():
    assert parser().parse_args(["costs"]).study == "costs"
    assert parser().parse_args(["run"]).study == "core"


def test_an_error_of_the_program_is_not_taken_for_a_mistake(tmp_path, command, monkeypatch):
    write_study(tmp_path)

    def fail(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(running, "run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        command("run")


@given(place=st.sampled_from([path for path in places(RICH) if path]), value=VALUES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_study_with_anything_anywhere_is_planned_or_refused(tmp_path, capsys, place, value):
    """No traceback, whatever TOML can say: exit code 0, or 2 with one line."""
    path = write_toml(tmp_path / "study.toml", replaced(RICH, place, value))
    code = main(["plan", "--study", str(path), "--results", str(tmp_path / "results")])
    said = capsys.readouterr()
    assert code in (0, 2)
    assert len(said.err.splitlines()) == (code == 2)
    assert not (tmp_path / "results").exists()


SHORT = {"fixed": {"steps": 2, "evaluations": 1, "width": 4}, "study.seeds": 1}


@given(place=st.sampled_from([path for path in places(changed(SHORT)) if path]), value=VALUES)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_study_with_anything_anywhere_is_run_or_refused(
    tmp_path, capsys, monkeypatch, place, value
):
    """What the reader lets through can be run to a row for every trial."""
    path = write_toml(tmp_path / "study.toml", replaced(changed(SHORT), place, value))
    results = tmp_path / "results"
    shutil.rmtree(results, ignore_errors=True)
    words = ["--study", str(path), "--results", str(results), "--workers", "0"]
    code = main(["run", "--quiet", "--budget", "3s", *words])
    said = capsys.readouterr()
    assert code in (0, 1, 2)
    assert (len(said.err.splitlines()) == 1) or code != 2


def test_a_run_says_how_it_ended_and_where(tmp_path, command):
    write_study(tmp_path)
    code, out, err = command("run", "--workers", "0", "--quiet")
    assert (code, err) == (0, [])
    assert out == [f"8 trials: 8 finished in {tmp_path / 'results'}"]


TUNING = "spiral/activation=relu/tuning/learning_rate={}/seed=1000".format
CULPRITS = {TUNING(0.01), TUNING(0.1), "spiral/activation=tanh/final/seed=1"}
STANDING = [
    f"tiny: 3 trials failed ({TUNING(0.01)} and 2 more): ValueError: a bad day; mend the cause "
    "before running again, else they fail again",
    "tiny: 2 final trials wait for a learning rate, which the failed tuning trials of their cells "
    "leave open",
]


def test_a_run_with_a_failed_trial_is_exit_code_1_and_says_what_failed_and_why(
    tmp_path, command, monkeypatch
):
    write_study(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "train", failing_train(CULPRITS, ValueError("a bad\n day")))
        code, out, err = command("run", "--workers", "0", "--quiet")

    tally = "8 trials: 3 failed, 3 finished, 2 missing"
    assert (code, out) == (1, [f"{tally} in {tmp_path / 'results'}", *STANDING])
    assert sum("ValueError: a bad" in line for line in err) == 5  # two stacks, then their trials
    assert command("status") == (1, [f"tiny: {tally}", *STANDING], [])
    code, out, _ = command("plan", "--workers", "1")
    assert code == 0
    assert out[-3:-1] == STANDING
    found = json.loads("\n".join(command("plan", "--json")[1]))
    assert found["notes"] == STANDING
    (row,) = found["rows"]
    assert (row["done"], row["failed"], row["waiting"]) == (2, 3, 2)
    assert row["seconds"] > 0

    assert command("run", "--workers", "0", "--quiet")[0] == 0
    assert command("status") == (0, ["tiny: 8 trials: 8 finished"], [])


def test_rates_that_another_study_fails_to_choose_are_waited_for(tmp_path, command, monkeypatch):
    write_study(tmp_path / "both", {"study.name": "rates"}, "a.toml")
    borrowed = {"from": "rates", "by": "activation"}
    write_study(tmp_path / "both", {"nuisance.learning_rate": borrowed}, "b.toml")
    with monkeypatch.context() as patch:
        patch.setattr(workers, "train", failing_train({TUNING(0.1)}, ValueError("a bad day")))
        command("run", "--workers", "0", "--quiet", study="both")
    _, out, _ = command("status", study="both")
    assert out[0] == "rates: 8 trials: 5 finished, 1 failed, 2 missing"
    assert out[3:] == [
        "tiny: 4 trials: 2 finished, 2 missing",
        "tiny: 2 final trials wait for a learning rate, which the failed tuning trials of study "
        "'rates' leave open",
    ]


FOLDER = {
    "study.tasks": ["imagefolder:pets"],
    "task": {"imagefolder:pets": {"size": 4}},
    "fixed": {"depth": 1, "width": 4, "steps": 2, "norm": "batch"},
}
FOLDER_MISFITS = {
    "more than there are": (
        {"fixed.train_size": 13},
        "train_size 13 is more than the 12 training examples; give at most 12, or 'all', or leave "
        "the task out",
    ),
    "one left over": (
        {"fixed.minibatch": 11},
        "batch norm has no variance in a minibatch of 1, and 12 training examples in minibatches "
        "of 11 leave 1 over; choose another minibatch or train_size, or layer norm, or leave the "
        "task out",
    ),
    "one left over at a level": (
        {"factors": {"norm": ["none", "batch"]}, "fixed": {"depth": 1, "minibatch": 11}},
        "batch norm has no variance in a minibatch of 1, and 12 training examples in minibatches "
        "of 11 leave 1 over; choose another minibatch or train_size, or layer norm, or skip the "
        'level with [task."imagefolder:pets"] skip = { factor = [...] }',
    ),
}


@pytest.mark.parametrize("case", FOLDER_MISFITS)
def test_cells_that_do_not_fit_a_folder_are_refused_before_anything_is_trained(
    tmp_path, command, monkeypatch, case
):
    monkeypatch.setenv("ABLATIONS_DATA", str(tmp_path / "data"))
    for n in range(20):
        write_image(tmp_path / "data" / "pets" / ("cat", "dog")[n % 2] / f"{n}.png", shade=n)
    load_source.cache_clear()
    changes, message = FOLDER_MISFITS[case]
    path = write_study(tmp_path, {**FOLDER, **changes})
    for name in ("run", "plan"):
        assert command(name) == (2, [], [f"ablations: {path}: task 'imagefolder:pets': {message}"])
    assert not (tmp_path / "results").exists()
    write_study(tmp_path, FOLDER)
    assert command("plan")[0] == 0
    load_source.cache_clear()


def test_an_interrupted_run_is_exit_code_130_and_says_how_to_go_on(tmp_path, command, monkeypatch):
    write_study(tmp_path)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run", interrupt)
    monkeypatch.setattr(sys, "argv", ["x", "run", "--study", "my study.toml"])
    code, _, err = command("run")
    assert code == 130
    assert err == [
        "",
        "interrupted; what is finished is kept. To go on: "
        "python -m ablations run --study 'my study.toml'",
    ]


def test_output_into_a_closed_pipe_is_no_error(tmp_path):
    code = f"exec {sys.executable} -m ablations list | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("tasks\n", "")


def test_the_program_itself_answers_with_exit_code_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ablations", "run", "--study", "nothing.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "ablations: nothing.toml: no such study file; `ablations list` shows the studies\n"
    )


def test_the_list_names_every_task_factor_level_and_study(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for name in [*TASKS, *FACTORS, "hardshrink(threshold=0.5)", "nesterov(momentum=0.9"]:
        assert name in said
    for group, files in study_groups().items():
        for file in files:
            assert f"{group}/{file.stem}" in said
    assert "split = [0.6, 0.2, 0.2]" in said
    assert 'split = "none"' in said


def test_the_plan_counts_what_is_there_and_what_is_not(tmp_path, command):
    write_study(tmp_path)
    code, (found,) = (
        command("plan", "--json")[0],
        [json.loads("\n".join(command("plan", "--json")[1]))],
    )
    (row,) = found["rows"]
    assert code == 0
    assert (row["study"], row["task"], row["cells"]) == ("tiny", "spiral", 2)
    assert (row["trials"], row["done"]) == (8, 0)
    assert 0 < row["seconds"] < 60
    assert found["seconds"] > row["seconds"] / found["workers"]

    command("run", "--workers", "0")
    records = (tmp_path / "results").rglob("records/*/*.json")
    next(path for path in records if '"stage":"final"' in path.read_text()).unlink()
    (row,) = json.loads("\n".join(command("plan", "--json")[1]))["rows"]
    assert row["done"] == 6
    command("run", "--workers", "0")
    done = json.loads("\n".join(command("plan", "--json")[1]))
    assert done["rows"][0] | {"seconds": 0.0} == done["rows"][0]
    assert done["seconds"] == 0
    assert command("plan")[1][-1] == "8 trials, 8 done; nothing to do"


def test_a_plan_for_people_says_how_long(tmp_path, command):
    write_study(tmp_path)
    code, out, _ = command("plan", "--workers", "3")
    assert code == 0
    assert out[0].split() == ["study", "task", "cells", "trials", "done", "time", "left"]
    assert out[2].split()[:5] == ["tiny", "spiral", "2", "8", "0"]
    assert out[-1].startswith("8 trials, 0 done; about ")
    assert out[-1].endswith("with 3 workers")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.4, "< 1 s"), (1, "1 s"), (99, "99 s"), (100, "1.7 min"), (5399, "90.0 min"),
     (5400, "1.5 h")],
)  # fmt: skip
def test_a_prediction_has_two_digits(seconds, shown):
    assert show_seconds(seconds) == shown


def test_status_says_where_each_study_stands(tmp_path, command):
    write_study(tmp_path)
    assert command("status") == (1, ["tiny: 8 trials: 8 missing"], [])
    command("run", "--workers", "0")
    assert command("status") == (0, ["tiny: 8 trials: 8 finished"], [])


def test_status_names_a_damaged_record(tmp_path, command):
    write_study(tmp_path)
    command("run", "--workers", "0")
    path = min((tmp_path / "results").rglob("records/*/*.json"))
    path.write_bytes(b"torn")
    code, _, (line,) = command("status")
    assert code == 1
    assert line.startswith(f"record {path} is damaged; set aside as {path.stem}.damaged-")


@pytest.fixture
def finished(tmp_path, command):
    """The results folder of the small study."""
    write_study(tmp_path)
    assert command("run", "--workers", "0", "--quiet")[0] == 0
    return tmp_path / "results"


def test_verify_trains_a_sample_again_and_agrees(finished, command):
    code, out, err = command("verify", "--sample", "9")
    assert (code, err) == (0, [])
    assert out == ["every sampled record and every CSV file agrees"]


@pytest.mark.parametrize("name", ["trials", "curves", "stacks", "pictures", "points"])
def test_verify_finds_a_csv_file_edited_by_hand(finished, command, name):
    path = finished / "tiny" / f"{name}.csv"
    content = path.read_text()
    digit = max(n for n, letter in enumerate(content) if letter.isdigit())
    path.write_text(content[:digit] + str(9 - int(content[digit])) + content[digit + 1 :])
    assert command("verify", "--sample", "0") == (
        1,
        [f"{path}: differs from the records; delete it and run again"],
        [],
    )
    path.unlink()
    assert command("verify", "--sample", "0")[0] == 1
    assert command("run", "--workers", "0")[0] == 0
    assert command("verify", "--sample", "0")[0] == 0
    assert path.read_text() == content


def test_verify_finds_a_record_whose_numbers_do_not_repeat(finished, command, monkeypatch):
    """A record sealed by other code under the same key."""
    from ablations import verification  # noqa: PLC0415

    train = verification.train

    def other(stack, *, device):
        outcome = train(stack, device=device)
        outcome.rows[0]["train_loss"] += 1e-12
        return outcome

    monkeypatch.setattr(verification, "train", other)
    code, out, _ = command("verify", "--sample", "9")
    assert code == 1
    assert len(out) == 4
    assert out[0].endswith(" and its stack do not repeat on cpu")


def test_verify_without_results_says_what_to_do(tmp_path, command):
    write_study(tmp_path)
    assert command("verify") == (
        1,
        [f"tiny: no records in {tmp_path}/results/tiny; run it first"],
        [],
    )


def test_diff_finds_nothing_between_equals_and_names_what_differs(finished, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    assert main(["diff", str(finished), str(other)]) == 0
    assert capsys.readouterr().out == "the same trials with the same numbers\n"

    path = other / "tiny" / "trials.csv"
    frame = pd.read_csv(path, dtype=str)
    frame.loc[0, "val_loss"] = "0.5"
    frame.loc[1, "status"] = "diverged"
    frame.drop(index=7).to_csv(path, index=False)
    shutil.copytree(finished / "tiny", other / "second")
    before = read_rows(finished / "tiny")
    assert main(["diff", str(finished), str(other)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"second: only in {other}",
        f"tiny: {before[7]['trial']} only in {finished}",
        f"tiny: {before[1]['trial']} status: finished and diverged",
        f"tiny: {before[0]['trial']} val_loss: {before[0]['val_loss']} and 0.5",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged (No columns to parse from file); delete it and run again"),
        (b"\xff", "is damaged ("),
        (b"a,b\n1,2\n", "does not name each trial once; delete it and run again"),
        (b"trial,b\n1,2\n1,3\n", "does not name each trial once; delete it and run again"),
    ],
)
def test_diff_refuses_a_damaged_table(finished, capsys, content, message):
    path = finished / "tiny" / "trials.csv"
    path.write_bytes(content)
    assert main(["diff", str(finished), str(finished)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ablations: {path}: {message}")


def test_diff_of_a_folder_without_results_is_refused(tmp_path, capsys):
    assert main(["diff", str(tmp_path), str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"ablations: {tmp_path} holds no results; give a folder such as results/standard\n"
    )


@pytest.mark.parametrize("name", ["Größe + Tiefe", "深さ", "a b.c-d_e+f"])
def test_a_study_named_in_any_language_is_run(tmp_path, command, name):
    write_study(tmp_path, {"study.name": name}, name="meine Studie.toml")
    code, _, _ = command("run", "--workers", "0", study="meine Studie.toml")
    assert code == 0
    rows = read_rows(tmp_path / "results" / name)
    assert {row["study"] for row in rows} == {name}
    assert command("verify", study="meine Studie.toml")[0] == 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Tiny", "tiny"), "studies 'Tiny' and 'tiny' differ only in case; rename one"),
        (("STRASSE", "straße"), "studies 'STRASSE' and 'straße' differ only in case; rename one"),
        (("tiny", "tiny"), "studies 'tiny' and 'tiny' have the same name; rename one"),
    ],
)
def test_studies_that_would_share_a_folder_are_refused(tmp_path, capsys, names, message):
    for number, name in enumerate(names):
        write_study(tmp_path / "group", {"study.name": name}, name=f"{number}.toml")
    assert main(["plan", "--study", str(tmp_path / "group")]) == 2
    assert capsys.readouterr().err == f"ablations: {message}\n"


def test_a_group_brings_the_studies_that_its_rates_come_from(capsys):
    assert main(["plan", "--study", "crossed", "--profile", "quick", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["study"] for row in rows} == {"optimizer", "crossed"}


def test_results_go_where_the_profile_says(tmp_path, capsys):
    path = write_study(tmp_path)
    words = ["--study", str(path), "--profile", "quick", "--workers", "0", "--device", "cpu"]
    assert main(["run", *words]) == 0
    assert (tmp_path / "results" / "quick" / "tiny" / "trials.csv").exists()
    assert main(["run", *words, "--results", "here"]) == 0
    assert tables(tmp_path / "here" / "tiny") == tables(tmp_path / "results" / "quick" / "tiny")


def test_a_broken_pipe_inside_the_program_ends_quietly(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return os.dup(1)

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["list"]) == 0
