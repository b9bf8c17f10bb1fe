"""Real processes, really killed: what was finished is kept, and the end is the same."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUDY = """
[study]
name = "faulty"
question = "Which activation survives?"
tasks = ["spiral"]
seeds = 4
tuning_seeds = 2

[task.spiral]
points = 20
test_points = 20

[factors]
activation = ["relu", "tanh", "elu", "gelu", "silu", "sigmoid"]

[nuisance]
learning_rate = [0.01, 0.03]

[fixed]
width = 8
minibatch = 16
steps = {steps}
evaluations = 5
"""
TABLES = ("trials.csv", "curves.csv")


class Runner:
    """Starts the command in a process of its own, all on one study."""

    def __init__(self, folder, steps):
        self.folder = folder
        self.study = folder / "faulty.toml"
        self.study.write_text(STUDY.format(steps=steps))

    def start(self, results, workers=2):
        options = ["--study", self.study, "--results", self.folder / results]
        return subprocess.Popen(
            [sys.executable, "-m", "ablations", "run", *options, "--workers", str(workers)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, results, workers=2):
        process = self.start(results, workers)
        said, complained = process.communicate(timeout=120)
        assert process.returncode == 0, complained
        return said

    def tables(self, results):
        return [(self.folder / results / "faulty" / name).read_bytes() for name in TABLES]

    def records(self, results):
        return list((self.folder / results).glob("faulty/records/*/*.json"))


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """A study of a few seconds, finished once without a fault under `whole`."""
    runner = Runner(tmp_path_factory.mktemp("faults"), steps=800)
    runner.finish("whole")
    return runner


def wait_for_records(runner, results, process, count):
    """Let a run get somewhere before it is disturbed."""
    end = time.monotonic() + 60
    while len(runner.records(results)) < count and process.poll() is None:
        assert time.monotonic() < end, "the run wrote no record"
        time.sleep(0.01)


def children(pid):
    """Processes that a process has started, by the kernel's own list."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def gone(pids, within=5.0):
    """Whether all of these processes end in time."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}/cmdline").exists() and _alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def killed_runs_end_alike(runner, results, kills, seed):
    """Kill a run `kills` times at random moments, then let it finish."""
    rng = random.Random(seed)
    for _ in range(kills):
        process = runner.start(results)
        wait_for_records(runner, results, process, len(runner.records(results)) + 1)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.communicate(timeout=30)
    runner.finish(results)
    assert runner.tables(results) == runner.tables("whole")


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(runner):
    killed_runs_end_alike(runner, "killed", kills=3, seed=1)


@pytest.mark.slow
def test_many_kills_change_nothing(runner):
    for k in range(4):
        killed_runs_end_alike(runner, f"killed-{k}", kills=5, seed=100 + k)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupt_keeps_what_is_finished_and_leaves_no_orphan(runner, number):
    results = f"interrupted-{number.name}"
    process = runner.start(results)
    wait_for_records(runner, results, process, 1)
    workers = children(process.pid)
    begin = time.monotonic()
    process.send_signal(number)
    _, complained = process.communicate(timeout=30)

    assert time.monotonic() - begin < 5
    assert process.returncode == 130
    assert "what is finished is kept. To go on: python -m ablations run" in complained
    assert "Traceback" not in complained
    assert len(workers) >= 2, "the workers were not seen"
    assert gone(workers)
    assert runner.records(results)
    runner.finish(results)
    assert runner.tables(results) == runner.tables("whole")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_workers_do_not_outlive_a_parent_that_was_killed(runner):
    process = runner.start("orphans")
    wait_for_records(runner, "orphans", process, 1)
    workers = children(process.pid)
    process.kill()
    process.communicate(timeout=30)
    assert gone(workers)


@pytest.mark.slow
def test_two_runs_on_one_folder_train_each_stack_once(runner):
    both = [runner.start("shared", workers=1) for _ in range(2)]
    for process in both:
        _, complained = process.communicate(timeout=120)
        assert process.returncode == 0, complained
    assert runner.tables("shared") == runner.tables("whole")
    assert len(runner.records("shared")) == len(runner.records("whole"))
    assert not list((runner.folder / "shared").rglob("*.lock"))
    assert not list((runner.folder / "shared").rglob(".*-*")), "a temporary file was left"


@pytest.mark.slow
def test_a_lock_whose_holder_died_is_no_obstacle(runner):
    """The kernel frees the lock of a process that ends; the file that is left means nothing."""
    for record in runner.records("whole")[:3]:
        left = runner.folder / "stale" / record.relative_to(runner.folder / "whole")
        left.parent.mkdir(parents=True, exist_ok=True)
        left.with_suffix(".lock").write_text(str(os.getpid()))
    runner.finish("stale")
    assert runner.tables("stale") == runner.tables("whole")
