"""A network's two forms agree, and its initial values are those of torch.nn.init."""

import math

import pytest
import torch
from conftest import (
    assert_same_numbers,
    cell_of,
    flat_buffers,
    flat_gradient,
    flat_parameters,
    plain_trial,
)
from scipy import stats
from torch import nn

from ablations.layers import EVALUATION, Context
from ablations.levels import ACTIVATIONS
from ablations.network import (
    describe,
    initial_values,
    plain_network,
    stacked_forward,
    stacked_gradient,
    view_values,
)
from ablations.streams import Streams

M, N = 3, 9
STREAMS = Streams(0, "spiral")
IMAGE, PLANE = (2, 9, 12), (5,)  # an image that is not square, odd on one side

MLPS = [
    {"depth": 0},
    {"depth": 1, "width": 1},
    {"depth": 1, "width": 7},
    {"depth": 3, "width": 5, "residual": True},  # width 5 = inputs: the first block adds too
    {"depth": 3, "width": 6, "residual": True, "norm": "batch"},
    {"depth": 2, "width": 6, "norm": "batch"},
    {"depth": 2, "width": 6, "norm": "layer"},
    {"depth": 2, "width": 6, "regularisation": {"name": "dropout", "rate": 0.0}},
    *[{"depth": 2, "width": 6, "activation": name} for name in ACTIVATIONS],
]
CNNS = [
    {"depth": 1, "width": 3, "norm": "none"},
    {"depth": 2, "width": 3},
    {"depth": 3, "width": 4, "pooling": "average", "norm": "layer"},
    {"depth": 2, "width": 3, "network": {"name": "cnn", "kernel": 5}, "activation": "prelu"},
    {"depth": 2, "width": 3, "regularisation": {"name": "dropout", "rate": 0.0}},
]
LISTS = [
    {"network": {"name": "sequential", "layers": layers}, **levels}
    for layers, levels in (
        ("conv 3@3, pool 2, linear 5", {}),
        ("conv 3@3 pad 2 stride 2, conv 2@2, linear 5", {"norm": "batch"}),
        ("pool 3, conv 2@1", {"pooling": "average", "activation": "tanh"}),
        ("linear 4, linear 6", {"norm": "layer"}),
    )
]
NETWORKS = [
    *[(cell_of("spiral", **levels), PLANE) for levels in MLPS],
    *[(cell_of("digits", **{"network": "cnn", **levels}), IMAGE) for levels in CNNS],
    *[(cell_of("digits", **levels), IMAGE) for levels in LISTS],
]
networks = pytest.mark.parametrize(
    ("cell", "shape"),
    NETWORKS,
    ids=[",".join(f"{k}={v}" for k, v in levels.items()) for levels in [*MLPS, *CNNS, *LISTS]],
)
MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def drawn_values(network, *, generator):
    """Flat parameters and running statistics of M trials, none at its start, in float64."""
    parameters = sum(math.prod(p.shape) for p in network.parameters().values())
    flat = 0.6 * torch.randn(M, parameters, generator=generator, dtype=torch.float64)
    pieces = [
        torch.randn(M, *shape, generator=generator, dtype=torch.float64).abs() + 0.2
        for shape, _ in network.buffers().values()
    ]
    return flat, torch.cat([torch.empty(M, 0), *[p.flatten(1) for p in pieces]], 1)


def context_of(training):
    """Dropout at the rate 0 keeps every unit whatever is drawn."""
    return Context(training, torch.zeros(M), lambda shape: torch.rand(M, *shape).double())


