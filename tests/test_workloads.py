"""Workloads: which ones there are, what they compute, and that nothing in them waits."""

from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from conftest import cell_of, flat_parameters, task_spec

from ablations.design import baseline_cell, cells_of
from ablations.levels import FACTORS, text
from ablations.network import describe, plain_network
from ablations.streams import Streams
from ablations.studyfile import find_studies, load_study
from ablations.tasks import load_task
from benchmarks import ways
from benchmarks.catalogue import LAYERS, SCALES, Place, workloads_of
from benchmarks.epochs import minibatches, one_epoch
from benchmarks.predictions import predicted_seconds
from benchmarks.steps import activation, minibatch, optimizer_step, prepare, update_of
from benchmarks.ways import PLAIN, Way
from benchmarks.workloads import AGAIN, MODES, computed_cell


def core(profile="standard"):
    return [load_study(path, profile) for path in find_studies("core")]


@pytest.fixture(scope="module")
def plan():
    return workloads_of(core(), Place(cores=2))


def is_level(workload):
    """Whether it is a level of a study, on the network that the studies train."""
    return not workload.is_base and workload.way == PLAIN


def study_file(tmp_path, factors, *, name="mine", tasks='["spiral"]', fixed="minibatch = 30"):
    path = tmp_path / f"{name}.toml"
    path.write_text(
        f'[study]\nname = "{name}"\nquestion = "Which?"\ntasks = {tasks}\n'
        f"[factors]\n{factors}\n[nuisance]\nlearning_rate = [0.01]\n[fixed]\n{fixed}\n"
    )
    return load_study(path)


def names(plan, mode="training step"):
    return [w.name for w in plan.workloads if w.mode == mode]


# Which workloads there are


def test_every_level_of_the_core_studies_is_timed_or_known_to_be_the_same(plan):
    found = {(w.name, w.mode) for w in plan.workloads}
    found |= {(same.workload, same.mode) for same in plan.same_as}
    for study in core():
        for task in study.tasks:
            for factor in study.factors:
                for level in factor.levels:
                    if (factor.name, text(level)) not in task.skip:
                        name = f"{task.name}/{factor.name}={text(level)}"
                        assert {(name, mode) for mode in MODES} <= found, name


def test_no_workload_is_there_twice(plan):
    counts = Counter((w.name, w.mode) for w in plan.workloads)
    assert set(counts.values()) == {1}


def test_a_level_departs_from_the_base_in_that_factor_alone(plan):
    bases = {w.group: w.factors for w in plan.workloads if w.is_base}
    for workload in plan.workloads:
        differing = {f for f, v in workload.factors.items() if v != bases[workload.group][f]}
        if not is_level(workload):
            assert not differing
            continue
        factor, _, level = workload.name.partition("/")[2].partition("=")
        assert workload.factors[factor] == level
        assert factor in differing
        assert differing - {"norm"} == {factor}  # batch_norm and layer_norm set the norm, too


def test_the_base_is_the_baseline_of_the_first_study_with_the_task(plan):
    study = next(s for s in core() if s.name == "activation")
    spiral = next(w for w in plan.workloads if w.name == "spiral/baseline")
    assert spiral.cell == cells_of(study, study.tasks[0])[0]
    assert spiral.cell.minibatch == 64


def test_each_base_has_a_twin_that_computes_the_same(plan):
    bases = {(w.name, w.mode): w for w in plan.workloads if w.is_base}
    firsts = [w for w in bases.values() if not w.name.endswith(AGAIN)]
    assert {w.group for w in firsts if w.mode in MODES} == {"spiral", "wave", "digits", "diabetes"}
    assert {(w.group, w.mode) for w in firsts} == {(w.group, w.mode) for w in plan.workloads}
    for first in firsts:
        twin = bases[first.name + AGAIN, first.mode]
        assert replace(twin, name=first.name) == first


def test_the_most_important_come_first(plan):
    """One base network per task family, the first one's ways, then its levels."""
    first = [(w.name, w.mode) for w in plan.workloads[:12]]
    assert first == [
        *[
            (f"{task}/baseline{again}", mode)
            for task in ("spiral", "wave", "digits")
            for mode in MODES
            for again in ("", AGAIN)
        ],
    ]
    assert {w.group for w in plan.workloads[12:22]} == {"spiral"}
    assert not any(is_level(w) for w in plan.workloads[12:22])
    levels = [w for w in plan.workloads if is_level(w)]
    assert (levels[0].name, levels[0].mode) == ("spiral/activation=identity", "training step")
    groups = dict.fromkeys(w.group for w in levels)
    layers = [f"layer {n}x{h}" for n, h in LAYERS]
    assert list(groups) == ["spiral", "wave", "digits", "diabetes", *layers]
    scaled = [w.group for w in plan.workloads if w.repeats]
    assert list(dict.fromkeys(scaled)) == ["spiral", "wave", "digits"]


