"""The kernels take the steps that torch would take; what they do not know is left to torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import (
    assert_same_numbers,
    cell_of,
    flat_gradient,
    flat_parameters,
    plain_trial,
    stack_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from test_training import double_by_default, per_trial, plain_penalty

from ablations import compiled, elementary, kernels
from ablations.compiled import CompiledSteps
from ablations.design import objection
from ablations.layers import Activation
from ablations.levels import ACTIVATIONS, CLASSIFICATION_LOSSES, OPTIMIZERS, REGRESSION_LOSSES
from ablations.losses import plain_loss
from ablations.minibatches import Minibatches
from ablations.optimizers import plain_optimizer, stacked_optimizer
from ablations.provenance import COMPUTING
from ablations.tasks.sources import Source
from ablations.training import _prepare, train

SMALL = {"points": 20, "validation_points": 10, "test_points": 10}
REGULARISERS = ("none", "l1", "l2", "label_smoothing", {"name": "dropout", "rate": 0.0})

# One step, with the combination drawn


@st.composite
def cells(draw):
    """Any activation x optimizer x regularisation x loss that the kernels know."""
    task = draw(st.sampled_from(["spiral", "housing"]))
    losses = CLASSIFICATION_LOSSES if task == "spiral" else REGRESSION_LOSSES
    cell = cell_of(
        task,
        activation=draw(st.sampled_from(sorted(ACTIVATIONS.keys() - {"prelu"}))),
        optimizer=draw(st.sampled_from(sorted(OPTIMIZERS))),
        regularisation=draw(st.sampled_from(REGULARISERS)),
        loss=draw(st.sampled_from(losses)),
        depth=draw(st.integers(1, 3)),
        width=draw(st.integers(1, 7)),
        minibatch=draw(st.sampled_from(["full", 7])),
    )
    return cell if objection(cell) is None else draw(cells())


class Alone:
    """One trial as a module, a loss and an optimizer of torch."""

    def __init__(self, cell, module, rate, hyper):
        self.module, self.loss = module, plain_loss(cell)
        strength = float(cell.settings("regularisation").get("strength", 0))
        self.l1, self.l2 = (strength * (cell.regularisation.name == n) for n in ("l1", "l2"))
        recipe = cell_of(cell.task, optimizer={"name": cell.optimizer.name} | hyper)
        self.optimizer = plain_optimizer(recipe, module.parameters(), rate)

    def step(self, x, y):
        """The gradient without penalties."""
        self.optimizer.zero_grad()
        self.loss(self.module(x), y).backward()
        gradient = flat_gradient(self.module).clone()
        penalty = plain_penalty(self.module, self.l1, self.l2)
        if self.l1 or self.l2:
            penalty.backward()
        with double_by_default():
            self.optimizer.step()
        return gradient


def turned_back(training, flat):
    """Parameters of each trial (M, P) as `flat` has them, from how the kernels lay them out."""
    sizes = compiled._recipe(training).sizes
    into = np.zeros_like(flat)
    for m in range(len(flat)):
        kernels.turned_back(flat[m], into[m], sizes)
    return torch.from_numpy(into)[:, : training.parameters]


STEPS = 50


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cells(), st.integers(0, 2**31))
def test_each_of_fifty_steps_is_that_of_the_plain_module(cell, seed):
    """The gradient to 1e-12 and the parameters after the step to 1e-9, from the same parameters.

    Adaptive rules divide by a gradient that may be nothing but rounding; see test_training.
    """
    generator = torch.Generator().manual_seed(seed)
    uniform = lambda: torch.rand(len(members), generator=generator, dtype=torch.float64)  # noqa: E731
    stack = stack_of(cell.task, seeds=(0, 1, 2), steps=STEPS, study_seed=seed, settings=SMALL)
    stack = type(stack)(**{f: getattr(stack, f) for f in stack.__slots__} | {"cell": cell})
    training, _ = _prepare(stack, stack.members, torch.device("cpu"), torch.float64)
    assert training.way == "compiled"
    members = training.seed_of
    rate, hyper = per_trial(cell, uniform)
    own = {name: values.clone() for name, values in hyper.items()}
    flat, decay = training.values.flat, hyper.pop("weight_decay")
    training.optimizer = stacked_optimizer(
        cell.optimizer.name, rate.expand(STEPS, -1), hyper, flat, decay, fused=False
    )
    plain = [
        Alone(
            cell,
            plain_trial(training.network, flat[m, : training.parameters]),
            rate[m].item(),
            {name: values[m].item() for name, values in own.items()},
        )
        for m in range(3)
    ]
    steps = CompiledSteps(training, Minibatches(training))
    twin, _ = _prepare(stack, stack.members, torch.device("cpu"), torch.float64)
    batches = Minibatches(twin)
    for t in range(STEPS):
        x, y, count = batches.draw()
        steps.take(t, t + 1, lambda: None)
        gradient = turned_back(training, training.whole.gradient.flat.numpy())
        for m, trial in enumerate(plain):
            targets = y[m, :count] if training.task.classes else y[m, :, :count].T
            theirs = trial.step(x[m, :count], targets)
            far = (gradient[m] - theirs).abs().max()  # signs may cancel to nothing
            assert far <= 1e-12 * max(theirs.abs().max(), 1e-3)
            theirs = flat_parameters(trial.module)
            assert_same_numbers(flat[m, : training.parameters], theirs, 1e-9)
            flat[m, : training.parameters] = theirs
        kernels.turned(steps.values.flat, steps.values.own, steps.recipe.sizes)


# Products


@pytest.mark.parametrize("thin", [0, 8])
@pytest.mark.parametrize(
    "shape", [(5, 1, 7), (5, 7, 1), (5, 1, 1), (9, 3, 20), (9, 20, 3), (9, 20, 30)]
)
def test_sums_over_examples_are_products(thin, shape, rng):
    """Whatever the result's shape, and whichever routine is for it."""
    n, inputs, units = shape
    x, d, out = rng.normal(size=(n, inputs)), rng.normal(size=(n, units)), np.full(shape[1:], 7.0)
    kernels.summed(x, d, out, thin)
    assert out == pytest.approx(x.T @ d, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("n", [1, 50, 65, 100, 129])
def test_products_of_all_sizes_are_whole(n, rng):
    """129 x 128 by 128 is above two millions, 65 just above the million that goes in halves."""
    a, b, out = rng.normal(size=(n, 128)), rng.normal(size=(128, 128)), np.full((n, 128), 7.0)
    kernels.product(a, b, out)
    assert out == pytest.approx(a @ b, rel=1e-9, abs=1e-9)


# Which stacks they are, and what does not change their bytes


@pytest.mark.parametrize(
    ("task", "levels"),
    [
        ("spiral", {"activation": "prelu"}),
        ("spiral", {"depth": 0}),
        ("spiral", {"norm": "batch"}),
        ("spiral", {"norm": "layer"}),
        ("spiral", {"residual": True, "depth": 3}),
        ("spiral", {"regularisation": "input_noise"}),
        ("spiral", {"regularisation": "auxiliary_loss"}),
        ("digits", {"augmentation": "shift", "minibatch": 64}),
        ("digits", {"network": "cnn", "width": 2, "depth": 1, "minibatch": 64}),
    ],
)
def test_what_the_kernels_do_not_know_is_left_to_torch(task, levels):
    assert train(stack_of(task, steps=2, evaluations=1, **levels)).way == "stacked"


def test_a_network_given_as_a_list_of_layers_is_compiled():
    network = {"name": "sequential", "layers": "linear 9, linear 5"}
    stack = stack_of("spiral", settings=SMALL, network=network)
    listed = train(stack, dtype=torch.float64)
    assert listed.way == "compiled"
    assert listed.rows[0]["parameters"] == 2 * 9 + 9 + 9 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize("minibatch", ["full", 7])
@pytest.mark.parametrize("regularisation", ["none", "dropout", "l2"])
def test_evaluations_between_the_steps_change_nothing(minibatch, regularisation):
    shape = {"steps": 21, "seeds": (0, 1), "settings": SMALL, "minibatch": minibatch}
    often, once = (
        train(stack_of(regularisation=regularisation, evaluations=n, **shape)) for n in (21, 1)
    )
    assert often.way == "compiled"
    last = [point for point in often.curves if point["step"] == 21]
    assert last == [point for point in once.curves if point["step"] == 21]
    assert [row["test_loss"] for row in often.rows] == [row["test_loss"] for row in once.rows]


def test_images_kept_as_bytes_train_as_floats_do(monkeypatch):
    rng = np.random.default_rng(3)
    pixels = torch.tensor(rng.integers(256, size=(60, 3, 32, 32)), dtype=torch.uint8)
    source = Source(pixels, torch.tensor(rng.integers(10, size=60)), classes=10, test=20)
    monkeypatch.setattr("ablations.tasks.task.load_source", lambda *_: source)
    stack = stack_of("cifar10", steps=12, minibatch=7, seeds=(0, 1))
    floats = train(stack, dtype=torch.float64)
    monkeypatch.setattr("ablations.tasks.task.FLOAT_BYTES", 0)
    found = train(stack, dtype=torch.float64)
    assert found.way == floats.way == "compiled"
    for ours, theirs in zip(found.curves, floats.curves, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-9)


def test_a_trial_that_diverges_leaves_the_others_alone():
    """Those after it use the same room for what lies between layers."""
    stack = stack_of(rates=(1e38, 0.01), optimizer="sgd", settings=SMALL, steps=40)
    both = train(stack)
    assert [row["status"] for row in both.rows] == ["diverged", "finished"]
    assert json.dumps(both.rows[1]) == json.dumps(train(stack, stack.members[1:]).rows[0])


# Dropout


def test_random_numbers_are_those_of_splitmix64():
    """The first five of seed 1234567, as the test programs of its authors print them."""
    known = [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip
    for rate in np.linspace(0, 0.99, 34):
        x, slopes = np.ones(5), np.full(5, 2.0)
        kernels.dropped(x, slopes, rate, np.uint64(1234567), np.uint64(0))
        kept = [number / 2**64 >= rate for number in known]
        assert x == pytest.approx(np.array(kept) / (1 - rate))
        assert slopes == pytest.approx(2 * x)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_units_are_dropped_at_their_rate_and_independently(rate):
    seeds, steps, units = 40, 30, 50
    masks = np.ones((seeds, steps * units), np.float32)
    for seed in range(seeds):
        slopes = np.ones(steps * units, np.float32)
        kernels.dropped(masks[seed], slopes, np.float32(rate), np.uint64(seed), np.uint64(7))
    dropped = masks == 0
    assert stats.binomtest(int(dropped.sum()), dropped.size, rate).pvalue > 0.001
    for a, b in [(dropped[1:], dropped[:-1]), (dropped[:, 1:], dropped[:, :-1])]:
        table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
        assert stats.chi2_contingency(table).pvalue > 0.001


# Functions


GRID = np.concatenate([np.linspace(-30, 30, 60001), np.geomspace(1e-8, 1, 999)])
GRID = np.concatenate([GRID, -GRID])
FUNCTIONS = {
    "exp": (lambda x: elementary.exponentials(x, x.dtype.type(0)), np.exp, GRID),
    "expm1": (lambda x: elementary.exponentials(x, x.dtype.type(1)), np.expm1, GRID),
    "sigmoid": (elementary.sigmoids, special.expit, GRID),
    "tanh": (elementary.tangents, np.tanh, GRID),
    "log1p": (elementary.log1ps, np.log1p, np.linspace(0, 1, 9999)),
    "erf": (elementary.errors, special.erf, GRID),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_are_right_to_four_units_in_the_last_place(name, dtype):
    function, known, grid = FUNCTIONS[name]
    x = grid.astype(dtype)
    expected = known(x.astype(np.float64))
    function(x)
    assert x == pytest.approx(expected, rel=4 * float(np.finfo(dtype).eps), abs=1e-30)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_hand_on_what_is_not_a_number(name, dtype):
    x = np.full(40, np.nan, dtype)
    FUNCTIONS[name][0](x)
    assert np.isnan(x).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_functions_of_infinity_are_their_limits(sign):
    for name, limit in {"sigmoid": (1 + sign) / 2, "tanh": sign, "erf": sign}.items():
        x = np.full(40, sign * np.inf, np.float32)
        FUNCTIONS[name][0](x)
        assert x == pytest.approx(np.full(40, limit), abs=1e-37)


# Compiling


def test_preparing_leaves_nothing_to_compile_for_single_precision():
    """Numbers, classes, images: one program for all."""
    program = (
        "from ablations import compiled, kernels\n"
        "from conftest import stack_of\n"
        "from ablations.training import train\n"
        "compiled.prepare()\n"
        "before = [len(k.signatures) for k in (kernels.take_steps, kernels.turned)]\n"
        "for task in ('spiral', 'wave', 'digits', 'diabetes'):\n"
        "    for levels in ({}, {'minibatch': 16}, {'optimizer': 'sgd'}, {'depth': 1}):\n"
        "        assert train(stack_of(task, steps=2, **levels)).way == 'compiled'\n"
        "after = [len(k.signatures) for k in (kernels.take_steps, kernels.turned)]\n"
        "assert before == after == [1, 1], (before, after)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd="tests", check=True)


def test_kernels_of_other_code_are_kept_elsewhere(monkeypatch):
    """Numba sees changes of the file that a kernel stands in, not of those that it calls."""
    assert {"compiled", "elementary", "kernels", "layers", "products"} <= set(COMPUTING)
    here = compiled.kept_in()
    monkeypatch.setattr(compiled, "code_hash", lambda: "another")
    assert compiled.kept_in().parent == here.parent
    assert compiled.kept_in() != here


def test_kernels_are_kept_with_the_user_where_the_installation_is_read_only(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled.os, "access", lambda *_: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled.kept_in().parent == tmp_path / "torch-ablations"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(compiled.os.path, "expanduser", lambda path: path)  # nobody's home
    assert compiled.kept_in().is_relative_to(compiled.HERE)


def test_many_steps_are_taken_in_several_calls(monkeypatch):
    """As many as the rows of their examples, and the work, allow; bytes stay as they are."""
    stack = stack_of(steps=30, minibatch=7, seeds=(0, 1), evaluations=3, settings=SMALL)
    expected, calls = train(stack), []
    trials = len(_prepare(stack, stack.members, torch.device("cpu"), torch.float32)[0].seed_of)
    work, real = 4 * (2 * 32 + 32 * 32 + 32 * 3), kernels.take_steps

    def counted(values, recipe, schedule, examples):
        calls.append(len(schedule.coefficients))
        real(values, recipe, schedule, examples)

    monkeypatch.setattr(kernels, "take_steps", counted)
    for name, value in (("ROWS", trials * 7 * 4), ("WORK", trials * 7 * work)):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(compiled, name, value)
            assert train(stack) == expected
        assert calls == [1, 4, 4, 1, 4, 4, 2, 4, 4, 2]


@pytest.mark.parametrize("activation", ["elu", "selu", "celu", "softplus", "sigmoid", "tanh"])
def test_slopes_far_from_zero_are_those_of_torch(activation):
    """Where outputs are flat in single precision, gradients are small and not zero."""
    cell = cell_of(activation=activation)
    name, setting = compiled._activation(cell)
    x = np.linspace(-40, 40, 4001).astype(np.float32)
    y, slopes, numbers = x.copy(), np.empty_like(x), np.array(setting, np.float32)
    kernels.activated(y, slopes, compiled.ACTIVATIONS.index(name), numbers)
    wide = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = Activation(activation, tuple(cell.settings("activation").items())).module()(wide)
    expected.sum().backward()
    assert y == pytest.approx(expected.detach().numpy(), rel=1e-6, abs=1e-12)
    of_outputs = activation in {"sigmoid", "tanh"}  # as torch has them
    assert slopes == pytest.approx(wide.grad.numpy(), rel=1e-6, abs=4e-7 if of_outputs else 1e-30)


def test_quadratic_loss_keeps_the_gradient_of_saturated_outputs():
    z = np.linspace(-40, 0, 521).astype(np.float32).reshape(-1, 1)
    s = special.expit(z.astype(np.float64))
    stack = stack_of(loss="quadratic")
    training, _ = _prepare(stack, stack.members, torch.device("cpu"), torch.float32)
    found = z.copy()
    kernels.output_gradient(found, np.ones_like(z), compiled._recipe(training), len(z))
    assert found == pytest.approx((s - 1) * s * (1 - s) / len(z), rel=1e-5, abs=1e-30)