@MODES
@networks
def test_both_forms_give_the_same_outputs_gradients_and_statistics(
    cell, shape, training, generator
):
    network = describe(cell, shape, 4)
    flat, buffers = drawn_values(network, generator=generator)
    plain = [plain_trial(network, flat[m], buffers[m]).train(training) for m in range(M)]
    x = torch.randn(M, N, *shape, generator=generator, dtype=torch.float64)
    weights = torch.randn(M, 4, N, generator=generator, dtype=torch.float64)

    values = view_values(network, flat, buffers)
    gradient, seen = torch.full_like(flat, torch.nan), []
    stacked_gradient(
        network,
        values,
        view_values(network, gradient, buffers),
        x,
        output_gradient=lambda outputs: seen.append(outputs) or weights.clone(),
        context=context_of(training),
    )
    outputs = seen[0]

    for m, module in enumerate(plain):
        alone = module(x[m])
        (alone * weights[m].T).sum().backward()
        assert_same_numbers(outputs[m].T, alone)
        assert_same_numbers(gradient[m], flat_gradient(module))
        assert_same_numbers(buffers[m], flat_buffers(module))


@networks
def test_names_and_shapes_are_those_of_the_module(cell, shape):
    network = describe(cell, shape, 4)
    module = plain_network(network)
    assert {n: p.shape for n, p in network.parameters().items()} == {
        n: tuple(p.shape) for n, p in module.named_parameters()
    }
    assert list(network.parameters()) == [name for name, _ in module.named_parameters()]


def same_function(network, by_hand, x, *, generator):
    """Copy the values of a hand-written network into the description's module, and compare."""
    module = plain_network(network).double()
    by_hand = by_hand.double()
    with torch.no_grad():
        for mine, theirs in zip(module.parameters(), by_hand.parameters(), strict=True):
            theirs.copy_(torch.randn(theirs.shape, generator=generator, dtype=torch.float64))
            mine.copy_(theirs)
    assert_same_numbers(module(x), by_hand(x))


def test_an_mlp_is_the_sequence_a_user_would_write(generator):
    network = describe(cell_of("spiral", depth=2, width=6, activation="tanh"), (2,), 3)
    by_hand = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    x = torch.randn(N, 2, generator=generator, dtype=torch.float64)
    same_function(network, by_hand, x, generator=generator)


