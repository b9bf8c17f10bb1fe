"""Sizes of parts follow the shares, and a cell is refused exactly where torch would refuse it."""

import pytest
import torch
from conftest import cell_of, task_spec
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ablations.design import objection
from ablations.network import describe, plain_network
from ablations.sizes import known_shape, known_sizes, misfit, split_objection, split_sizes

SHARES = st.tuples(*[st.integers(1, 20)] * 3).map(lambda n: tuple(each / sum(n) for each in n))


@given(rows=st.integers(0, 10_000), own_test=st.integers(0, 50), split=SHARES)
def test_parts_use_every_example_once_in_the_shares_asked_for(rows, own_test, split):
    train, val, test = split_sizes(rows, own_test, split)

    assert train + val + test == rows + own_test
    if own_test:
        assert test == own_test
        assert val == pytest.approx(rows * split[1] / (split[0] + split[1]), abs=1)
    else:
        shares = [share * rows for share in split]
        assert [train, val, test] == pytest.approx(shares, abs=2)  # two roundings
    assert (split_objection(rows, own_test, split) is None) == (min(train, val, test) >= 2)


@pytest.mark.parametrize(
    ("task", "split", "sizes"),
    [
        ("digits", (0.6, 0.2, 0.2), (1078, 360, 359)),
        ("digits", "none", (1797, 0, 0)),
        ("mnist", (0.6, 0.2, 0.2), (45_000, 15_000, 10_000)),
        ("mnist", "none", (60_000, 0, 10_000)),
        ("cifar10", (0.5, 0.25, 0.25), (33_333, 16_667, 10_000)),
        ("spiral", (0.6, 0.2, 0.2), (300, 300, 1200)),
        ("wave", "none", (100, 0, 0)),
    ],
)
def test_sizes_of_known_tasks(task, split, sizes):
    assert known_sizes(task_spec(task, split=split)) == sizes


@pytest.mark.parametrize(
    ("settings", "shape"), [({"size": 16}, (3, 16, 16)), ({"grey": True}, (1, 32, 32))]
)
def test_images_of_a_folder_have_the_size_they_are_given(settings, shape):
    assert known_shape(task_spec("imagefolder:x", settings=settings)) == shape
    assert known_sizes(task_spec("imagefolder:x", settings=settings)) is None


def torch_trains(cell, examples, shape):
    """Whether torch takes every minibatch of an epoch."""
    network = plain_network(describe(cell, shape, 3)).train()
    size = examples if cell.minibatch == "full" else cell.minibatch
    batches = torch.zeros(examples, *shape).split(size)
    if min(map(len, batches)) > 1 or any(isinstance(m, nn.BatchNorm2d) for m in network.modules()):
        assert all(network(batch).isfinite().all() for batch in batches)
        return True
    if any(isinstance(m, nn.BatchNorm1d) for m in network.modules()):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            network(batches[-1])
        return False
    return True


@pytest.mark.parametrize("minibatch", ["full", 1, 2, 3, 7, 50])
@pytest.mark.parametrize("examples", [1, 2, 8, 15])
@pytest.mark.parametrize(
    "levels",
    [
        {},
        {"norm": "batch"},
        {"regularisation": "batch_norm"},
        {"norm": "layer"},
        {"norm": "batch", "depth": 0},
        {"network": "cnn"},
        {"network": "cnn", "depth": 3},
        {"network": "cnn", "depth": 0, "norm": "batch"},
    ],
    ids=str,
)
def test_batch_norm_of_one_example_is_refused_where_torch_refuses_it(levels, examples, minibatch):
    cell = cell_of("digits", width=4, minibatch=minibatch, **levels)
    spec = task_spec("digits")

    refused = objection(cell) or misfit(cell, spec, examples)

    assert (refused is None) == torch_trains(cell, examples, known_shape(spec))
    given_size = cell_of("digits", width=4, minibatch=minibatch, train_size=examples, **levels)
    for known in (None, 100):
        again = objection(given_size) or misfit(given_size, spec, known)
        assert (again is None) == (refused is None), "train_size says as much as the data"


def test_what_is_not_known_is_not_refused():
    spec = task_spec("imagefolder:x")
    cell = cell_of("imagefolder:x", norm="batch", minibatch=7)
    assert misfit(cell, spec, None) is None
    assert misfit(cell, spec, 14) is None
    assert "15 training examples in minibatches of 7 leave 1 over" in misfit(cell, spec, 15)
