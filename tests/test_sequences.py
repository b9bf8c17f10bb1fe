"""Networks listed layer by layer, and the arithmetic of convolutions."""

import pytest
import torch
from conftest import cell_of
from torch import nn

from ablations.anatomy import parts_of
from ablations.design import canonical, objection
from ablations.levels import LevelError
from ablations.network import describe, plain_network
from ablations.sequences import ListedLayer, convolved, images, listed_layers


def sequential(layers):
    return {"name": "sequential", "layers": layers}


def parts(layers, shape=(1, 32, 32), outputs=2, **levels):
    cell = canonical(cell_of("digits", network=sequential(layers), **levels))
    return list(parts_of(describe(cell, shape, outputs), shape))


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "stride", "result"),
    [(32, 5, 1, 1, 30), (32, 3, 1, 1, 32), (224, 2, 0, 2, 112), (7, 3, 0, 2, 3), (8, 3, 0, 2, 3)],
)
def test_sizes_follow_the_published_arithmetic(size, kernel, padding, stride, result):
    """(H - F + 2P) / S + 1: the examples of the cs231n notes, and two that round down."""
    assert convolved(size, kernel, padding, stride) == result
    image = torch.zeros(1, 1, size, size)
    assert nn.Conv2d(1, 1, kernel, stride, padding)(image).shape[-1] == result


def test_layers_are_read_as_they_are_listed():
    assert listed_layers("conv 6@5x5 pad 2 stride 3,pool 2 ,  linear   64") == (
        ListedLayer("conv", 6, 5, 2, 3),
        ListedLayer("pool", 0, 2, 0, 2),
        ListedLayer("linear", 64),
    )


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("conv 6", "network layer 'conv 6' is not known; write 'conv 6@3 pad 1 stride 2'"),
        ("", "network layer '' is not known"),
        ("conv 6@3x5", "'conv 6@3x5' is not square; give one kernel size"),
        ("linear 0", "'linear 0' has nothing in it"),
        ("conv 6@3 stride 0", "has nothing in it"),
        ("linear 5, pool 2", "have an image again after a linear layer"),
    ],
)
def test_a_list_that_cannot_be_read_says_what_to_write(layers, message):
    with pytest.raises(LevelError) as error:
        listed_layers(layers)
    assert message in str(error.value)


@pytest.mark.parametrize("layers", ["conv 6@40", "pool 2, pool 2, pool 2, pool 2, pool 2, pool 2"])
def test_a_layer_that_leaves_nothing_of_the_image_is_refused(layers):
    with pytest.raises(LevelError, match="leaves nothing of"):
        images(listed_layers(layers), (1, 32, 32))


def test_a_list_with_convolutions_needs_images():
    cell = cell_of("spiral", network=sequential("conv 6@3"))
    assert "needs images" in objection(cell)
    assert objection(cell_of("spiral", network=sequential("linear 6"))) is None


def test_depth_and_width_do_not_matter_to_a_list():
    one, other = (cell_of("digits", network=sequential("linear 6"), width=w) for w in (8, 16))
    assert canonical(one) == canonical(other)
    pooled = [
        cell_of("digits", network=sequential("pool 2"), pooling=p) for p in ("max", "average")
    ]
    assert canonical(pooled[0]) != canonical(pooled[1])


def test_a_published_network_has_its_published_shapes_and_parameters():
    """conv 6@3, conv 16@3, 12544-512-64-2 on 32 x 32 pixels, as torch counts them."""
    found = parts("conv 6@3, conv 16@3, linear 512, linear 64")
    by_hand = nn.Sequential(
        *(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 16, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(12544, 512), nn.ReLU(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 2)),
    )
    shape, shapes = torch.zeros(1, 1, 32, 32), []
    for layer in by_hand:
        shape = layer(shape)
        shapes.append(tuple(shape.shape[1:]))
    assert [part.shape for part in found] == shapes
    assert sum(part.parameters for part in found) == sum(p.numel() for p in by_hand.parameters())
    assert [part.multiply_adds for part in found if part.multiply_adds] == [
        *(9 * 6 * 30 * 30, 6 * 9 * 16 * 28 * 28, 12544 * 512, 512 * 64, 64 * 2),
    ]


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_larger_windows_pool_as_torch_does(pooling, generator):
    cell = cell_of("digits", network=sequential("conv 2@3 stride 2, pool 3"), pooling=pooling)
    module = plain_network(describe(cell, (1, 17, 20), 4))
    kinds = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
    assert any(isinstance(m, kinds[pooling]) and m.kernel_size == 3 for m in module.modules())
    assert module(torch.randn(2, 1, 17, 20, generator=generator)).shape == (2, 4)
    assert parts("conv 2@3 stride 2, pool 3", (1, 17, 20))[-2].shape == (2 * 2 * 3,)


def test_multiplications_of_a_network_are_counted_by_hand():
    def total(cell, shape, outputs):
        network = describe(canonical(cell), shape, outputs)
        return sum(part.multiply_adds for part in parts_of(network, shape))

    assert total(cell_of(depth=2, width=32), (2,), 3) == 2 * 32 + 32 * 32 + 32 * 3
    cnn = cell_of("digits", network="cnn", depth=2, width=4)
    assert total(cnn, (1, 8, 8), 10) == 9 * 4 * 64 + 4 * 9 * 4 * 16 + 4 * 4 * 10


def test_shapes_parameters_and_multiplications_are_those_of_the_plain_module():
    """By forward hooks on every layer, odd sizes, padding, strides and two kinds of layers."""
    listed = "conv 6@5 pad 2 stride 2, pool 3, conv 4@3 pad 1, pool 2, linear 7"
    for cell in (
        canonical(cell_of("digits", network=sequential(listed))),
        canonical(cell_of("digits", network={"name": "cnn", "kernel": 5}, depth=2, width=3)),
    ):
        network = describe(cell, (3, 31, 29), 10)
        module, seen = plain_network(network).eval(), {}
        for name, layer in module.named_modules():
            if not list(layer.children()):
                layer.register_forward_hook(
                    lambda layer, _, y, name=name, into=seen: into.update({name: (layer, y[0])})
                )
        module(torch.zeros(2, 3, 31, 29))
        table = {part.name: part for part in parts_of(network, (3, 31, 29))}
        assert list(table) == list(seen)
        for name, (layer, y) in seen.items():
            by_hand = 0
            if isinstance(layer, nn.Conv2d | nn.Linear):
                by_hand = layer.weight[0].numel() * y.numel()
            assert table[name].shape == y.shape
            assert table[name].parameters == sum(p.numel() for p in layer.parameters())
            assert table[name].multiply_adds == by_hand