def test_inference_is_timed_only_where_it_differs(plan):
    """An optimizer or a penalty leaves the forward pass as it is; dropout is not in it."""
    inference = names(plan, "inference")
    factors = {name.partition("/")[2].partition("=")[0] for name in inference}
    assert "optimizer" not in factors
    regularisers = {name for name in inference if "spiral/regularisation" in name}
    assert regularisers == {
        "spiral/regularisation=batch_norm",
        "spiral/regularisation=layer_norm",
    }


def test_a_level_that_computes_the_same_names_the_workload_it_equals(plan):
    same = {(s.workload, s.mode): s.same_as for s in plan.same_as}
    early = "spiral/regularisation=early_stopping(patience=5)"
    assert same[early, "training step"] == "spiral/baseline"
    assert same["spiral/activation=relu", "inference"] == "spiral/baseline"
    assert same["digits/optimizer=sgd", "inference"] == "digits/baseline"


@pytest.mark.parametrize(
    ("levels", "mode", "equal"),
    [
        ({"init": "xavier"}, "training step", True),
        ({"schedule": "cosine"}, "training step", True),
        ({"train_size": 90}, "training step", True),
        ({"loss": "nll"}, "training step", True),
        ({"loss": "bce"}, "training step", False),
        ({"loss": "bce"}, "inference", True),
        ({"optimizer": "sgd"}, "training step", False),
        ({"minibatch": 16}, "inference", False),
        ({"regularisation": "batch_norm"}, "inference", False),
        ({"regularisation": "l2"}, "training step", False),
    ],
)
def test_cells_are_told_apart_by_what_one_call_computes(levels, mode, equal):
    base = cell_of(minibatch=64)
    other = cell_of(**{"minibatch": 64, **levels})
    assert (computed_cell(base, mode) == computed_cell(other, mode)) is equal


def test_the_size_of_the_training_part_matters_where_it_is_one_minibatch():
    every, few = cell_of(), cell_of(train_size=9)
    assert computed_cell(every, "inference") != computed_cell(few, "inference")


def test_two_studies_with_one_level_time_it_once(tmp_path):
    one = study_file(tmp_path, 'activation = ["relu", "tanh"]', name="one")
    two = study_file(tmp_path, 'activation = ["tanh", "relu", "elu"]', name="two")
    found = [w for w in workloads_of([one, two]).workloads if w.mode == "training step"]
    studied = [w.name for w in found if w.way == PLAIN and not w.repeats]
    assert studied == [
        "spiral/baseline",
        "spiral/baseline (again)",
        "spiral/activation=tanh",
        "spiral/activation=elu",
    ]


def test_a_level_that_the_task_skips_or_cannot_have_is_not_timed(tmp_path):
    """A study skips it, or two studies together ask for what neither alone would."""
    small = study_file(tmp_path, 'activation = ["relu", "tanh"]', name="a", fixed="minibatch = 1")
    norms = study_file(tmp_path, 'regularisation = ["none", "batch_norm"]', name="b")
    plan = workloads_of([small, norms])
    assert "spiral/regularisation=batch_norm" not in names(plan)
    left = [left for left in plan.left_out if left.workload == "spiral/regularisation=batch_norm"]
    assert [each.mode for each in left] == list(MODES)
    assert "no variance in a minibatch of 1" in left[0].reason


def test_label_smoothing_is_not_timed_where_there_are_no_classes(plan):
    """The study skips it there, so it is not even left out."""
    assert not any("diabetes/regularisation=label" in w.name for w in plan.workloads)
    assert not any("diabetes/regularisation=label" in left.workload for left in plan.left_out)


# What they compute


def task_of(name="spiral", **settings):
    return load_task(task_spec(name, settings=settings), [0], streams=Streams(0, name))


