"""CUDA graphs of training steps, without a GPU.

A graph is played by a tape of the very operations that torch was called with, on the very
memory. As in a CUDA graph, capturing computes nothing, what Python passed by value stays as it
was, nothing may be read back, and no generator but one that the graph knows may be drawn from.
"""

import gc
import math
import weakref
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import stack_of
from test_off_cpu import LEVELS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ablations import graphs
from ablations.graphs import WARM, CapturedSteps, capturable
from ablations.network import describe
from ablations.steps import Steps
from ablations.training import train

WAITING = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "_unique2"}
DRAWING = {"rand", "randn", "randint", "randperm", "uniform_", "normal_", "bernoulli_", "random_"}


def _memory(thing):
    """What a tensor holds, whatever autograd knows of it."""
    return thing.detach() if torch.is_tensor(thing) else thing


def _tensors(things):
    return [leaf for leaf in tree_leaves(things) if torch.is_tensor(leaf)]


def _place(tensor):
    return tensor.untyped_storage().data_ptr()


class Tape(TorchDispatchMode):
    """What is called while it is on, to be called again."""

    def __init__(self):
        super().__init__()
        self.calls, self.before, self.fresh, self.replays = [], [], [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in WAITING | DRAWING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        kwargs = kwargs or {}
        written = [
            given
            for argument, given in zip(function._schema.arguments, args, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        written += [kwargs[a.name] for a in function._schema.arguments if a.is_out]
        self.before += [(tensor, tensor.clone()) for tensor in _tensors(written)]
        result = function(*args, **kwargs)
        known = {_place(tensor) for tensor in _tensors((args, kwargs))}
        self.fresh += [_memory(t) for t in _tensors(result) if _place(t) not in known]
        self.calls.append(tree_map(_memory, (function, args, kwargs, result)))
        return result

    def undo(self):
        """Nothing has been computed: what was there is as it was, what is new is anything."""
        for tensor, was in reversed(self.before):
            tensor.copy_(was)
        for tensor in self.fresh:
            tensor.fill_(math.nan if tensor.is_floating_point() else 1)

    def replay(self):
        self.replays += 1
        for function, args, kwargs, result in self.calls:
            again = function(*args, **kwargs)
            for held, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if torch.is_tensor(held) and held.data_ptr() != new.data_ptr():
                    held.copy_(new)


@pytest.fixture
def tapes(monkeypatch):
    """All graphs that were captured; the CPU counts as a GPU."""
    found = []

    @contextmanager
    def capturing(tape, *, pool, stream):
        assert not gc.isenabled()  # the end of another graph would end this one
        assert pool == "pool"
        found.append(tape)
        try:
            with tape:
                yield
        finally:
            tape.undo()

    pretended = {
        "CUDAGraph": Tape,
        "graph": capturing,
        "Stream": lambda device: None,
        "graph_pool_handle": lambda: "pool",
        "stream": lambda stream: nullcontext(),
        "current_stream": lambda: None,
        "device": lambda device: nullcontext(),
    }
    for name, value in pretended.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr("ablations.training.compilable", lambda *_: False)
    monkeypatch.setattr("ablations.products.narrow", lambda: 1 << 30)  # no numpy, as on a GPU
    monkeypatch.setattr(
        "ablations.training.capturable",
        lambda network, _: capturable(network, torch.device("cuda")),
    )
    monkeypatch.setattr(CapturedSteps, "refused", False)
    return found


def both(stack, monkeypatch):
    """The outcomes by graphs and one by one, whose Adam has the same rates to the last bit."""
    captured = train(stack)
    with monkeypatch.context() as patch:
        patch.setattr("ablations.training.capturable", lambda *_: False)
        stacked = train(stack)
    assert (captured.way, stacked.way) == ("captured", "stacked")
    return captured, stacked


RATE = 2.0**-7  # a float32: on the device rates are
HALVED = {"name": "step", "gamma": 0.5}


@pytest.mark.parametrize("levels", LEVELS, ids=lambda levels: "-".join(map(str, levels.values())))
def test_replayed_steps_are_those_taken_one_by_one(levels, tapes, monkeypatch):
    """90 examples in minibatches of 16: those of an epoch's last step have a graph of their own."""
    stack = stack_of(
        "digits", seeds=(0, 1), rates=(RATE, RATE / 2), steps=60, evaluations=3, minibatch=16,
        train_size=90, schedule=HALVED, **levels,
    )  # fmt: skip
    captured, stacked = both(stack, monkeypatch)
    assert captured.sealed() == stacked.sealed()
    # 50 full minibatches, all but the first three updates, ten last ones
    assert [tape.replays for tape in tapes] == [50 - WARM, 60 - WARM, 10 - WARM]


@pytest.mark.parametrize("task", ["spiral", "line", "housing", "wave", "diabetes"])
def test_so_are_those_on_all_examples(task, tapes, monkeypatch):
    stack = stack_of(task, seeds=(0, 1), rates=(RATE,), steps=30, schedule=HALVED)
    captured, stacked = both(stack, monkeypatch)
    assert captured.sealed() == stacked.sealed()
    assert [tape.replays for tape in tapes] == [30 - WARM] * 2


def test_trials_that_end_leave_a_smaller_stack_with_graphs_of_its_own(tapes, monkeypatch):
    rates = (RATE, 64.0)
    stack = stack_of(
        "line", seeds=(0, 1), rates=rates, steps=60, evaluations=6, optimizer="sgd",
        schedule=HALVED,
    )  # fmt: skip
    captured, stacked = both(stack, monkeypatch)
    assert captured.sealed() == stacked.sealed()
    assert {row["status"] for row in captured.rows} == {"finished", "diverged"}
    assert len(tapes) == 4


@pytest.mark.parametrize("levels", [{}, {"network": "cnn", "depth": 1, "width": 4}])
def test_in_mixed_precision_and_with_a_running_loss(levels, tapes, monkeypatch):
    stack = stack_of("digits", rates=(RATE,), steps=20, minibatch=16, train_size=90, **levels)
    captured, stacked = both(replace(stack, dtype="bfloat16", running_loss=True), monkeypatch)
    assert captured.sealed() == stacked.sealed()
    assert captured.curves[-1]["running_loss"] > 0


def test_what_no_graph_can_hold_is_trained_all_the_same(tapes, monkeypatch):
    stack = stack_of(rates=(RATE,), steps=20)
    _, expected = both(stack, monkeypatch)
    update = Steps.update

    def waiting(steps, t):
        update(steps, t)
        steps.training.values.flat[0, 0].item()

    monkeypatch.setattr(Steps, "update", waiting)
    with pytest.warns(UserWarning, match=r"without CUDA graphs.*not permitted"):
        outcome = train(stack)
    assert outcome.way == "stacked"
    assert len(tapes) == 4  # it was tried once
    assert sum(tape.replays for tape in tapes[2:]) == 0
    assert outcome.sealed() == expected.sealed()
    assert train(stack).way == "stacked"  # without another try: torch may not be itself since
    assert len(tapes) == 4


def test_a_graph_without_room_is_no_reason_to_go_on_without(tapes, monkeypatch):
    """The stack is halved instead: it would soon be out of memory without graphs as well."""

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("ablations.graphs.capture", full)
    with pytest.raises(torch.OutOfMemoryError):
        train(stack_of(steps=20))


def test_graphs_end_with_their_steps(tapes, monkeypatch):
    """Not when garbage is collected: amid another capture, or while memory is short."""
    ends = []

    class Watched(CapturedSteps):
        def __init__(self, training, batches):
            super().__init__(training, batches)
            ends.append(weakref.ref(self))

    monkeypatch.setattr("ablations.training.CapturedSteps", Watched)
    gc.disable()
    try:  # one full minibatch has a graph, the last of an epoch is taken too seldom for one
        train(stack_of("digits", steps=15, minibatch=16, train_size=90))
        alive = [end for end in ends if end() is not None]
    finally:
        gc.enable()
    assert len(ends) == 1
    assert not alive


def test_each_device_captures_on_a_stream_of_its_own(monkeypatch):
    """On that of another device a graph would hold nothing."""
    used = []

    @contextmanager
    def capturing(graph, *, pool, stream):
        used.append(stream)
        yield

    for name, value in {
        "CUDAGraph": lambda: SimpleNamespace(replay=None),
        "graph": capturing,
        "Stream": lambda device: [device],
        "stream": lambda stream: nullcontext(),
        "current_stream": lambda: None,
        "device": lambda device: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    first, second = torch.device("cuda", 0), torch.device("cuda", 1)
    graphs._stream.cache_clear()
    for device in (first, second, first):
        graphs.capture(lambda: None, device)
    graphs._stream.cache_clear()
    assert used == [[first], [second], [first]]
    assert used[0] is used[2]


def test_only_own_networks_on_a_gpu_are_captured():
    network = describe(stack_of().cell, (2,), 3)
    assert capturable(network, torch.device("cuda", 1))
    assert not capturable(network, torch.device("cpu"))
    assert not capturable(SimpleNamespace(foreign=object()), torch.device("cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("levels", LEVELS, ids=lambda levels: "-".join(map(str, levels.values())))
def test_a_gpu_replays_what_it_would_compute_one_by_one(levels, monkeypatch):
    stack = stack_of(
        "digits", seeds=(0, 1), rates=(RATE,), steps=40, minibatch=64, train_size=150, **levels
    )
    captured = train(stack, device="cuda")
    monkeypatch.setattr("ablations.training.capturable", lambda *_: False)
    stacked = train(stack, device="cuda")
    assert (captured.way, stacked.way) == ("captured", "stacked")
    losses = [[row["train_loss"] for row in each.rows] for each in (captured, stacked)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
