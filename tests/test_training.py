"""A stack trains each of its trials as a loop of torch.nn and torch.optim would alone."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import (
    assert_same_numbers,
    cell_of,
    flat_buffers,
    flat_gradient,
    flat_parameters,
    plain_trial,
    stack_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from ablations.design import objection
from ablations.history import evaluation_steps
from ablations.layers import EVALUATION, Context
from ablations.levels import ACTIVATIONS, CLASSIFICATION_LOSSES, OPTIMIZERS, REGRESSION_LOSSES
from ablations.losses import accuracy, loss_gradient, plain_loss, r2, stacked_loss
from ablations.minibatches import Minibatches
from ablations.network import describe, initial_values, stacked_gradient, view_values
from ablations.optimizers import plain_optimizer, stacked_optimizer
from ablations.regularisation import add_penalty, augment, weight_mask
from ablations.state import curve_stride
from ablations.steps import Steps
from ablations.streams import Streams
from ablations.tasks import TaskError, load_task
from ablations.training import _prepare, train


@contextmanager
def double_by_default():
    """torch.optim.NAdam keeps a product of its momenta in the default type; see test_optimizers."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


# One training step, with the combination drawn


REGULARISERS = (
    "none",
    "l1",
    "l2",
    "weight_decay",
    {"name": "dropout", "rate": 0.0},
    "label_smoothing",
)


@st.composite
def cells(draw):
    """Any activation x optimizer x norm x regularisation x loss that a study accepts."""
    task = draw(st.sampled_from(["spiral", "housing"]))
    losses = CLASSIFICATION_LOSSES if task == "spiral" else REGRESSION_LOSSES
    cell = cell_of(
        task,
        activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
        optimizer=draw(st.sampled_from(sorted(OPTIMIZERS))),
        norm=draw(st.sampled_from(["none", "batch", "layer"])),
        regularisation=draw(st.sampled_from(REGULARISERS)),
        loss=draw(st.sampled_from(losses)),
        depth=draw(st.integers(0, 3)),
        width=draw(st.integers(4, 7)),  # a layer norm of two units has no slope but rounding
        residual=draw(st.booleans()),
    )
    return cell if objection(cell) is None else draw(cells())


def per_trial(cell, uniform):
    """Each trial's own rate, (M,), and its own settings of the optimizer, (M,) by name."""
    hyper = {
        name: (0.9 + 0.1 * uniform()) * float(value)  # inside the setting's range
        for name, value in cell.settings("optimizer").items()
    }
    return 0.001 + 0.02 * uniform(), hyper | {"weight_decay": 0.1 * uniform()}


def plain_penalty(module, l1, l2):
    weights = [x.weight for x in module.modules() if isinstance(x, nn.Linear | nn.Conv2d)]
    return sum(l1 * w.abs().sum() + l2 / 2 * w.square().sum() for w in weights)


class Together:
    """M trials of a cell, each with its own rate, decay, betas and strength, in one stack."""

    def __init__(self, cell, network, flat, buffers, *, rate, hyper, strength):
        self.cell, self.network, self.flat = cell, network, flat
        self.values = view_values(network, flat, buffers)
        hyper = dict(hyper)
        decay = hyper.pop("weight_decay")
        rates = rate.expand(STEPS, M)
        self.optimizer = stacked_optimizer(cell.optimizer.name, rates, hyper, flat, decay)
        per_weight = strength.unsqueeze(1) * weight_mask(network).double()
        name = cell.regularisation.name
        self.penalties = [per_weight if name == penalty else None for penalty in ("l1", "l2")]

    def step(self, t, x, y):
        """Outputs (M, C, N), losses (M,) and gradients (M, P) before the parameters move."""
        context = Context(True, torch.zeros(M), lambda shape: torch.rand(M, *shape).double())
        gradient, seen = torch.full_like(self.flat, torch.nan), []

        def output_gradient(outputs):
            seen.append(outputs)
            return loss_gradient(self.cell)(outputs, y, x.shape[1])

        into = view_values(self.network, gradient, self.values.buffers)
        stacked_gradient(
            self.network, self.values, into, x, output_gradient=output_gradient, context=context
        )
        outputs = seen[0]
        losses = stacked_loss(self.cell)(outputs, y)
        add_penalty(gradient, self.flat, *self.penalties)
        self.optimizer.step(t, self.flat, gradient.clone())
        return outputs, losses, gradient


