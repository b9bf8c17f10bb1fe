"""One pass: a fresh process that times every workload on one device, alone on the machine.

What differs from process to process (memory layout, address randomisation) moves the
times of a whole process, so a workload is timed in several (METHODS.md T8, T10).
"""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from ablations.processor import settle_process
from ablations.streams import Streams
from ablations.tasks import Task, load_task
from benchmarks.clock import (
    Clock,
    ClockError,
    Step,
    clock_for,
    launch_overhead,
    shortest_sample,
    timer_overhead,
    waits_for_device,
    warm_up,
)
from benchmarks.sampling import Effort, Meter, time_rounds
from benchmarks.workloads import Workload, prepare

PROCESS_WARM_UP = 0.5  # seconds (T7)
REPORT_EVERY = 1.0  # seconds between two messages of a pass, so that they disturb little
GRACE = 60.0  # seconds beyond its time after which a pass counts as hanging
TRAINING = "*/records/*/*.lock"  # held in a results folder while a stack is trained
TIMING = "timings.lock"  # held while workloads are timed

Tell = Callable[[str], None]


class TimingError(RuntimeError):
    """A pass did not end by itself."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one fresh process is asked to time."""

    device: str
    process: int
    workloads: tuple[Workload, ...]
    effort: Effort
    threads: int
    end: float  # of `time.monotonic`, which all processes of a machine share


@dataclass(slots=True)
class Pass:
    """What one process has found: rows of timings.csv, and notes that can be written as JSON."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def run_pass(
    job: Job,
    *,
    clock: Clock | None = None,
    build: Callable[[Workload, Task], Step] = prepare,
    now: Callable[[], float] = time.monotonic,
    tell: Tell = lambda line: None,
) -> Pass:
    """Time every workload of a job in this process.

    Args:
        clock: reads and waits; by default that of the job's device.
        build: makes the call to be timed from a workload and its data.
        now: seconds, to keep within the job's time.
        tell: told now and then what is being done.
    """
    rng = np.random.default_rng([job.process])
    clock = clock or clock_for(job.device)
    overhead = timer_overhead(clock)
    notes: dict[str, Any] = {
        "device": job.device,
        "process": job.process,
        "timer_overhead": overhead,
        "launch_seconds": None if clock.kind == "cpu" else launch_overhead(clock, job.device),
        "host_waits": [],
        "failed": [],
    }
    shortest = shortest_sample(clock, overhead, job.effort.sample)
    meters = _warmed_up(job, clock, shortest, build, notes, rng=rng, now=now, tell=tell)
    time_rounds(
        list(meters.values()),
        clock,
        job.effort,
        rng=rng,
        has_time=lambda: now() < job.end,
        report=lambda round_, due: tell(f"round {round_ + 1}, {due} workloads open"),
    )
    return _finished(job, clock, meters, notes)


def _warmed_up(
    job: Job,
    clock: Clock,
    shortest: float,
    build: Callable[[Workload, Task], Step],
    notes: dict[str, Any],
    *,
    rng: np.random.Generator,
    now: Callable[[], float],
    tell: Tell,
) -> dict[Workload, Meter]:
    """Meters of the workloads that could be built and warmed up, in random order."""
    tasks = _load(job)
    meters: dict[Workload, Meter] = {}
    for position, index in enumerate(rng.permutation(len(job.workloads))):
        workload = job.workloads[index]
        tell(f"warm-up, {position} of {len(job.workloads)} workloads")
        if now() >= job.end:
            _note_failure(notes, workload, "no time was left to warm it up; give a larger budget")
            continue
        try:
            step = build(workload, tasks[workload.task.name])
            if not meters:
                _spin(step, PROCESS_WARM_UP, now)
            warm = warm_up(clock, step, shortest)
            if waits_for_device(job.device, step):
                notes["host_waits"].append([workload.name, workload.mode])
        except ClockError as error:
            _note_failure(notes, workload, str(error))
        except Exception as error:  # whatever a workload raises costs that workload alone
            _note_failure(notes, workload, f"{type(error).__name__}: {error}")
        else:
            group = (workload.task.name, workload.mode)
            meters[workload] = Meter(step, warm, shortest, group, workload.is_base)
    return meters


def _load(job: Job) -> dict[str, Task]:
    """The data of every task, on the device."""
    first = {w.task.name: w for w in reversed(job.workloads)}
    return {
        name: load_task(w.task, [0], streams=Streams(w.study_seed, name), device=job.device)
        for name, w in first.items()
    }


def _spin(step: Step, seconds: float, now: Callable[[], float]) -> None:
    """Run a step over and over, so that the processor leaves its idle state."""
    end = now() + seconds
    while now() < end:
        step()


def _note_failure(notes: dict[str, Any], workload: Workload, reason: str) -> None:
    notes["failed"].append({"workload": workload.name, "mode": workload.mode, "reason": reason})


def _finished(
    job: Job, clock: Clock, meters: Mapping[Workload, Meter], notes: dict[str, Any]
) -> Pass:
    ordered = [(w, meters[w]) for w in job.workloads if w in meters]
    for workload, meter in ordered:
        if meter.is_given_up:
            reason = f"{meter.backwards} readings went backwards, {meter.in_flight} did not wait"
            _note_failure(notes, workload, reason)
    notes["unsteady"] = [
        [w.name, w.mode] for w, meter in ordered if not meter.warm.is_steady(clock.kind)
    ]
    notes["discarded"] = {
        "backwards": sum(meter.backwards for _, meter in ordered),
        "in_flight": sum(meter.in_flight for _, meter in ordered),
    }
    notes["device_share"] = _device_share(meter for _, meter in ordered)
    notes["rounds"] = max((s.round + 1 for _, m in ordered for s in m.samples), default=0)
    rows = [
        {
            "workload": workload.name,
            "task": workload.task.name,
            **factors,
            "device": job.device,
            "mode": workload.mode,
            "threads": job.threads,
            "dtype": "float32",
            "process": job.process,
            "round": sample.round,
            "order": sample.order,
            "iterations": sample.iterations,
            "seconds": sample.seconds,
        }
        for workload, meter in ordered
        for factors in [workload.factors]
        for sample in meter.samples
    ]
    return Pass(rows, notes)


def _device_share(meters: Iterable[Meter]) -> float | None:
    """Seconds between events in the device's stream over wall seconds: the median of samples.

    What timings.csv holds is wall time; a share well below 1 would be a fault of the clock.
    """
    shares = [
        sample.device_seconds / sample.seconds
        for meter in meters
        for sample in meter.samples
        if sample.device_seconds is not None
    ]
    return median(shares) if shares else None


def in_fresh_process(job: Job, tell: Tell) -> Pass:
    """Run a job in a process of its own, which dies with this one.

    Raises:
        TimingError: it died, or hung for a minute beyond its time.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, job), name="timing", daemon=True)
    resource_tracker.ensure_running()  # its own start would lift the mask
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()  # inherits the mask: a Ctrl-C is the parent's alone
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    theirs.close()
    try:
        while ours.poll(max(0.0, job.end + GRACE - time.monotonic())):
            message = ours.recv()
            if isinstance(message, Pass):
                return message
            tell(message)
    except EOFError:
        process.join(5)
        raise TimingError(
            f"the timing process on {job.device} ended with exit code {process.exitcode}; what "
            "earlier ones have timed is kept"
        ) from None
    finally:
        process.kill()
        process.join()
        ours.close()
    raise TimingError(
        f"the timing process on {job.device} hung for {GRACE:.0f} s beyond its time; what earlier "
        "ones have timed is kept"
    )