@pytest.mark.parametrize(
    ("levels", "examples"),
    [
        ({"minibatch": 64}, 64),
        ({"minibatch": "full"}, 300),
        ({"minibatch": "full", "train_size": 90}, 90),
        ({"minibatch": 64, "train_size": 7}, 7),
        ({"minibatch": 1000}, 300),
    ],
)
def test_a_minibatch_has_the_study_s_size_and_training_examples(levels, examples):
    task = task_of()
    x, y = minibatch(cell_of(**levels), task)
    assert x.shape == (examples, 2)
    assert y.shape == (examples,)
    rows = task.parts["train"][0, :examples]
    torch.testing.assert_close(x, task.inputs[rows])


def model_of(cell, task, seed=3):
    network = describe(cell, task.input_shape, task.outputs)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return network, plain_network(network)


def step_of(cell, task, model, network, *, learning_rate=0.1):
    x, y = minibatch(cell, task)
    black = torch.zeros(x.shape[1])
    generator = torch.Generator().manual_seed(1)
    update = update_of(
        cell, network, model, black=black, generator=generator, learning_rate=learning_rate
    )
    return lambda: update(x, y)


def by_hand(cell, task, model, optimizer, *, penalty, smoothing):
    """One update as in torch's tutorials."""
    x, y = minibatch(cell, task)
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y, label_smoothing=smoothing)
    loss = loss + penalty(model) if penalty else loss
    loss.backward()
    optimizer.step()


def weights_of(model):
    """The matrices, not the biases."""
    return [parameter for parameter in model.parameters() if parameter.dim() == 2]


@pytest.mark.parametrize(
    ("levels", "optimizer", "penalty", "smoothing"),
    [
        ({"optimizer": "sgd"}, torch.optim.SGD, None, 0.0),
        ({"optimizer": "adam"}, torch.optim.Adam, None, 0.0),
        (
            {"optimizer": "sgd", "regularisation": {"name": "l1", "strength": 0.5}},
            torch.optim.SGD,
            lambda model: 0.5 * sum(w.abs().sum() for w in weights_of(model)),
            0.0,
        ),
        (
            {"optimizer": "sgd", "regularisation": {"name": "l2", "strength": 0.5}},
            torch.optim.SGD,
            lambda model: 0.25 * sum((w**2).sum() for w in weights_of(model)),
            0.0,
        ),
        (
            {"optimizer": "sgd", "regularisation": {"name": "label_smoothing", "amount": 0.2}},
            torch.optim.SGD,
            None,
            0.2,
        ),
    ],
    ids=["sgd", "adam", "l1", "l2", "label smoothing"],
)
def test_a_training_step_is_one_update_as_a_user_would_write_it(
    levels, optimizer, penalty, smoothing
):
    cell, task = cell_of(minibatch=64, **levels), task_of()
    network, model = model_of(cell, task)
    _, other = model_of(cell, task)
    step = step_of(cell, task, model, network)
    updates = optimizer(other.parameters(), lr=0.1)

    for _ in range(3):
        step()
        by_hand(cell, task, other, updates, penalty=penalty, smoothing=smoothing)

    torch.testing.assert_close(flat_parameters(model), flat_parameters(other))


@pytest.mark.parametrize(
    "regularisation", ["dropout", "input_noise"], ids=["dropout", "input noise"]
)
def test_random_regularisers_are_at_work_in_every_training_step(regularisation):
    cell, task = cell_of(minibatch=64, regularisation=regularisation), task_of()
    network, model = model_of(cell, task)
    step = step_of(cell, task, model, network, learning_rate=0.0)
    losses = {float(step().detach()) for _ in range(4)}
    assert len(losses) == 4


def test_augmentation_is_in_the_training_step():
    cell, task = cell_of("digits", minibatch=64, augmentation="shift"), task_of("digits")
    network, model = model_of(cell, task)
    step = step_of(cell, task, model, network, learning_rate=0.0)
    assert float(step().detach()) != float(step().detach())


def test_gradients_do_not_add_up_from_step_to_step():
    cell, task = cell_of(minibatch=64), task_of()
    network, model = model_of(cell, task)
    step = step_of(cell, task, model, network, learning_rate=0.0)
    step()
    first = [p.grad.clone() for p in model.parameters()]
    step()
    torch.testing.assert_close([p.grad for p in model.parameters()], first)


def test_inference_is_the_forward_pass_in_evaluation_mode(plan):
    workload = next(w for w in plan.workloads if w.mode == "inference")
    dropout = baseline_cell(
        "spiral", {"regularisation": FACTORS["regularisation"].parse("", "dropout")}
    )
    outputs = prepare(replace(workload, cell=dropout), task_of())
    torch.testing.assert_close(outputs(), outputs())
    assert not outputs().requires_grad
    assert outputs().shape == (300, 3)


