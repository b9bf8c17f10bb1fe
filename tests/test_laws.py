"""Laws L1 to L10 of METHODS.md, which any correct implementation obeys.

L7 (early stopping) and L10 (torch's rules and layers) are the business of test_training,
test_optimizers, test_layers and test_network; what is left of L10 here is where torch and
this code could agree and both be wrong.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import assert_same_numbers, cell_of, stack_of
from torch import nn

from ablations.layers import EVALUATION, Activation, BatchNorm, Context, Dropout, stacked_linear
from ablations.losses import stacked_loss
from ablations.optimizers import stacked_optimizer
from ablations.streams import Streams
from ablations.tasks import load_task
from ablations.training import train

TRAINING = Context(training=True)


def activation(name, x, **settings):
    return Activation(name, tuple(settings.items())).stacked(x.clone(), {}, TRAINING)


# L1


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_identity_activations_stay_a_linear_model_at_any_depth(depth):
    """Straight lines separate about half of a spiral of three arms, .40 to .60 by seed and task.

    Two hidden layers with a tanh between learn the same points to over .70.
    """
    common = {"seeds": (0, 1, 2), "rates": (0.01,), "steps": 400, "evaluations": 1}
    linear = train(stack_of(depth=depth, activation="identity", **common)).rows
    curved = train(stack_of(depth=2, activation="tanh", width=64, **common)).rows
    linear_mean = np.mean([row["test_accuracy"] for row in linear])
    assert 0.40 <= linear_mean <= 0.60
    assert np.mean([row["test_accuracy"] for row in curved]) > max(0.7, linear_mean + 0.15)


def test_affine_maps_compose_to_one_affine_map(generator):
    """Three stacked layers with identity activations are W3 W2 W1 x + one bias."""
    sizes = ((4, 2), (4, 4), (3, 4))
    weights = [torch.randn(2, *s, generator=generator, dtype=torch.float64) for s in sizes]
    biases = [torch.randn(2, s[0], generator=generator, dtype=torch.float64) for s in sizes]
    x = torch.randn(2, 2, 9, generator=generator, dtype=torch.float64)
    h = x
    for weight, bias in zip(weights, biases, strict=True):
        h = activation("identity", stacked_linear(h, weight, bias))
    first, second, third = weights
    offset = third @ (second @ biases[0][..., None] + biases[1][..., None]) + biases[2][..., None]
    assert_same_numbers(h, third @ second @ first @ x + offset)


# L2


@pytest.fixture
def x(generator):
    return 3 * torch.randn(2, 4, 50, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("leaky_relu", {"negative_slope": 1.0}),
        ("hardshrink", {"threshold": 0.0}),
        ("softshrink", {"threshold": 0.0}),
    ],
)
def test_degenerate_activations_are_the_identity(x, name, settings):
    assert torch.equal(activation(name, x, **settings), x)


def test_prelu_of_slope_one_is_the_identity(x):
    prelu = Activation("prelu", (("start", 1.0),))
    assert torch.equal(prelu.stacked(x, {"weight": torch.ones(2, 1).double()}, TRAINING), x)


def test_gelu_weighs_by_the_normal_distribution(x):
    phi = torch.tensor([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.flatten().tolist()])
    expected = x * phi.double().view_as(x)
    torch.testing.assert_close(
        activation("gelu", x), expected, rtol=1e-6, atol=1e-7
    )  # phi in 32 bit


def test_silu_weighs_by_the_sigmoid(x):
    assert_same_numbers(activation("silu", x), x / (1 + torch.exp(-x)))
    assert_same_numbers(activation("silu", x), x * activation("sigmoid", x))


@pytest.mark.parametrize(
    ("name", "formula", "settings"),
    [
        ("relu", lambda x: max(x, 0.0), {}),
        ("leaky_relu", lambda x: x if x > 0 else 0.2 * x, {"negative_slope": 0.2}),
        ("elu", lambda x: x if x > 0 else 2 * math.expm1(x), {"alpha": 2.0}),
        ("celu", lambda x: x if x > 0 else 2 * math.expm1(x / 2), {"alpha": 2.0}),
        ("mish", lambda x: x * math.tanh(math.log1p(math.exp(x))), {}),
        ("softplus", lambda x: math.log1p(math.exp(2 * x)) / 2, {"beta": 2.0}),
        ("softsign", lambda x: x / (1 + abs(x)), {}),
        ("tanh", math.tanh, {}),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x)), {}),
        ("hardtanh", lambda x: min(max(x, -1.0), 1.0), {}),
        ("hardswish", lambda x: x * min(max(x + 3, 0.0), 6.0) / 6, {}),
        ("hardshrink", lambda x: x if abs(x) > 0.5 else 0.0, {"threshold": 0.5}),
        ("softshrink", lambda x: math.copysign(max(abs(x) - 0.5, 0.0), x), {"threshold": 0.5}),
        ("tanhshrink", lambda x: x - math.tanh(x), {}),
        (
            "selu",
            lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
            {},
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_activations_follow_their_textbook_formulas(x, name, formula, settings):
    expected = torch.tensor([formula(v) for v in x.flatten().tolist()], dtype=torch.float64)
    assert_same_numbers(activation(name, x, **settings), expected.view_as(x))


# L3


def descend(name, *, steps=30, weight_decay=0.0, extra=None, **hyper):
    """Parameters of one trial after descending a fixed bumpy slope, plus `extra(p)`."""
    p = torch.linspace(-1, 1, 7, dtype=torch.float64).repeat(1, 1)
    hyper = {key: torch.tensor([value], dtype=torch.float64) for key, value in hyper.items()}
    rates = torch.full((steps, 1), 0.05, dtype=torch.float64)
    decay = torch.tensor([weight_decay], dtype=torch.float64)
    optimizer = stacked_optimizer(name, rates, hyper, p, decay)
    for t in range(steps):
        gradient = torch.cos(3 * p) + 0.5 * p
        optimizer.step(t, p, gradient + extra(p) if extra else gradient)
    return p


ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


def test_momentum_zero_is_sgd():
    assert torch.equal(descend("momentum", momentum=0.0), descend("sgd"))


def test_nesterov_in_the_limit_is_sgd():
    """At a momentum of 1e-9 what is left of it is of that size."""
    assert_same_numbers(descend("nesterov", momentum=1e-9), descend("sgd"), 1e-8)


def test_adamw_without_decay_is_adam():
    assert torch.equal(descend("adamw", **ADAM), descend("adam", **ADAM))


def test_sgd_weight_decay_is_half_the_squared_norm():
    """By autograd, of lambda / 2 |p|^2."""

    def penalty(p):
        p = p.detach().requires_grad_()
        return torch.autograd.grad(0.3 / 2 * p.square().sum(), p)[0]

    assert_same_numbers(descend("sgd", weight_decay=0.3), descend("sgd", extra=penalty))


def test_adam_with_l2_is_not_adamw():
    """Adam divides the penalty by the gradient's size, AdamW does not: the first step tells.

    From p with any gradient, adam moves by the rate alone; adamw also by rate x decay x p.
    """
    plain = descend("adam", steps=1, **ADAM)
    coupled = descend("adam", steps=1, weight_decay=0.3, **ADAM)
    decoupled = descend("adamw", steps=1, weight_decay=0.3, **ADAM)
    start = torch.linspace(-1, 1, 7, dtype=torch.float64).repeat(1, 1)
    assert_same_numbers(
        decoupled, plain - 0.05 * 0.3 * start, 1e-7
    )  # epsilon beside gradients of .3
    moved = (coupled - start).abs()
    assert_same_numbers(moved, torch.full_like(moved, 0.05), 1e-6)


# L4


def test_the_converged_line_is_the_least_squares_line():
    """y = 5 x + 7 + noise without a split or a scale; 3,000 steps leave an error below 1e-9.

    At a rate of 0.5 the slower of two directions shrinks by about 1 - 0.04 per step.
    """
    data = {"split": "none", "settings": {"standardise": False, "points": 64}}
    shape = {"depth": 0, "optimizer": "sgd", "rates": (0.5,), "seeds": (0, 1), "evaluations": 1}
    outcome = train(stack_of("line", steps=3000, **shape, **data), dtype=torch.float64)
    spec = stack_of("line", **data).task
    task = load_task(spec, [0, 1], streams=Streams(0, "line"), dtype=torch.float64)
    for s, row in enumerate(outcome.rows):
        x, y = (t[task.parts["train"][s], 0].numpy() for t in (task.inputs, task.targets))
        slope, intercept = np.polyfit(x, y, 1)
        residual = np.mean((y - slope * x - intercept) ** 2)
        assert slope == pytest.approx(5, abs=0.5)  # 4 standard errors of 64 noisy points
        assert intercept == pytest.approx(7, abs=0.3)
        assert row["train_loss"] == pytest.approx(residual, rel=1e-9)
        assert row["train_r2"] == pytest.approx(1 - residual / np.var(y), rel=1e-9)


# L5


def test_dropout_at_rate_zero_trains_as_no_dropout_to_the_bit():
    shape = {"minibatch": 50, "seeds": (0, 1), "steps": 12}
    dropout = train(stack_of(regularisation={"name": "dropout", "rate": 0.0}, **shape))
    assert dropout == train(stack_of(**shape))


def test_dropout_is_the_identity_in_evaluation(x):
    assert Dropout(0.9).stacked(x, {}, EVALUATION) is x


# L6


def norm_values(features):
    """As a batch norm starts: scale 1, shift 0."""
    one, zero = (f(2, features, dtype=torch.float64) for f in (torch.ones, torch.zeros))
    return {
        "weight": one,
        "bias": zero,
        "running_mean": zero.clone(),
        "running_var": one.clone(),
    }


def test_batch_norm_gives_mean_zero_and_variance_one(x):
    """But for the epsilon of 1e-5 beside a variance of about 9."""
    normal = BatchNorm(4).stacked(5 * x + 3, norm_values(4), TRAINING)
    assert normal.mean(2).abs().max() < 1e-14
    assert (normal.var(2, correction=0) - 1).abs().max() < 1e-6


def test_batch_norm_ignores_the_scale_of_the_weights_before_it(generator, x):
    """A thousandfold weight leaves only epsilon's share of the variance, below 1e-5."""
    weight = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    small, large = (
        BatchNorm(3).stacked(stacked_linear(x, scale * weight, None), norm_values(3), TRAINING)
        for scale in (1, 1000)
    )
    assert_same_numbers(small, large, 1e-5)


