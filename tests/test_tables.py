"""A results folder is read exactly, or refused in one line that says what to do."""

import copy
import csv
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from report.files import read_table
from report.schema import (
    ADDED,
    CURVES,
    DERIVED,
    FACTORS,
    PICTURES,
    POINTS,
    STACKS,
    TIMINGS,
    TRIALS,
    TableError,
)
from report.tables import read_results

LEVELS = ("none", "nan")  # levels that a careless reader takes for missing values


def trial_name(level, seed):
    return f"spiral/regularisation={level}/final/learning_rate=0.003/seed={seed}"


def study_json(name="activation"):
    """One task, one factor of two levels, two seeds."""
    trials = [(level, seed) for level in LEVELS for seed in (0, 1)]
    return {
        "schema": 1,
        "name": name,
        "tasks": [
            {"name": "spiral", "kind": "classification", "response": "test_accuracy", "chance": 0.5}
        ],
        "factors": [{"name": "regularisation", "levels": list(LEVELS)}],
        "baseline": dict.fromkeys(FACTORS, "none"),
        "learning_rates": {"by": None, "values": {"": [0.003]}, "source": None},
        "cells": [{"task": "spiral", "regularisation": level, "same_as": None} for level in LEVELS],
        "trials": [
            {
                "trial": trial_name(level, seed),
                "task": "spiral",
                "stage": "final",
                "seed": seed,
                "regularisation": level,
                "learning_rate": 0.003,
            }
            for level, seed in trials
        ],
    }


def trials_frame(study):
    """Every trial of the study, finished, with accuracies that need all their digits."""
    rows = [
        {
            **dict.fromkeys(FACTORS, "default"),
            "trial": trial["trial"],
            "study": study["name"],
            "task": trial["task"],
            "stage": trial["stage"],
            "seed": trial["seed"],
            "regularisation": trial["regularisation"],
            "learning_rate": 0.003,
            "status": "finished",
            "test_accuracy": 0.1 + 0.2 + trial["seed"] / 7,
            "stack": "s0",
        }
        for trial in study["trials"]
    ]
    return pd.DataFrame(rows).reindex(columns=list(TRIALS))


def write_study(folder, study=None):
    study = study or study_json()
    target = folder / study["name"]
    target.mkdir(parents=True)
    target.joinpath("study.json").write_text(json.dumps(study))
    trials = trials_frame(study)
    trials.to_csv(target / "trials.csv", index=False)
    curves = pd.DataFrame({"trial": trials["trial"], "step": 0, "val_loss": 1.5})
    curves.reindex(columns=list(CURVES)).to_csv(target / "curves.csv", index=False)
    return target


@pytest.fixture
def folder(tmp_path):
    write_study(tmp_path)
    return tmp_path


@pytest.fixture
def trials_csv(folder):
    return folder / "activation" / "trials.csv"


def message(folder):
    """The refusal, which must be one line that names a file and a remedy."""
    with pytest.raises(TableError) as error:
        read_results(folder)
    text = str(error.value)
    assert "\n" not in text
    assert "; " in text, "no remedy"
    return text


