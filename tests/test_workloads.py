"""Workloads: which ones there are, what they compute, and that nothing in them waits."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import cell_of, flat_parameters, task_spec

from ablations.design import baseline_cell, canonical, cells_of
from ablations.levels import FACTORS, text
from ablations.network import describe, plain_network
from ablations.streams import Streams
from ablations.studyfile import find_studies, load_study
from ablations.tasks import load_task
from benchmarks.workloads import (
    AGAIN,
    MODES,
    computed_cell,
    minibatch,
    multiplications,
    predicted_seconds,
    prepare,
    training_step,
    workloads_of,
)


def core(profile="standard"):
    return [load_study(path, profile) for path in find_studies("core")]


@pytest.fixture(scope="module")
def plan():
    return workloads_of(core())


def study_file(tmp_path, factors, *, name="mine", tasks='["spiral"]', fixed="minibatch = 30"):
    path = tmp_path / f"{name}.toml"
    path.write_text(
        f'[study]\nname = "{name}"\nquestion = "Which?"\ntasks = {tasks}\n'
        f"[factors]\n{factors}\n[nuisance]\nlearning_rate = [0.01]\n[fixed]\n{fixed}\n"
    )
    return load_study(path)


def names(plan, mode="training step"):
    return [w.name for w in plan.workloads if w.mode == mode]


# Which workloads there are


def test_every_level_of_the_core_studies_is_timed_or_known_to_be_the_same(plan):
    found = {(w.name, w.mode) for w in plan.workloads}
    found |= {(same.workload, same.mode) for same in plan.same_as}
    for study in core():
        for task in study.tasks:
            for factor in study.factors:
                for level in factor.levels:
                    if (factor.name, text(level)) not in task.skip:
                        name = f"{task.name}/{factor.name}={text(level)}"
                        assert {(name, mode) for mode in MODES} <= found, name


def test_no_workload_is_there_twice(plan):
    counts = Counter((w.name, w.mode) for w in plan.workloads)
    assert set(counts.values()) == {1}


def test_a_level_departs_from_the_base_in_that_factor_alone(plan):
    bases = {w.task.name: w.factors for w in plan.workloads if w.is_base}
    for workload in plan.workloads:
        if workload.is_base:
            continue
        factor, _, level = workload.name.partition("/")[2].partition("=")
        differing = {f for f, v in workload.factors.items() if v != bases[workload.task.name][f]}
        assert workload.factors[factor] == level
        assert factor in differing
        assert differing - {"norm"} == {factor}  # batch_norm and layer_norm set the norm, too


def test_the_base_is_the_baseline_of_the_first_study_with_the_task(plan):
    study = next(s for s in core() if s.name == "activation")
    spiral = next(w for w in plan.workloads if w.name == "spiral/baseline")
    assert spiral.cell == cells_of(study, study.tasks[0])[0]
    assert spiral.cell.minibatch == 64


def test_each_base_has_a_twin_that_computes_the_same(plan):
    bases = {(w.name, w.mode): w for w in plan.workloads if w.is_base}
    firsts = [w for w in bases.values() if not w.name.endswith(AGAIN)]
    assert {w.task.name for w in firsts} == {"spiral", "wave", "digits", "diabetes"}
    for first in firsts:
        twin = bases[first.name + AGAIN, first.mode]
        assert replace(twin, name=first.name) == first


def test_the_most_important_come_first(plan):
    """One base network per task family, then the first task's levels; training before inference."""
    first = [(w.name, w.mode) for w in plan.workloads[:13]]
    assert first == [
        *[
            (f"{task}/baseline{again}", mode)
            for task in ("spiral", "wave", "digits")
            for mode in MODES
            for again in ("", AGAIN)
        ],
        ("spiral/activation=identity", "training step"),
    ]
    tasks = [w.task.name for w in plan.workloads[12:]]
    assert list(dict.fromkeys(tasks)) == ["spiral", "wave", "digits", "diabetes"]


def test_inference_is_timed_only_where_it_differs(plan):
    """An optimizer or a penalty leaves the forward pass as it is; dropout is not in it."""
    inference = names(plan, "inference")
    factors = {name.partition("/")[2].partition("=")[0] for name in inference}
    assert "optimizer" not in factors
    regularisers = {name for name in inference if "spiral/regularisation" in name}
    assert regularisers == {
        "spiral/regularisation=batch_norm",
        "spiral/regularisation=layer_norm",
    }


def test_a_level_that_computes_the_same_names_the_workload_it_equals(plan):
    same = {(s.workload, s.mode): s.same_as for s in plan.same_as}
    early = "spiral/regularisation=early_stopping(patience=5)"
    assert same[early, "training step"] == "spiral/baseline"
    assert same["spiral/activation=relu", "inference"] == "spiral/baseline"
    assert same["digits/optimizer=sgd", "inference"] == "digits/baseline"


