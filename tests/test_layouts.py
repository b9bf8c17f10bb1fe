"""How stacks are cut is measured: each way does what its name says, and the table is right."""

import numpy as np
import pytest
import torch
from conftest import stack_of
from scipy import stats

from ablations import layout, training
from ablations.anatomy import parts_of
from ablations.compiled import compilable
from ablations.network import describe
from ablations.stacking import Stack
from benchmarks import layouts
from benchmarks.layouts import COMMITTED, Trained, Way, render, replaced, stacks, ways


def layout_of(stack: Stack, examples: int) -> layout.Layout:
    shape = {"spiral": (2,), "digits": (1, 8, 8)}[stack.task.name]
    network = describe(stack.cell, shape, 3 if stack.task.name == "spiral" else 10)
    return layout.layout_of(
        list(parts_of(network, shape)),
        shape,
        step=examples,
        smallest=64,
        alone=True,
        device=torch.device("cpu"),
    )


def test_every_way_of_cutting_changes_the_layout_of_some_stack():
    committed = [layout_of(each.stack, 1000) for each in stacks().values()]
    for name, way in ways().items():
        with replaced(layout, way.constants):
            changed = [layout_of(each.stack, 1000) for each in stacks().values()]
        assert (changed != committed) == bool(way.constants), name
    assert [layout_of(each.stack, 1000) for each in stacks().values()] == committed


def test_a_way_trains_all_trials_in_stacks_of_its_size(monkeypatch):
    trained = []
    monkeypatch.setattr(training, "train", lambda stack, members: trained.append(members))
    stack = stack_of("spiral", seeds=range(5))
    assert layouts.seconds_of(Trained(stack, compiled=True), Way(together=2)) > 0
    assert [len(members) for members in trained] == [2, 2, 1]
    assert tuple(member for members in trained for member in members) == stack.members


@pytest.mark.parametrize("stack", [True, False])
@pytest.mark.parametrize("way", [True, False])
def test_kernels_take_the_steps_where_both_let_them(monkeypatch, stack, way):
    said, train = [], training.train
    monkeypatch.setattr(
        training, "train", lambda stack, members: said.append(train(stack, members).way)
    )
    layouts.seconds_of(Trained(stack_of("spiral", steps=2), stack), Way(compiled=way))
    assert said == ["compiled" if stack and way else "stacked"]
    assert training.compilable is compilable


def test_the_table_holds_ratios_to_what_is_committed():
    seconds = {COMMITTED: (1.0, 2.0, 4.0), "slow": (2.0, 4.0, 8.0), "same": (1.1, 2.0, 4.0 / 1.1)}
    rows = [
        {"stack": "a", "way": way, "round": number, "seconds": each}
        for way, all_of_them in seconds.items()
        for number, each in enumerate(all_of_them)
    ]
    table = render(rows)
    assert "| slow" in table
    assert "2.00 (2.00-2.00)" in table
    logs = np.log([1.1, 1.0, 1 / 1.1])
    low, high = np.exp(stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs)))
    assert f"1.00 ({low:.2f}-{high:.2f})" in table


@pytest.mark.slow
def test_the_command_measures_every_way_in_processes_of_their_own(tmp_path, capsys, monkeypatch):
    small = {"spiral": Trained(stack_of("spiral", seeds=(0, 1), steps=3), compiled=True)}
    monkeypatch.setattr(layouts, "stacks", lambda: small)
    assert layouts.main(["--results", str(tmp_path), "--rounds", "2"]) == 0
    lines = (tmp_path / "layouts.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * len(ways())
    table = capsys.readouterr().out
    assert all(name in table for name in ways() if name != COMMITTED)