def test_every_core_workload_runs_and_stays_finite(plan):
    tasks = {
        w.task.name: load_task(w.task, [0], streams=Streams(w.study_seed, w.task.name))
        for w in {w.task.name: w for w in plan.workloads}.values()
    }
    for workload in plan.workloads:
        step = prepare(workload, tasks[workload.task.name])
        for _ in range(2):
            result = step()
        assert torch.isfinite(result).all(), workload.name


def test_a_training_step_leaves_the_weights_practically_as_they_are(plan):
    """Hundreds of steps on one minibatch must not change what a step costs."""
    workload = next(w for w in plan.workloads if w.name == "spiral/optimizer=momentum")
    step = prepare(workload, task_of())
    first = float(step().detach())
    for _ in range(300):
        last = float(step().detach())
    assert last == pytest.approx(first, rel=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_no_step_reads_a_number_from_the_device(plan, mode, monkeypatch):
    """On a GPU each such read would wait for it. An optimizer's step count lies on the CPU."""
    reads = []
    item = torch.Tensor.item
    task = task_of()
    monkeypatch.setattr(
        torch.Tensor, "item", lambda t: (reads.append(1) if t.requires_grad else None, item(t))[1]
    )
    for name in ("tolist", "__bool__", "__float__", "numpy", "cpu"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda t, *a, original=original, **k: (reads.append(1), original(t, *a, **k))[1],
        )
    for workload in plan.workloads:
        if workload.task.name == "spiral" and workload.mode == mode:
            step = prepare(workload, task)
            reads.clear()
            step()
            assert not reads, workload.name


# Beyond the studies: scaling, ways, epochs, updates and activations alone


def found(plan, name, mode="training step"):
    return next(w for w in plan.workloads if (w.name, w.mode) == (name, mode))


@pytest.mark.parametrize("task", ["spiral", "wave", "digits"])
@pytest.mark.parametrize("mode", MODES)
def test_every_family_is_timed_over_depths_widths_and_minibatches(plan, task, mode):
    same = {(s.workload, s.mode) for s in plan.same_as}
    timed = {(w.name, w.mode) for w in plan.workloads}
    for factor, values in SCALES.items():
        assert {(f"{task}/{factor}={v}", mode) for v in values} <= timed | same
        assert sum((f"{task}/{factor}={v}", mode) in same for v in values) <= 1  # the base's own
    assert not any(w.task.name == "diabetes" and w.repeats for w in plan.workloads)


def test_a_large_minibatch_is_filled_with_repeated_examples(plan):
    """300 examples cannot fill 1,024 places; training would take 300, scaling needs them all."""
    workload = found(plan, "spiral/minibatch=1024", "inference")
    assert workload.repeats
    assert prepare(workload, task_of())().shape == (1024, 3)
    x, y = minibatch(cell_of(minibatch=650), task_of(), repeats=True)
    torch.testing.assert_close(x[300:600], x[:300])
    torch.testing.assert_close(y[600:], y[:50])


def test_threads_and_types_are_ways_to_run_the_base_network(plan):
    for task in ("spiral", "wave", "digits"):
        for mode in MODES:
            assert found(plan, f"{task}/threads=2", mode).way == Way(threads=2)
            assert found(plan, f"{task}/dtype=bfloat16", mode).way == Way(dtype="bfloat16")


def test_ways_that_no_device_has_are_left_out_with_their_reason(plan):
    left = {(each.workload, each.mode): each.reason for each in plan.left_out}
    assert left["spiral/run=graph", "training step"] == "CUDA graphs need a CUDA device"
    assert "profile full does it" in left["digits/run=compiled", "training step"]
    one_core = workloads_of(core()).left_out
    assert ("wave/threads=all", "there is one core") in [(e.workload, e.reason) for e in one_core]


def test_a_gpu_is_timed_with_graphs_and_without_threads():
    both = workloads_of(core(), Place(("cpu", "cuda"), cores=4, compiles=True))
    graph, threads = found(both, "spiral/run=graph"), found(both, "spiral/threads=4")
    assert graph.way.objection("cuda:1") is None
    assert graph.way.objection("cpu") == "CUDA graphs need a CUDA device"
    assert threads.way.objection("cpu") is None
    assert threads.way.objection("cuda") == "threads are the processor's"
    only = workloads_of(core(), Place(("cuda",), cores=4))
    assert "spiral/threads=4" not in names(only)


def test_compiling_comes_last_and_needs_a_compiler(monkeypatch):
    place = Place(compiles=True)
    monkeypatch.setattr(ways.shutil, "which", lambda name: "/bin/c++")
    last = workloads_of(core(), place).workloads[-3:]
    assert [w.name for w in last] == [f"{t}/run=compiled" for t in ("spiral", "wave", "digits")]
    monkeypatch.setattr(ways.shutil, "which", lambda name: None)
    plan = workloads_of(core(), place)
    assert "spiral/run=compiled" not in names(plan)
    reasons = {e.reason for e in plan.left_out if e.workload == "spiral/run=compiled"}
    assert reasons == {"compiling for a CPU needs a C++ compiler, for instance g++"}


def test_bfloat16_computes_in_bfloat16_and_keeps_its_parameters(plan):
    outputs = prepare(found(plan, "digits/dtype=bfloat16", "inference"), task_of("digits"))()
    assert outputs.dtype == torch.bfloat16
    plain = prepare(found(plan, "digits/baseline", "inference"), task_of("digits"))()
    assert plain.dtype == torch.float32
    loss = prepare(found(plan, "digits/dtype=bfloat16"), task_of("digits"))()
    assert torch.isfinite(loss)


def test_threads_are_lent_and_given_back():
    before = torch.get_num_threads()
    with ways.using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with ways.using_threads(None):
        assert torch.get_num_threads() == before


class PretendCuda:
    """Stands in for `torch.cuda`: remembers what is captured and replayed, and when."""

    def __init__(self):
        self.log = []

    def stub(self, monkeypatch):
        log = self.log

        class Stream:
            def __init__(self, device=None):
                pass

            def wait_stream(self, other):
                log.append("wait")

        class Graph:
            def replay(self):
                log.append("replay")

        @contextmanager
        def within(thing, **options):
            name = {"Stream": "aside", "Graph": "capture"}.get(type(thing).__name__)
            log.append(name)
            yield
            log.append(f"end {name}")

        for name, value in {
            "Stream": Stream, "CUDAGraph": Graph, "stream": within, "graph": within,
            "current_stream": Stream, "device": lambda device: nullcontext(),
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)


def test_a_graph_is_captured_after_eager_calls_on_another_stream_and_then_replayed(monkeypatch):
    cuda, calls = PretendCuda(), []
    cuda.stub(monkeypatch)

    def step():
        cuda.log.append("step")
        calls.append(1)
        return torch.tensor(float(len(calls)))

    replay = ways.captured(step, torch.device("cuda"))
    aside = ["wait", "aside", "step", "step", "step", "end aside", "wait"]
    assert cuda.log == [*aside, "aside", "capture", "step", "end capture", "end aside"]
    assert replay() == replay() == 4  # the tensor of the captured call
    assert cuda.log[-2:] == ["replay", "replay"]


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "rmsprop", "adagrad"])
def test_an_optimizer_in_a_graph_counts_its_steps_on_the_device(name):
    cell, task = cell_of(minibatch=64, optimizer=name), task_of()
    network, model = model_of(cell, task)
    update = update_of(
        cell, network, model, black=torch.zeros(2), generator=None, way=Way(run="graph")
    )
    optimizer = next(
        c.cell_contents for c in update.__closure__
        if isinstance(c.cell_contents, torch.optim.Optimizer)
    )  # fmt: skip
    assert all(group["capturable"] for group in optimizer.param_groups)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_of_a_step_trains_as_the_step_does():
    task = load_task(task_spec(), [0], streams=Streams(0, "spiral"), device="cuda")
    plan = workloads_of(core(), Place(("cuda",)))
    graph = prepare(found(plan, "spiral/run=graph"), task)
    assert torch.isfinite(torch.stack([graph().clone() for _ in range(20)])).all()


