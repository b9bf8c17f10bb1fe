"""A study becomes cells and trials: counts, order, names, seeds, and what is the same network."""

from collections import Counter
from dataclasses import replace
from itertools import product
from math import prod

import pytest
from conftest import cell_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_studyfile import REMOVE, small_study

from ablations.design import (
    FIRST_TUNING_SEED,
    Cell,
    baseline_cell,
    canonical,
    cells_of,
    distinct_cells,
    full_factorial,
    leave_one_out,
    objection,
    resolve_defaults,
    trained_cells,
    trials_of,
    tuning_seeds,
)
from ablations.design import Factor as DesignFactor
from ablations.levels import FACTORS, Level, Named, text
from ablations.network import describe

TWO_FACTORS = {
    "factors": {"depth": [2, 1, 3], "width": [8, 4]},
    "fixed.depth": REMOVE,
    "fixed.width": REMOVE,
}


def levels_of(study, task=0):
    return [
        tuple(cell.value(factor.name) for factor in study.factors)
        for cell in cells_of(study, study.tasks[task])
    ]


def test_a_full_factorial_has_every_combination_the_last_factor_fastest(tmp_path):
    study = small_study(tmp_path, TWO_FACTORS)
    assert levels_of(study) == [(2, 8), (2, 4), (1, 8), (1, 4), (3, 8), (3, 4)]


def test_leave_one_out_departs_from_the_baseline_in_one_factor_at_a_time(tmp_path):
    study = small_study(tmp_path, {**TWO_FACTORS, "study.design": "leave-one-out"})
    assert levels_of(study) == [(2, 8), (1, 8), (3, 8), (2, 4)]


NAMES = ("depth", "width", "minibatch", "train_size")
GRIDS = st.lists(st.integers(2, 5), min_size=1, max_size=4).map(
    lambda sizes: tuple(
        DesignFactor(name, tuple(range(1, size + 1)))
        for name, size in zip(NAMES, sizes, strict=False)
    )
)


