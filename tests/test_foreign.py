"""Networks of one's own: any `nn.Module`, stacked by torch.func or trained alone."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import stack_of
from test_bytes import SMALL, bytes_of
from torch import nn

from ablations import training
from ablations.__main__ import main
from ablations.design import DesignError, objection
from ablations.foreign import foreign_layer
from ablations.levels import Level
from ablations.losses import plain_loss
from ablations.network import describe, padded
from ablations.optimizers import plain_optimizer
from ablations.records import key_of
from ablations.sources import source_file
from ablations.streams import Streams
from ablations.tasks import load_task
from ablations.training import train, train_one

NETWORKS = '''
import math
import torch
from torch import nn

def mlp(input_shape, outputs):
    width = 9
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(input_shape), width), nn.Tanh(),
        nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs),
    )

class Halved(nn.Module):
    def forward(self, x):
        return x.mul_(0.5)

def overwriting(input_shape, outputs):
    return nn.Sequential(Halved(), nn.Flatten(), nn.Linear(math.prod(input_shape), outputs))

def dropout(input_shape, outputs):
    return nn.Sequential(nn.Linear(*input_shape, 9), nn.Dropout(0.3), nn.Linear(9, outputs))

def batch_norm(input_shape, outputs):
    first = nn.Linear(*input_shape, 9, bias=False)
    return nn.Sequential(first, nn.BatchNorm1d(9), nn.Linear(9, outputs))

class Branch(nn.Module):
    """Which function it is depends on the data."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.a, self.b = nn.Linear(inputs, 7), nn.Linear(7, outputs)

    def forward(self, x):
        h = self.a(x)
        return self.b(h.relu() if h.mean() > 0 else h.tanh())

def branch(input_shape, outputs):
    return Branch(*input_shape, outputs)

class Odd(nn.Module):
    """A frozen parameter, an unused one, two that are one, and what is replaced, not changed."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = nn.Linear(inputs, outputs)
        self.second = nn.Linear(inputs, outputs)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.rand(outputs), requires_grad=False)
        self.unused = nn.Parameter(torch.rand(3, 3))
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("count", torch.tensor(0))

    def forward(self, x):
        y = self.first(x) + self.second(x).tanh() * self.frozen
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * y.detach().mean(0)
            self.count += 1
        return y - self.mean

def odd(input_shape, outputs):
    return Odd(*input_shape, outputs)

def repeated(input_shape, outputs):
    """One part that stands twice in the network, batch norm with it."""
    part = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8))
    first = nn.Linear(*input_shape, 8, bias=False)  # a bias before batch norm has no gradient
    return nn.Sequential(first, part, nn.Tanh(), part, nn.Linear(8, outputs))

class Twice(nn.Module):
    """One parameter under two names of one part, and of another part."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = nn.Linear(inputs, outputs, bias=False)
        self.weight = self.again = self.first.weight

    def forward(self, x):
        return self.first(x) + (x @ self.weight.T).tanh() + (x @ self.again.T).sin()

def twice(input_shape, outputs):
    return Twice(*input_shape, outputs)

def images(input_shape, outputs):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, outputs)
    )

def flat(input_shape, outputs):
    return nn.Sequential(nn.Linear(*input_shape, 1), nn.Flatten(0))

def wide(input_shape, outputs):
    return nn.Linear(*input_shape, outputs + 1)

def pair(input_shape, outputs):
    return nn.LSTM(*input_shape, outputs)

def broken(input_shape, outputs):
    raise ValueError("no such\\nlayer")

def narrow(input_shape, outputs):
    return nn.Linear(5, outputs)

def nothing(input_shape, outputs):
    return nn.ReLU()

def number(input_shape, outputs):
    return 3

moody_width = 3
def moody(input_shape, outputs):
    global moody_width
    moody_width += 1
    return nn.Sequential(nn.Linear(*input_shape, moody_width), nn.Linear(moody_width, outputs))

constant = 3
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks")
    (path / "own.py").write_text(NETWORKS)
    return path


def own(function, folder, task="spiral", **shape):
    """A stack of a network of NETWORKS."""
    source = f"own.py:{function}"
    level = Level("module", (("source", source),), source_file(source, folder))
    data = {} if task == "digits" else {"settings": SMALL}
    stack = stack_of(task, **(data | {"steps": 6, "evaluations": 3, "rates": (0.01,)} | shape))
    return replace(stack, cell=replace(stack.cell, network=level))


def way(function, folder, input_shape=(2,), outputs=3):
    file = source_file(f"own.py:{function}", folder)
    return foreign_layer(Level("module", (), file), input_shape, outputs).way


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        ("mlp", (2,), "vmap"),
        ("images", (1, 8, 8), "vmap"),
        ("dropout", (2,), "alone"),
        ("branch", (2,), "alone"),
    ],
)
def test_what_vmap_can_hold_is_stacked_and_the_rest_goes_alone(folder, function, shape, expected):
    assert way(function, folder, shape) == expected