@pytest.mark.parametrize("source", ["tensors", "DataLoader"])
def test_an_epoch_has_every_example_once_in_a_new_order(source):
    x, y = torch.arange(20.0).reshape(10, 2), torch.arange(10)
    epoch = minibatches(x, y, 4, source)
    seen = [list(epoch()) for _ in range(3)]
    for parts in seen:
        assert [len(inputs) for inputs, _ in parts] == [4, 4, 2]
        inputs, targets = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        assert sorted(targets.tolist()) == list(range(10))
        torch.testing.assert_close(inputs, x[targets])
    orders = {tuple(torch.cat([t for _, t in parts]).tolist()) for parts in seen}
    assert len(orders) == 3


def test_an_epoch_s_call_goes_through_all_of_its_minibatches():
    seen = []
    call = one_epoch(lambda: iter([(1, 2), (3, 4)]), lambda x, y: seen.append((x, y)) or x)
    assert call() == 3
    assert seen == [(1, 2), (3, 4)]


def test_an_epoch_is_one_update_per_minibatch(plan, monkeypatch):
    """300 examples in minibatches of 64 are five updates; the pipeline alone makes none."""
    counts = []
    original = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *a: (counts.append(1), original(self, *a))[1]
    )
    for name in ("spiral/baseline", "spiral/input=DataLoader"):
        prepare(found(plan, name, "epoch"), task_of())()
        assert len(counts) == 5
        counts.clear()
        assert prepare(found(plan, name, "input pipeline"), task_of())().shape[1] == 2
        assert not counts


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad"])
def test_an_optimizer_step_is_the_update_alone(name):
    """As torch's own with the same gradients, step after step; gradients stay."""
    cell, task = cell_of(optimizer=name), task_of()
    _, model = model_of(cell, task)
    _, other = model_of(cell, task)
    step = optimizer_step(cell, model)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        theirs.grad = mine.grad.clone()
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}
    expected = classes[name](other.parameters(), lr=1e-6)
    for _ in range(3):
        step()
        expected.step()
    torch.testing.assert_close(flat_parameters(model), flat_parameters(other), rtol=0, atol=0)
    assert all((p.grad != 0).any() for p in model.parameters())


