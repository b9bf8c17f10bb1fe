"""Every way of the speed comparison trains the same trials to the same loss."""

from dataclasses import replace

import pytest

from ablations.levels import Level
from ablations.training import train
from benchmarks import peers
from benchmarks.speedup import contest, disagreeing, ratios, render

SHORT = {
    "full batch": contest(
        "spiral",
        "spiral",
        3,
        {"points": 30, "standardise": False},
        steps=25,
        rate=0.01,
        split="none",
        levels={"depth": 1, "width": 8},
    ),
    "minibatches": contest(
        "digits", "digits", 3, steps=40, rate=0.003, levels={"minibatch": 64, "width": 16}
    ),
    "numbers": contest(
        "line",
        "line",
        3,
        {"standardise": False},
        steps=50,
        rate=0.01,
        split="none",
        levels={"depth": 0, "optimizer": Level("sgd")},
    ),
}


@pytest.mark.parametrize("name", SHORT)
def test_the_notebook_and_vmap_reach_the_loss_of_the_stacks(name):
    stack = SHORT[name].stack
    case = peers.lay_out(stack, 3)
    expected = [row["train_loss"] for row in train(stack).rows]

    # float32 sums in another order drift apart by rounding alone
    assert peers.notebook(case) == pytest.approx(expected, rel=2e-4)
    assert peers.with_vmap(case) == pytest.approx(expected, rel=2e-4)


def test_a_cnn_in_a_notebook_reaches_the_loss_of_the_stacks():
    levels = {"network": Level("cnn"), "depth": 1, "width": 4, "minibatch": 128}
    stack = contest("cnn", "digits", 2, steps=12, rate=0.01, levels=levels).stack
    expected = [row["train_loss"] for row in train(stack).rows]
    assert peers.notebook(peers.lay_out(stack, 2)) == pytest.approx(expected, rel=1e-3)


def test_jax_reaches_the_loss_of_the_stacks():
    pytest.importorskip("jax", reason="JAX is an optional extra")
    stack = replace(SHORT["full batch"].stack)
    expected = [row["train_loss"] for row in train(stack).rows]
    assert peers.with_jax(peers.lay_out(stack, 3))() == pytest.approx(expected, rel=2e-4)


def row(way, number, seconds, trials, *, compiling=0.0, loss=0.5):
    return {
        "case": "c",
        "way": way,
        "round": number,
        "seconds": seconds,
        "trials": trials,
        "compile_seconds": compiling,
        "loss": loss,
    }


def test_ratios_are_of_seconds_per_trial_within_a_round():
    rows = [
        row("stacked", 0, 2.0, 4),
        row("stacked", 1, 4.0, 4),
        row("jax", 0, 3.0, 2, compiling=1),
    ]
    rows.append(row("jax", 1, 3.0, 2, compiling=1))
    assert ratios(rows) == {("c", "jax"): [3.0, 1.5]}
    assert ratios(rows, compiling=True) == {("c", "jax"): [4.0, 2.0]}
    assert "| c      | jax       |           2.25 |     1.50 |      3.00 |" in render(rows)


def test_a_way_that_ends_elsewhere_is_named():
    rows = [row("stacked", 0, 1, 1, loss=0.5), row("notebook", 0, 1, 1, loss=0.6)]
    assert disagreeing(rows) == ["c: notebook ends at loss 0.6, the stacks at 0.5"]
    assert not disagreeing([rows[0], row("notebook", 0, 1, 1, loss=0.51)])
