"""Trials that have ended leave their stack; what is left goes on as if nothing had happened."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import stack_of
from test_bytes import SMALL, bytes_of, some

from ablations import history, training
from ablations.compaction import SHARE, optimizer_of_some, worth_compacting
from ablations.levels import OPTIMIZERS
from ablations.optimizers import stacked_optimizer
from ablations.training import train

PATIENCE = {"name": "early_stopping", "patience": 1}


def rule(monkeypatch, share):
    """Compact when this share of a stack has ended; returns the sizes that stacks came to."""
    sizes, compacted = [], history.compacted

    def watched(stack, rows):
        sizes.append(len(rows) - stack.layout.spares)
        return compacted(stack, rows)

    monkeypatch.setattr(training, "worth_compacting", lambda n, of: n > 0 and n >= share * of)
    monkeypatch.setattr(history, "compacted", watched)
    return sizes


def assert_compaction_changes_nothing(monkeypatch, stack):
    """Never, at a quarter, whenever any trial has ended, and every trial alone."""
    with monkeypatch.context() as patch:
        assert rule(patch, math.inf) == []
        expected = bytes_of(stack, stack.members)
        pictures = train(stack).pictures
    for share in (0.25, 0):
        with monkeypatch.context() as patch:
            sizes = rule(patch, share)
            assert bytes_of(stack, stack.members) == expected
            assert sizes
            assert 0 < min(sizes) < len(stack.members)
            assert train(stack).pictures == pictures
    for member in stack.members[:: max(1, len(stack.members) // 4)]:
        assert bytes_of(stack, [member])[member.name] == expected[member.name]


def stopping(task="wave", *, rates=(0.001, 0.03, 0.3), regularisation=PATIENCE, **levels):
    """Trials that stop at different evaluations, on data that fill no vectors."""
    data = {} if task == "digits" else {"settings": SMALL}
    shape = {"steps": 24, "evaluations": 12, "seeds": (0, 1, 2, 3), "rates": rates, **data}
    return stack_of(task, regularisation=regularisation, **(shape | levels))


@pytest.mark.parametrize("optimizer", some(OPTIMIZERS, 3))
def test_early_stopping_leaves_the_same_bytes_with_every_optimizer(monkeypatch, optimizer):
    level = {"name": optimizer, "weight_decay": 0.01}
    rates = (0.001, 1.0, 30.0) if optimizer == "adadelta" else (0.001, 0.03, 0.3)
    stack = stopping(optimizer=level, rates=rates, width=7, minibatch=7, schedule="cosine")
    assert_compaction_changes_nothing(monkeypatch, stack)


# One rate of three diverges at once and takes a third of the trials with it.
DIVERGING = {
    "dropout": {"regularisation": "dropout", "minibatch": 7},
    "input noise": {"regularisation": "input_noise", "minibatch": 7},
    "batch norm, in the midst of an epoch": {"norm": "batch", "minibatch": 5, "loss": "l1"},
    "layer norm": {"norm": "layer"},
    "penalty": {"regularisation": "l1", "optimizer": "adagrad"},
    "full batch": {"activation": "tanh"},
    "linear": {"depth": 0, "minibatch": 7},
}


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
@pytest.mark.parametrize("name", DIVERGING)
def test_a_tuning_stack_goes_on_without_the_rates_that_diverge(monkeypatch, name, optimizer):
    rates = (0.001, 1e38, 0.01, 3e38)
    levels = {"optimizer": optimizer, "regularisation": "none"} | DIVERGING[name]
    if levels["optimizer"] == "adam":
        levels["optimizer"] = {"name": "adam", "beta1": 0.5}
    stack = stopping(rates=rates, stage="tuning", **levels)
    rows = train(stack).rows
    assert {row["status"] for row in rows} == {"finished", "diverged"}
    assert_compaction_changes_nothing(monkeypatch, stack)


@pytest.mark.parametrize(
    "levels",
    [
        {"augmentation": "shift", "minibatch": 33},
        {"network": "cnn", "width": 3, "depth": 1, "minibatch": 33},
    ],
    ids=["augmented images", "a cnn with batch norm"],
)
def test_images_leave_the_same_bytes(monkeypatch, levels):
    stack = stopping(
        "digits", rates=(0.01, 1e38), seeds=(0, 1), train_size=70, steps=12, evaluations=6, **levels
    )
    assert_compaction_changes_nothing(monkeypatch, stack)


def test_where_every_trial_passes_alone_the_bytes_stay_the_same(monkeypatch):
    """A layout without spares and with blocks of one: a wide network on many examples."""
    data = {"points": 400, "validation_points": 17, "test_points": 19}
    stack = stopping("spiral", settings=data, width=700, depth=1, rates=(0.001, 0.1), steps=16)
    sizes, compacted = [], history.compacted

    def watched(whole, rows):
        assert whole.layout.one
        assert whole.layout.spares == 0
        sizes.append(len(rows))
        return compacted(whole, rows)

    with monkeypatch.context() as patch:
        patch.setattr(history, "compacted", watched)
        train(stack)
    assert sizes
    assert_compaction_changes_nothing(monkeypatch, stack)


def test_pictures_end_with_the_trial_that_they_show(monkeypatch):
    """The first trial stops long before the last; its company must not be seen in its pictures."""
    stack = stopping("spiral", rates=(0.3, 0.03), pictures=True, width=7)
    outcome = train(stack)
    first = outcome.rows[0]
    assert first["steps"] < max(row["steps"] for row in outcome.rows)
    drawn = [p["step"] for p in outcome.pictures if p["kind"] == "region"]
    assert max(drawn) <= first["steps"]
    assert train(stack, stack.members[:1]).pictures == outcome.pictures
    assert_compaction_changes_nothing(monkeypatch, stack)


def test_running_losses_stay_those_of_their_trials(monkeypatch):
    stack = replace(stopping(rates=(0.01, 1e38), minibatch=7), running_loss=True)
    assert_compaction_changes_nothing(monkeypatch, stack)


def test_a_quarter_of_a_stack_must_have_ended():
    """The rule that was measured: see the table of `ablations.compaction`."""
    assert SHARE == 0.25
    assert [worth_compacting(n, 10) for n in range(5)] == [False, False, False, True, True]
    assert not worth_compacting(0, 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_some_trials_moves_them_as_before(generator, name):
    """From the midst of a training, with hyperparameters that neighbours share or do not."""
    trials, kept = 6, torch.tensor([0, 2, 3, 5])
    flat = torch.randn(trials, 64, generator=generator)
    gradients = torch.randn(8, trials, 64, generator=generator)
    rates = torch.tensor([0.01, 0.01, 0.02, 0.02, 0.02, 0.03]).double().repeat(8, 1)
    defaults = {key: setting.default for key, setting in OPTIMIZERS[name].items()}
    hyper = {key: torch.full((trials,), float(value)).double() for key, value in defaults.items()}
    decay = hyper.pop("weight_decay") + 0.01
    whole = stacked_optimizer(name, rates, hyper, flat, decay)
    for t in range(4):
        whole.step(t, flat, gradients[t].clone())
    some_flat, part = flat[kept], optimizer_of_some(whole, kept)
    for t in range(4, 8):
        whole.step(t, flat, gradients[t].clone())
        part.step(t, some_flat, gradients[t, kept])
    assert torch.equal(some_flat, flat[kept])


def test_images_are_disturbed_as_before_when_a_seed_has_ended():
    stack = stack_of("digits", seeds=range(3), minibatch=64, augmentation="shift", steps=12)
    members = (replace(stack.members[0], learning_rate=1e38), *stack.members[1:])
    together = train(replace(stack, members=members)).rows
    assert together[0]["status"] == "diverged"
    for row, member in zip(together[1:], members[1:], strict=True):
        assert train(stack, [member]).rows == [row]
