"""Processes that train stacks, each watched: one that dies or hangs costs its job alone."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from ablations.compiled import prepare
from ablations.outcome import Outcome, Status
from ablations.processor import settle_process
from ablations.records import canonical_json
from ablations.stacking import Member, Stack
from ablations.training import train

ORPHAN_CHECK = 0.5  # seconds between a worker's looks whether its parent still lives
START_LIMIT = 120.0  # seconds a worker may take to import and compile, before its job counts
READY = "ready"  # a worker's first word


@dataclass(frozen=True, slots=True)
class Job:
    """A stack, or one of its trials, to be trained."""

    key: str
    stack: Stack
    members: tuple[Member, ...]
    device: str
    limit: float  # seconds until it counts as hanging
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended: with an outcome, or with the reason why there is none."""

    job: Job
    outcome: Outcome | None
    status: Status
    message: str
    seconds: float
    worker: int


class Pool(Protocol):
    """Where jobs go and results come from."""

    def room(self) -> bool:
        """Whether a job can be submitted now."""

    def busy(self) -> bool:
        """Whether a result is still to come."""

    def submit(self, job: Job) -> None:
        """Start a job."""

    def results(self, timeout: float) -> list[Result]:
        """Wait for results; empty when none came in time."""

    def close(self) -> None:
        """Stop everything at once."""


def train_within_memory(job: Job) -> Outcome:
    """Train a job, in halves if it does not fit in memory.

    A trial that does not fit alone becomes a row with status `out_of_memory`.
    """
    return _train(job, job.members)


def _train(job: Job, members: Sequence[Member]) -> Outcome:
    try:
        return train(job.stack, members, device=job.device)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    if job.device != "cpu":
        gc.collect()  # what the failure held
        with suppress(RuntimeError):  # after a capture that failed torch may refuse
            torch.cuda.empty_cache()
    if len(members) == 1:
        return Outcome(rows=[failed_row(members[0], "out_of_memory", "does not fit in memory")])
    half = len(members) // 2
    outcome = _train(job, members[:half])
    outcome.extend(_train(job, members[half:]))
    return outcome


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the CPU or on a GPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def failed_row(member: Member, status: Status, message: str) -> dict[str, Any]:
    """The row of a trial that did not end by itself."""
    return {
        "trial": member.name,
        "seed": member.seed,
        "learning_rate": member.learning_rate,
        "status": status,
        "message": message,
    }


class Here:
    """A pool without processes: jobs run one after the other in this one."""

    def __init__(self, device: str = "cpu") -> None:
        self._job: Job | None = None
        settle_process()
        if device == "cpu":
            prepare()

    def room(self) -> bool:
        """Whether no job waits."""
        return self._job is None

    def busy(self) -> bool:
        """Whether a job waits to be run by `results`."""
        return self._job is not None

    def submit(self, job: Job) -> None:
        """Keep the job until `results` runs it."""
        self._job = job

    def results(self, timeout: float) -> list[Result]:
        """Run the job to its end."""
        job, self._job = self._job, None
        if job is None:
            time.sleep(timeout)
            return []
        return [_answer(job, worker=0)]

    def close(self) -> None:
        """Nothing to stop."""


def _answer(job: Job, worker: int) -> Result:
    start = time.perf_counter()
    try:
        outcome = train_within_memory(job)
        canonical_json(outcome.sealed())  # what no record can hold costs its trial, not the run
    except Exception as error:  # whatever a trial raises becomes its status
        message = f"{type(error).__name__}: {error}"
        return Result(job, None, "failed", message, time.perf_counter() - start, worker)
    return Result(job, outcome, "finished", "", time.perf_counter() - start, worker)


def _work(connection: Connection, number: int, parent: int, device: str) -> None:
    """The life of a worker: jobs in, results out, until the parent hangs up."""
    os.setsid()  # a group of its own: Ctrl-C reaches only the parent, a kill reaches children
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    settle_process()
    if device == "cpu":
        prepare()
    with suppress(EOFError, OSError):  # the parent has hung up, perhaps amid an answer
        connection.send(READY)
        while True:
            connection.send(_answer(connection.recv(), number))