def test_statistics_go_one_way_or_the_other_and_always_the_same(folder):
    """Torch may learn to vmap them; a source goes the same way every time it is asked."""
    for function in ("batch_norm", "odd"):
        assert len({way(function, folder) for _ in range(3)}) == 1


def waves(network, cell, seeds, *, streams, dtype):
    """The same start for any network with the same parameters in the same order, by seed."""
    count = sum(math.prod(p.shape) for p in network.parameters().values())
    flat = torch.sin(torch.arange(count, dtype=dtype) + torch.tensor(seeds).unsqueeze(1)) / 3
    return flat, torch.empty(len(seeds), 0, dtype=dtype)


RECIPES = {
    "cross entropy, Adam": ("spiral", {}),
    "minibatches, momentum, L1": (
        "spiral",
        {"minibatch": 7, "optimizer": "momentum", "regularisation": "l1"},
    ),
    "bce, RMSprop, L2": (
        "spiral",
        {"loss": "bce", "optimizer": "rmsprop", "regularisation": {"name": "l2", "strength": 0.1}},
    ),
    "huber, noise, cosine": (
        "wave",
        {"loss": "huber", "regularisation": "input_noise", "schedule": "cosine"},
    ),
    "smoothing, weight decay": (
        "spiral",
        {
            "regularisation": "label_smoothing",
            "optimizer": {"name": "adamw", "weight_decay": 0.1},
        },
    ),
    "early stopping": (
        "wave",
        {"regularisation": {"name": "early_stopping", "patience": 1}, "minibatch": 5},
    ),
    "images, augmentation": ("digits", {"augmentation": "shift", "minibatch": 33}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_an_mlp_given_as_a_module_trains_as_the_built_in_one(folder, monkeypatch, name):
    """From the same weights, in double precision: every number of rows and curves to 1e-7."""
    monkeypatch.setattr(training, "initial_values", waves)
    task, levels = RECIPES[name]
    shape = {"seeds": (0, 1, 2), "rates": (0.003, 0.03), "steps": 20, "evaluations": 10}
    levels = {"width": 9, "activation": "tanh"} | levels
    stack = own("mlp", folder, task, **shape, **levels)
    built_in = replace(stack, cell=replace(stack.cell, network=Level("mlp")))
    found, expected = (train(each, dtype=torch.float64) for each in (stack, built_in))

    assert found.way == "vmap"
    assert expected.way in {"stacked", "compiled"}
    assert len(found.rows) == 6
    for ours, theirs in zip(found.rows, expected.rows, strict=True):
        for key in theirs.keys() & ours.keys() - {"trial", "status"}:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-7, abs=1e-7), key
        missing = theirs.keys() - ours.keys()
        known = {"first_gradient", "last_gradient", "dead_units", "saturation", "linear_regions"}
        assert missing <= known
    for ours, theirs in zip(found.curves, expected.curves, strict=True):
        assert ours.pop("trial") == theirs.pop("trial")
        for key, value in theirs.items():
            assert ours[key] == (value if value is None else pytest.approx(value, 1e-7, 1e-7)), key


def plain_loop(stack, member):
    """One trial as its user would train it, from the same weights: module and losses."""
    file = stack.cell.network.file
    streams = Streams(stack.study_seed, stack.task.name)
    task = load_task(stack.task, [member.seed], streams=streams)
    layer = describe(stack.cell, task.input_shape, task.outputs).foreign
    with torch.random.fork_rng():
        torch.manual_seed(streams.generator("init", member.seed).initial_seed())
        module = layer.build()
    assert file is not None
    x, y = (t[0] for t in task.take(task.parts["train"]))
    loss = plain_loss(stack.cell)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = plain_optimizer(stack.cell, trained, member.learning_rate)
    with torch.random.fork_rng():
        torch.manual_seed(streams.generator("dropout", member.seed).initial_seed())
        for _ in range(stack.steps):
            module.train()
            optimizer.zero_grad()
            loss(module(x), y).backward()
            optimizer.step()
            module.eval()
    with torch.no_grad():
        return module, {
            f"{part}_loss": float(loss(module(a[0]), b[0]))
            for part in ("train", "val", "test")
            for a, b in [task.take(task.parts[part])]
        }


@pytest.mark.parametrize(
    "function", ["mlp", "dropout", "batch_norm", "branch", "odd", "repeated", "twice"]
)
def test_a_module_trains_as_in_a_loop_of_ones_own(folder, function):
    """The start, dropout's draws and running statistics are the module's own."""
    stack = own(function, folder, seeds=(0, 1), steps=15)
    for row, member in zip(train(stack).rows, stack.members, strict=True):
        _, losses = plain_loop(stack, member)
        for part, value in losses.items():
            assert row[part] == pytest.approx(value, rel=2e-4)


@pytest.mark.parametrize("function", ["batch_norm", "odd"])
def test_what_a_module_keeps_is_kept(folder, function):
    """Running statistics, counters and frozen parameters, with the names of its state_dict."""
    stack = own(function, folder, steps=5)
    trained, _ = train_one(stack, stack.members[0])
    module, _ = plain_loop(stack, stack.members[0])
    expected = dict(module.named_parameters()) | dict(module.named_buffers())
    assert set(trained.state) == {f"module.network.{name}" for name in expected}
    for name, value in expected.items():
        found = trained.state[f"module.network.{name}"].to(value.dtype)
        torch.testing.assert_close(found, value.detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("function", ["mlp", "batch_norm"])
def test_in_mixed_precision_every_module_is_trained_alone(folder, function):
    """Batch norm cannot be stacked by vmap under autocast."""
    outcome = train(replace(own(function, folder, minibatch=16), dtype="bfloat16"))
    exact = train(own(function, folder, minibatch=16))
    assert outcome.way == "alone"
    assert outcome.rows[0]["train_loss"] == pytest.approx(exact.rows[0]["train_loss"], rel=0.02)
    assert outcome.rows != exact.rows


@pytest.mark.parametrize("minibatch", ["full", 16])
def test_a_module_may_write_over_its_inputs(folder, minibatch):
    """Neither later steps nor later evaluations see what it has made of them."""
    often, once = (
        train(own("overwriting", folder, evaluations=count, minibatch=minibatch)).curves[-1]
        for count in (6, 1)
    )
    assert often["train_loss"] == once["train_loss"]
    assert often["val_loss"] == once["val_loss"]


@pytest.mark.parametrize("function", ["dropout", "branch"])
def test_bytes_of_trials_trained_alone_do_not_depend_on_company(folder, function):
    """Nor on global generators, which are where they were afterwards."""
    stack = own(function, folder, seeds=(0, 1, 2), rates=(0.01, 0.03), minibatch=7)
    together = bytes_of(stack, stack.members)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for company in ([stack.members[-1]], stack.members[::-1], stack.members[2:4]):
        alone = bytes_of(stack, company)
        assert all(alone[name] == together[name] for name in alone)
    assert torch.equal(torch.get_rng_state(), before)
    assert train(stack).way == "alone"
    assert len(set(together.values())) == 6


def test_numbers_of_vmapped_trials_hardly_depend_on_company(folder):
    """Rounding of torch's batched products is all that may differ between stack sizes."""
    stack = own("mlp", folder, seeds=range(4), rates=(0.01, 0.03), steps=30, minibatch=7)
    together = {row["trial"]: row for row in train(stack).rows}
    for company in (stack.members[:1], stack.members[3:6]):
        for row in train(stack, company).rows:
            assert row["train_loss"] == pytest.approx(
                together[row["trial"]]["train_loss"], rel=1e-4
            )


@pytest.mark.parametrize("function", ["mlp", "dropout"])
def test_seeds_start_apart_and_a_trial_repeats_to_the_byte(folder, function):
    stack = own(function, folder, seeds=(0, 1), pictures=True, stage="final")
    first, again = train(stack), train(stack)
    assert first == again
    assert first.rows[0]["train_loss"] != first.rows[1]["train_loss"]
    assert {p["kind"] for p in first.pictures} == {"region"}
    assert first.points


def test_ended_trials_of_a_module_leave_their_stack(folder):
    """Compaction and divergence, as for built-in networks."""
    stack = own("mlp", folder, "wave", rates=(0.01, 1e38), seeds=(0, 1), steps=10, evaluations=5)
    rows = train(stack).rows
    assert [row["status"] for row in rows] == ["finished"] * 2 + ["diverged"] * 2


FAULTS = {
    "gone": "has no function 'gone'; there is",
    "constant": "has no function 'constant'; there is",
    "broken": "broken((2,), 3) raises ValueError: no such layer; mend it",
    "number": "number((2,), 3) returns a int; return an nn.Module",
    "nothing": "returns a module without parameters to train",
    "narrow": "examples of shape (2,) make it raise RuntimeError",
    "wide": "3 examples of shape (2,) give (3, 4); return a tensor of shape (3, 3)",
    "flat": "3 examples of shape (2,) give (3,); return a tensor of shape (3, 3)",
    "pair": "give tuple; return a tensor of shape (3, 3)",
}


@pytest.mark.parametrize("function", FAULTS)
def test_a_source_that_cannot_be_trained_says_why_and_what_to_do(folder, function):
    with pytest.raises(DesignError) as error:
        way(function, folder)
    assert FAULTS[function] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_function_whose_networks_differ_in_shape_is_refused(folder):
    with pytest.raises(DesignError, match="returns modules of different shapes"):
        train(own("moody", folder))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("own.py", "names no function; give source = 'file.py:function'"),
        ("own.py:not a name", "names no function"),
        (":mlp", "names no function"),
        ("other.py:mlp", "cannot be read (No such file or directory); paths are relative to the"),
        ("no_such_package.nets:mlp", "Python finds no module 'no_such_package.nets'"),
        ("torch.no_such:mlp", "Python finds no module 'torch.no_such'"),
    ],
)
def test_a_source_that_is_not_there_says_what_to_do(folder, source, message):
    with pytest.raises(DesignError) as error:
        source_file(source, folder)
    assert message in str(error.value)
    assert repr(source) in str(error.value)


