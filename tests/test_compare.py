"""The gate: sets of processes that take turns, a confirmed slowdown, and what is said of it."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_trees import git

from benchmarks import comparison, driver, sides
from benchmarks.__main__ import main
from benchmarks.clock import Clock
from benchmarks.comparison import as_json, compare, render
from benchmarks.driver import RECIPES, Recipe
from benchmarks.sides import ROLES, Plan, SideError, measure
from benchmarks.trees import Tree

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("stack spiral", "plain spiral step")
PLAN = Plan(Tree("v1", "1" * 40, Path("v1")), Tree("v2", "2" * 40, Path("v2")), NAMES)


class Laboratory:
    """Pretend processes on a pretend machine, of which each is remembered."""

    def __init__(self, cost, *, absent=(), seconds_of_a_set=10.0, noise=0.002):
        self.cost, self.absent, self.noise = cost, absent, noise
        self.started, self.asked, self.open = [], [], 0
        self.time, self.seconds_of_a_set = 0.0, seconds_of_a_set
        self.rng = np.random.default_rng(3)

    def start(self, role, tree, device, threads):
        self.started.append((role, tree.name, device, threads))
        self.open += 1
        self.time += self.seconds_of_a_set / len(ROLES)
        return PretendSide(role, self)

    def measure(self, plan=PLAN, seed=0):
        rng = np.random.default_rng(seed)
        return measure(
            plan, rng=rng, tell=lambda line: None, start=self.start, now=lambda: self.time
        )


class PretendSide:
    def __init__(self, role, laboratory):
        self.role, self.laboratory, self.answers = role, laboratory, [{"ready": True}]

    def send(self, request):
        name = request["workload"]
        where = self.laboratory
        where.asked.append((self.role, request["do"], name))
        if (self.role, name) in where.absent:
            self.answers.append({"absent": "ImportError: no such thing"})
            return
        each = 1e-3 * where.cost(self.role, name) * np.exp(where.noise * where.rng.normal())
        self.answers.append({"seconds": each * request.get("iterations", 1)})

    def receive(self):
        return self.answers.pop(0)

    def close(self):
        self.laboratory.open -= 1


def alike(role, name):
    return 1.0


def test_each_set_has_three_fresh_processes_two_of_them_of_the_base():
    where = Laboratory(alike)
    where.measure()
    for first in range(0, len(where.started), 3):
        found = sorted(where.started[first : first + 3])
        assert found == [
            ("again", "v1", "cpu", 1),
            ("base", "v1", "cpu", 1),
            ("head", "v2", "cpu", 1),
        ]
    assert where.open == 0


def test_a_measurement_has_at_least_fifteen_pairs_of_three_sets():
    where = Laboratory(alike)
    found = where.measure(replace(PLAN, budget=0.0))
    assert len(where.started) == 9
    for name in NAMES:
        pairs = found.pairs(name)
        assert len(pairs.base) >= 15
        assert set(pairs.process) == {0, 1, 2}


def test_the_three_of_a_round_are_next_to_each_other_in_random_order():
    where = Laboratory(alike)
    where.measure()
    timed = [(role, name) for role, do, name in where.asked if do == "time"]
    triples = [timed[k : k + 3] for k in range(0, len(timed), 3)]
    assert all(len({name for _, name in triple}) == 1 for triple in triples)
    orders = [tuple(role for role, _ in triple) for triple in triples]
    assert all(sorted(order) == sorted(ROLES) for order in orders)
    assert len(set(orders)) == 6
    firsts = [triple[0][1] for triple in triples[::2]]  # of the two workloads of each round
    assert set(firsts) == set(NAMES)


def test_samples_are_those_of_their_side():
    where = Laboratory(lambda role, name: {"base": 1, "head": 2, "again": 4}[role], noise=0)
    pairs = where.measure().pairs("stack spiral")
    np.testing.assert_allclose(pairs.base, 1e-3)
    np.testing.assert_allclose(pairs.head, 2e-3)
    np.testing.assert_allclose(pairs.again, 4e-3)


def test_sampling_stops_on_precision_and_not_on_the_ratio():
    """A ratio of 1 and one of 3 take the same number of sets."""
    slow = Laboratory(lambda role, name: 3.0 if role == "head" else 1.0)
    same = Laboratory(alike)
    slow.measure(), same.measure()
    assert len(slow.started) == len(same.started) == 9


def test_noisy_ratios_are_measured_until_the_budget_is_spent():
    where = Laboratory(alike, noise=0.3)
    where.measure(replace(PLAN, budget=75.0))
    assert len(where.started) == 3 * 7
    assert where.time <= 75.0


def test_a_workload_that_one_side_lacks_is_named_and_not_timed():
    where = Laboratory(alike, absent={("head", "stack spiral")})
    found = where.measure()
    assert found.absent == {"stack spiral": {"head": "ImportError: no such thing"}}
    assert found.workloads() == ["plain spiral step"]
    assert ("base", "time", "stack spiral") not in where.asked


def test_iterations_make_a_sample_long_enough():
    where = Laboratory(alike, noise=0)
    assert {row["iterations"] for row in where.measure().rows} == {10}  # of 1 ms


def outcome_of(monkeypatch, *laboratories, plan=PLAN, delta=0.10):
    """A comparison whose measurements take place in these laboratories, one after the other."""
    waiting = list(laboratories)
    monkeypatch.setattr(comparison, "measure", lambda plan, rng, tell: waiting.pop(0).measure(plan))
    monkeypatch.setattr(comparison, "cores_of_others", lambda before, after: 0.0)
    found = compare(plan, delta, rng=np.random.default_rng(0), tell=lambda line: None)
    assert not waiting
    return found


def slower_by(factor):
    return lambda role, name: factor if (role, name) == ("head", "stack spiral") else 1.0


def test_equal_code_is_measured_once_and_called_the_same(monkeypatch):
    found = outcome_of(monkeypatch, Laboratory(alike))
    assert [each.verdict for each in found.compared] == ["same", "same"]
    assert not found.failures
    assert not found.warnings


def test_a_slowdown_fails_only_when_a_second_measurement_says_so_too(monkeypatch):
    again = Laboratory(slower_by(1.5))
    found = outcome_of(monkeypatch, Laboratory(slower_by(1.5)), again)
    assert found.failures == ["stack spiral"]
    assert {name for _, _, name in again.asked} == {"stack spiral"}
    assert "slower, confirmed: stack spiral takes 1." in render(found, PLAN)


def test_a_slowdown_that_is_not_there_again_is_a_warning(monkeypatch):
    found = outcome_of(monkeypatch, Laboratory(slower_by(1.5)), Laboratory(alike))
    assert not found.failures
    assert "a second measurement does not confirm it beyond 1.25" in render(found, PLAN)


@pytest.mark.parametrize(
    ("factor", "warned"), [(1.05, False), (1.15, True), (1.2, True)], ids="{}".format
)
def test_from_a_tenth_more_there_is_a_warning_and_no_second_measurement(
    monkeypatch, factor, warned
):
    found = outcome_of(monkeypatch, Laboratory(slower_by(factor)))
    assert [each.workload for each in found.warnings] == (["stack spiral"] if warned else [])
    assert ("warning: stack spiral takes" in render(found, PLAN)) is warned
    assert not found.failures


def test_the_table_has_every_workload_and_the_noise_floor(monkeypatch):
    where = Laboratory(slower_by(0.5), absent={("again", "x"), ("base", "x")})
    plan = replace(PLAN, workloads=(*NAMES, "x"))
    lines = render(outcome_of(monkeypatch, where, plan=plan), plan).splitlines()
    assert lines[0].split() == ["workload", "base", "head", "head", "/", "base", "verdict"]
    assert lines[1].startswith("stack spiral ")
    assert lines[1].endswith("faster")
    assert lines[2].endswith("same")
    assert lines[3].startswith("A/A ")
    assert lines[3].endswith("noise floor")
    assert "15 pairs of samples, 1 thread on cpu; same: within 10%" in lines[4]
    assert lines[5] == "not compared: x (base: ImportError: no such thing)"


def test_others_at_work_are_mentioned(monkeypatch):
    found = replace(outcome_of(monkeypatch, Laboratory(alike)), others=0.8)
    assert "busy: others kept 0.8 cores busy meanwhile" in render(found, PLAN)


def test_the_json_has_every_number(monkeypatch):
    found = outcome_of(monkeypatch, Laboratory(slower_by(1.5)), Laboratory(slower_by(1.5)))
    content = json.loads(as_json(found, PLAN))
    assert content["base"] == {"name": "v1", "commit": "1" * 40}
    assert content["failures"] == ["stack spiral"]
    ratio = content["compared"][0]["ratio"]
    assert ratio["low"] < 1.5 < ratio["high"]
    assert content["compared"][0]["control"]["n"] == 15


def test_no_workload_on_both_sides_is_an_error_with_its_reason(monkeypatch):
    where = Laboratory(alike, absent={("head", name) for name in NAMES})
    with pytest.raises(SideError, match=r"no workload runs on both sides \(head: ImportError"):
        outcome_of(monkeypatch, where)


# The child


def answers_to(*requests, clocks=None):
    written = io.StringIO()
    lines = io.StringIO("".join(json.dumps(request) + "\n" for request in requests))
    driver.serve(lines, written, device="cpu", clocks=clocks or driver.load_clock())
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_built_from_this_tree(name):
    small = replace(RECIPES[name], steps=2, seeds=1)
    assert driver.build(small, "cpu") is not None
    driver.build(small, "cpu")()


def test_a_stack_s_call_is_the_training_of_the_whole_stack():
    outcome = driver.build(Recipe("stack", "spiral", seeds=3, steps=4), "cpu")()
    assert len(outcome.rows) == 3
    assert [row["status"] for row in outcome.rows] == ["finished"] * 3
    assert {row["steps"] for row in outcome.rows} == {4}


def test_the_child_builds_and_times_on_request(monkeypatch):
    calls = []
    monkeypatch.setattr(driver, "build", lambda recipe, device: lambda: calls.append(recipe))
    built, timed = answers_to(
        {"do": "build", "workload": "stack spiral"},
        {"do": "time", "workload": "stack spiral", "iterations": 7},
    )
    assert built["seconds"] > 0
    assert timed["seconds"] > 0
    assert len(calls) == 3 + 1 + 7  # warm-up, one that is not timed, the iterations


def test_a_workload_that_a_tree_cannot_build_is_absent_and_the_next_one_is_not(monkeypatch):
    def build(recipe, device):
        if recipe.what == "stack":
            raise ImportError("cannot import name 'train'")
        return lambda: None

    monkeypatch.setattr(driver, "build", build)
    absent, present = answers_to(
        {"do": "build", "workload": "stack spiral"}, {"do": "build", "workload": "plain wave step"}
    )
    assert absent == {"absent": "ImportError: cannot import name 'train'"}
    assert "seconds" in present


def test_a_clock_that_jumps_back_gives_no_sample(monkeypatch):
    monkeypatch.setattr(driver, "build", lambda recipe, device: lambda: None)
    clocks = driver.load_clock()
    readings = iter([0, 10**6, 0, 10**6, 0, 10**6, 5 * 10**6, 10**6])
    monkeypatch.setattr(clocks, "clock_for", lambda device: Clock(now=readings.__next__))
    _, timed = answers_to(
        {"do": "build", "workload": "stack spiral"},
        {"do": "time", "workload": "stack spiral", "iterations": 1},
        clocks=clocks,
    )
    assert timed == {"seconds": None}


# The command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "unknown commit 'nonsense'"),
        (["HEAD", "nonsense"], "unknown commit 'nonsense'"),
        (["HEAD", "--workloads", "nothing"], "no workload is named 'nothing'; there is stack"),
        (["HEAD", "--device", "tpu"], "choose auto, cpu or cuda"),
        (["HEAD", "--threads", "0"], "give at least 1"),
        (["HEAD", "--json", "no/such/folder/x.json"], "lies in no folder"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["compare", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_outside_a_repository_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["compare", "HEAD"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"benchmarks compare: there are no commits to compare in {tmp_path}")
    assert said.count("\n") == 1


TRAINING = """
import time
def train(stack, members=None, *, device="cpu"):
    time.sleep({seconds})
