"""Blocks of seeds grow: nothing is trained twice, and nothing shows that it grew."""

import json

import pytest
from test_running import Interrupted, failing_train, read_rows, records, tables
from test_studyfile import small_study

from ablations import running, workers
from ablations.blocks import related_blocks
from ablations.planning import plan
from ablations.running import Settings, find, run
from ablations.stacking import BLOCK, final_stacks
from ablations.verification import verify

LEVELS = 2  # cells of the small study


@pytest.fixture
def go(tmp_path):
    """Run the small study with so many seeds in a folder of results."""

    def go_(seeds, *, results="results", changes=None, **settings):
        study = small_study(tmp_path / "studies", {"study.seeds": seeds, **(changes or {})})
        return run([study], Settings(tmp_path / results, quiet=True, **settings))

    return go_


def outcomes(folder, stacks):
    """What some records say of their trials, by key."""
    found = {path.stem: json.loads(path.read_text())["payload"] for path in records(folder)}
    return {key: found[key]["outcome"] for key in stacks}


def shown(folder):
    """Keys of the records that the CSV files are collected from."""
    return sorted({row["stack"] for row in read_rows(folder)})


@pytest.mark.parametrize(("before", "after"), [(5, 10), (3, 4), (7, 23), (12, 20), (1, 2)])
def test_more_seeds_train_only_those_that_are_missing(go, tmp_path, trained, before, after):
    go(before)
    trained.clear()
    assert go(after).complete
    assert sum(trained.values()) == (after - before) * LEVELS
    assert set(trained.values()) == {1}

    go(after, results="fresh")
    grown, fresh = tmp_path / "results" / "tiny", tmp_path / "fresh" / "tiny"
    assert tables(grown) == tables(fresh)
    for name in ("pictures.csv", "points.csv"):
        assert (grown / name).read_bytes() == (fresh / name).read_bytes()
    assert outcomes(grown, shown(fresh)) == outcomes(fresh, shown(fresh))


@pytest.mark.parametrize(("before", "after"), [(10, 4), (23, 21), (20, 15)])
def test_fewer_seeds_train_nothing(go, tmp_path, trained, before, after):
    go(before)
    trained.clear()
    assert go(after).complete
    assert not trained
    go(after, results="fresh")
    grown, fresh = tmp_path / "results" / "tiny", tmp_path / "fresh" / "tiny"
    assert tables(grown) == tables(fresh)
    assert outcomes(grown, shown(fresh)) == outcomes(fresh, shown(fresh))


def test_a_block_may_grow_again_and_again(go, tmp_path, trained):
    for seeds in (1, 3, 4, 8, 10):
        assert go(seeds).complete
    assert set(trained.values()) == {1}
    go(10, results="fresh")
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "fresh" / "tiny")
    study = small_study(tmp_path / "studies", {"study.seeds": 10})
    assert verify([study], tmp_path / "results", "cpu", 100) == []


def test_what_is_taken_over_must_be_sound(go, tmp_path, trained, capsys):
    """A damaged record is set aside and its trials are trained again."""
    go(4)
    folder = tmp_path / "results" / "tiny"
    for path in records(folder):
        if '"stage":"final"' in path.read_text():
            path.write_bytes(path.read_bytes().replace(b'"test_loss":', b'"test_loss":1', 1))
    trained.clear()
    assert go(6).complete
    assert sum(trained.values()) == 6 * LEVELS
    assert "set aside" in capsys.readouterr().err
    go(6, results="fresh")
    assert tables(folder) == tables(tmp_path / "fresh" / "tiny")


def test_a_block_of_another_recipe_is_not_taken_over(go, trained):
    go(4)
    trained.clear()
    go(6, changes={"fixed.steps": 4})
    assert sum(trained.values()) == 6 * LEVELS


def test_a_failed_trial_is_not_taken_over(go, tmp_path, monkeypatch):
    culprit = "spiral/activation=tanh/final/seed=1"
    with monkeypatch.context() as patch:
        patch.setattr(workers, "train", failing_train({culprit}, ValueError("a bad day")))
        assert str(go(3)).endswith("9 finished, 1 failed")
    assert go(5).complete
    go(5, results="fresh")
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "fresh" / "tiny")


def test_the_new_trials_of_a_block_may_fail_alone(go, tmp_path, monkeypatch):
    culprit = "spiral/activation=tanh/final/seed=4"
    go(3)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "train", failing_train({culprit}, ValueError("a bad day")))
        assert str(go(6)).endswith("15 finished, 1 failed")
    statuses = {r["trial"]: r["status"] for r in read_rows(tmp_path / "results" / "tiny")}
    assert statuses.pop(culprit) == "failed"
    assert set(statuses.values()) == {"finished"}
    assert go(6).complete
    go(6, results="fresh")
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "fresh" / "tiny")


def test_an_interrupted_growth_goes_on_to_the_same_bytes(go, tmp_path, monkeypatch):
    go(4)
    with monkeypatch.context() as patch:
        patch.setattr(running, "Here", lambda *_: Interrupted(1))
        with pytest.raises(KeyboardInterrupt):
            go(14)
    assert go(14).complete
    go(14, results="fresh")
    assert tables(tmp_path / "results" / "tiny") == tables(tmp_path / "fresh" / "tiny")


def test_a_plan_counts_only_the_time_of_the_missing_seeds(go, tmp_path):
    go(4)

    def seconds(seeds, results):
        study = small_study(tmp_path / "studies", {"study.seeds": seeds})
        (row,) = plan([study], tmp_path / results, "cpu").rows
        return row.seconds

    whole, four = seconds(8, "none"), seconds(4, "none")
    assert 0 < seconds(8, "results") < whole - four / 2
    assert seconds(3, "results") == 0


def test_the_block_that_shares_most_is_asked_first(tmp_path):
    study = small_study(tmp_path, {"study.seeds": 15, "nuisance.learning_rate": [0.1]})
    found = find([study], tmp_path, "cpu")["tiny"]
    task = study.tasks[0]
    cell = running.trained_cells(study, task)[0]
    whole, part = final_stacks(study, task, cell, 0.1)
    assert [len(b.members) for b in related_blocks(study, whole)] == list(range(BLOCK - 1, 0, -1))
    assert [len(b.members) for b in related_blocks(study, part)] == [6, 7, 8, 9, 10, 4, 3, 2, 1]
    for block in related_blocks(study, part):
        assert block.members[0] == part.members[0]
        assert found.key(block) != found.key(part)