# L8


@pytest.mark.parametrize(
    ("share", "falls"), [(0.5, True), (0.99, True), (1.01, False)], ids=["half", "below", "above"]
)
def test_gradient_descent_on_a_quadratic_falls_below_two_over_the_curvature(share, falls):
    """A linear model's squared error; L is the largest eigenvalue of its Hessian, 2 X'X / N."""
    data = {"split": "none", "settings": {"points": 60}}
    spec = stack_of("housing", **data).task
    task = load_task(spec, [0], streams=Streams(0, "housing"), dtype=torch.float64)
    design = torch.cat([task.inputs, torch.ones(60, 1, dtype=torch.float64)], 1)
    curvature = torch.linalg.eigvalsh(2 * design.T @ design / 60).max().item()
    rates = (share * 2 / curvature,)
    shape = {"depth": 0, "optimizer": "sgd", "init": "normal", "steps": 400, "evaluations": 400}
    outcome = train(stack_of("housing", rates=rates, **shape, **data), dtype=torch.float64)
    losses = [point["train_loss"] for point in outcome.curves]
    if falls:
        # monotonically, until only the noise is left that no line explains
        assert all(after <= before * (1 + 1e-12) for before, after in pairwise(losses))
        assert losses[-1] < 1e-3 * losses[0]
    else:
        # once the steepest direction has outgrown the others, by (2 x 1.01 - 1)^2 a step
        growth = [after / before for before, after in pairwise(losses[300:])]
        assert growth == pytest.approx([1.02**2] * 100, rel=1e-3)


