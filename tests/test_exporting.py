"""A saved network, loaded again, is the network that was trained."""

import pytest
import torch

from ablations import exporting
from ablations.__main__ import main
from ablations.exporting import load
from ablations.records import RecordError
from ablations.training import train_one

STUDY = """
[study]
name     = "small"
question = "Which network is saved?"
tasks    = [{tasks}]
seeds    = 2

[factors]
{factors}

[nuisance]
learning_rate = [0.01]

[fixed]
steps     = 12
minibatch = 64
evaluations = 3
"""

CASES = {
    "mlp": (
        '"spiral", "diabetes"',
        'norm = ["none", "batch"]\nregularisation = ["none", "auxiliary_loss", "early_stopping"]',
    ),
    "cnn": (
        '"digits"',
        'network = ["cnn", { name = "sequential", layers = "conv 3@3, linear 9" }]',
    ),
}


@pytest.fixture(params=CASES)
def results(request, tmp_path):
    tasks, factors = CASES[request.param]
    study = tmp_path / "small.toml"
    study.write_text(STUDY.format(tasks=tasks, factors=factors))
    options = ["--study", str(study), "--results", str(tmp_path / "results"), "--workers", "0"]
    assert main(["run", "--quiet", *options]) == 0
    return tmp_path, options


def trials_of(folder):
    import pandas as pd  # noqa: PLC0415

    return pd.read_csv(folder / "results" / "small" / "trials.csv")


def test_every_cell_scores_the_same_when_it_is_loaded(results, capsys):
    folder, options = results
    trials = trials_of(folder)
    for _, row in trials[trials["seed"] == 1].iterrows():
        file = folder / "network.safetensors"
        assert main(["export", *options, row["trial"], str(file)]) == 0
        column = "test_r2" if row["task"] == "diabetes" else "test_accuracy"
        assert f"{column} {row[column]:.6g}" in capsys.readouterr().out
        module = load(file)
        assert not module.training
        shape = {"spiral": (2,), "diabetes": (10,), "digits": (1, 8, 8)}[row["task"]]
        assert torch.isfinite(module(torch.zeros(3, *shape))).all()


def test_a_trial_that_is_not_there_is_answered_with_one_that_is(tmp_path, capsys):
    study = tmp_path / "small.toml"
    study.write_text(STUDY.format(tasks='"spiral"', factors="depth = [0, 1]"))
    options = ["--study", str(study), "--results", str(tmp_path / "results"), "--workers", "0"]
    file = tmp_path / "network.safetensors"
    assert main(["export", *options, "x", str(file)]) == 2
    assert "holds no trials of this study; run it first" in capsys.readouterr().err
    assert main(["run", "--quiet", *options]) == 0
    assert main(["export", *options, "spiral/depth=0/final/seed=9", str(file)]) == 2
    assert "did you mean 'spiral/depth=0/final/seed=" in capsys.readouterr().err
    assert not file.exists()


def test_a_network_that_is_not_the_recorded_one_is_not_passed_off_as_it(
    tmp_path, capsys, monkeypatch
):
    """Trained to another score, or read back with other weights: a line says so, and exit code 1
    or 2 goes with it."""
    study = tmp_path / "small.toml"
    study.write_text(STUDY.format(tasks='"spiral"', factors="depth = [0, 1]"))
    options = ["--study", str(study), "--results", str(tmp_path / "results"), "--workers", "0"]
    assert main(["run", "--quiet", *options]) == 0
    trial = trials_of(tmp_path)["trial"].iloc[-1]
    file = tmp_path / "network.safetensors"

    def emptied(path):
        module = load(path)
        for parameter in module.parameters():
            parameter.data.zero_()
        return module

    monkeypatch.setattr(exporting, "load", emptied)
    assert main(["export", *options, trial, str(file)]) in {1, 2}
    assert "when loaded, not" in capsys.readouterr().err
    assert not file.exists()
    monkeypatch.undo()

    def otherwise(stack, member, *, device):
        trained, task = train_one(stack, member, device=device)
        trained.row["test_accuracy"] += 0.25
        return trained, task

    monkeypatch.setattr(exporting, "train_one", otherwise)
    assert main(["export", *options, trial, str(file)]) in {1, 2}
    assert "the results come from another version, run it again" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x80\x04N."])
def test_a_file_that_is_no_network_runs_nothing(tmp_path, content):
    file = tmp_path / "network.safetensors"
    file.write_bytes(content)
    with pytest.raises(RecordError, match="is no saved network"):
        load(file)


def test_a_trial_without_a_network_and_a_place_without_room_are_said(tmp_path, capsys):
    study = tmp_path / "small.toml"
    factors = 'schedule = ["constant", { name = "constant", scale = 1e30 }]'
    study.write_text(STUDY.format(tasks='"wave"', factors=factors))
    options = ["--study", str(study), "--results", str(tmp_path / "results"), "--workers", "0"]
    assert main(["run", "--quiet", *options]) == 0
    by_status = trials_of(tmp_path).groupby("status")["trial"].first()
    assert main(["export", *options, by_status["diverged"], str(tmp_path / "a")]) == 2
    said = capsys.readouterr().err
    assert "its status is 'diverged', so there is no network to save; choose a trial that" in said
    assert main(["export", *options, by_status["finished"], str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_score_that_is_rounded_otherwise_is_the_same(tmp_path, capsys):
    """Two points of a line each: R2 of some size, from numbers close to one another."""
    study = tmp_path / "small.toml"
    few = "[task.line]\npoints = 2\nvalidation_points = 2\ntest_points = 2\n"
    factors = 'depth = [0, 1]\nloss = ["mse", "l1", "huber"]'
    study.write_text(STUDY.format(tasks='"line"', factors=factors) + few)
    options = ["--study", str(study), "--results", str(tmp_path / "results"), "--workers", "0"]
    assert main(["run", "--quiet", *options]) == 0
    for trial in trials_of(tmp_path)["trial"]:
        assert main(["export", *options, trial, str(tmp_path / "x.safetensors")]) == 0
