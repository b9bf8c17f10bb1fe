"""Only what is missing is trained, and however it came about, the numbers are the same."""

import csv
import json
import math
import os
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from conftest import task_spec
from test_studyfile import REMOVE, small_study
from test_workers import Saboteur

from ablations import running, workers
from ablations.design import DesignError, trials_of
from ablations.records import record_path, try_lock, unlock
from ablations.running import (
    Found,
    Run,
    Settings,
    Tally,
    chosen_rate,
    decided_stacks,
    find,
    record_context,
    render_outdated,
    run,
    tally,
)
from ablations.tasks import TaskError
from ablations.training import train
from ablations.verification import verify

NAMES = ("trials.csv", "curves.csv")


@pytest.fixture
def go(tmp_path):
    """Run the small study, some values replaced, in a folder of results."""

    def go_(changes=None, *, results="results", profile="standard", **settings):
        study = small_study(tmp_path / "studies", changes, profile)
        return run([study], Settings(tmp_path / results, quiet=True, **settings))

    return go_


def read_rows(folder, name="trials"):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tables(folder):
    """The files that do not depend on the clock, as bytes."""
    return [(folder / name).read_bytes() for name in NAMES]


def times(folder):
    """When each file below a folder was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def records(folder):
    return sorted(folder.rglob("records/*/*.json"))


def refuse_to_train(*args, **options):
    raise AssertionError("nothing should be trained")


def test_a_run_leaves_a_row_for_every_trial_of_the_study(go, tmp_path):
    done = go()

    folder = tmp_path / "results" / "tiny"
    rows = read_rows(folder)
    study = json.loads((folder / "study.json").read_text())
    assert str(done) == "8 trials: 8 finished"
    assert done.complete
    assert sorted(row["trial"] for row in rows) == sorted(t["trial"] for t in study["trials"])
    assert {row["status"] for row in rows} == {"finished"}
    assert Counter(row["stage"] for row in rows) == {"tuning": 4, "final": 4}
    assert all((row["test_loss"] == "") == (row["stage"] == "tuning") for row in rows)
    curves = Counter(row["trial"] for row in read_rows(folder, "curves"))
    assert curves == {row["trial"]: 3 for row in rows}  # steps 0, 2 and 3
    stacks = read_rows(folder, "stacks")
    assert {row["stack"] for row in stacks} == {path.stem for path in records(folder)}
    assert {row["stack"] for row in rows} == {row["stack"] for row in stacks}
    assert {(row["way"], row["attempt"]) for row in stacks} == {("compiled", "1")}
    machine = json.loads((tmp_path / "results" / "machine.json").read_text())
    assert machine["studies"]["tiny"]["profile"] == "standard"
    assert machine["studies"]["tiny"]["seconds"] > 0
    assert not list(folder.rglob("*.lock"))


def test_the_final_rate_is_the_best_of_the_tuning_trials(go, tmp_path):
    go({"nuisance.learning_rate": [0.01, 1e-7, 0.1]})
    rows = read_rows(tmp_path / "results" / "tiny")
    for level in ("relu", "tanh"):
        mine = [row for row in rows if row["activation"] == level]
        losses = {
            row["learning_rate"]: float(row["val_loss"]) for row in mine if row["stage"] == "tuning"
        }
        final = {row["learning_rate"] for row in mine if row["stage"] == "final"}
        assert len(losses) == 3
        assert final == {min(losses, key=losses.get)}


def tuned(rate, *losses, status="finished"):
    return [{"learning_rate": rate, "status": status, "val_loss": loss} for loss in losses]


CHOICES = {
    "the best mean": ([*tuned(0.1, 1, 5), *tuned(0.2, 2, 2)], 0.2),
    "a tie, the smaller rate": ([*tuned(0.2, 1), *tuned(0.1, 1)], 0.1),
    "one diverged trial is worse than any loss": (
        [*tuned(0.1, 0.1), *tuned(0.1, None, status="diverged"), *tuned(0.2, 9, 9)],
        0.2,
    ),
    "the fewest diverged trials": (
        [*tuned(0.1, None, None, status="diverged"), *tuned(0.2, None, status="diverged"),
         *tuned(0.2, 5)],
        0.2,
    ),
    "all diverged, the smallest rate": (
        [*tuned(0.2, None, status="diverged"), *tuned(0.1, None, status="diverged")],
        0.1,
    ),
    "an infinite loss is as bad as a diverged trial": (
        [*tuned(0.1, math.inf), *tuned(0.2, 1e300)],
        0.2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOICES)
def test_a_rate_is_chosen_by(tmp_path, monkeypatch, case):
    rows, best = CHOICES[case]
    study = small_study(tmp_path)
    cell = next(trials_of(study)).cell
    found = {"tiny": Found(study, tmp_path, {})}
    monkeypatch.setattr(running, "_tuning_rows", lambda found, cell: rows)
    assert chosen_rate(study, cell, found) == best
    monkeypatch.setattr(running, "_tuning_rows", lambda found, cell: None)
    assert chosen_rate(study, cell, found) is None


def test_a_second_run_trains_nothing_and_touches_no_file(go, tmp_path, monkeypatch):
    go()
    before = times(tmp_path / "results")
    assert len(before) == 4 + 7

    monkeypatch.setattr(workers, "train", refuse_to_train)
    monkeypatch.setattr(running, "Here", refuse_to_train)
    assert go().complete

    assert times(tmp_path / "results") == before


def test_workers_in_any_number_give_the_same_bytes(go, tmp_path):
    changes = {"study.tasks": ["spiral", "line"], "study.seeds": 11}
    for count in (0, 1, 2):
        assert go(changes, results=str(count), workers=count).complete
    here, one, two = (tables(tmp_path / str(count) / "tiny") for count in (0, 1, 2))
    assert here == one == two


class Interrupted(workers.Here):
    """A pool in which Ctrl-C is pressed after some results."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def results(self, timeout):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().results(timeout)


