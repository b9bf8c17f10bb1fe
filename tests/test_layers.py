"""Each slice of a stacked layer is the ordinary layer of torch.nn, forwards and backwards."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import assert_same_numbers

from ablations.layers import (
    EVALUATION,
    MODULES,
    Activation,
    BatchNorm,
    Context,
    Convolution,
    Dropout,
    Flatten,
    LayerNorm,
    Linear,
    Pool,
    stacked_linear,
)
from ablations.levels import ACTIVATIONS

M, N = 3, 7  # trials, examples
TRAINING = Context(training=True)
MODES = pytest.mark.parametrize("context", [TRAINING, EVALUATION], ids=["training", "evaluation"])

# Settings other than the defaults, so that a setting which is ignored is seen.
OTHER_SETTINGS = {
    "leaky_relu": {"negative_slope": 0.3},
    "prelu": {"start": 0.6},
    "elu": {"alpha": 0.4},
    "celu": {"alpha": 2.5},
    "softplus": {"beta": 3.0},
    "hardshrink": {"threshold": 0.2},
    "softshrink": {"threshold": 1.2},
}
ACTIVATION_LEVELS = [
    *[
        (name, {key: setting.default for key, setting in settings.items()})
        for name, settings in ACTIVATIONS.items()
    ],
    *OTHER_SETTINGS.items(),
]
activations = pytest.mark.parametrize(("name", "settings"), ACTIVATION_LEVELS, ids=str)


def drawn_values(layer, *, generator):
    """Values that no two trials share and that no layer starts with, (M, *shape) in float64."""
    shapes = {name: parameter.shape for name, parameter in layer.parameters().items()}
    shapes |= {name: shape for name, (shape, _) in layer.buffers().items()}
    drawn = {
        name: torch.randn(M, *shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }
    if "running_var" in drawn:
        drawn["running_var"] = drawn["running_var"].square() + 0.1
    return drawn


def assert_slices_are_modules(layer, x, context, *, generator, to_stack=None, from_stack=None):
    """Compare outputs, gradients of input and parameters, and what the layer remembers.

    Args:
        x: (M, N, ...) as the module takes it, examples first.
        to_stack, from_stack: between that and the layout of the layer.
    """
    start = drawn_values(layer, generator=generator)
    values = {name: tensor.clone() for name, tensor in start.items()}
    gradients = {name: torch.full_like(values[name], torch.nan) for name in layer.parameters()}
    same = torch.clone
    together, pull = layer.pullback((to_stack or same)(x), values, gradients, context)
    weights = torch.randn((from_stack or same)(together).shape, generator=generator, dtype=x.dtype)
    by_inputs = pull((from_stack or same)(weights), True)  # features first undoes itself
    found = [(to_stack or same)(by_inputs), *gradients.values()]
    together = (from_stack or same)(together)
    assert {name for name, _ in layer.module().named_parameters()} == gradients.keys()
    for m in range(M):
        module = layer.module().double().train(context.training)
        module.load_state_dict({name: start[name][m] for name in start}, strict=False)
        alone_x = x[m].clone().requires_grad_()
        alone = module(alone_x)
        parameters = dict(module.named_parameters())
        expected = torch.autograd.grad(
            (alone * weights[m]).sum(), [alone_x, *[parameters[name] for name in gradients]]
        )
        assert_same_numbers(together[m], alone)
        for gradient, plain in zip(found, expected, strict=True):
            assert_same_numbers(gradient[m], plain)
        for name in layer.buffers():
            assert_same_numbers(values[name][m], module.get_buffer(name))


def features_first(x):
    return x.transpose(1, 2).contiguous()


@pytest.mark.parametrize("bias", [True, False])
def test_linear_matches_one_network_at_a_time(generator, bias):
    x = torch.randn(M, N, 5, generator=generator, dtype=torch.float64)
    assert_slices_are_modules(
        Linear(5, 4, bias),
        x,
        TRAINING,
        generator=generator,
        to_stack=features_first,
        from_stack=features_first,
    )


def test_stacked_linear_is_a_known_affine_map():
    """Two trials, worked by hand: 2 x1 - x2 + 1 and 3 x1 + 4."""
    x = torch.tensor([[[1.0, 2.0], [5.0, 6.0]], [[1.0, -1.0], [9.0, 9.0]]])  # (2, 2, 2)
    weight = torch.tensor([[[2.0, -1.0]], [[3.0, 0.0]]])
    bias = torch.tensor([[1.0], [4.0]])
    expected = torch.tensor([[[-2.0, -1.0]], [[7.0, 1.0]]])
    assert torch.equal(stacked_linear(x, weight, bias), expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution_matches_one_network_at_a_time(generator, kernel, bias):
    """Channels, kernel and an image that is not square."""
    x = torch.randn(M, N, 2, 6, 5, generator=generator, dtype=torch.float64)
    assert_slices_are_modules(Convolution(2, 4, kernel, bias), x, TRAINING, generator=generator)


@activations
def test_activation_matches_torch(generator, name, settings):
    """Ordinary numbers, the corners 0, 0.5, 1 and 3, and numbers that overflow exp."""
    corners = torch.tensor([0.0, 0.2, 0.5, 1.0, 1.2, 3.0, 6.0, 30.0, 1000.0], dtype=torch.float64)
    ordinary = 2 * torch.randn(M, 40, generator=generator, dtype=torch.float64)
    x = torch.cat([ordinary, corners.expand(M, -1), -corners.expand(M, -1)], 1)
    layer = Activation(name, tuple(settings.items()))
    assert_slices_are_modules(layer, x.unsqueeze(2), TRAINING, generator=generator)


@activations
def test_activation_matches_torch_on_small_numbers(generator, name, settings):
    """The test above weighs errors by its largest number; here no number is above 1."""
    x = 2 * torch.rand(M, 50, 2, generator=generator, dtype=torch.float64) - 1
    layer = Activation(name, tuple(settings.items()))
    assert_slices_are_modules(layer, x, TRAINING, generator=generator)


@activations
def test_derivatives_far_out_are_torchs(name, settings):
    """Where x - f(x) has nothing left but rounding, in float32."""
    x = torch.tensor([[[1.7e7, 3e7, 1e8, -1.7e7, -1e8]]])
    plain_x = x.clone().requires_grad_()
    layer = Activation(name, tuple(settings.items()))
    layer.module()(plain_x).sum().backward()
    values = {n: torch.full((1, *p.shape), p.start) for n, p in layer.parameters().items()}
    gradients = {n: torch.zeros_like(v) for n, v in values.items()}
    _, pull = layer.pullback(x, values, gradients, TRAINING)
    torch.testing.assert_close(pull(torch.ones_like(x), True), plain_x.grad)


def test_every_activation_of_the_list_has_a_module():
    assert MODULES.keys() == ACTIVATIONS.keys()


def test_prelu_starts_at_its_setting():
    (slope,) = Activation("prelu", (("start", 0.6),)).parameters().values()
    module = Activation("prelu", (("start", 0.6),)).module()
    assert slope.start == 0.6
    assert torch.equal(module.weight, torch.tensor([0.6]))


@MODES
@pytest.mark.parametrize("layer", [BatchNorm(4), LayerNorm(4)], ids=["batch", "layer"])
def test_norm_of_features_matches_torch(generator, layer, context):
    """Features of different size, so that normalising the wrong axis shows."""
    scale = torch.tensor([0.1, 1.0, 3.0, 20.0], dtype=torch.float64)
    x = torch.randn(M, N, 4, generator=generator, dtype=torch.float64) * scale + scale
    assert_slices_are_modules(
        layer,
        x,
        context,
        generator=generator,
        to_stack=features_first,
        from_stack=features_first,
    )


@MODES
@pytest.mark.parametrize(
    "layer", [BatchNorm(3, image=True), LayerNorm(3, image=True)], ids=["batch", "layer"]
)
def test_norm_of_images_matches_torch(generator, layer, context):
    x = 3 * torch.randn(M, N, 3, 4, 5, generator=generator, dtype=torch.float64) + 1
    assert_slices_are_modules(layer, x, context, generator=generator)


@pytest.mark.parametrize("image", [False, True])
def test_batch_norm_remembers_ten_minibatches_as_torch_does(generator, image):
    """Running statistics are an average over steps; an error in it grows with them."""
    layer, shape = BatchNorm(3, image), (M, N, 3, 2, 2) if image else (M, N, 3)
    values = drawn_values(layer, generator=generator)
    modules = [layer.module().double() for _ in range(M)]
    for m, module in enumerate(modules):
        module.load_state_dict({name: values[name][m] for name in values}, strict=False)
    for _ in range(10):
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        layer.stacked(x if image else features_first(x), values, TRAINING)
        for m, module in enumerate(modules):
            module(x[m])
    for m, module in enumerate(modules):
        assert_same_numbers(values["running_mean"][m], module.running_mean)
        assert_same_numbers(values["running_var"][m], module.running_var)


def test_evaluation_leaves_the_running_statistics_alone(generator):
    layer = BatchNorm(3)
    values = drawn_values(layer, generator=generator)
    before = {name: tensor.clone() for name, tensor in values.items()}
    layer.stacked(
        torch.randn(M, 3, N, dtype=torch.float64, generator=generator), values, EVALUATION
    )
    assert all(torch.equal(values[name], before[name]) for name in values)


@pytest.mark.parametrize("name", ["max", "average"])
def test_pooling_matches_torch(generator, name):
    """Also where the size is odd and the last row and column are left out."""
    x = torch.randn(M, N, 2, 6, 5, generator=generator, dtype=torch.float64)
    assert_slices_are_modules(Pool(name), x, TRAINING, generator=generator)


def test_max_and_average_pooling_are_told_apart():
    image = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).view(1, 1, 1, 2, 2)
    assert Pool("max").stacked(image, {}, TRAINING).item() == 6
    assert Pool("average").stacked(image, {}, TRAINING).item() == 3


def test_flatten_matches_torch(generator):
    x = torch.randn(M, N, 2, 3, 4, generator=generator, dtype=torch.float64)
    assert_slices_are_modules(
        Flatten(), x, TRAINING, generator=generator, from_stack=lambda y: y.transpose(1, 2)
    )


def dropout_context(rates, uniform):
    return Context(
        training=True,
        dropout=torch.tensor(rates, dtype=uniform.dtype),
        uniform=lambda shape: uniform.view(len(rates), *shape),
    )


def test_dropout_with_torchs_mask_gives_torchs_numbers(generator):
    """Where F.dropout kept a unit the stack is handed a 0.999, else a 0; the rest must agree."""
    rates = (0.1, 0.5, 0.8)
    x = torch.randn(M, 6, N, generator=generator, dtype=torch.float64) + 10  # never zero
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(3)
        alone = torch.stack([F.dropout(x[m], rates[m]) for m in range(M)])
    context = dropout_context(rates, 0.999 * (alone != 0).double())
    together = Dropout(0.5).stacked(x, {}, context)
    assert (alone == 0).any()
    assert_same_numbers(together, alone, 1e-15)  # one multiplication and one division


def test_dropout_drops_below_the_rate_of_its_own_trial(generator):
    """Known uniform numbers: 0.3 survives a rate of 0.3 but not one of 0.4."""
    x = torch.ones(2, 1, 4)
    uniform = torch.tensor([0.0, 0.29, 0.3, 0.9]).expand(2, 1, 4)
    dropped = Dropout(0.3).stacked(x, {}, dropout_context((0.3, 0.4), uniform.contiguous()))
    expected = torch.tensor([[[0, 0, 1 / 0.7, 1 / 0.7]], [[0, 0, 0, 1 / 0.6]]])
    torch.testing.assert_close(dropped, expected)


def test_dropout_keeps_the_expected_share_and_the_mean(generator):
    """100,000 units per trial: five standard errors of the share are under 0.8 points."""
    rates, count = (0.1, 0.5, 0.8), 100_000
    uniform = torch.rand(3, 1, count, generator=generator, dtype=torch.float64)
    dropped = (
        Dropout(0.5)
        .stacked(torch.ones_like(uniform), {}, dropout_context(rates, uniform))
        .flatten(1)
    )
    for rate, row in zip(rates, dropped, strict=True):
        error = math.sqrt(rate * (1 - rate) / count)
        assert (row == 0).double().mean().item() == pytest.approx(rate, abs=5 * error)
        assert row.mean().item() == pytest.approx(1, abs=5 * error / (1 - rate))


def test_dropout_in_evaluation_and_at_rate_zero_changes_nothing(generator):
    x = torch.randn(M, 6, N, generator=generator)
    uniform = torch.rand(M, 6, N, generator=generator)
    assert torch.equal(Dropout(0.9).stacked(x, {}, EVALUATION), x)
    assert torch.equal(Dropout(0.0).stacked(x, {}, dropout_context((0, 0, 0), uniform)), x)


def test_dropout_rate_reaches_the_module():
    assert Dropout(0.3).module().p == 0.3


def test_the_first_of_equal_pixels_takes_the_gradient(generator):
    """Pixels of 0, 1 and 2 tie in most squares; torch goes row by row."""
    x = torch.randint(3, (M, N, 2, 6, 7), generator=generator).double()
    assert_slices_are_modules(Pool("max"), x, TRAINING, generator=generator)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_first_of_the_largest_pixels_gets_the_gradient(size, generator):
    """Few different values: ties in most squares; an image that the squares do not fill."""
    x = torch.randint(0, 4, (2, 3, 5, 13, 14), generator=generator).double()
    y, pull = Pool("max", size).pullback(x, {}, {}, TRAINING)
    d = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    own = x.clone().requires_grad_()
    expected = torch.nn.functional.max_pool2d(own.flatten(0, 1), size).view(y.shape)
    expected.backward(d)
    assert torch.equal(y, expected)
    assert torch.equal(pull(d, True), own.grad)