def _leave_with(parent: int) -> None:
    """End this process when the one that started it has died."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK)
    os._exit(1)


@dataclass(slots=True)
class _Worker:
    number: int
    process: BaseProcess
    connection: Connection
    job: Job | None = None
    since: float = 0.0
    ready: bool = False

    def left(self, now: float) -> float:
        """Seconds until its job counts as hanging; it starts when the worker is ready."""
        assert self.job is not None
        limit = self.job.limit if self.ready else max(self.job.limit, START_LIMIT)
        return self.since + limit - now


class Processes:
    """A pool of worker processes, one thread each.

    A worker that dies gives a result with status `failed`, one that exceeds its job's
    limit is killed, children included, and gives `timed_out`; both are replaced.
    """

    def __init__(self, count: int, device: str = "cpu") -> None:
        os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
        self._device = device
        self._context = multiprocessing.get_context("spawn")
        self._workers = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work,
            args=(theirs, number, os.getpid(), self._device),
            name=f"ablations-{number}",
            daemon=True,
        )
        resource_tracker.ensure_running()  # its own start would lift the mask
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()  # inherits the mask: a Ctrl-C is the parent's alone from the start
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        return _Worker(number, process, ours)

    def room(self) -> bool:
        """Whether a worker is idle."""
        return any(worker.job is None for worker in self._workers)

    def busy(self) -> bool:
        """Whether a worker has a job."""
        return any(worker.job is not None for worker in self._workers)

    def submit(self, job: Job) -> None:
        """Give the job to an idle worker."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job, worker.since = job, time.monotonic()
        with suppress(OSError):  # it died while idle; `results` sees that and answers for it
            worker.connection.send(job)

    def results(self, timeout: float) -> list[Result]:
        """Wait until a worker answers, dies or exceeds its limit."""
        working = [worker for worker in self._workers if worker.job is not None]
        if not working:
            time.sleep(timeout)
            return []
        now = time.monotonic()
        left = min(worker.left(now) for worker in working)
        handles = [w.connection for w in working] + [w.process.sentinel for w in working]
        ready = set(wait(handles, timeout=max(0.0, min(timeout, left))))
        results = [self._result(w, ready) for w in working]
        return [result for result in results if result is not None]

    def _result(self, worker: _Worker, ready: set[Any]) -> Result | None:
        job, now = worker.job, time.monotonic()
        assert job is not None
        seconds = now - worker.since
        if worker.connection in ready:
            try:
                answer: Result | str = worker.connection.recv()
            except (EOFError, OSError):
                return self._replace(worker, job, "failed", self._cause(worker), seconds)
            if isinstance(answer, str):
                worker.ready, worker.since = True, now
                return None
            worker.job = None
            return answer
        if worker.process.sentinel in ready:
            return self._replace(worker, job, "failed", self._cause(worker), seconds)
        if worker.left(now) < 0:
            message = f"took longer than {job.limit:g} s"
            return self._replace(worker, job, "timed_out", message, seconds)
        return None

    def _cause(self, worker: _Worker) -> str:
        worker.process.join(1)
        code = worker.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", out of memory?" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        return f"its process ended with exit code {code}"

    def _replace(
        self, worker: _Worker, job: Job, status: Status, message: str, seconds: float
    ) -> Result:
        _kill(worker)
        self._workers[self._workers.index(worker)] = self._start(worker.number)
        return Result(job, None, status, message, seconds, worker.number)

    def close(self) -> None:
        """Kill every worker and whatever it has started."""
        for worker in self._workers:
            _kill(worker)


def _kill(worker: _Worker) -> None:
    worker.connection.close()
    pid = worker.process.pid
    if pid is not None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            worker.process.kill()  # it has not yet made a group of its own
    worker.process.join(5)