def test_kernels_are_compiled_once_before_there_are_workers(go, tmp_path, monkeypatch, capsys):
    told, kept = "compiling the training steps, once after an installation", tmp_path / "kernels"
    monkeypatch.setattr(running, "kept_in", lambda: kept)
    monkeypatch.setattr(running, "prepare", kept.mkdir)
    go(results="first")
    assert capsys.readouterr().err.count(told) == 1
    go(results="second")
    assert told not in capsys.readouterr().err


def test_an_interrupted_run_goes_on_to_the_same_bytes(go, tmp_path, monkeypatch):
    go(results="at once")
    folder = tmp_path / "results" / "tiny"
    for finished in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(running, "Here", lambda *_: Interrupted(1))
            with pytest.raises(KeyboardInterrupt):
                go()
        assert len(records(folder)) == finished + 1
        assert len(read_rows(folder)) == sum(
            len(json.loads(path.read_text())["payload"]["outcome"]["rows"])
            for path in records(folder)
        )
        assert not list(folder.rglob("*.lock"))
    assert go().complete
    assert tables(folder) == tables(tmp_path / "at once" / "tiny")


def test_a_spent_budget_starts_nothing_says_so_and_the_next_run_goes_on(go, tmp_path, capsys):
    assert str(go(budget=0.0)) == "8 trials: 8 missing"
    assert "the budget is spent; run again to train the rest" in capsys.readouterr().err
    assert read_rows(tmp_path / "results" / "tiny") == []
    assert go(budget=60.0).complete


def test_a_budget_lets_what_was_started_finish(go, tmp_path, monkeypatch):
    clock = time.monotonic

    class Slow(workers.Here):
        def results(self, timeout):
            results = super().results(timeout)
            monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000)
            return results

    monkeypatch.setattr(running, "Here", Slow)
    done = go(budget=500.0)
    assert done.counts == {"finished": 2}
    assert len(records(tmp_path / "results")) == 1


