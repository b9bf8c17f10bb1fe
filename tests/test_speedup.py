"""Every way of the speed comparison trains the same trials to the same loss."""

import math
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import stack_of
from test_off_cpu import Watch

from ablations import workers
from ablations.design import trials_of
from ablations.levels import Level
from ablations.options import usual_workers
from ablations.running import Settings, find, run
from ablations.stacking import stack_count
from ablations.studyfile import find_studies, load_study
from ablations.training import train
from benchmarks import peers, speedup, standard
from benchmarks.rates import seconds_of
from benchmarks.recipes import recipe_losses, recipe_of
from benchmarks.speedup import contest, disagreeing, geometric_mean, ratios, read_speedups, render
from benchmarks.work import examples_seen, work_of

SHORT = {
    "full batch": contest(
        "spiral",
        "spiral",
        3,
        {"points": 30, "standardise": False},
        steps=25,
        rate=0.01,
        split="none",
        levels={"depth": 1, "width": 8},
    ),
    "minibatches": contest(
        "digits", "digits", 3, steps=40, rate=0.003, levels={"minibatch": 64, "width": 16}
    ),
    "numbers": contest(
        "line",
        "line",
        3,
        {"standardise": False},
        steps=50,
        rate=0.01,
        split="none",
        levels={"depth": 0, "optimizer": Level("sgd")},
    ),
}


def test_a_trial_that_diverges_in_the_notebook_leaves_the_loss_empty():
    """As it does for the stacks: `nan` in speedup.csv would be refused by the report."""
    recipe = recipe_of(stack_of(), 1)
    assert standard._loss(recipe, [0.25, 0.75]) == 0.5
    assert standard._loss(recipe, [0.25, math.nan]) is None
    assert standard._loss(recipe, [math.inf]) is None
    by_chance = recipe_of(stack_of(regularisation="dropout"), 1)
    assert standard._loss(by_chance, [0.5]) is None


@pytest.mark.parametrize("name", SHORT)
def test_the_notebook_and_vmap_reach_the_loss_of_the_stacks(name):
    stack = SHORT[name].stack
    case = peers.lay_out(stack, 3)
    expected = [row["train_loss"] for row in train(stack).rows]

    # float32 sums in another order drift apart by rounding alone
    assert peers.notebook(case) == pytest.approx(expected, rel=2e-4)
    assert peers.with_vmap(case) == pytest.approx(expected, rel=2e-4)


def test_a_cnn_in_a_notebook_reaches_the_loss_of_the_stacks():
    levels = {"network": Level("cnn"), "depth": 1, "width": 4, "minibatch": 128}
    stack = contest("cnn", "digits", 2, steps=12, rate=0.01, levels=levels).stack
    expected = [row["train_loss"] for row in train(stack).rows]
    assert peers.notebook(peers.lay_out(stack, 2)) == pytest.approx(expected, rel=1e-3)


def test_jax_reaches_the_loss_of_the_stacks():
    pytest.importorskip("jax", reason="JAX is an optional extra")
    stack = replace(SHORT["full batch"].stack)
    expected = [row["train_loss"] for row in train(stack).rows]
    run, compiling = peers.with_jax(peers.lay_out(stack, 3))
    assert compiling > 0
    assert run() == pytest.approx(expected, rel=2e-4)


def row(way, number, seconds, trials, *, compiling=0.0, loss=0.5):
    return {
        "case": "c",
        "way": way,
        "round": number,
        "seconds": seconds,
        "trials": trials,
        "compile_seconds": compiling,
        "loss": loss,
    }


def test_ratios_are_of_seconds_per_trial_within_a_round():
    rows = [
        row("stacked", 0, 2.0, 4),
        row("stacked", 1, 4.0, 4),
        row("jax", 0, 3.0, 2, compiling=1),
    ]
    rows.append(row("jax", 1, 3.0, 2, compiling=1))
    assert ratios(rows) == {("c", "jax"): [3.0, 1.5]}
    assert ratios(rows, compiling=True) == {("c", "jax"): [4.0, 2.0]}
    # the logarithms of 3 and 1.5 lie 0.693 apart: t of 1 degree of freedom times 0.347
    assert geometric_mean([3.0, 1.5]) == pytest.approx((2.1213, 0.02595, 173.41), rel=1e-3)
    assert "| c      | jax       |           2.12 |         0.03 | 173.41 |" in render(rows)


def test_a_way_that_ends_elsewhere_is_named():
    rows = [row("stacked", 0, 1, 1, loss=0.5), row("notebook", 0, 1, 1, loss=0.6)]
    assert disagreeing(rows) == ["c: notebook ends at loss 0.6, the stacks at 0.5"]
    assert not disagreeing([rows[0], row("notebook", 0, 1, 1, loss=0.51)])