# L9


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("classes", [2, 10])
def test_label_smoothings_floor_is_the_entropy_of_its_target(amount, classes):
    """Reached where the outputs are the logarithm of the target, and nowhere undercut."""
    level = {"name": "label_smoothing", "amount": amount} if amount else "none"
    loss = stacked_loss(cell_of("spiral", regularisation=level))
    share = [1 - amount + amount / classes] + [amount / classes] * (classes - 1)
    entropy = -sum(p * math.log(p) for p in share if p > 0)
    logits = torch.tensor([math.log(p) if p else -800.0 for p in share], dtype=torch.float64)
    outputs, target = logits.view(1, classes, 1), torch.zeros(1, 1, dtype=torch.long)
    assert loss(outputs, target).item() == pytest.approx(entropy, rel=1e-12)
    generator = torch.Generator().manual_seed(0)
    for size in (0.01, 1.0):
        shape = (20, classes, 1)
        nearby = outputs + size * torch.randn(shape, generator=generator, dtype=torch.float64)
        assert (loss(nearby, target.expand(20, 1)) >= entropy - 1e-12).all()


# L10


def test_layer_norm_of_an_image_is_over_the_whole_image(generator):
    """torch has it as GroupNorm with one group; nn.LayerNorm of the whole shape must agree."""
    from ablations.layers import LayerNorm  # noqa: PLC0415, beside its one use

    images = torch.randn(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    whole = nn.LayerNorm([3, 4, 4]).double()
    values = {
        name: f(1, 3, dtype=torch.float64)
        for name, f in (("weight", torch.ones), ("bias", torch.zeros))
    }
    together = LayerNorm(3, image=True).stacked(images[None], values, TRAINING)
    assert_same_numbers(together[0], whole(images))
