"""A job that raises, dies, hangs or does not fit costs its own trials and nothing else."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from conftest import stack_of

from ablations import workers
from ablations.outcome import Outcome
from ablations.training import train
from ablations.workers import (
    Here,
    Job,
    Processes,
    failed_row,
    is_out_of_memory,
    train_within_memory,
)

SMALL = {"points": 8, "validation_points": 8, "test_points": 8}


def small_stack(**changes):
    """A stack that trains in milliseconds."""
    settings = {"seeds": (0, 1, 2), "steps": 3, "width": 4, "settings": SMALL, **changes}
    return stack_of(**settings)


class Saboteur:
    """Stands for a stack; the worker that unpickles it calls a function instead."""

    study = "tests"

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def job_of(stack, *, limit=60.0, key="k"):
    members = getattr(stack, "members", ())
    return Job(key, stack, members, "cpu", limit)


def results_of(pool, jobs):
    """Every job's result, in the order of the jobs."""
    waiting, found = list(jobs), {}
    end = time.monotonic() + 60
    while len(found) < len(jobs) and time.monotonic() < end:
        while waiting and pool.room():
            pool.submit(waiting.pop(0))
        for result in pool.results(0.2):
            found[result.job.key] = result
    return [found[job.key] for job in jobs]


@pytest.fixture(scope="module")
def pool():
    """Two worker processes; those that a test kills are replaced by the pool."""
    processes = Processes(2)
    yield processes
    processes.close()