# What is counted, what is kept


@pytest.mark.parametrize(
    ("count", "minibatch", "steps", "examples"),
    [(100, None, 3, 300), (100, 64, 1, 64), (100, 64, 2, 100), (100, 64, 5, 264)],
)
def test_the_last_minibatch_of_an_epoch_holds_what_is_left(count, minibatch, steps, examples):
    assert examples_seen(count, minibatch, steps, None) == (steps, examples)


def test_multiply_adds_are_counted_from_the_shapes():
    work = work_of(SHORT["full batch"].stack)  # 2-8-3 on 90 examples, 25 steps, Adam
    layers = (2 * 8, 8 * 3)
    assert work.weights == sum(layers) + 8 + 3
    assert work.multiply_adds == 25 * 90 * (2 * layers[0] + 3 * layers[1])
    # 21 evaluations of the 90 training examples, and once more at the end
    assert work.evaluation_multiply_adds == sum(layers) * (21 * 90 + 90)
    assert work.bytes == 4 * (25 * 7 * work.weights + 25 * 90 * 4 * (8 + 3))
    assert work.compiled


def test_a_rate_has_a_sample_for_every_call_after_the_warm_up():
    calls = []
    assert len(seconds_of(lambda: calls.append(0))) == 9
    assert len(calls) == 12


def test_stacks_without_a_loss_end_the_comparison_with_the_reason():
    assert speedup._loss({"trial": "a", "status": "finished", "train_loss": 0.5}) == 0.5
    with pytest.raises(RuntimeError, match="a: out_of_memory does not fit"):
        speedup._loss({"trial": "a", "status": "out_of_memory", "message": "does not fit"})
    with pytest.raises(RuntimeError, match=r"a: diverged$"):
        speedup._loss({"trial": "a", "status": "diverged"})


def test_every_way_but_jax_is_warmed_and_one_that_fails_waits_for_its_time():
    taken = []

    def broken():
        taken.append("joblib")
        raise RuntimeError("no processes")

    ways = {name: lambda name=name: taken.append(name) for name in ("stacked", "notebook", "jax")}
    speedup.warm_up(ways | {"joblib": broken})
    assert taken == ["notebook", "joblib"]


def test_jax_says_where_it_cannot_train():
    pytest.importorskip("jax", reason="JAX is an optional extra")
    case = peers.lay_out(SHORT["full batch"].stack, 2, "cuda")
    with pytest.raises(RuntimeError):
        peers.with_jax(case)


def test_a_case_that_is_measured_again_leaves_the_others_alone(tmp_path, monkeypatch):
    measured, warmed = [], []

    def rows_of(each, ways, rounds, stop, left_out):
        measured.append(each.name)
        seconds = float(len(measured))
        return [
            {**row("stacked", k, seconds, 4), "case": each.name, "order": 0, "steps": 5}
            for k in range(rounds)
        ]

    def profile(pool, cores, stop):
        sample = row("stacked", 0, 7.0, 4)
        return [{**sample, "case": standard.NAME, "order": 0, "steps": 5}], {"strata": {}}

    class NoPool:
        def __init__(self, cores, device):
            assert device == "cpu"

        def close(self):
            pass

    contests = [replace(SHORT[name], name=name) for name in ("full batch", "numbers")]
    monkeypatch.setattr(speedup, "contests", lambda device: contests)
    monkeypatch.setattr(speedup, "_contest_rows", rows_of)
    monkeypatch.setattr(speedup, "Processes", NoPool)
    brief = speedup.Sample(0.1, 4, [0.5], way="compiled")
    monkeypatch.setattr(speedup, "stacked", lambda *_: brief)
    monkeypatch.setattr(speedup, "ways_of", lambda *_: {"notebook": lambda: warmed.append(1)})
    monkeypatch.setattr(standard, "profile_rows", profile)
    monkeypatch.setattr(speedup, "measured_rates", lambda device: {"multiply_adds": 1})

    speedup.measure(2, tmp_path)
    again = speedup.measure(2, tmp_path, "numbers")
    whole = speedup.measure(2, tmp_path, "standard profile")

    rows, notes = read_speedups(tmp_path)
    assert len(warmed) == 3
    assert notes["numbers"]["way"] == "compiled"
    assert measured == ["full batch", "numbers", "numbers"]
    assert [row["case"] for row in again] == ["numbers"] * 2
    assert [row["case"] for row in whole] == ["standard profile"]
    assert {row["case"]: float(row["seconds"]) for row in rows} == {
        "full batch": 1,
        "numbers": 3,
        "standard profile": 7,
    }
    assert len(rows) == 5
    assert set(notes) == {"full batch", "numbers", "standard profile"}