@pytest.mark.parametrize(
    ("levels", "mode", "equal"),
    [
        ({"init": "xavier"}, "training step", True),
        ({"schedule": "cosine"}, "training step", True),
        ({"train_size": 90}, "training step", True),
        ({"loss": "nll"}, "training step", True),
        ({"loss": "bce"}, "training step", False),
        ({"loss": "bce"}, "inference", True),
        ({"optimizer": "sgd"}, "training step", False),
        ({"minibatch": 16}, "inference", False),
        ({"regularisation": "batch_norm"}, "inference", False),
        ({"regularisation": "l2"}, "training step", False),
    ],
)
def test_cells_are_told_apart_by_what_one_call_computes(levels, mode, equal):
    base = cell_of(minibatch=64)
    other = cell_of(**{"minibatch": 64, **levels})
    assert (computed_cell(base, mode) == computed_cell(other, mode)) is equal


def test_the_size_of_the_training_part_matters_where_it_is_one_minibatch():
    every, few = cell_of(), cell_of(train_size=9)
    assert computed_cell(every, "inference") != computed_cell(few, "inference")


def test_two_studies_with_one_level_time_it_once(tmp_path):
    one = study_file(tmp_path, 'activation = ["relu", "tanh"]', name="one")
    two = study_file(tmp_path, 'activation = ["tanh", "relu", "elu"]', name="two")
    assert names(workloads_of([one, two])) == [
        "spiral/baseline",
        "spiral/baseline (again)",
        "spiral/activation=tanh",
        "spiral/activation=elu",
    ]


def test_a_level_that_the_task_skips_or_cannot_have_is_not_timed(tmp_path):
    """A study skips it, or two studies together ask for what neither alone would."""
    small = study_file(tmp_path, 'activation = ["relu", "tanh"]', name="a", fixed="minibatch = 1")
    norms = study_file(tmp_path, 'regularisation = ["none", "batch_norm"]', name="b")
    plan = workloads_of([small, norms])
    assert "spiral/regularisation=batch_norm" not in names(plan)
    assert [left.workload for left in plan.left_out] == ["spiral/regularisation=batch_norm"] * 2
    assert "no variance in a minibatch of 1" in plan.left_out[0].reason


def test_label_smoothing_is_not_timed_where_there_are_no_classes(plan):
    """The study skips it there, so it is not even left out."""
    assert not any("diabetes/regularisation=label" in w.name for w in plan.workloads)
    assert not any("diabetes/regularisation=label" in left.workload for left in plan.left_out)


# What they compute


def task_of(name="spiral", **settings):
    return load_task(task_spec(name, settings=settings), [0], streams=Streams(0, name))


@pytest.mark.parametrize(
    ("levels", "examples"),
    [
        ({"minibatch": 64}, 64),
        ({"minibatch": "full"}, 300),
        ({"minibatch": "full", "train_size": 90}, 90),
        ({"minibatch": 64, "train_size": 7}, 7),
        ({"minibatch": 1000}, 300),
    ],
)
def test_a_minibatch_has_the_study_s_size_and_training_examples(levels, examples):
    task = task_of()
    x, y = minibatch(cell_of(**levels), task)
    assert x.shape == (examples, 2)
    assert y.shape == (examples,)
    rows = task.parts["train"][0, :examples]
    torch.testing.assert_close(x, task.inputs[rows])


def model_of(cell, task, seed=3):
    network = describe(cell, task.input_shape, task.outputs)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return network, plain_network(network)


def step_of(cell, task, model, network, *, learning_rate=0.1):
    x, y = minibatch(cell, task)
    black = torch.zeros(x.shape[1])
    generator = torch.Generator().manual_seed(1)
    return training_step(
        cell,
        network,
        model,
        x,
        y,
        black=black,
        generator=generator,
        learning_rate=learning_rate,
    )


def by_hand(cell, task, model, optimizer, *, penalty, smoothing):
    """One update as in torch's tutorials."""
    x, y = minibatch(cell, task)
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y, label_smoothing=smoothing)
    loss = loss + penalty(model) if penalty else loss
    loss.backward()
    optimizer.step()


def weights_of(model):
    """The matrices, not the biases."""
    return [parameter for parameter in model.parameters() if parameter.dim() == 2]


@pytest.mark.parametrize(
    ("levels", "optimizer", "penalty", "smoothing"),
    [
        ({"optimizer": "sgd"}, torch.optim.SGD, None, 0.0),
        ({"optimizer": "adam"}, torch.optim.Adam, None, 0.0),
        (
            {"optimizer": "sgd", "regularisation": {"name": "l1", "strength": 0.5}},
            torch.optim.SGD,
            lambda model: 0.5 * sum(w.abs().sum() for w in weights_of(model)),
            0.0,
        ),
        (
            {"optimizer": "sgd", "regularisation": {"name": "l2", "strength": 0.5}},
            torch.optim.SGD,
            lambda model: 0.25 * sum((w**2).sum() for w in weights_of(model)),
            0.0,
        ),
        (
            {"optimizer": "sgd", "regularisation": {"name": "label_smoothing", "amount": 0.2}},
            torch.optim.SGD,
            None,
            0.2,
        ),
    ],
    ids=["sgd", "adam", "l1", "l2", "label smoothing"],
)
def test_a_training_step_is_one_update_as_a_user_would_write_it(
    levels, optimizer, penalty, smoothing
):
    cell, task = cell_of(minibatch=64, **levels), task_of()
    network, model = model_of(cell, task)
    _, other = model_of(cell, task)
    step = step_of(cell, task, model, network)
    updates = optimizer(other.parameters(), lr=0.1)

    for _ in range(3):
        step()
        by_hand(cell, task, other, updates, penalty=penalty, smoothing=smoothing)

    torch.testing.assert_close(flat_parameters(model), flat_parameters(other))