LARGER = {
    "another level": {"factors.activation": ["relu", "gelu", "tanh"]},
    "ten more seeds": {"study.seeds": 20},
    "another task": {"study.tasks": ["line", "spiral"]},
}


@pytest.mark.parametrize("case", LARGER)
def test_a_larger_study_leaves_the_records_it_has_alone(go, tmp_path, case):
    go({"study.seeds": 10})
    folder = tmp_path / "results" / "tiny"
    before = {path: times(folder)[path] for path in records(folder)}
    larger = {"study.seeds": 10, **LARGER[case]}

    assert go(larger).complete

    after = times(folder)
    assert {path: after[path] for path in before} == before
    assert len(records(folder)) > len(before)
    go(larger, results="fresh")
    assert tables(folder) == tables(tmp_path / "fresh" / "tiny")


def test_a_smaller_study_shows_only_its_own_trials(go, tmp_path):
    go({"factors.activation": ["relu", "gelu", "tanh"]})
    go()
    go(results="fresh")
    folder = tmp_path / "results" / "tiny"
    assert tables(folder) == tables(tmp_path / "fresh" / "tiny")
    assert len(records(folder)) == 6


def test_a_record_that_was_deleted_is_the_only_one_trained_again(go, tmp_path):
    go()
    folder = tmp_path / "results" / "tiny"
    before, bytes_before = times(folder), tables(folder)
    for gone in records(folder):
        time.sleep(0.01)
        gone.unlink()
        assert go().complete
        after = times(folder)
        changed = {path for path in before if after[path] != before[path]}
        assert changed - {folder / "stacks.csv"} == {gone}
        assert tables(folder) == bytes_before
        before = after


def test_csv_files_that_were_deleted_or_edited_are_made_again(go, tmp_path, monkeypatch):
    go()
    folder = tmp_path / "results" / "tiny"
    before = tables(folder)
    (folder / "trials.csv").unlink()
    (folder / "curves.csv").write_bytes(b"\xff edited")
    monkeypatch.setattr(workers, "train", refuse_to_train)
    go()
    assert tables(folder) == before


def test_a_damaged_record_is_set_aside_by_name_and_trained_again(go, tmp_path, capsys):
    go()
    folder = tmp_path / "results" / "tiny"
    before = tables(folder)
    for n, path in enumerate(records(folder)):
        path.write_bytes(path.read_bytes()[: -n * 7 - 1])

    assert go().complete

    said = capsys.readouterr().err.splitlines()
    aside = sorted(folder.rglob("*.damaged-*"))
    assert len(aside) == len(said) == 4
    for path in aside:
        assert sum(f"set aside as {path.name}" in line for line in said) == 1
    assert tables(folder) == before


def failing_train(culprits, error):
    """A `train` that raises for some trials."""

    def train_or_raise(stack, members, *, device):
        if any(member.name in culprits for member in members):
            raise error
        return train(stack, members, device=device)

    return train_or_raise


CULPRIT = "spiral/activation=tanh/final/seed=1"


def test_a_trial_that_raises_is_a_row_and_the_others_finish(go, tmp_path, monkeypatch, capsys):
    go(results="sound")
    with monkeypatch.context() as patch:
        patch.setattr(workers, "train", failing_train({CULPRIT}, ValueError("a bad day")))
        done = go()
    folder = tmp_path / "results" / "tiny"
    sound = {row["trial"]: row for row in read_rows(tmp_path / "sound" / "tiny")}

    assert str(done) == "8 trials: 7 finished, 1 failed"
    assert not done.complete
    for row in read_rows(folder):
        if row["trial"] == CULPRIT:
            assert (row["status"], row["train_loss"]) == ("failed", "")
        else:
            assert row == sound[row["trial"]]
    said = capsys.readouterr().err
    assert f"tiny: {CULPRIT} failed: ValueError: a bad day" in said
    assert "trained again one by one" in said
    ways = Counter((row["way"], row["attempt"]) for row in read_rows(folder, "stacks"))
    assert ways == {("compiled", "1"): 3, ("alone", "2"): 1}

    assert go().complete
    assert tables(folder) == tables(tmp_path / "sound" / "tiny")