def test_on_a_gpu_every_way_trains_there():
    grids = [each for each in speedup.contests("cuda") if each.jax]
    assert [len(each.stack.members) for each in grids] == [512] * 3
    assert {each.device for each in speedup.contests("cuda")} == {"cuda"}
    assert {each.device for each in speedup.contests("cpu")} == {"cpu"}
    assert list(speedup.ways_of(grids[1], None, 1))[:3] == ["stacked", "notebook", "vmap"]
    submitted = []

    class Pool:
        def submit(self, job):
            submitted.append((job.device, len(job.members)))

        def busy(self):
            return False

    with pytest.raises(KeyError):  # nothing came back
        speedup.stacked(Pool(), grids[0], 1)
    assert submitted == [("cuda", 512)]


@pytest.mark.parametrize("name", SHORT)
def test_the_loop_and_vmap_take_the_data_to_their_device(name, monkeypatch):
    """The meta device has no numbers: those that are read are ones."""
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: 1.0)
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: 1.0)
    case = peers.lay_out(SHORT[name].stack, 3, "meta")
    for way in (peers.notebook, peers.with_vmap):
        with Watch() as watch:
            losses = way(case)
        assert len(losses) == 3
        assert set(watch.having("meta", "cpu")) <= {"aten.copy_.default"}
        computed = {call for call, found in watch.seen if found == {"cpu"}}
        assert not [call for call in computed if "mm" in call or "relu" in call]


def test_a_gpu_has_one_stack_at_a_time_and_a_folder_of_its_own(monkeypatch, tmp_path):
    assert usual_workers("cuda:1") == 1
    measured = []

    def measure(rounds, folder, names, device):
        measured.append((folder, device))
        return []

    monkeypatch.setattr(speedup, "measure", measure)
    monkeypatch.setattr(speedup, "chosen_device", lambda options: options.device)
    for words in (["--device", "cuda"], [], ["--device", "cuda", "--results", str(tmp_path)]):
        assert speedup.main(words) == 0
    usual = [(Path("results/standard-cuda"), "cuda"), (Path("results/standard"), "cpu")]
    assert measured == [*usual, (tmp_path, "cuda")]


def test_a_device_that_is_not_there_is_refused(capsys):
    assert speedup.main(["--device", "tpu"]) == 2
    assert "choose auto, cpu or cuda" in capsys.readouterr().err


def test_files_that_cannot_be_read_are_measured_anew(tmp_path):
    assert read_speedups(tmp_path) == ([], {})
    (tmp_path / "speedup.csv").write_text("case\n")
    (tmp_path / "speedup.json").write_text("[]")
    assert read_speedups(tmp_path) == ([], {})


def test_a_busy_machine_has_fewer_rounds_but_never_less_than_three():
    sample = speedup.Sample(1.0, 1, [0.5])
    ways = {"stacked": lambda: sample}
    rows = list(speedup._contest_rows(SHORT["numbers"], ways, 5, 0.0, {}))
    assert [row["round"] for row in rows] == [0, 1, 2]


def test_a_way_that_fails_is_left_out_with_its_reason_and_the_rest_is_measured(capsys):
    """As joblib does when the kernel kills its workers for lack of memory."""

    def killed():
        raise MemoryError("a worker was\nkilled")

    sample = speedup.Sample(1.0, 1, [0.5])
    ways = {"stacked": lambda: sample, "joblib": killed, "notebook": lambda: sample}
    left_out = {}
    rows = list(speedup._contest_rows(SHORT["numbers"], ways, 2, math.inf, left_out))
    assert left_out == {"joblib": "MemoryError: a worker was killed"}
    both = [(number, way) for number in (0, 1) for way in ("notebook", "stacked")]
    assert sorted((row["round"], row["way"]) for row in rows) == both
    assert "line: joblib is left out; MemoryError" in capsys.readouterr().err


def test_stacks_that_fail_end_the_comparison():
    def killed():
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        list(speedup._contest_rows(SHORT["numbers"], {"stacked": killed}, 2, math.inf, {}))


# The whole standard profile


def test_the_strata_hold_every_stack_of_the_core_group():
    studies = [load_study(path) for path in find_studies("core")]
    strata = standard.strata_of(studies)
    assert sum(map(len, strata.values())) == sum(map(stack_count, studies))
    trials = sum(len(stack.members) for stacks in strata.values() for stack in stacks)
    assert trials == sum(1 for study in studies for _ in trials_of(study))
    assert {name.rpartition(", ")[2] for name in strata} == {"tuning", "final"}
    first, second, *_ = standard.drawn(strata, random.Random(0))
    assert {each.stratum for each in first} == strata.keys()
    assert not {each.stack for each in first} & {each.stack for each in second}


def sample(number, way, seconds, trials, loss=0.5):
    return {**row(way, number, seconds, trials, loss=loss), "case": standard.NAME}