def _child(connection: Connection, job: Job) -> None:
    """The life of the process: settle, time, answer. It ends when nobody listens."""
    settle_process(job.threads)
    if job.device != "cpu":  # events are made on the current device
        torch.accelerator.set_device_index(torch.device(job.device).index or 0)
    torch.set_flush_denormal(True)  # as in training: vanishing gradients would slow everything
    gc.collect()
    gc.freeze()  # what the imports left need not be searched again
    last = time.monotonic()

    def tell(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= REPORT_EVERY:
            last = time.monotonic()
            connection.send(line)

    try:
        connection.send(run_pass(job, tell=tell))
    except BrokenPipeError:
        return


@dataclass(frozen=True, slots=True)
class Activity:
    """Seconds of processor time at one moment, counted from some moment in the past."""

    wall: float
    everyone: float | None  # all cores together; None where the system does not say
    ours: float  # this process and its finished children


def activity() -> Activity:
    """Who has used the processor so far."""
    spent = os.times()
    ours = spent.user + spent.system + spent.children_user + spent.children_system
    return Activity(time.monotonic(), _everyone(), ours)


def _everyone() -> float | None:
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    ticks = [int(field) for field in first[1:9]]  # user nice system idle iowait irq softirq steal
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def cores_of_others(before: Activity, after: Activity) -> float:
    """How many cores others kept busy between two moments.

    Where the system does not say, the load average stands in, which lags by a minute.
    """
    if before.everyone is None or after.everyone is None:
        return round(os.getloadavg()[0], 2)
    others = (after.everyone - before.everyone) - (after.ours - before.ours)
    return round(max(0.0, others / (after.wall - before.wall)), 2)


def held_locks(results: Path, patterns: Sequence[str] = (TRAINING, TIMING)) -> list[Path]:
    """Locks that a process holds: someone trains or times, in this folder or below results/."""
    folders = {results.resolve(), *(path.resolve() for path in Path("results").glob("*"))}
    locks = [
        lock
        for folder in sorted(folders)
        for pattern in patterns
        for lock in sorted(folder.glob(pattern))
    ]
    return [lock for lock in locks if _is_held(lock)]


def _is_held(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDONLY)
    except OSError:  # its holder has just removed it
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