def test_a_stack_trained_trial_by_trial_gives_the_same_bytes(go, tmp_path, monkeypatch):
    go(results="sound")
    failed = []

    def fail_stacks(stack, members, *, device):
        if len(members) > 1:
            failed.append(stack)
            raise ValueError("only one by one today")
        return train(stack, members, device=device)

    monkeypatch.setattr(workers, "train", fail_stacks)
    assert go().complete
    assert len(failed) == 4
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "sound" / "tiny")


def test_a_failed_tuning_trial_leaves_its_cell_missing_until_it_is_mended(
    go, tmp_path, monkeypatch
):
    culprit = "spiral/activation=tanh/tuning/learning_rate=0.1/seed=1000"
    with monkeypatch.context() as patch:
        patch.setattr(workers, "train", failing_train({culprit}, ValueError("a bad day")))
        done = go()
    assert str(done) == "8 trials: 5 finished, 1 failed, 2 missing"
    assert go().complete
    go(results="sound")
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "sound" / "tiny")


def test_a_trial_without_memory_is_a_row(go, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "train", failing_train({CULPRIT}, MemoryError()))
    assert str(go()) == "8 trials: 7 finished, 1 out of memory"
    statuses = {row["trial"]: row["status"] for row in read_rows(tmp_path / "results" / "tiny")}
    assert statuses.pop(CULPRIT) == "out_of_memory"
    assert set(statuses.values()) == {"finished"}


def test_a_diverged_trial_is_a_row_and_needs_no_second_try(go, tmp_path, monkeypatch):
    changes = {
        "nuisance.learning_rate": [0.01, 1e35],
        "fixed.optimizer": "sgd",
        "factors.activation": ["identity", "tanh"],
        "fixed.steps": 20,
    }
    done = go(changes)
    rows = read_rows(tmp_path / "results" / "tiny")
    diverged = [row for row in rows if row["status"] == "diverged"]
    assert done.complete
    assert diverged
    assert {row["learning_rate"] for row in diverged} == {"1e+35"}
    assert {row["train_loss"] for row in diverged} == {""}
    assert {row["learning_rate"] for row in rows if row["stage"] == "final"} == {"0.01"}
    monkeypatch.setattr(workers, "train", refuse_to_train)
    assert go(changes).complete


@pytest.mark.slow
def test_a_worker_that_dies_or_hangs_costs_its_trial_alone(go, tmp_path, monkeypatch, capsys):
    """The stack is tried once, then trial by trial: the culprit is found, the others finish."""
    go(results="sound")
    culprits = {
        CULPRIT: Saboteur(os.abort),
        "spiral/activation=relu/final/seed=0": Saboteur(time.sleep, 600),
    }
    make_job = Run._job

    def sabotaged(self, key, stack, members, *, attempt):
        job = make_job(self, key, stack, members, attempt=attempt)
        hit = [culprits[m.name] for m in job.members if m.name in culprits]
        return replace(job, stack=hit[0]) if hit else job

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_job", sabotaged)
        done = go(workers=2, limit=2.0)

    assert done.counts == {"finished": 6, "failed": 1, "timed_out": 1}
    said = capsys.readouterr().err
    assert f"{CULPRIT} failed: its process was ended by SIGABRT" in said
    assert "spiral/activation=relu/final/seed=0 timed out: took longer than 2 s" in said
    folder, sound = tmp_path / "results" / "tiny", tmp_path / "sound" / "tiny"
    known = {row["trial"]: row for row in read_rows(sound)}
    for row in read_rows(folder):
        assert row["trial"] in culprits or row == known[row["trial"]]
    assert go().complete
    assert tables(folder) == tables(sound)