"""
STUB = {
    "processor": "def settle_process(threads=1): pass\n",
    "studyfile": "import types\ndef load_study(path): return types.SimpleNamespace(tasks=[1])\n",
    "design": "def trained_cells(study, task): return [1]\n",
    "stacking": "def final_stacks(study, task, cell, rate): return [1]\n",
}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository whose package trains by sleeping: 10 ms, then 16 ms."""
    root = tmp_path / "clone"
    (root / "ablations").mkdir(parents=True)
    git(root, "init", "--initial-branch=main")
    for name, content in {"__init__": "", **STUB}.items():
        (root / "ablations" / f"{name}.py").write_text(content)
    for tag, seconds in (("fast", 0.010), ("slow", 0.016)):
        (root / "ablations" / "training.py").write_text(TRAINING.format(seconds=seconds))
        git(root, "add", "-A")
        git(root, "commit", "-m", tag)
        git(root, "tag", tag)
    monkeypatch.chdir(root)
    return root


def run(*arguments):
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from benchmarks.__main__ import main"
    words = [*arguments, "--budget", "1s"]
    line = [sys.executable, "-c", f"{program}; sys.exit(main(['compare', *{words!r}]))"]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_a_real_slowdown_fails_and_its_reverse_does_not(clone):
    """Real processes, real clocks; the plain workloads are on neither side of this project."""
    done = run("fast", "slow", "--workloads", "stack spiral", "--json", "found.json")
    assert done.returncode == 1, done.stderr
    assert "slower, confirmed: stack spiral takes 1.5" in done.stdout
    assert "measuring again to confirm" in done.stderr
    ratio = json.loads((clone / "found.json").read_text())["compared"][0]["ratio"]
    assert ratio["value"] == pytest.approx(1.6, rel=0.05)

    done = run("slow", "fast", "--workloads", "*spiral*")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].endswith("faster")
    assert "not compared: plain spiral step (" in done.stdout


@pytest.mark.slow
def test_the_working_tree_is_timed_where_no_head_is_named(clone):
    training = clone / "ablations" / "training.py"
    training.write_text(TRAINING.format(seconds=0.010))
    done = run("fast", "--workloads", "stack spiral")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].endswith("same")


@pytest.mark.slow
def test_a_tree_that_cannot_be_imported_is_one_line_and_exit_code_2(clone):
    (clone / "ablations" / "processor.py").write_text("raise ValueError('broken')\n")
    done = run("fast", "--workloads", "stack spiral")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("benchmarks compare: the process of head ended")
    assert done.stderr.splitlines()[-1].endswith("ValueError: broken")


def test_a_process_that_has_died_is_told_with_its_last_words(tmp_path):
    tree = Tree("v", "v", tmp_path)  # it has no packages
    side = sides.start("head", tree, "cpu", 1)
    try:
        with pytest.raises(SideError, match="the process of head ended with exit code 1: "):
            side.receive()
    finally:
        side.close()


def test_help_can_be_shown(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--help"])
    assert stopped.value.code == 0
    assert "within 5% the same, not 10%" in " ".join(capsys.readouterr().out.split())