def is_running(pid):
    """Whether a process lives; one that is only waiting to be reaped does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # no /proc here
        return True
    return state not in "ZX"


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_pool_without_processes_runs_one_job_at_a_time():
    here, stack = Here(), small_stack()
    assert here.room()
    assert not here.busy()

    here.submit(job_of(stack))

    assert not here.room()
    assert here.busy()
    (result,) = here.results(0)
    assert asdict(result.outcome) == asdict(train(stack))
    assert (result.status, result.worker) == ("finished", 0)
    assert result.seconds > 0
    assert here.room()


def test_a_pool_without_a_job_waits_instead_of_spinning():
    start = time.perf_counter()
    assert Here().results(0.05) == []
    assert time.perf_counter() - start >= 0.05


def test_what_a_trial_raises_becomes_its_status():
    here = Here()
    here.submit(job_of(small_stack(train_size=100)))
    (result,) = here.results(0)
    assert (result.outcome, result.status) == (None, "failed")
    assert result.message == (
        "TaskError: train_size 100 is more than the 24 training examples of 'spiral'"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_no_record_can_hold_fails_its_job_only(monkeypatch, value):
    monkeypatch.setattr(workers, "train", lambda *_, **__: Outcome(curves=[{"loss": value}]))
    here = Here()
    here.submit(job_of(small_stack()))
    (result,) = here.results(0)
    assert (result.outcome, result.status) == (None, "failed")
    assert "not JSON compliant" in result.message


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
]


def limited_train(capacity, error, asked):
    """A `train` that fits only so many trials."""

    def train_few(stack, members, *, device):
        asked.append(len(members))
        if len(members) > capacity:
            raise error
        return train(stack, members, device=device)

    return train_few


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_a_stack_that_does_not_fit_is_trained_in_parts_with_the_same_numbers(monkeypatch, error):
    stack, asked = small_stack(seeds=range(5)), []
    monkeypatch.setattr(workers, "train", limited_train(2, error, asked))

    outcome = train_within_memory(job_of(stack))

    assert asked == [5, 2, 3, 1, 2]
    assert asdict(outcome) == asdict(train(stack))


def test_memory_of_a_gpu_is_given_back_before_the_halves_are_tried(monkeypatch):
    """What a failed stack held ends first; a GPU that refuses is no reason to give up."""
    stack, done = small_stack(), []

    def train_few(stack, members, *, device):
        done.append(len(members))
        if len(members) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train(stack, members)

    def refuse():
        done.append("empty")
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    monkeypatch.setattr(workers, "train", train_few)
    monkeypatch.setattr(workers.gc, "collect", lambda: done.append("collect"))
    monkeypatch.setattr(torch.cuda, "empty_cache", refuse)
    outcome = train_within_memory(replace(job_of(stack), device="cuda"))
    assert done == [3, "collect", "empty", 1, 2]
    assert [row["status"] for row in outcome.rows] == ["finished"] * 3


def test_a_trial_that_does_not_fit_alone_is_out_of_memory_and_the_others_finish(monkeypatch):
    stack = small_stack()

    def refuse_the_second(stack, members, *, device):
        if any(member.seed == 1 for member in members):
            raise MemoryError
        return train(stack, members, device=device)

    monkeypatch.setattr(workers, "train", refuse_the_second)
    outcome = train_within_memory(job_of(stack))

    assert [row["status"] for row in outcome.rows] == ["finished", "out_of_memory", "finished"]
    assert outcome.rows[1] == failed_row(
        stack.members[1], "out_of_memory", "does not fit in memory"
    )


def test_memory_that_torch_cannot_get_is_recognised():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**50)
    assert is_out_of_memory(error.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))
    asked = []
    monkeypatch.setattr(workers, "train", limited_train(0, RuntimeError("shapes"), asked))
    with pytest.raises(RuntimeError, match="shapes"):
        train_within_memory(job_of(small_stack()))
    assert asked == [3]


def test_worker_processes_compute_what_this_one_does(pool):
    stacks = [small_stack(activation=name) for name in ("relu", "tanh", "gelu", "sigmoid")]
    results = results_of(pool, [job_of(stack, key=f"k{n}") for n, stack in enumerate(stacks)])
    for stack, result in zip(stacks, results, strict=True):
        assert asdict(result.outcome) == asdict(train(stack))
        assert result.worker in (0, 1)
        assert 0 < result.seconds < 60


def test_a_job_that_raises_leaves_its_worker_alive(pool):
    pids = {worker.process.pid for worker in pool._workers}
    (result,) = results_of(pool, [job_of(small_stack(train_size=100))])
    assert (result.status, result.outcome) == ("failed", None)
    assert result.message.startswith("TaskError: train_size 100 is more than")
    assert {worker.process.pid for worker in pool._workers} == pids


def test_a_worker_that_dies_fails_its_job_and_is_replaced(pool):
    jobs = {
        "aborts": Saboteur(os.abort),
        "is killed": Saboteur(signal.raise_signal, signal.SIGKILL),
        "exits": Saboteur(os._exit, 3),
        "cannot read its job": Saboteur(int, "no number"),
    }
    results = results_of(pool, [job_of(stack, key=key) for key, stack in jobs.items()])

    assert [(result.status, result.outcome) for result in results] == [("failed", None)] * 4
    assert [result.message for result in results] == [
        "its process was ended by SIGABRT",
        "its process was ended by SIGKILL, out of memory?",
        "its process ended with exit code 3",
        "its process ended with exit code 1",
    ]
    assert all(result.seconds >= 0 for result in results)
    (after,) = results_of(pool, [job_of(small_stack())])
    assert after.status == "finished"


def test_a_worker_that_hangs_is_killed_with_its_children(pool, tmp_path):
    note = tmp_path / "pid"
    child = Saboteur(subprocess.call, ["sh", "-c", f"echo $$ > {note}; exec sleep 600"])

    (result,) = results_of(pool, [job_of(child, limit=0.5)])

    assert (result.status, result.outcome) == ("timed_out", None)
    assert result.message == "took longer than 0.5 s"
    assert 0.5 < result.seconds < 30
    assert wait_until(lambda: not is_running(int(note.read_text())))


def test_the_limit_of_a_job_does_not_count_the_start_of_its_worker(pool):
    """A worker that was just replaced needs seconds to import torch."""
    results_of(pool, [job_of(Saboteur(os._exit, 0))])
    (result,) = results_of(pool, [job_of(small_stack(), limit=0.5)])
    assert result.status == "finished"


def test_a_worker_that_died_while_idle_costs_one_job(pool):
    results_of(pool, [job_of(small_stack())])
    idle = pool._workers[0]
    os.kill(idle.process.pid, signal.SIGKILL)
    idle.process.join(10)
    jobs = [job_of(small_stack(), key=f"k{n}") for n in range(3)]
    results = results_of(pool, jobs)
    assert sorted(result.status for result in results) == ["failed", "finished", "finished"]


def test_a_clock_that_is_set_back_changes_no_duration(monkeypatch):
    """Durations come from a clock that cannot be set."""
    monkeypatch.setattr(time, "time", iter(range(10**6, 0, -1)).__next__)
    here = Here()
    here.submit(job_of(small_stack()))
    (result,) = here.results(0)
    assert 0 < result.seconds < 60


def test_closing_ends_every_worker():
    """Also one that has a job, and one that is still importing torch."""
    processes = Processes(2)
    pids = [worker.process.pid for worker in processes._workers]
    processes.submit(job_of(Saboteur(time.sleep, 600)))
    assert all(map(is_running, pids))
    processes.close()
    assert wait_until(lambda: not any(map(is_running, pids)), 5)


def test_workers_leave_when_their_parent_is_killed(tmp_path):
    """No orphan trains on behind the back of someone who pressed kill -9."""
    code = (
        "import signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from ablations.workers import Processes\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(2)\n"
        "    print(*[worker.process.pid for worker in pool._workers], flush=True)\n"
        "    signal.pause()\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    root = Path(workers.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, str(script), str(root)], stdout=subprocess.PIPE, text=True
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert wait_until(lambda: all(map(is_running, pids)))
        parent.kill()
    assert wait_until(lambda: not any(map(is_running, pids)), 20)