def test_totals_weight_each_stratum_by_its_stacks():
    """Two of three stacks of a, all two of b; by hand, on two cores, ten trials in each."""
    note = {
        "cores": 2,
        "sampled": ["a", "b", "a", "b"],
        "strata": {"a": {"stacks": 3}, "b": {"stacks": 2}},
    }
    seconds = [(2.0, 1.0), (4.0, 2.0), (2.0, 2.0), (8.0, 3.0)]
    rows = [sample(n, "stacked", ours, 10) for n, (ours, _) in enumerate(seconds)]
    rows += [sample(n, "notebook", theirs, 2) for n, (_, theirs) in enumerate(seconds)]
    found = standard.totals(rows, note)
    assert found.stacked == pytest.approx(3 * 1 + 2 * 3)  # means of 1, 1 and of 2, 4
    assert found.notebook == pytest.approx(3 * 7.5 + 2 * 12.5)  # of 5, 10 and of 10, 15
    ratio = 47.5 / 9
    # only a is sampled: residuals 5 - R and 10 - R, whose variance is 12.5, of 2 from 3
    error = (9 * (1 - 2 / 3) * 12.5 / 2) ** 0.5 / 9
    assert (found.ratio, found.ratio - found.low) == pytest.approx(
        (ratio, 4.3027 * error), rel=1e-3
    )
    assert "5 stacks take 9 s, in a notebook 48 s: 5.3 times" in standard.render_totals(found)


def test_too_many_sampled_stacks_at_another_loss_are_named():
    rows = [sample(n, "stacked", 1, 1) for n in range(10)]
    rows += [sample(n, "notebook", 1, 1, loss=0.5 if n else 0.6) for n in range(9)]
    rows.append(sample(9, "notebook", 1, 1, loss=None))  # dropout draws its own
    assert standard.disagreement(rows) == [
        "standard profile: 1 of 9 stacks end at another loss than the notebook"
    ]
    assert not standard.disagreement([row for row in rows if row["round"]])


RECIPES = {
    "residual, tanh, momentum": {"residual": True, "activation": "tanh", "optimizer": "momentum"},
    "l1": {"regularisation": {"name": "l1", "strength": 0.01}},
    "l2, few examples": {"regularisation": {"name": "l2", "strength": 0.1}, "train_size": 40},
    "weight decay": {"regularisation": "weight_decay", "optimizer": "adamw"},
    "label smoothing, batch norm": {"regularisation": "label_smoothing", "norm": "batch"},
    "layer norm": {"regularisation": "layer_norm"},
    "early stopping": {"regularisation": {"name": "early_stopping", "patience": 1}},
    "cosine": {"schedule": "cosine"},
    "steps": {"schedule": "step"},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_in_a_notebook_reaches_the_loss_of_the_stacks(name):
    levels = {"minibatch": 16, "width": 9} | RECIPES[name]
    rates = {"rates": (0.03,), "steps": 40, "evaluations": 8}
    stack = stack_of("spiral", seeds=(0, 1), settings={"points": 30}, **rates, **levels)
    recipe = recipe_of(stack, 2)
    assert recipe.repeatable
    expected = [row["train_loss"] for row in train(stack).rows]
    assert recipe_losses(recipe) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("regularisation", ["dropout", "input_noise"])
def test_recipes_with_chance_of_their_own_train_and_leave_global_generators(regularisation):
    stack = stack_of("wave", regularisation=regularisation, steps=5)
    before = torch.get_rng_state()
    recipe = recipe_of(stack, 1)
    assert not recipe.repeatable
    assert all(math.isfinite(loss) for loss in recipe_losses(recipe))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_the_runner_costs_less_than_a_millisecond_per_trial(tmp_path, monkeypatch):
    """Planning, records, CSV and progress of the core group at few steps: all but training.

    Imports and the reading of data sets are done before; the records are as large as ever. Time
    on the processor: what waits for the disk waits while the workers train.
    """
    studies = [replace(load_study(path), steps=20) for path in find_studies("core")]
    find(studies, tmp_path, "cpu")  # imports, data
    training = 0.0

    def timed(*arguments, **options):
        nonlocal training
        start = time.process_time()
        outcome = train(*arguments, **options)
        training += time.process_time() - start
        return outcome

    monkeypatch.setattr(workers, "train", timed)
    least = math.inf
    for attempt in range(3):  # other work on the machine slows any of them
        training, start = 0.0, time.process_time()
        tally = run(studies, Settings(tmp_path / str(attempt), workers=0, quiet=True))
        overhead = time.process_time() - start - training
        assert tally.complete
        assert tally.expected > 5000
        least = min(least, overhead / tally.expected)
        print(f"{overhead:.2f} s, {1000 * least:.2f} ms per trial")
        if least < 0.001:
            break
    assert least < 0.001
