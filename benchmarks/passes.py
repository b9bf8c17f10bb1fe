"""One pass: a fresh process that times every workload on one device, alone on the machine.

What differs from process to process (memory layout, address randomisation) moves the
times of a whole process, so a workload is timed in several (METHODS.md T8, T10).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

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
from benchmarks.memory import peak_since, start_peak
from benchmarks.sampling import Effort, Meter, time_rounds
from benchmarks.steps import prepare
from benchmarks.throttling import (
    Throttling,
    gpu_clock_share,
    query_clocks,
    throttled_periods,
)
from benchmarks.ways import using_threads
from benchmarks.workloads import Workload

PROCESS_WARM_UP = 0.5  # seconds (T7)
LEAST_TIME = 8.0  # seconds of a pass, however long its process took to start
BLOCK = 8  # workloads that are warmed up in random order, the most important ones first

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What one fresh process is asked to time."""

    device: str
    process: int
    workloads: tuple[Workload, ...]
    effort: Effort
    threads: int
    end: float  # of `time.monotonic`, which all processes of a machine share
    always: int = 2  # so many of the first are timed however slow the machine: an A/A pair, claims


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
    periods: Callable[[], int | None] = throttled_periods,
) -> Pass:
    """Time every workload of a job in this process.

    Args:
        clock: reads and waits; by default that of the job's device.
        build: makes the call to be timed from a workload and its data.
        now: seconds, to keep within the job's time.
        tell: told now and then what is being done.
        periods: so far, in which a quota was used up.
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
        "unreached": [],
        "peak_memory": [],
    }
    shortest = shortest_sample(clock, overhead, job.effort.sample)
    tasks = _load(job)
    job = replace(job, end=max(job.end, now() + LEAST_TIME))
    meters = _warmed_up(
        job, clock, shortest, build, tasks=tasks, notes=notes, rng=rng, now=now, tell=tell
    )
    before = periods()
    end = max(job.end, now() + sum(meter.least_seconds(job.effort) for meter in meters.values()))
    time_rounds(
        list(meters.values()),
        clock,
        job.effort,
        rng=rng,
        has_time=lambda: now() < end,
        report=lambda round_, due: tell(f"round {round_ + 1}, {due} workloads open"),
    )
    notes |= _held_back(job, meters, before, periods())
    return _finished(job, clock, meters, notes)


def _held_back(
    job: Job, meters: Mapping[Workload, Meter], before: int | None, after: int | None
) -> dict[str, Any]:
    """What is noted of throttling."""
    meter = next(iter(meters.values()), None)
    share = None if meter is None else gpu_clock_share(job.device, meter.step, query_clocks)
    periods = None if before is None or after is None else after - before
    seen = Throttling(periods, share)
    return {"throttling": asdict(seen), "throttled": seen.is_throttled}


def _warmed_up(
    job: Job,
    clock: Clock,
    shortest: float,
    build: Callable[[Workload, Task], Step],
    *,
    tasks: Mapping[str, Task],
    notes: dict[str, Any],
    rng: np.random.Generator,
    now: Callable[[], float],
    tell: Tell,
) -> dict[Workload, Meter]:
    """Meters of the workloads that could be built and warmed up, in random order.

    One more is warmed up only while there is time for the fewest samples of those before it. On
    a machine that is slower than was planned the last ones, the least important, are not reached.
    """
    meters: dict[Workload, Meter] = {}
    began, promised = now(), 0.0  # seconds of the fewest samples of all so far
    for position, index in enumerate(warm_up_order(len(job.workloads), rng)):
        workload = job.workloads[index]
        tell(f"warm-up, {position} of {len(job.workloads)} workloads")
        each = (now() - began + promised) / max(len(meters), 1)  # what one more takes, about
        if index >= job.always and now() + promised + each >= job.end:
            notes["unreached"].append([workload.name, workload.mode])
            continue
        threads = workload.way.threads
        try:
            memory = start_peak(job.device)
            with using_threads(threads):
                step = build(workload, tasks[workload.task.name])
                if not meters:
                    _spin(step, PROCESS_WARM_UP, now)
                warm = warm_up(clock, step, shortest)
            peak = peak_since(job.device, memory)
            if peak is not None:
                notes["peak_memory"].append([workload.name, workload.mode, peak])
            if waits_for_device(job.device, step):
                notes["host_waits"].append([workload.name, workload.mode])
        except ClockError as error:
            _note_failure(notes, workload, str(error))
        except Exception as error:  # whatever a workload raises costs that workload alone
            _note_failure(notes, workload, f"{type(error).__name__}: {error}")
        else:
            group = (workload.group, workload.mode)
            meters[workload] = Meter(step, warm, shortest, group, workload.is_base, threads)
            promised += meters[workload].least_seconds(job.effort)
    return meters


def warm_up_order(count: int, rng: np.random.Generator) -> list[int]:
    """Random within blocks, the first block first."""
    blocks = [np.arange(count)[first : first + BLOCK] for first in range(0, count, BLOCK)]
    return [int(index) for block in blocks for index in rng.permutation(block)]


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
            "task": workload.group,
            **factors,
            "device": job.device,
            "mode": workload.mode,
            "threads": workload.way.threads or job.threads,
            "dtype": workload.way.dtype,
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