def edit(path, change):
    """Rewrite a CSV file as text cells."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(frame).to_csv(path, index=False)


# What is read


def test_rows_come_back_as_they_were_written(folder):
    (results,) = read_results(folder).studies
    expected = trials_frame(study_json())
    expected["trial"] = expected["trial"].astype("str")
    pd.testing.assert_frame_equal(
        results.trials[["trial", "seed", "regularisation", "test_accuracy"]],
        expected[["trial", "seed", "regularisation", "test_accuracy"]],
        check_dtype=False,
        check_exact=True,
    )


def test_columns_have_the_same_types_whatever_they_hold(folder):
    """Depth "2" and a level named nan are text; a column without any value is still a number."""
    (results,) = read_results(folder).studies
    for name, kind in TRIALS.items():
        dtype = results.trials[name].dtype
        assert dtype == {"text": "str", "whole numbers": "int64", "numbers": "float64"}[kind], name
    assert results.trials["regularisation"].tolist() == ["none", "none", "nan", "nan"]
    assert results.trials["train_loss"].isna().all()


def test_files_that_are_not_there_are_frames_without_rows(folder):
    results = read_results(folder)
    assert list(results.timings) == list(TIMINGS)
    assert results.machine == {}
    (study,) = results.studies
    for frame, columns in (
        (study.pictures, PICTURES),
        (study.points, POINTS),
        (study.stacks, STACKS),
    ):
        assert list(frame) == list(columns)
        assert frame.empty


def test_a_header_without_rows_is_an_unfinished_study(folder, trials_csv):
    trials_csv.write_text(",".join(TRIALS) + "\n")
    (results,) = read_results(folder).studies
    assert results.trials.empty
    assert results.trials["test_accuracy"].dtype == "float64"
    assert results.trials["seed"].dtype == "int64"


def test_studies_come_in_reading_order(tmp_path):
    for name in ("zebra", "crossed", "anteater", "optimizer", "activation", "depth-width"):
        write_study(tmp_path, study_json(name))
    names = [results.study["name"] for results in read_results(tmp_path).studies]
    assert names == ["activation", "optimizer", "depth-width", "crossed", "anteater", "zebra"]


def test_columns_that_a_later_version_added_may_be_missing(folder, trials_csv):
    """A folder of before is read as if they were empty; no other column may be missing."""
    edit(trials_csv, lambda frame: frame.drop(columns=[c for c in TRIALS if c in ADDED]))
    edit(trials_csv.with_name("curves.csv"), lambda frame: frame.drop(columns="running_loss"))
    (study,) = read_results(folder).studies
    assert list(study.trials.columns) == [*TRIALS, *DERIVED]
    assert study.trials[sorted(ADDED & set(TRIALS))].isna().all(axis=None)
    assert study.curves["running_loss"].isna().all()
    edit(trials_csv, lambda frame: frame.drop(columns="train_loss"))
    assert "column 'train_loss' is missing" in message(folder)


def test_folders_without_a_study_are_passed_over(folder):
    (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text("")
    assert len(read_results(folder).studies) == 1


def test_a_compressed_file_is_read_like_the_file(folder, trials_csv):
    plain = read_results(folder).studies[0].trials
    trials_csv.with_name("trials.csv.gz").write_bytes(gzip.compress(trials_csv.read_bytes()))
    trials_csv.unlink()
    pd.testing.assert_frame_equal(read_results(folder).studies[0].trials, plain)


def test_a_spreadsheet_may_have_saved_it(folder, trials_csv):
    """Byte order mark, CRLF and another order of columns do no harm."""
    plain = read_results(folder).studies[0].trials
    edit(trials_csv, lambda frame: frame[frame.columns[::-1]])
    trials_csv.write_bytes(b"\xef\xbb\xbf" + trials_csv.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(read_results(folder).studies[0].trials, plain)


@pytest.mark.parametrize("cell", ["=1+1", "+x", "-x", "@x", "\tx", "\rx"])
def test_guards_against_spreadsheets_are_taken_off(tmp_path, cell):
    path = tmp_path / "points.csv"
    frame = pd.DataFrame({"task": ["'" + cell, "'plain", "it's"], "x": 0, "y": -1.5, "label": 1})
    frame.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
    points = read_table(path, POINTS)
    assert points["task"].tolist() == [cell, "'plain", "it's"]
    assert points["y"].tolist() == [-1.5] * 3


HOSTILE = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=20
).filter(lambda text: not text.startswith("'"))


@given(
    st.lists(st.tuples(HOSTILE, st.floats(allow_nan=False), st.floats(allow_nan=False)), min_size=1)
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_and_floats_survive_the_round_trip(tmp_path, rows):
    """F25, F31: subnormals, 1e308, -0.0; quotes, commas, line ends, formulas."""
    frame = pd.DataFrame(rows, columns=["task", "x", "y"]).assign(label=np.nan)
    guarded = frame["task"].str.match(r"[=+\-@\t\r]")
    frame.assign(task=frame["task"].where(~guarded, "'" + frame["task"])).to_csv(
        tmp_path / "points.csv", index=False
    )
    points = read_table(tmp_path / "points.csv", POINTS)
    assert points["task"].tolist() == frame["task"].tolist()
    for name in ("x", "y"):
        written, read = (table[name].to_numpy(float).view(np.int64) for table in (frame, points))
        np.testing.assert_array_equal(read, written)


# What is refused


def test_no_results_name_the_command_that_makes_them(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert "no results here; run `make ablations` first" in message(folder)
        assert str(folder) in message(folder)


def test_a_file_is_no_results_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder of results" in message(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda f: f.rename(columns={"test_accuracy": "test_acuracy"}),
            "unknown column 'test_acuracy', did you mean 'test_accuracy'?",
        ),
        (lambda f: f.drop(columns="seed"), "column 'seed' is missing"),
        (lambda f: f.assign(qqq="1"), "unknown column 'qqq', which does not belong here"),
        (
            lambda f: pd.concat([f, f["seed"]], axis=1),
            "column 'seed' is there twice",
        ),
        (
            lambda f: f.assign(test_accuracy=["0.5", "high", "0.5", ""]),
            "column 'test_accuracy' holds numbers, row 3 has 'high'",
        ),
        (
            lambda f: f.assign(test_accuracy="True"),
            "column 'test_accuracy' holds numbers, row 2 has 'True'",
        ),
        (
            lambda f: f.assign(seed=["0", "1", "0.5", "1"]),
            "column 'seed' holds whole numbers, row 4 has '0.5'",
        ),
        (
            lambda f: f.assign(seed=["0", "1", "0", ""]),
            "column 'seed' holds whole numbers, row 5 has nothing",
        ),
        (lambda f: pd.concat([f, f.iloc[[1]]]), f"trial {trial_name('none', 1)!r} has more than"),
        (
            lambda f: f.assign(trial=["x", *f["trial"][1:]]),
            "trial 'x' is not in study.json",
        ),
        (lambda f: f.assign(study="optimizer"), "study is 'optimizer', not activation"),
        (
            lambda f: f.assign(status=["finished", "done", "failed", "failed"]),
            "row 3: status is 'done', not finished or diverged or failed",
        ),
        (lambda f: f.assign(stage="last"), "stage is 'last', not tuning or final"),
    ],
)
def test_a_changed_table_is_refused(folder, trials_csv, change, expected):
    edit(trials_csv, change)
    text = message(folder)
    assert text.startswith(f"{trials_csv}: ")
    assert expected in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty, without even a header"),
        (b"\n \n", "is empty, without even a header"),
        (b"\xff\xfe\x00", "unknown column"),
        (",".join(TRIALS).encode(), "the last row is cut short"),
        (b"x\ry," + ",".join(TRIALS).encode() + b"\n", "carriage return is not quoted"),
        (
            ",".join(TRIALS).encode() + b"\n" + b"x\r" + b"," * (len(TRIALS) - 1) + b"\n",
            "a cell with a carriage return is not quoted",
        ),
        (
            ",".join(TRIALS).encode() + b"\nx,y\n",
            f"row 2 has 2 cells, the header has {len(TRIALS)}",
        ),
    ],
)
def test_a_broken_table_is_refused(folder, trials_csv, content, expected):
    trials_csv.write_bytes(content)
    assert expected in message(folder)


def test_every_truncation_is_found(folder, trials_csv):
    """A torn 0.9567 must not be read as 0.9; only a cut at a row's end leaves a whole table."""
    content = trials_csv.read_bytes()
    for end in range(len(content) - 1):
        trials_csv.write_bytes(content[:end])
        if not content[:end].endswith(b"\n"):
            message(folder)