def test_every_optimizer_of_the_studies_has_its_update_timed(plan):
    timed = {w.name.partition("=")[2] for w in plan.workloads if w.mode == "optimizer step"}
    assert {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "nadam", "radam"} <= timed
    assert {w.group for w in plan.workloads if w.mode == "optimizer step"} == {"spiral"}


@pytest.mark.parametrize(
    ("name", "function"), [("relu", torch.relu), ("tanh", torch.tanh), ("gelu", F.gelu)]
)
def test_an_activation_is_timed_forward_and_backward(name, function):
    """The gradient is that of torch's own function, on (N, H) numbers."""
    result = activation(cell_of(activation=name), (6, 5), torch.device("cpu"))()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 5, generator=generator).requires_grad_()
    above = torch.randn(6, 5, generator=generator)
    (expected,) = torch.autograd.grad(function(x), x, above)
    torch.testing.assert_close(result, expected)


def test_activations_are_compared_within_one_size(plan):
    alone = [w for w in plan.workloads if w.mode == "forward+backward"]
    assert {w.group for w in alone} == {"layer 64x32", "layer 1024x64", "layer 1024x1024"}
    for workload in alone:
        size = (workload.factors["minibatch"], workload.factors["width"])
        assert workload.group == f"layer {size[0]}x{size[1]}"
        assert workload.name.startswith(f"{workload.group}/")
    gelu = found(plan, "layer 1024x64/activation=gelu", "forward+backward")
    assert prepare(gelu, task_of())().shape == (1024, 64)
    per_size = len(alone) // 3
    assert all(sum(w.group == g for w in alone) == per_size for g in {w.group for w in alone})


def test_a_linear_base_still_has_its_activations_timed(tmp_path):
    factors = 'depth = [0, 2]\nactivation = ["relu", "tanh"]'
    plan = workloads_of([study_file(tmp_path, factors)])
    assert "layer 64x32/activation=tanh" in names(plan, "forward+backward")


def test_workloads_that_compute_different_things_have_different_identities(plan):
    identities = [str(w.identity()) for w in plan.workloads]
    assert len(set(identities)) == len(identities)
    for first, second in pairwise(w for w in plan.workloads if w.way != PLAIN):
        renamed = replace(first, name=second.name, mode=second.mode, task=second.task)
        if first.way != second.way:
            assert renamed.identity() != second.identity()


# How long they may take


def test_larger_networks_are_predicted_to_take_longer(plan):
    def seconds(name, mode="training step"):
        return predicted_seconds(
            next(w for w in plan.workloads if (w.name, w.mode) == (name, mode))
        )

    assert seconds("digits/width=64") > seconds("digits/baseline") > seconds("digits/width=8")
    assert seconds("digits/baseline", "inference") < seconds("digits/baseline")