@pytest.mark.parametrize(
    "regularisation", ["dropout", "input_noise"], ids=["dropout", "input noise"]
)
def test_random_regularisers_are_at_work_in_every_training_step(regularisation):
    cell, task = cell_of(minibatch=64, regularisation=regularisation), task_of()
    network, model = model_of(cell, task)
    step = step_of(cell, task, model, network, learning_rate=0.0)
    losses = {float(step().detach()) for _ in range(4)}
    assert len(losses) == 4


def test_augmentation_is_in_the_training_step():
    cell, task = cell_of("digits", minibatch=64, augmentation="shift"), task_of("digits")
    network, model = model_of(cell, task)
    step = step_of(cell, task, model, network, learning_rate=0.0)
    assert float(step().detach()) != float(step().detach())


def test_gradients_do_not_add_up_from_step_to_step():
    cell, task = cell_of(minibatch=64), task_of()
    network, model = model_of(cell, task)
    step = step_of(cell, task, model, network, learning_rate=0.0)
    step()
    first = [p.grad.clone() for p in model.parameters()]
    step()
    torch.testing.assert_close([p.grad for p in model.parameters()], first)


def test_inference_is_the_forward_pass_in_evaluation_mode(plan):
    workload = next(w for w in plan.workloads if w.mode == "inference")
    dropout = baseline_cell(
        "spiral", {"regularisation": FACTORS["regularisation"].parse("", "dropout")}
    )
    outputs = prepare(replace(workload, cell=dropout), task_of())
    torch.testing.assert_close(outputs(), outputs())
    assert not outputs().requires_grad
    assert outputs().shape == (300, 3)


def test_every_core_workload_runs_and_stays_finite(plan):
    tasks = {
        w.task.name: load_task(w.task, [0], streams=Streams(w.study_seed, w.task.name))
        for w in {w.task.name: w for w in plan.workloads}.values()
    }
    for workload in plan.workloads:
        step = prepare(workload, tasks[workload.task.name])
        for _ in range(2):
            result = step()
        assert torch.isfinite(result).all(), workload.name


def test_a_training_step_leaves_the_weights_practically_as_they_are(plan):
    """Hundreds of steps on one minibatch must not change what a step costs."""
    workload = next(w for w in plan.workloads if w.name == "spiral/optimizer=momentum")
    step = prepare(workload, task_of())
    first = float(step().detach())
    for _ in range(300):
        last = float(step().detach())
    assert last == pytest.approx(first, rel=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_no_step_reads_a_number_from_the_device(plan, mode, monkeypatch):
    """On a GPU each such read would wait for it. An optimizer's step count lies on the CPU."""
    reads = []
    item = torch.Tensor.item
    task = task_of()
    monkeypatch.setattr(
        torch.Tensor, "item", lambda t: (reads.append(1) if t.requires_grad else None, item(t))[1]
    )
    for name in ("tolist", "__bool__", "__float__", "numpy", "cpu"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda t, *a, original=original, **k: (reads.append(1), original(t, *a, **k))[1],
        )
    for workload in plan.workloads:
        if workload.task.name == "spiral" and workload.mode == mode:
            step = prepare(workload, task)
            reads.clear()
            step()
            assert not reads, workload.name


# How long they may take


def test_multiplications_of_a_network_are_counted_by_hand():
    mlp = describe(canonical(cell_of(depth=2, width=32)), (2,), 3)
    assert multiplications(mlp, (2,)) == 2 * 32 + 32 * 32 + 32 * 3
    cnn = describe(canonical(cell_of("digits", network="cnn", depth=2, width=4)), (1, 8, 8), 10)
    assert multiplications(cnn, (1, 8, 8)) == 9 * 4 * 64 + 4 * 9 * 4 * 16 + 4 * 4 * 10


def test_larger_networks_are_predicted_to_take_longer(plan):
    def seconds(name, mode="training step"):
        return predicted_seconds(
            next(w for w in plan.workloads if (w.name, w.mode) == (name, mode))
        )

    assert seconds("digits/width=64") > seconds("digits/baseline") > seconds("digits/width=8")
    assert seconds("digits/baseline", "inference") < seconds("digits/baseline")