class Alone:
    """One of these trials as a module, a loss and an optimizer of torch."""

    def __init__(self, cell, module, *, rate, hyper, strength):
        self.module, self.loss = module, plain_loss(cell)
        self.l1, self.l2 = (strength * (cell.regularisation.name == n) for n in ("l1", "l2"))
        optimizer = {"name": cell.optimizer.name} | hyper
        recipe = cell_of(cell.task, optimizer=optimizer)
        self.optimizer = plain_optimizer(recipe, module.parameters(), rate)

    def step(self, x, y):
        outputs = self.module(x)
        loss = self.loss(outputs, y)
        self.optimizer.zero_grad()
        (loss + plain_penalty(self.module, self.l1, self.l2)).backward()
        with double_by_default():
            self.optimizer.step()
        return outputs, loss, flat_gradient(self.module)


M, STEPS = 3, 3


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cells(), st.integers(0, 2**31))
def test_steps_of_a_stack_are_those_of_the_plain_module(cell, seed):
    """Prediction, loss and gradient to 1e-12; the parameters after a step to 1e-9.

    Adaptive rules divide by a gradient that may be nothing but rounding, and so raise
    1e-16 to 1e-16 / epsilon = 1e-8 of a step of 0.01. Each step starts from the plain
    module's parameters.
    """
    generator = torch.Generator().manual_seed(seed)
    uniform = lambda: torch.rand(M, generator=generator, dtype=torch.float64)  # noqa: E731
    classify, streams = cell.task == "spiral", Streams(seed, cell.task)
    network = describe(cell, (2,), 3 if classify else 1)
    flat, buffers = initial_values(network, cell, range(M), streams=streams, dtype=torch.float64)
    rate, hyper = per_trial(cell, uniform)
    strength = 0.1 * uniform()
    plain = [
        Alone(
            cell,
            plain_trial(network, flat[m], buffers[m]),
            rate=rate[m].item(),
            hyper={name: values[m].item() for name, values in hyper.items()},
            strength=strength[m].item(),
        )
        for m in range(M)
    ]
    together = Together(cell, network, flat, buffers, rate=rate, hyper=hyper, strength=strength)
    x = torch.randn(M, 8, 2, generator=generator, dtype=torch.float64)
    if classify:
        y = torch.randint(3, (M, 8), generator=generator)
    else:
        y = torch.randn(M, 1, 8, generator=generator, dtype=torch.float64)
    for t in range(STEPS):
        outputs, losses, gradient = together.step(t, x, y)
        for m, trial in enumerate(plain):
            plain_outputs, loss, plain_gradient = trial.step(x[m], y[m] if classify else y[m].T)
            assert_same_numbers(outputs[m].T, plain_outputs)
            assert_same_numbers(losses[m], loss)
            assert_same_numbers(gradient[m], plain_gradient)
            assert_same_numbers(flat[m], flat_parameters(trial.module), 1e-9)
            assert_same_numbers(buffers[m], flat_buffers(trial.module))
            flat[m] = flat_parameters(trial.module)


# A whole training, against a notebook


class DropoutFromStream(nn.Module):
    """nn.Dropout whose mask comes from a trial's stream; a stack draws features first."""

    def __init__(self, rate, stream):
        super().__init__()
        self.rate, self.stream = rate, stream

    def forward(self, x):
        if not self.training:
            return x
        first = x.shape[1:] + x.shape[:1] if x.dim() == 2 else x.shape
        drawn = torch.rand(first, generator=self.stream, dtype=x.dtype)
        keep = (drawn.T if x.dim() == 2 else drawn) >= self.rate
        return x * keep / (1 - self.rate)


class DropoutFromKernels(nn.Module):
    """nn.Dropout whose masks are those of the kernels: SplitMix64, one number per unit."""

    def __init__(self, rate, key, before, units):
        super().__init__()
        self.rate, self.key, self.before, self.units, self.step = rate, key, before, units, 0

    def forward(self, x):
        """`before` units lie between the inputs and this layer, `units` in all hidden ones."""
        if not self.training:
            return x
        drawn = []
        for start in range(0, len(x), 512):  # as many as pass through the network at once
            part = x[start : start + 512]
            first = (self.step * self.rows + start) * self.units + len(part) * self.before
            drawn.append(splitmix64(self.key, first, part.numel()) >> np.uint64(40))
        self.step += 1
        keep = torch.from_numpy(np.concatenate(drawn) / 2.0**24 >= self.rate).view(x.shape)
        return x * keep / (1 - self.rate)