def test_text_that_is_not_utf8_is_refused(folder, trials_csv):
    trials_csv.write_bytes(trials_csv.read_bytes().replace(b"finished", b"finish\xff\xfe"))
    assert "utf-8" in message(folder)


@pytest.mark.parametrize("name", ["trials.csv", "curves.csv", "study.json"])
def test_a_folder_in_place_of_a_file_is_refused(folder, name):
    path = folder / "activation" / name
    path.unlink()
    path.mkdir()
    assert f"{path}: is a folder, not a file" in message(folder)


def test_a_table_without_its_study_is_refused(folder):
    (folder / "activation" / "study.json").unlink()
    assert "stands without the study.json" in message(folder)


def test_curves_of_unknown_or_doubled_trials_are_refused(folder):
    path = folder / "activation" / "curves.csv"
    edit(path, lambda f: pd.concat([f, f.iloc[[0]]]))
    assert "two rows for the same step" in message(folder)
    edit(path, lambda f: f.iloc[:1].assign(trial="ghost"))
    assert f"{path}: trial 'ghost' is not in study.json" in message(folder)


def test_a_copy_of_a_study_is_refused(folder):
    shutil.copytree(folder / "activation", folder / "old")
    assert "two folders hold a study named 'activation'" in message(folder)


def without(key):
    return lambda study: study.pop(key)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.update(schema=2), "has schema 2, this report reads schema 1"),
        (without("schema"), "has schema None"),
        (without("trials"), "'trials' must be a list, got nothing"),
        (lambda s: s.update(cells={}), "'cells' must be a list, got {}"),
        (lambda s: s["tasks"][0].pop("response"), "tasks[0]: 'response' must be a str"),
        (lambda s: s["trials"].append(7), "trials[4] is 7, not an object"),
        (
            lambda s: s["trials"][0].update(regularisation=2),
            "trials[0]: 'regularisation' must be a str, got 2",
        ),
        (lambda s: s["trials"].append(s["trials"][0]), "twice"),
        (
            lambda s: s["trials"].append({**s["trials"][0], "trial": "again"}),
            "two final trials for ('spiral', 'none', 0)",
        ),
        (lambda s: s["cells"].pop(), "belongs to none of the study's cells"),
        (
            lambda s: s["factors"][0].update(name="regularization"),
            "unknown factor 'regularization', did you mean 'regularisation'?",
        ),
        (
            lambda s: s["tasks"][0].update(response="test_accurracy"),
            "unknown response 'test_accurracy', did you mean 'test_accuracy'?",
        ),
    ],
)
def test_a_study_that_cannot_be_relied_on_is_refused(folder, change, expected):
    path = folder / "activation" / "study.json"
    study = copy.deepcopy(study_json())
    change(study)
    path.write_text(json.dumps(study))
    text = message(folder)
    assert text.startswith(f"{path}: ")
    assert expected in text


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "null"])
def test_a_study_that_is_not_json_is_refused(folder, content):
    path = folder / "activation" / "study.json"
    path.write_text(content)
    assert message(folder).startswith(f"{path}: ")


def test_the_report_needs_no_torch():
    """Checked in a fresh interpreter: importing the readers and statistics loads neither."""
    code = (
        "import sys, report.effects; print({'torch', 'matplotlib', 'ablations'} & {*sys.modules})"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