def test_norm_comes_before_the_activation_and_takes_the_bias_away(generator):
    network = describe(cell_of("spiral", depth=1, width=6, norm="batch"), (2,), 3)
    by_hand = nn.Sequential(
        nn.Linear(2, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
    )
    x = torch.randn(N, 2, generator=generator, dtype=torch.float64)
    same_function(network, by_hand, x, generator=generator)


def test_layer_norm_leaves_the_bias_before_it_in_place(generator):
    network = describe(cell_of("spiral", depth=1, width=6, norm="layer"), (2,), 3)
    by_hand = nn.Sequential(nn.Linear(2, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(N, 2, generator=generator, dtype=torch.float64)
    same_function(network, by_hand, x, generator=generator)


def test_a_cnn_is_the_sequence_a_user_would_write(generator):
    """Convolution, batch norm, activation, pooling, twice; 8 x 8 pixels become 2 x 2."""
    network = describe(cell_of("digits", network="cnn", depth=2, width=3), (1, 8, 8), 10)
    by_hand = nn.Sequential(
        *(nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3 * 2 * 2, 10)),
    )
    x = torch.randn(N, 1, 8, 8, generator=generator, dtype=torch.float64)
    same_function(network, by_hand, x, generator=generator)


class AddsItsInput(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


def test_residual_adds_a_layers_input_where_the_sizes_agree(generator):
    """The first layer goes from 2 to 6 units and cannot add; the second can."""
    network = describe(cell_of("spiral", depth=2, width=6, residual=True), (2,), 3)
    by_hand = nn.Sequential(
        nn.Linear(2, 6), nn.ReLU(), AddsItsInput(nn.Linear(6, 6), nn.ReLU()), nn.Linear(6, 3)
    )
    x = torch.randn(N, 2, generator=generator, dtype=torch.float64)
    same_function(network, by_hand, x, generator=generator)


def test_dropout_follows_the_activation_and_in_a_cnn_the_pooling():
    dropout = {"name": "dropout", "rate": 0.4}
    mlp = plain_network(describe(cell_of("spiral", regularisation=dropout), (2,), 3))
    cnn = plain_network(
        describe(cell_of("digits", network="cnn", regularisation=dropout), (1, 8, 8), 10)
    )
    assert [type(layer) for layer in mlp.hidden0] == [nn.Linear, nn.ReLU, nn.Dropout]
    assert [type(layer) for layer in cnn.hidden0][-2:] == [nn.MaxPool2d, nn.Dropout]
    assert mlp.hidden1.dropout.p == cnn.hidden1.dropout.p == 0.4


@pytest.mark.parametrize(
    ("task", "levels", "shape", "outputs", "count"),
    [
        ("spiral", {"depth": 0}, (2,), 3, 2 * 3 + 3),
        ("spiral", {"depth": 1, "width": 100}, (2,), 3, 2 * 100 + 100 + 100 * 3 + 3),
        ("spiral", {"depth": 1, "width": 4, "norm": "batch"}, (2,), 3, 2 * 4 + 8 + 4 * 3 + 3),
        ("spiral", {"depth": 1, "width": 4, "activation": "prelu"}, (2,), 3, 2 * 4 + 4 + 1 + 15),
        (
            "digits",
            {"depth": 1, "width": 5, "network": "cnn"},
            (1, 8, 8),
            10,
            5 * 9 + 10 + 80 * 10 + 10,
        ),
    ],
)
def test_parameters_counted_by_hand(task, levels, shape, outputs, count):
    network = describe(cell_of(task, **levels), shape, outputs)
    assert sum(math.prod(p.shape) for p in network.parameters().values()) == count


def initial(cell, shape, outputs, seeds=(0,)):
    """Initial values by name, (S, *shape)."""
    network = describe(cell, shape, outputs)
    flat, _ = initial_values(network, cell, seeds, streams=STREAMS)
    shapes = {name: parameter.shape for name, parameter in network.parameters().items()}
    pieces = flat.split([math.prod(shape) for shape in shapes.values()], 1)
    named = zip(shapes.items(), pieces, strict=True)
    return {name: piece.view(len(seeds), *shape) for (name, shape), piece in named}


WIDE = {"depth": 1, "width": 300}
FILTERS = {"depth": 1, "width": 200, "network": "cnn", "norm": "none"}
INITS = [
    ("torch", lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5))),
    ({"name": "xavier", "distribution": "uniform"}, nn.init.xavier_uniform_),
    ({"name": "xavier", "distribution": "normal"}, nn.init.xavier_normal_),
    (
        {"name": "kaiming", "distribution": "uniform"},
        lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
    ),
    (
        {"name": "kaiming", "distribution": "normal"},
        lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    ),
    ({"name": "normal", "deviation": 0.05}, lambda w: nn.init.normal_(w, std=0.05)),
]


LARGE_LAYERS = {
    "linear": (("spiral", WIDE, (100,)), "hidden0.linear.weight"),
    "convolution": (("digits", FILTERS, (7, 8, 8)), "hidden0.convolution.weight"),
}


@pytest.mark.parametrize(("init", "oracle"), INITS, ids=[str(init) for init, _ in INITS])
@pytest.mark.parametrize("layer", LARGE_LAYERS)
def test_initial_weights_have_the_distribution_of_torch(init, oracle, layer):
    """A Kolmogorov-Smirnov test at 0.1% on at least 12,600 weights, and bounds that agree to 1%."""
    (task, levels, shape), name = LARGE_LAYERS[layer]
    weight = initial(cell_of(task, init=init, **levels), shape, 50)[name][0]
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(1)
        expected = oracle(torch.empty_like(weight))
    assert stats.ks_2samp(weight.flatten().numpy(), expected.flatten().numpy()).pvalue > 0.001
    assert weight.std().item() == pytest.approx(
        expected.std().item(), rel=0.04
    )  # 4 standard errors
    if init == "torch" or init.get("distribution") == "uniform":
        assert weight.abs().max().item() == pytest.approx(expected.abs().max().item(), rel=0.01)


def test_torchs_default_has_the_bounds_of_nn_linear():
    """Weights and biases both fill U(-1, 1) / sqrt(inputs), as nn.Linear's do."""
    values = initial(cell_of("spiral", **WIDE), (100,), 50)
    bound = 1 / math.sqrt(100)
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(1)
        linear = nn.Linear(100, 300)
    for mine, theirs in (
        (values["hidden0.linear.weight"], linear.weight),
        (values["hidden0.linear.bias"], linear.bias),
    ):
        assert mine.abs().max() <= bound
        assert theirs.abs().max() <= bound
        assert mine.abs().max() > 0.98 * bound  # the largest of 300 draws
        assert mine.min() < -0.95 * bound
        assert mine.mean().abs() < 0.15 * bound  # 4.5 standard errors of 300 draws


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_torchs_default_fills_its_bounds_exactly(inputs):
    """With few inputs an error of one in the count of inputs is a large one."""
    values = initial(cell_of("spiral", depth=1, width=3000), (inputs,), 2)
    bound = 1 / math.sqrt(inputs)
    assert 0.99 * bound < values["hidden0.linear.weight"].abs().max() <= bound
    assert 0.99 * bound < values["hidden0.linear.bias"].abs().max() <= bound


@pytest.mark.parametrize("init", [init for init, _ in INITS[1:]], ids=str)
def test_other_inits_start_with_zero_biases(init):
    values = initial(cell_of("spiral", init=init, **WIDE), (100,), 50)
    assert not values["hidden0.linear.bias"].any()
    assert not values["output.linear.bias"].any()


def test_norms_and_slopes_start_where_torch_starts_them():
    levels = {
        "depth": 1,
        "width": 6,
        "norm": "batch",
        "activation": {"name": "prelu", "start": 0.4},
    }
    cell = cell_of("spiral", init="kaiming", **levels)
    network = describe(cell, (2,), 3)
    _, buffers = initial_values(network, cell, [0], streams=STREAMS)
    module = plain_network(network)
    torch_starts = dict(module.named_parameters())
    names = ["hidden0.norm.weight", "hidden0.norm.bias", "hidden0.activation.weight"]
    values = initial(cell, (2,), 3)
    assert all(torch.equal(values[name][0], torch_starts[name]) for name in names)
    assert torch.equal(buffers[0], flat_buffers(module))


def test_one_seed_gives_one_start_and_another_seed_another():
    cell = cell_of("spiral", depth=2, width=5)
    network = describe(cell, (2,), 3)
    first, _ = initial_values(network, cell, [3, 8], streams=STREAMS)
    again, _ = initial_values(network, cell, [8, 3], streams=STREAMS)
    assert torch.equal(first, again.flip(0))
    assert not torch.isclose(first[0], first[1]).any()


def test_networks_share_the_start_of_parameters_that_agree_in_name_and_shape():
    """Compared cells differ in their treatment, not in their luck."""
    shallow = initial(cell_of("spiral", depth=1, width=5), (2,), 3, (0, 1))
    deep = initial(cell_of("spiral", depth=3, width=5, activation="tanh"), (2,), 3, (0, 1))
    shared = [name for name in shallow if name in deep]
    assert shared == list(shallow)
    assert all(torch.equal(shallow[name], deep[name]) for name in shared)
    assert not torch.isclose(deep["hidden1.linear.weight"], deep["hidden2.linear.weight"]).any()


def test_a_stack_is_a_view_of_its_flat_values(generator):
    """The optimizer writes to `flat`; the network must see it at once."""
    network = describe(cell_of("spiral", depth=1, width=4), (2,), 3)
    flat, buffers = drawn_values(network, generator=generator)
    values = view_values(network, flat, buffers)
    x = torch.randn(M, N, 2, generator=generator, dtype=torch.float64)
    flat.copy_(flat + 1)
    for m in range(M):
        alone = plain_trial(network, flat[m])(x[m])
        assert_same_numbers(stacked_forward(network, values, x, EVALUATION)[m].T, alone)
        assert_same_numbers(flat_parameters(plain_trial(network, flat[m])), flat[m])