def test_a_package_gives_its_function_by_its_dotted_name(tmp_path, monkeypatch):
    package = tmp_path / "nets_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "small.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    file = source_file("nets_of_a_test.small:mlp", Path("/nowhere"))
    level = Level("module", (("source", "nets_of_a_test.small:mlp"),), file)
    assert foreign_layer(level, (2,), 3).way == "vmap"


def test_a_record_is_keyed_by_the_content_of_the_file_and_not_by_its_place(folder, tmp_path):
    keys = []
    for n, content in enumerate((NETWORKS, NETWORKS, NETWORKS + "\n# changed\n")):
        place = tmp_path / str(n)
        place.mkdir()
        (place / "own.py").write_text(content)
        keys.append(key_of(own("mlp", place), {}))
    assert keys[0] == keys[1] != keys[2]


def test_a_file_that_changes_during_a_run_is_not_trained(tmp_path):
    (tmp_path / "own.py").write_text(NETWORKS)
    stack = own("mlp", tmp_path)
    (tmp_path / "own.py").write_text(NETWORKS + "#")
    with pytest.raises(DesignError, match="has changed since the study was read; run it again"):
        train(stack)


@pytest.mark.parametrize(
    "levels",
    [
        {"init": "xavier"},
        {"norm": "layer"},
        {"regularisation": "dropout"},
        {"regularisation": "batch_norm"},
        {"regularisation": "auxiliary_loss"},
    ],
    ids=str,
)
def test_what_needs_known_layers_is_refused(levels):
    cell = stack_of(network={"name": "module", "source": "own.py:mlp"}, **levels).cell
    assert "brings its own layers and initial weights; write it there" in (objection(cell) or "")