def test_a_stack_held_by_another_process_is_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(running, "LOCK_POLL", 0.05)
    monkeypatch.setattr(running, "SILENT", 0.1)
    study = small_study(tmp_path / "studies")
    found = find([study], tmp_path / "results", "cpu")
    first = next(decided_stacks(found, study))
    path = record_path(tmp_path / "results" / "tiny", found["tiny"].key(first))
    handle = try_lock(path.with_suffix(".lock"))
    threading.Timer(0.4, unlock, (path.with_suffix(".lock"), handle)).start()
    start = time.monotonic()

    assert run([study], Settings(tmp_path / "results")).complete

    assert time.monotonic() - start >= 0.4
    assert not list(tmp_path.rglob("*.lock"))
    assert "waiting for 1 stack that another process is training" in capsys.readouterr().err


def test_a_stack_that_another_process_finished_is_not_trained_again(go, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LOCK_POLL", 0.05)
    go(results="other")
    study = small_study(tmp_path / "studies")
    found = find([study], tmp_path / "results", "cpu")
    first = next(decided_stacks(found, study))
    key = found["tiny"].key(first)
    path = record_path(tmp_path / "results" / "tiny", key)
    handle = try_lock(path.with_suffix(".lock"))

    def finish_elsewhere():
        path.write_bytes(record_path(tmp_path / "other" / "tiny", key).read_bytes())
        unlock(path.with_suffix(".lock"), handle)

    threading.Timer(0.3, finish_elsewhere).start()
    trained = []

    def noted(stack, members, *, device):
        trained.append(stack.members[0].name)
        return train(stack, members, device=device)

    monkeypatch.setattr(workers, "train", noted)
    assert go().complete
    assert len(trained) == 3
    assert first.members[0].name not in trained
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "other" / "tiny")