@given(GRIDS)
def test_a_full_factorial_repeats_nothing_and_gives_each_level_its_share(factors):
    grid = full_factorial(factors)

    count = prod(len(factor.levels) for factor in factors)
    assert len(grid) == count == len({tuple(row.items()) for row in grid})
    assert grid[0] == {factor.name: factor.baseline for factor in factors}
    for factor in factors:
        shares = Counter(row[factor.name] for row in grid)
        assert shares == dict.fromkeys(factor.levels, count // len(factor.levels))


@given(GRIDS)
def test_leave_one_out_is_the_part_of_the_full_factorial_next_to_the_baseline(factors):
    rows, grid = leave_one_out(factors), full_factorial(factors)

    def departures(row):
        return sum(row[factor.name] != factor.baseline for factor in factors)

    assert rows[0] == grid[0]
    assert [departures(row) for row in rows[1:]] == [1] * (len(rows) - 1)
    near = [row for row in grid if departures(row) <= 1]
    assert Counter(map(str, rows)) == Counter(map(str, near))


def test_the_first_cell_is_the_baseline_of_every_task(tmp_path):
    changes = {
        "study.tasks": ["spiral", "wave"],
        "factors": {"activation": ["relu", "tanh"], "regularisation": ["none", "label_smoothing"]},
        "task.wave.skip": {"regularisation": ["label_smoothing"]},
    }
    study = small_study(tmp_path, changes)

    assert levels_of(study, 0)[0] == levels_of(study, 1)[0] == (Level("relu"), Level("none"))
    assert len(levels_of(study, 0)) == 4
    assert levels_of(study, 1) == [(Level("relu"), Level("none")), (Level("tanh"), Level("none"))]


def test_what_is_fixed_holds_in_every_cell(tmp_path):
    study = small_study(tmp_path, {"fixed.optimizer": {"name": "sgd", "weight_decay": 0.5}})
    for cell in cells_of(study, study.tasks[0]):
        assert (cell.depth, cell.width) == (1, 4)
        assert cell.settings("optimizer") == {"weight_decay": 0.5}
        assert cell.texts()["optimizer"] == "sgd(weight_decay=0.5)"
        assert cell.resolved()["optimizer"] == {"name": "sgd", "weight_decay": 0.5}


@pytest.mark.parametrize(
    ("task", "levels", "norm", "loss"),
    [
        ("spiral", {}, "none", "cross_entropy"),
        ("wave", {}, "none", "mse"),
        ("wave", {"loss": "huber"}, "none", "huber"),
        ("digits", {"network": "cnn"}, "batch", "cross_entropy"),
        ("digits", {"network": "cnn", "norm": "none"}, "none", "cross_entropy"),
        ("digits", {"network": "cnn", "depth": 0}, "none", "cross_entropy"),
        ("spiral", {"regularisation": "batch_norm"}, "batch", "cross_entropy"),
        ("spiral", {"regularisation": "layer_norm"}, "layer", "cross_entropy"),
    ],
)
def test_defaults_stand_for_what_suits_the_task(task, levels, norm, loss):
    cell = cell_of(task, **levels)
    assert (cell.norm, cell.loss) == (Level(norm), Level(loss))
    assert resolve_defaults(cell) == cell


SAME_NETWORK = {
    "no hidden layer has no width": ({"depth": 0, "width": 8}, {"depth": 0, "width": 64}),
    "nor an activation": ({"depth": 0, "activation": "relu"}, {"depth": 0, "activation": "tanh"}),
    "nor dropout": ({"depth": 0, "regularisation": "dropout"}, {"depth": 0}),
    "nor a norm": ({"depth": 0, "norm": "batch"}, {"depth": 0, "regularisation": "layer_norm"}),
    "nor convolutions": ({"depth": 0, "network": "cnn"}, {"depth": 0}),
    "nor a shortcut": ({"depth": 0, "residual": True}, {"depth": 0}),
    "nor pooling": ({"depth": 0, "network": "cnn", "pooling": "average"}, {"depth": 0}),
    "nll after log_softmax is cross_entropy": ({"loss": "nll"}, {"loss": "cross_entropy"}),
    "the default loss is cross_entropy": ({}, {"loss": "cross_entropy"}),
    "one hidden layer has no shortcut": ({"depth": 1, "residual": True}, {"depth": 1}),
    "no pooling without images": ({"pooling": "average"}, {"pooling": "max"}),
    "batch norm by either name": ({"regularisation": "batch_norm"}, {"norm": "batch"}),
    "layer norm by either name": ({"regularisation": "layer_norm"}, {"norm": "layer"}),
    "a default spelled out": (
        {"regularisation": {"name": "dropout", "rate": 0.3}},
        {"regularisation": "dropout"},
    ),
}


@pytest.mark.parametrize("case", SAME_NETWORK)
def test_cells_that_describe_the_same_network_are_the_same_cell(case):
    one, other = (cell_of("digits", **levels) for levels in SAME_NETWORK[case])

    assert canonical(one) == canonical(other)
    assert canonical(one).resolved() == canonical(other).resolved()
    assert describe(one, (1, 8, 8), 10) == describe(other, (1, 8, 8), 10)


DIFFERENT_NETWORK = {
    "width": ({"width": 8}, {"width": 9}),
    "depth": ({"depth": 0}, {"depth": 1}),
    "activation": ({"activation": "relu"}, {"activation": "tanh"}),
    "slope": (
        {"activation": "leaky_relu"},
        {"activation": {"name": "leaky_relu", "negative_slope": 0.2}},
    ),
    "shortcut": ({"residual": True}, {}),
    "convolutions": ({"network": "cnn"}, {}),
    "pooling of a cnn": ({"network": "cnn"}, {"network": "cnn", "pooling": "average"}),
    "norm of a cnn": ({"network": "cnn"}, {"network": "cnn", "norm": "none"}),
    "optimizer of a linear model": ({"depth": 0}, {"depth": 0, "optimizer": "sgd"}),
    "penalty of a linear model": ({"depth": 0}, {"depth": 0, "regularisation": "l2"}),
    "loss": ({"loss": "cross_entropy"}, {"loss": "mse"}),
    "minibatch": ({"minibatch": 8}, {"minibatch": 9}),
    "dropout": ({"regularisation": "dropout"}, {}),
    "rate of dropout": (
        {"regularisation": "dropout"},
        {"regularisation": {"name": "dropout", "rate": 0.2}},
    ),
}


@pytest.mark.parametrize("case", DIFFERENT_NETWORK)
def test_cells_that_differ_stay_apart(case):
    one, other = (cell_of("digits", **levels) for levels in DIFFERENT_NETWORK[case])
    assert canonical(one) != canonical(other)


def a_level(factor):
    kind = FACTORS[factor]
    if isinstance(kind, Named):
        return st.sampled_from(sorted(kind.levels)).map(Level)
    return {"residual": st.booleans()}.get(factor, st.integers(0 if factor == "depth" else 1, 3))


CELLS = st.fixed_dictionaries({factor: a_level(factor) for factor in FACTORS}).flatmap(
    lambda levels: st.sampled_from(["spiral", "wave", "digits"]).map(
        lambda task: resolve_defaults(replace(Cell(task=task), **levels))
    )
)


@given(CELLS)
@settings(max_examples=300)
def test_the_canonical_cell_is_its_own_canonical_cell_and_describes_the_same_network(cell):
    if objection(cell) is not None:
        return
    once = canonical(cell)

    assert canonical(once) == once
    if cell.network.name == "module":  # its file says what it is
        return
    shape = {"spiral": (2,), "wave": (1,), "digits": (1, 8, 8)}[cell.task]
    assert describe(cell, shape, 3) == describe(once, shape, 3)


def test_a_network_is_trained_once_and_shown_once(tmp_path):
    study = small_study(
        tmp_path,
        {
            "factors": {"depth": [1, 0], "width": [4, 8], "loss": ["cross_entropy", "nll"]},
            "fixed": {"steps": 3},
        },
    )
    task = study.tasks[0]

    shown = distinct_cells(cells_of(study, task))

    assert len(shown) == 8
    assert [levels for levels in product((1, 0), (4, 8)) if levels != (0, 8)] == [
        (cell.depth, cell.width) for cell in trained_cells(study, task)
    ]
    assert all(cell.loss == Level("cross_entropy") for cell in trained_cells(study, task))
    by_levels = {(c.depth, c.width, text(c.loss)): s for c, s in shown.items()}
    first = by_levels[0, 4, "cross_entropy"]
    assert by_levels[0, 8, "nll"] is by_levels[0, 4, "nll"] is first
    assert {trial.cell for trial in trials_of(study)} == set(trained_cells(study, task))


def test_trials_come_tuning_first_rate_by_rate_then_final_seed_by_seed(tmp_path):
    study = small_study(tmp_path, {"study.tuning_seeds": 2})
    trials = list(trials_of(study))

    assert [(t.stage, t.learning_rate, t.seed) for t in trials[:6]] == [
        ("tuning", 0.01, 1000), ("tuning", 0.01, 1001), ("tuning", 0.1, 1000),
        ("tuning", 0.1, 1001), ("final", None, 0), ("final", None, 1),
    ]  # fmt: skip
    assert trials[0].name == "spiral/activation=relu/tuning/learning_rate=0.01/seed=1000"
    assert trials[4].name == "spiral/activation=relu/final/seed=0"
    assert len(trials) == 2 * 6


def test_one_rate_needs_no_tuning(tmp_path):
    study = small_study(tmp_path, {"nuisance.learning_rate": [0.5]})
    assert [(t.stage, t.learning_rate) for t in trials_of(study)] == [("final", 0.5)] * 4


def test_rates_from_another_study_need_no_tuning_here(tmp_path):
    study = small_study(tmp_path, {"nuisance.learning_rate": {"from": "optimizer"}})
    assert (study.rates.source, study.rates.by) == ("optimizer", "optimizer")
    assert {(t.stage, t.learning_rate) for t in trials_of(study)} == {("final", None)}


def test_rates_by_level_are_tried_at_their_level_only(tmp_path):
    rates = {"tanh": [0.3, 0.1], "relu": [0.01, 0.02]}
    study = small_study(tmp_path, {"nuisance.learning_rate": rates})
    tried = {(text(t.cell.activation), t.learning_rate) for t in trials_of(study)}
    assert tried - {("relu", None), ("tanh", None)} == {
        ("relu", 0.01), ("relu", 0.02), ("tanh", 0.1), ("tanh", 0.3),
    }  # fmt: skip


@given(
    seeds=st.integers(1, FIRST_TUNING_SEED),
    tuning=st.integers(1, FIRST_TUNING_SEED),
    rates=st.integers(1, 3),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_seed_is_both_tuned_on_and_compared(tmp_path, seeds, tuning, rates):
    study = small_study(
        tmp_path,
        {
            "study.seeds": seeds,
            "study.tuning_seeds": tuning,
            "nuisance.learning_rate": [0.1, 0.2, 0.3][:rates],
        },
    )
    trials = list(trials_of(study))

    assert not set(range(seeds)) & set(tuning_seeds(study))
    assert len({trial.name for trial in trials}) == len(trials)
    tried = tuning * rates if rates > 1 else 0
    assert len(trials) == 2 * (seeds + tried)


@pytest.mark.parametrize(
    ("factor", "level", "other"),
    [
        ("activation", Level("celu"), Level("elu")),
        ("activation", Level("leaky_relu", (("negative_slope", 0.0),)), Level("relu")),
        ("optimizer", Level("adamw"), Level("adam")),
        ("optimizer", Level("momentum", (("momentum", 0.0),)), Level("sgd")),
    ],
    ids=["celu", "leaky_relu", "adamw", "momentum"],
)
def test_a_level_that_is_another_by_definition_is_trained_once(factor, level, other):
    one, two = (baseline_cell("spiral", {factor: each}) for each in (level, other))
    assert canonical(one) == canonical(two)


@pytest.mark.parametrize(
    ("level", "other"),
    [
        (Level("celu", (("alpha", 2.0),)), Level("elu")),
        (Level("leaky_relu"), Level("relu")),
    ],
    ids=["celu", "leaky_relu"],
)
def test_a_level_with_settings_of_its_own_is_not_taken_for_another(level, other):
    one, two = (baseline_cell("spiral", {"activation": each}) for each in (level, other))
    assert canonical(one) != canonical(two)


def test_adamw_with_weight_decay_as_regularisation_is_not_adam():
    decay = Level("weight_decay")
    one, two = (
        baseline_cell("spiral", {"optimizer": Level(name), "regularisation": decay})
        for name in ("adamw", "adam")
    )
    assert canonical(one) != canonical(two)


def test_an_even_kernel_is_refused_because_it_cannot_keep_the_size():
    cnn = Level("cnn", (("kernel", 4),))
    message = objection(baseline_cell("digits", {"network": cnn, "depth": 1}))
    assert message is not None
    assert "even kernel; give an odd one" in message