STUDY = """
[study]
name = "own"
question = "Is my network better?"
tasks = ["spiral"]
seeds = 2
[task.spiral]
points = 17
[factors]
network = [
    "mlp",
    { name = "module", source = "own.py:mlp" },
    { name = "module", source = "own.py:dropout" },
]
[nuisance]
learning_rate = [0.01]
[fixed]
steps = 10
evaluations = 5
"""


def test_a_study_of_networks_of_ones_own_is_run_and_says_which_way_each_went(tmp_path, capsys):
    (tmp_path / "own.py").write_text(NETWORKS)
    (tmp_path / "study.toml").write_text(STUDY)
    line = ["--study", str(tmp_path / "study.toml"), "--results", str(tmp_path / "results")]
    assert main(["run", *line, "--workers", "0", "--quiet"]) == 0
    results = tmp_path / "results" / "own"
    stacks = pd.read_csv(results / "stacks.csv").set_index("cell")["way"].to_dict()
    assert stacks == {
        "network=mlp": "compiled",
        "network=module(source=own.py:mlp)": "vmap",
        "network=module(source=own.py:dropout)": "alone",
    }
    trials = pd.read_csv(results / "trials.csv")
    assert set(trials["status"]) == {"finished"}
    assert len(trials) == 6
    record = json.loads(next((results / "records").glob("*/*.json")).read_text())["payload"]
    assert set(record["outcome"]) == {"rows", "curves", "pictures", "points"}
    assert main(["verify", *line]) == 0
    assert main(["plan", *line]) == 0
    (tmp_path / "own.py").write_text("def mlp(input_shape, outputs):\n    return 1\n")
    capsys.readouterr()
    assert main(["run", *line, "--workers", "0", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "network 'module(source=own.py:mlp)': mlp((2,), 3) returns a int" in said


def test_weights_are_parameters_of_two_or_more_dimensions(folder):
    network = describe(own("mlp", folder).cell, (2,), 3)
    roles = {p.role for p in network.parameters().values() if len(p.shape) > 1}
    others = {p.role for p in network.parameters().values() if len(p.shape) == 1}
    assert (roles, others) == ({"weight"}, {"bias"})
    assert padded(torch.ones(1, 3)).shape == (1, 32)
    assert isinstance(network.foreign.module(), nn.Module)