SOURCE = {
    "study.name": "source",
    "factors": {"optimizer": ["adam", "sgd"]},
    "nuisance.learning_rate": {"adam": [0.01, 0.02], "sgd": [0.1, 0.3]},
}
TAKER = {
    "study.name": "taker",
    "factors": {"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]},
    "nuisance.learning_rate": {"from": "source", "by": "optimizer"},
}


def test_rates_come_from_the_tuning_of_another_study(tmp_path):
    source = small_study(tmp_path / "a", SOURCE)
    taker = small_study(tmp_path / "b", TAKER)

    done = run([source, taker], Settings(tmp_path / "results", quiet=True))

    assert done.complete
    chosen = {
        row["optimizer"]: row["learning_rate"]
        for row in read_rows(tmp_path / "results" / "source")
        if row["stage"] == "final"
    }
    rows = read_rows(tmp_path / "results" / "taker")
    assert len(rows) == 8
    assert {(row["optimizer"], row["learning_rate"]) for row in rows} == set(chosen.items())


BAD_SOURCES = {
    "missing": (None, "which is not among the studies; run them together"),
    "without the task": (
        {**SOURCE, "study.tasks": ["line"], "task": {}},
        "which has no task 'spiral'; add it there",
    ),
    "without the level": (
        {**SOURCE, "factors": {"optimizer": ["adam", "rmsprop"]},
         "nuisance.learning_rate": [0.1, 0.2]},
        "which has no optimizer 'sgd'; add it there",
    ),
    "without rates": (
        {**SOURCE, "nuisance.learning_rate": {"from": "source"}},
        "which chooses none itself; name a study that lists its rates",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_source_that_cannot_give_rates_is_refused(tmp_path, case):
    changes, message = BAD_SOURCES[case]
    studies = [small_study(tmp_path / "b", TAKER)]
    if changes:
        studies.insert(0, small_study(tmp_path / "a", changes))
    what = "taker" if case != "without rates" else "source"
    with pytest.raises(DesignError) as error:
        find(studies, tmp_path / "results", "cpu")
    expected = f"study {what!r} takes its learning rates from 'source', {message}"
    assert str(error.value) == expected


def test_no_data_is_said_before_anything_is_trained(go, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_DATA", str(tmp_path))
    with pytest.raises(TaskError, match="holds no images"):
        go({"study.tasks": ["imagefolder:none"], "task": {}})
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("content", [b"", b"torn {", b"\xff", b"[]", b'{"studies": 3}', b"null"])
def test_a_damaged_machine_file_is_written_anew(go, tmp_path, content):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "machine.json").write_bytes(content)
    assert go().complete
    machine = json.loads((tmp_path / "results" / "machine.json").read_text())
    assert list(machine["studies"]) == ["tiny"]


def test_the_machine_file_keeps_the_studies_of_earlier_runs(tmp_path):
    for name in ("first", "second"):
        study = small_study(tmp_path / name, {"study.name": name})
        run([study], Settings(tmp_path / "results", quiet=True))
    machine = json.loads((tmp_path / "results" / "machine.json").read_text())
    assert set(machine["studies"]) == {"first", "second"}


def test_a_clock_that_jumps_makes_no_duration_negative(go, tmp_path, monkeypatch):
    jumping = iter(range(10**9, 0, -(10**5)))
    monkeypatch.setattr(time, "time", lambda: float(next(jumping)))
    assert go().complete
    seconds = [float(row["seconds"]) for row in read_rows(tmp_path / "results" / "tiny", "stacks")]
    assert all(0 < second < 60 for second in seconds)


def test_the_study_file_of_the_results_says_what_was_asked(go, tmp_path):
    go({
        "factors": {"depth": [1, 0], "width": [4, 8]},
        "fixed": {"steps": 3, "evaluations": 2},
        "claims": [{"statement": "s", "better": {"depth": 1}, "worse": {"depth": 0}, "by": 0.1}],
    })  # fmt: skip
    study = json.loads((tmp_path / "results" / "tiny" / "study.json").read_text())

    assert study["factors"] == [
        {"name": "depth", "levels": ["1", "0"]},
        {"name": "width", "levels": ["4", "8"]},
    ]
    assert study["cells"] == [
        {"task": "spiral", "depth": "1", "width": "4", "same_as": None},
        {"task": "spiral", "depth": "1", "width": "8", "same_as": None},
        {"task": "spiral", "depth": "0", "width": "4", "same_as": None},
        {"task": "spiral", "depth": "0", "width": "8", "same_as": {"depth": "0", "width": "4"}},
    ]
    (task,) = study["tasks"]
    assert task["examples"] == {"train": 24, "val": 24, "test": 24}
    assert (task["response"], task["inputs"], task["outputs"]) == ("test_accuracy", 2, 3)
    assert task["chance"] == pytest.approx(1 / 3, abs=1e-6)
    assert study["claims"][0]["statement"] == "s"
    assert study["baseline"]["depth"] == "1"


def test_progress_without_a_terminal_is_plain_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(running, "PLAIN_EVERY", 0.0)
    run([small_study(tmp_path)], Settings(tmp_path / "results"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith("tiny: 8 of 8 trials, ")
    assert lines[-1].endswith(" trials/s, 0 s left")


def test_a_long_silence_is_broken_by_what_is_being_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(running, "SILENT", 0.0)
    monkeypatch.setattr(running, "LOCK_POLL", 0.01)
    run([small_study(tmp_path)], Settings(tmp_path / "results", workers=1))
    first, *_ = capsys.readouterr().err.splitlines()  # while its worker imports torch
    assert re.fullmatch(r"0 of 8 trials, \d+ s so far, in training: tiny spiral/\S+", first)


def test_progress_on_a_terminal_is_one_bar(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run([small_study(tmp_path)], Settings(tmp_path / "results"))
    said = capsys.readouterr().err
    assert "tiny: 100%" in said
    assert "8/8" in said


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({}, "8,000 trials: 8,000 missing"),
        ({"finished": 7999, "timed_out": 1}, "8,000 trials: 7,999 finished, 1 timed out"),
        ({"finished": 7999, "diverged": 1}, "8,000 trials: 7,999 finished, 1 diverged"),
    ],
)  # fmt: skip
def test_a_tally_names_every_way_a_trial_ended(counts, shown):
    counted = Tally(8000, counts)
    assert str(counted) == shown
    assert counted.complete == ("diverged" in counts)


def test_a_run_with_nothing_to_do_takes_no_time(go, tmp_path):
    """1,000 trials in less than two seconds, imports aside."""
    changes = {
        "task.spiral": {"points": 2, "validation_points": 2, "test_points": 2},
        "fixed": {"steps": 1, "evaluations": 1, "width": 2, "depth": 1},
        "nuisance.learning_rate": [0.1],
        "study.seeds": 500,
    }
    assert go(changes).expected == 1000
    before = times(tmp_path / "results")
    start = time.perf_counter()
    assert go(changes).complete
    assert time.perf_counter() - start < 2
    assert times(tmp_path / "results") == before


def test_records_of_another_version_are_left_alone_and_not_used(go, tmp_path, monkeypatch):
    """Changed code is trained anew; going back finds the old records again."""
    go()
    folder = tmp_path / "results" / "tiny"
    before = {path: times(folder)[path] for path in records(folder)}
    with monkeypatch.context() as patch:
        patch.setattr(running, "code_hash", lambda: "another version")
        assert tally_of(tmp_path) == "8 trials: 8 missing"
        assert go().complete
    assert len(records(folder)) == 8
    monkeypatch.setattr(workers, "train", refuse_to_train)
    assert go().complete
    assert {path: times(folder)[path] for path in before} == before


def test_records_of_another_version_are_counted_and_said_before_they_are_replaced(
    go, tmp_path, monkeypatch, capsys
):
    """Else a finished study would be trained again, and its files replaced, without a word."""
    go()
    folder = tmp_path / "results" / "tiny"
    study = small_study(tmp_path / "studies")
    with monkeypatch.context() as patch:
        patch.setattr(running, "code_hash", lambda: "another version")
        found = find([study], tmp_path / "results", "cpu")
        line = (
            f"tiny: 4 records in {folder} made with other code cannot be used, and a run replaces "
            "the CSV files; to keep these, choose another folder with --results"
        )
        assert render_outdated(found, [study]) == [line]
        assert verify([study], tmp_path / "results", "cpu", 1) == [line]
        capsys.readouterr()
        go()
        assert line in capsys.readouterr().err.splitlines()
    go()
    assert "cannot be used" not in capsys.readouterr().err


def test_records_of_a_smaller_study_are_not_of_another_version(go, tmp_path, capsys):
    go()
    capsys.readouterr()
    go({"factors.activation": ["relu", "tanh", "elu"]})
    assert "cannot be used" not in capsys.readouterr().err


def tally_of(tmp_path):
    study = small_study(tmp_path / "studies")
    return str(tally(find([study], tmp_path / "results", "cpu"), [study]))


def test_epochs_are_as_many_steps_as_minibatches_need(go, tmp_path):
    go({"fixed.steps": REMOVE, "fixed.epochs": 2, "fixed.minibatch": 7})
    steps = {row["steps"] for row in read_rows(tmp_path / "results" / "tiny")}
    assert steps == {"8"}  # 24 examples are four minibatches of at most seven


REAL = running.version
CHANGES = {
    "numba": ("ablations.running.version", lambda name: f"{REAL(name)}{'9' * (name == 'numba')}"),
    "scipy": ("ablations.running.version", lambda name: f"{REAL(name)}{'9' * (name == 'scipy')}"),
    "torch": ("torch.__version__", "9.0"),
    "code": ("ablations.running.code_hash", lambda: "other"),
    "vectors": ("torch.backends.cpu.get_cpu_capability", lambda: "OTHER"),
    "matrices": ("ablations.running.matrix_routines", lambda: "Other"),
    "data": ("ablations.running.checksum", lambda task: "other"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_can_change_a_record_s_numbers_is_in_its_key(name, monkeypatch):
    before = record_context(task_spec(), "cpu")
    monkeypatch.setattr(*CHANGES[name])
    after = record_context(task_spec(), "cpu")
    assert {key for key in before if before[key] != after[key]} == {name}