def splitmix64(key, start, count):
    """Outputs start + 1, ... of the generator seeded by `key`: Steele, Lea and Flood (2014)."""
    z = [(key + (start + k + 1) * 0x9E3779B97F4A7C15) % 2**64 for k in range(count)]
    z = [(v ^ v >> 30) * 0xBF58476D1CE4E5B9 % 2**64 for v in z]
    z = [(v ^ v >> 27) * 0x94D049BB133111EB % 2**64 for v in z]
    return np.array([v ^ v >> 31 for v in z], np.uint64)


class Notebook:
    """One trial as a user would train it: a module, torch.optim, minibatches in a loop."""

    def __init__(self, stack, member, dtype=torch.float64, way="stacked"):
        streams = Streams(stack.study_seed, stack.task.name)
        self.stack, self.cell = stack, stack.cell
        self.streams = {
            name: streams.generator(name, member.seed)
            for name in ("order", "dropout", "noise", "augmentation")
        }
        self.task = load_task(stack.task, [member.seed], streams=streams, dtype=dtype)
        network = describe(self.cell, self.task.input_shape, self.task.outputs)
        flat, buffers = initial_values(
            network, self.cell, [member.seed], streams=streams, dtype=dtype
        )
        self.module = plain_trial(network, flat[0], buffers[0])
        hidden = [block for block in self.module if hasattr(block, "dropout")]
        for k, block in enumerate(hidden):
            block.dropout = DropoutFromStream(block.dropout.p, self.streams["dropout"])
            if way == "compiled":
                width, key = self.cell.width, self.streams["dropout"].initial_seed()
                block.dropout = DropoutFromKernels(
                    block.dropout.rate, key, width * k, width * len(hidden)
                )
                block.dropout.rows = self.cell.minibatch
        self.optimizer = plain_optimizer(self.cell, self.module.parameters(), member.learning_rate)
        self.scheduler = self._scheduler(stack.steps)
        self.loss = plain_loss(self.cell)
        self.curve, self.weights = {}, {}

    def _scheduler(self, steps):
        if self.cell.schedule.name == "cosine":
            return CosineAnnealingLR(self.optimizer, T_max=steps)
        if self.cell.schedule.name == "step":
            schedule = self.cell.settings("schedule")
            return StepLR(self.optimizer, steps // (schedule["drops"] + 1), schedule["gamma"])
        return None

    def part(self, name):
        rows = self.task.parts[name][0]
        if name == "train" and self.cell.train_size != "all":
            rows = rows[: self.cell.train_size]
        x, y = self.task.take(rows.unsqueeze(0))
        return x[0], y[0]

    def minibatches(self):
        x, y = self.part("train")
        size = len(x) if self.cell.minibatch == "full" else self.cell.minibatch
        while True:
            full = self.cell.minibatch == "full"
            order = (
                torch.arange(len(x))
                if full
                else torch.randperm(len(x), generator=self.streams["order"])
            )
            for rows in order.split(size):
                yield self.disturb(x[rows]), y[rows]

    def disturb(self, x):
        black = -self.task.shift[0] / self.task.scale[0]
        x = augment(self.cell, x, black, generator=self.streams["augmentation"])
        if self.cell.regularisation.name == "input_noise":
            deviation = self.cell.settings("regularisation")["deviation"]
            noise = torch.randn(x.shape, generator=self.streams["noise"], dtype=x.dtype)
            x = x + deviation * noise
        return x

    def train(self):
        strength = self.cell.settings("regularisation").get("strength", 0.0)
        l1, l2 = (strength * (self.cell.regularisation.name == name) for name in ("l1", "l2"))
        minibatches = self.minibatches()
        self.evaluate(0, None)
        for step in range(1, self.stack.steps + 1):
            x, y = next(minibatches)
            self.module.train()
            self.optimizer.zero_grad()
            self.loss(self.module(x), y).backward()
            norm = flat_gradient(self.module).norm()
            if l1 or l2:
                plain_penalty(self.module, l1, l2).backward()
            with double_by_default():
                self.optimizer.step()
            if self.scheduler:
                self.scheduler.step()
            self.evaluate(step, norm)
        return self

    def measures(self, name, every=1):
        """Loss without smoothing, and accuracy or r2, on every so-manieth example of a part."""
        x, y = (tensor[::every] for tensor in self.part(name))
        plain = replace(self.cell, regularisation=cell_of().regularisation)
        self.module.eval()
        with torch.no_grad():
            outputs = self.module(x)
            loss = plain_loss(plain)(outputs, y).item()
        if self.task.classes:
            return loss, accuracy(outputs.T[None], y[None]).item()
        return loss, r2(outputs.T[None], y.T[None]).item()

    def evaluate(self, step, norm):
        every = curve_stride(len(self.part("train")[0]))
        train_loss, train_score = self.measures("train", every)
        val_loss, val_score = self.measures("val")
        measure = "accuracy" if self.task.classes else "r2"
        self.curve[step] = {
            "train_loss": train_loss,
            "val_loss": val_loss,
            f"train_{measure}": train_score,
            f"val_{measure}": val_score,
            "gradient_norm": None if norm is None else norm.item(),
        }
        self.weights[step] = flat_parameters(self.module)


SMALL = {"points": 40, "validation_points": 20, "test_points": 30}
SPIRAL = ("spiral", {"settings": SMALL})
WAVE = ("wave", {"settings": SMALL})
MANY = ("spiral", {"settings": {**SMALL, "points": 450}})
RECIPES = {
    "mlp, full batch": (*SPIRAL, {"activation": "tanh"}),
    "linear model": ("line", {"settings": SMALL}, {"depth": 0, "optimizer": "sgd"}),
    "partial last minibatch": (*SPIRAL, {"minibatch": 50, "optimizer": "momentum"}),
    "one example at a time": (*WAVE, {"minibatch": 1, "train_size": 7, "optimizer": "rmsprop"}),
    "batch norm": (*SPIRAL, {"norm": "batch", "minibatch": 32, "optimizer": "adamw"}),
    "layer norm": (*WAVE, {"regularisation": "layer_norm", "minibatch": 7, "train_size": 33}),
    "residual": (*SPIRAL, {"residual": True, "depth": 3, "width": 9, "activation": "gelu"}),
    "cosine": (*SPIRAL, {"schedule": "cosine", "optimizer": "nesterov"}),
    "step": (*SPIRAL, {"schedule": "step", "optimizer": "adagrad"}),
    "huber, nadam": (*WAVE, {"loss": {"name": "huber", "delta": 0.5}, "optimizer": "nadam"}),
    "l1 loss, radam": (*WAVE, {"loss": "l1", "optimizer": "radam", "activation": "silu"}),
    "one against rest, adamax": (*SPIRAL, {"loss": "bce", "optimizer": "adamax"}),
    "squares, adadelta": (*SPIRAL, {"loss": "mse", "optimizer": "adadelta"}),
    "smoothing": (*SPIRAL, {"regularisation": "label_smoothing", "init": "kaiming"}),
    "l1": (*SPIRAL, {"regularisation": {"name": "l1", "strength": 0.01}, "init": "xavier"}),
    "l2": (*SPIRAL, {"regularisation": {"name": "l2", "strength": 0.05}, "activation": "prelu"}),
    "weight decay": (*SPIRAL, {"regularisation": {"name": "weight_decay", "strength": 0.05}}),
    "noise": (*SPIRAL, {"regularisation": "input_noise", "minibatch": 32}),
    "dropout": (*SPIRAL, {"regularisation": "dropout", "minibatch": 50}),
    "cnn": ("digits", {}, {"network": "cnn", "width": 4, "minibatch": 32, "train_size": 80}),
    "cnn, dropout, shift": (
        "digits",
        {},
        {
            "network": "cnn",
            "width": 3,
            "depth": 1,
            "minibatch": 16,
            "train_size": 40,
            "pooling": "average",
            "regularisation": "dropout",
            "augmentation": "shift",
        },
    ),
    "more examples than pass at once": (*MANY, {"minibatch": 1100, "activation": "tanh"}),
    "flip": ("digits", {}, {"minibatch": 30, "train_size": 100, "augmentation": "flip"}),
}
SEEDS, RATES = (0, 1), (0.003, 0.03)


def assert_close(actual, expected, tolerance):
    if expected is None:
        assert actual is None
    else:
        assert actual == pytest.approx(expected, rel=tolerance, abs=tolerance)


BY_KERNELS = sorted(
    RECIPES.keys()
    - {
        "linear model",
        "batch norm",
        "layer norm",
        "residual",
        "l2",
        "noise",
        "cnn",
        "cnn, dropout, shift",
        "flip",
    }
)  # prelu is the activation of "l2"
DROPOUT_OF_MANY = (*MANY, {"minibatch": 1100, "regularisation": "dropout", "depth": 3, "width": 5})


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_runs_free_beside_a_notebook(by_torch, recipe):
    """Each operation of torch for all trials at once."""
    assert_runs_beside_a_notebook(RECIPES[recipe], "stacked")


@pytest.mark.parametrize(
    "recipe", [*(RECIPES[name] for name in BY_KERNELS), DROPOUT_OF_MANY], ids=[*BY_KERNELS, "many"]
)
def test_compiled_training_runs_free_beside_a_notebook(recipe):
    """One trial after the other, compiled."""
    assert_runs_beside_a_notebook(recipe, "compiled")


def assert_runs_beside_a_notebook(recipe, way):
    """Every number of curves and rows after up to 24 steps, to 1e-9 in float64.

    Two seeds at two rates in one stack; each notebook trains one of the four alone.
    """
    task, data, levels = recipe
    stack = stack_of(task, seeds=SEEDS, rates=RATES, steps=24, evaluations=8, **data, **levels)
    outcome = train(stack, dtype=torch.float64)
    assert outcome.way == way
    assert [row["trial"] for row in outcome.rows] == [member.name for member in stack.members]
    for member, row in zip(stack.members, outcome.rows, strict=True):
        notebook = Notebook(stack, member, way=way).train()
        curve = [point for point in outcome.curves if point["trial"] == member.name]
        assert [point["step"] for point in curve] == [0, 3, 6, 9, 12, 15, 18, 21, 24]
        per_epoch = math.ceil(len(notebook.part("train")[0]) / minibatch_of(notebook))
        for point in curve:
            expected = notebook.curve[point["step"]]
            assert point.keys() == {"trial", "step", "epoch", *expected}
            assert point["epoch"] == point["step"] / per_epoch
            for name, value in expected.items():
                assert_close(point[name], value, 1e-9)
        for part in ("train", "val", "test"):
            loss, score = notebook.measures(part)
            assert_close(row[f"{part}_loss"], loss, 1e-9)
            measure = "accuracy" if notebook.task.classes else "r2"
            assert_close(row[f"{part}_{measure}"], score, 1e-9)
        weights = torch.cat(
            [
                layer.weight.detach().flatten()
                for layer in notebook.module.modules()
                if isinstance(layer, nn.Linear | nn.Conv2d)
            ]
        )
        assert row["sparsity"] == pytest.approx((weights.abs() < 1e-3).double().mean().item())
        assert row["parameters"] == len(flat_parameters(notebook.module))
        assert (row["status"], row["steps"], row["best_step"]) == ("finished", 24, 24)


def minibatch_of(notebook):
    examples = len(notebook.part("train")[0])
    return examples if notebook.cell.minibatch == "full" else notebook.cell.minibatch


# What a stack leaves behind


def by_trial(outcome, name):
    """The row and the curve of one trial, as text that shows every bit."""
    row = next(row for row in outcome.rows if row["trial"] == name)
    return json.dumps([row, [point for point in outcome.curves if point["trial"] == name]])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_diverged_trial_is_a_row_and_leaves_the_others_untouched(optimizer):
    stack = stack_of(
        "wave", seeds=(0, 1), rates=(0.01, 1e38, 0.1), steps=20, optimizer=optimizer, settings=SMALL
    )
    sound = [member for member in stack.members if member.learning_rate < 1]
    together, alone = train(stack), train(stack, sound)
    assert all(by_trial(together, m.name) == by_trial(alone, m.name) for m in sound)
    assert {row["status"] for row in alone.rows} == {"finished"}
    ends = [row for row in together.rows if row["learning_rate"] == 1e38]
    assert len(ends) == 2
    for row in ends:
        kept = {"trial", "seed", "learning_rate", "status", "parameters"}
        assert row.keys() == kept  # no response and no step: those columns stay empty
        assert row["status"] == "diverged"
        curve = [point for point in together.curves if point["trial"] == row["trial"]]
        numbers = [value for point in curve for value in point.values() if value is not None]
        assert all(math.isfinite(v) for v in numbers if isinstance(v, float))
        assert [point["step"] for point in curve] == [0]


def test_a_stack_of_diverged_trials_still_gives_its_rows():
    stack = stack_of("wave", seeds=(0,), rates=(1e38,), steps=20, optimizer="sgd", settings=SMALL)
    assert [row["status"] for row in train(stack).rows] == ["diverged"]


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_early_stopping_restores_the_best_weights_and_stops_in_time(patience):
    """The rule in a slow loop over the curve of the same training without it (law L7)."""
    regularisation = {"name": "early_stopping", "patience": patience}
    data = {"settings": {"points": 6, "validation_points": 10, "test_points": 10, "noise": 0.3}}
    shape = {
        "seeds": (0, 1, 2),
        "rates": (0.003, 0.03, 0.3),
        "steps": 60,
        "evaluations": 30,
        **data,
    }
    stack = stack_of("wave", regularisation=regularisation, **shape)
    full = train(stack_of("wave", **shape), dtype=torch.float64)
    stopped = train(stack, dtype=torch.float64)
    early = 0
    for member, row in zip(stack.members, stopped.rows, strict=True):
        curve = [point for point in full.curves if point["trial"] == member.name]
        best, waited, end = curve[0], 0, 60
        for point in curve[1:]:
            if point["val_loss"] < best["val_loss"]:
                best, waited = point, 0
            else:
                waited += 1
            if waited == patience:
                end = point["step"]
                break
        early += end < 60
        assert (row["best_step"], row["steps"]) == (best["step"], end)
        assert row["steps"] <= row["best_step"] + 2 * patience  # evaluated every second step
        seen = [point for point in stopped.curves if point["trial"] == member.name]
        assert seen == [point for point in curve if point["step"] <= end]
        assert row["val_loss"] == best["val_loss"]
        notebook = Notebook(stack, member).train()
        with torch.no_grad():
            pieces = notebook.weights[best["step"]].split(
                [p.numel() for p in notebook.module.parameters()]
            )
            for parameter, piece in zip(notebook.module.parameters(), pieces, strict=True):
                parameter.copy_(piece.view_as(parameter))
        for part in ("train", "val", "test"):
            assert_close(row[f"{part}_loss"], notebook.measures(part)[0], 1e-9)
    assert early >= 3  # else nothing was tested


def test_a_stack_whose_trials_have_all_ended_takes_no_further_step(monkeypatch, by_torch):
    """Steps are counted where each begins, at its gradient."""
    steps = []

    def counted(*arguments, **named):
        steps.append(1)
        stacked_gradient(*arguments, **named)

    monkeypatch.setattr("ablations.steps.stacked_gradient", counted)
    regularisation = {"name": "early_stopping", "patience": 3}
    shape = {"rates": (1e-30, 1e38), "steps": 40, "evaluations": 10, "optimizer": "sgd"}
    outcome = train(stack_of(regularisation=regularisation, settings=SMALL, **shape))
    assert [row["status"] for row in outcome.rows] == ["finished", "diverged"]
    assert sum(steps) == outcome.rows[0]["steps"] == 12


def test_a_loss_that_stays_the_same_is_no_improvement():
    """At a rate of 1e-30 nothing moves: the first evaluation is the best, and three are waited."""
    regularisation = {"name": "early_stopping", "patience": 3}
    shape = {"rates": (1e-30,), "steps": 40, "evaluations": 10, "optimizer": "sgd"}
    (row,) = train(stack_of(regularisation=regularisation, settings=SMALL, **shape)).rows
    assert (row["best_step"], row["steps"]) == (0, 12)


def test_the_least_fall_of_the_loss_is_an_improvement():
    """At a rate of 1e-7 the loss falls by about 1e-7 an evaluation, and patience never ends."""
    shape = {"rates": (1e-7,), "steps": 10, "evaluations": 10, "optimizer": "sgd", "depth": 0}
    regularisation = {"name": "early_stopping", "patience": 1}
    stack = stack_of("line", regularisation=regularisation, settings=SMALL, **shape)
    (row,) = train(stack, dtype=torch.float64).rows
    assert (row["best_step"], row["steps"]) == (10, 10)


def test_early_stopping_restores_running_statistics_too():
    """With batch norm the test loss at the best step needs the statistics of that step."""
    shape = {"settings": SMALL, "rates": (0.05,), "minibatch": 16, "norm": "batch"}
    stack = stack_of(
        "wave",
        regularisation={"name": "early_stopping", "patience": 2},
        steps=60,
        evaluations=30,
        **shape,
    )
    (row,) = train(stack).rows
    assert 0 < row["best_step"] < row["steps"]
    shorter = stack_of("wave", steps=row["best_step"], evaluations=1, **shape)
    (expected,) = train(shorter).rows
    assert [row[f"{part}_loss"] for part in ("train", "val", "test")] == [
        expected[f"{part}_loss"] for part in ("train", "val", "test")
    ]


@given(st.integers(1, 300), st.integers(1, 60))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_evaluations_are_evenly_spaced_and_end_with_the_last_step(steps, evaluations):
    chosen = evaluation_steps(steps, evaluations)
    assert chosen == sorted(set(chosen))
    assert chosen[0] >= 1
    assert chosen[-1] == steps
    assert len(chosen) == min(steps, evaluations)
    gaps = [b - a for a, b in zip([0, *chosen], chosen, strict=False)]
    assert max(gaps) - min(gaps) <= 1 + (steps / evaluations < 1)


def test_known_evaluation_steps():
    assert evaluation_steps(100, 4) == [25, 50, 75, 100]
    assert evaluation_steps(10, 3) == [3, 7, 10]


def test_epochs_are_counted_in_minibatches():
    """33 examples in minibatches of 10 make 4 steps an epoch, the last of 3 examples."""
    outcome = train(stack_of("wave", epochs=3, minibatch=10, train_size=33, evaluations=3))
    assert [(p["step"], p["epoch"]) for p in outcome.curves] == [(0, 0), (4, 1), (8, 2), (12, 3)]
    assert outcome.rows[0]["steps"] == 12


def test_tuning_rows_leave_the_test_part_unread():
    (row,) = train(stack_of(stage="tuning", settings=SMALL)).rows
    assert not any(name.startswith("test") for name in row)
    assert row["val_loss"] > 0


def test_without_a_split_only_training_columns_are_filled():
    outcome = train(stack_of("line", split="none", settings=SMALL))
    (row,) = outcome.rows
    assert {name for name in row if name.endswith(("loss", "r2"))} == {"train_loss", "train_r2"}
    assert all(point["val_loss"] is None and point["val_r2"] is None for point in outcome.curves)


def test_large_parts_are_measured_whole_and_curves_on_every_tenth_example():
    """5,001 examples pass in ten parts; a curve looks at 501 of them, a row at all."""
    data = {"points": 5001, "validation_points": 2100, "test_points": 4200}
    stack = stack_of("wave", settings=data, steps=2, evaluations=1, width=5)
    outcome = train(stack, dtype=torch.float64)
    notebook = Notebook(stack, stack.members[0]).train()
    for part in ("train", "val", "test"):
        assert_close(outcome.rows[0][f"{part}_loss"], notebook.measures(part)[0], 1e-12)
    x, y = notebook.part("train")
    with torch.no_grad():
        seen = (notebook.module(x[::10]) - y[::10]).square().mean().item()
    assert_close(outcome.curves[-1]["train_loss"], seen, 1e-12)
    assert seen != pytest.approx(outcome.rows[0]["train_loss"], rel=1e-6)


def test_too_large_a_train_size_is_refused():
    with pytest.raises(TaskError) as error:
        train(stack_of("spiral", settings=SMALL, train_size=500))
    assert "train_size 500 is more than the 120 training examples" in str(error.value)


def test_outcomes_can_be_written_as_json():
    stack = stack_of(rates=(0.01, 1e38), pictures=True, settings=SMALL)
    outcome = train(stack)
    rows = [outcome.rows, outcome.curves, outcome.pictures, outcome.points]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_training_leaves_no_setting_of_torch_behind():
    """Subnormal numbers are flushed while a stack trains, and only then."""
    train(stack_of(steps=1, settings=SMALL))
    tiny = torch.full((20,), 1e-40)
    assert (tiny * 0.5 > 0).all()


def test_vanishing_gradients_are_flushed_to_zero():
    """Inside training a product below 1e-38 is 0, so that it cannot slow a stack."""
    from ablations.training import flushed_denormals  # noqa: PLC0415, the one test of it

    with flushed_denormals():
        assert not (torch.full((20,), 1e-30) * torch.full((20,), 1e-10)).any()
    assert torch.get_default_dtype() == torch.float32


def test_the_first_picture_shows_the_untrained_network(generator):
    """A stack with pictures draws step 0 with the initial weights, here checked by hand."""
    stack = stack_of(pictures=True, settings=SMALL, steps=4, evaluations=2, depth=1, width=5)
    outcome = train(stack)
    assert [picture["step"] for picture in outcome.pictures] == [0, 2, 4]
    assert len({picture["values"] for picture in outcome.pictures}) == 3
    assert EVALUATION.training is False
    assert len(outcome.points) == 120


def test_a_gradient_too_large_for_its_norm_leaves_the_field_empty():
    """At a rate this absurd a norm can overflow while every parameter is still finite."""
    stack = stack_of("wave", rates=(0.01, 1e5), steps=40, minibatch=64)
    norms = [row["gradient_norm"] for row in train(stack).curves]
    assert None in norms[1:], "no norm overflowed: is the rate absurd enough?"
    assert all(norm is None or math.isfinite(norm) for norm in norms)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adagrad", "rmsprop", "nadam", "adamax"])
def test_what_pads_the_parameters_is_no_divergence(optimizer):
    """Without an epsilon the padding divides 0 by 0, as no parameter with a gradient does."""
    level = {"name": optimizer, "epsilon": 0.0, "weight_decay": 0.01}
    stack = stack_of("wave", optimizer=level, activation="tanh", settings=SMALL)
    outcome = train(stack)
    assert [row["status"] for row in outcome.rows] == ["finished"]
    assert all(point["gradient_norm"] for point in outcome.curves[1:])


def test_the_coefficients_of_a_long_run_need_little_memory():
    """A learning rate of 20,000 steps and eight trials; what does not change is kept once."""
    rates = torch.rand(20_000, 8, dtype=torch.float64)
    hyper = {"momentum": torch.full((8,), 0.9, dtype=torch.float64)}
    optimizer = stacked_optimizer("momentum", rates, hyper, torch.zeros(8, 32), torch.zeros(8))
    kept = sum(c.untyped_storage().nbytes() for c in optimizer.coefficients.values())
    assert kept == 20_000 * 8 * 4 + 8 * 4


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_in_float32_accuracies_are_distributed_as_those_of_networks_trained_alone(optimizer):
    """Fifty seeds at a rate where rounding grows: no shift, and the same distribution.

    In float32 a trial and its twin part for good after some hundred steps, so only their
    distributions can agree: a paired t interval around 0, and Kolmogorov and Smirnov.
    """
    shape = {"minibatch": 30, "width": 16, "settings": {"points": 60}}
    stack = stack_of(seeds=range(50), rates=(0.05,), steps=300, optimizer=optimizer, **shape)
    together = [row["val_accuracy"] for row in train(stack).rows]
    alone = []
    for member in stack.members:
        notebook = Notebook(stack, member, dtype=torch.float32).train()
        alone.append(notebook.measures("val")[1])
    difference = stats.ttest_rel(together, alone)
    assert sum(a != b for a, b in zip(together, alone, strict=True)) > 5  # they did part
    low, high = difference.confidence_interval(0.99)
    assert low <= 0 <= high
    assert -0.02 < low < high < 0.02
    assert stats.ks_2samp(together, alone).pvalue > 0.05


# Where a stack lies

DISTURBED = {
    "dropout": {"regularisation": "dropout"},
    "noise": {"regularisation": "input_noise"},
    "shift": {"augmentation": "shift"},
    "flip": {"augmentation": "flip"},
}


@pytest.mark.parametrize("name", DISTURBED)
def test_what_is_drawn_in_a_step_is_drawn_where_the_stack_lies(name, monkeypatch):
    """On a GPU a draw on the CPU would be copied in every step, and waited for."""
    drawn = set()

    def on_its_device(function):
        def draw(*args, generator=None, device=None, **options):
            if generator is not None and function.__name__ in allowed:
                assert device == generator.device
                drawn.add(function.__name__)
            return function(*args, generator=generator, device=device, **options)

        return draw

    stack = stack_of("digits", minibatch=64, steps=3, **DISTURBED[name])
    training, _ = _prepare(stack, stack.members, torch.device("cpu"), torch.float32)
    allowed = {"randperm", "rand", "randn", "randint"}
    for function in (torch.randperm, torch.rand, torch.randn, torch.randint):
        monkeypatch.setattr(torch, function.__name__, on_its_device(function))
    batches = Minibatches(training)
    context = Steps(training, batches).context
    for _ in range(3):
        x, _, _ = batches.draw()
        if context.dropout is not None:
            context.uniform(tuple(x.shape[1:]))
    assert "randperm" in drawn
    assert len(drawn) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [*DISTURBED, "plain"])
def test_no_step_waits_for_the_gpu(name):
    levels = DISTURBED.get(name, {})
    stack = stack_of("digits", minibatch=64, steps=40, **levels)
    training, _ = _prepare(stack, stack.members, torch.device("cuda"), torch.float32)
    batches = Minibatches(training)
    steps = Steps(training, batches)
    steps.take(0, 1, lambda: None)
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps.take(1, 40, lambda: None)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_to_the_loss_of_the_cpu():
    stack = stack_of("spiral", steps=100)
    here, there = (
        [row["train_loss"] for row in train(stack, device=device).rows]
        for device in ("cpu", "cuda")
    )
    assert there == pytest.approx(here, rel=1e-3)
