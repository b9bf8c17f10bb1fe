"""Timings of some studies' workloads: what is missing is timed, files are written whole.

The unit of resumption is the pass, one fresh process on one device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

from ablations.records import try_lock, unlock
from benchmarks.budgeting import RESERVE, Settings
from benchmarks.fresh import in_fresh_process
from benchmarks.neighbours import TIMING, TRAINING, activity, cores_of_others, held_locks
from benchmarks.passes import Job, Pass, Tell
from benchmarks.timing_files import (
    Timings,
    fingerprint_of,
    missing_passes,
    read_timings,
    write_timings,
)
from benchmarks.workloads import Plan

LOOK = 0.2  # seconds of a look at what others do before a pass
POLL = 1.0  # seconds between looks whether training has ended
RETRIES = 3  # of passes that were throttled (T12)


def time_missing(
    plan: Plan,
    settings: Settings,
    *,
    tell: Tell,
    start: Callable[[Job, Tell], Pass] = in_fresh_process,
    commandline: Sequence[str] = ("python", "-m", "benchmarks"),
) -> Timings:
    """Run every pass that is missing, and write the files after each.

    Passes share what is left of the budget. One during which training of ours has begun is
    thrown away and done again when that has ended; its time is not counted. One that was
    throttled is done again, three times in all, while others still get half its time.

    Raises:
        RecordError: the results folder cannot be written.
        TimingError: a process died or hung.
    """
    fingerprint = fingerprint_of(plan, settings)
    timings = read_timings(settings.results, fingerprint, tell)
    if not missing_passes(timings, settings):
        return timings
    with alone(settings.results, tell):
        timings = read_timings(settings.results, fingerprint, lambda line: None)
        end = monotonic() + settings.effort.budget - RESERVE
        retries = RETRIES
        while missing := missing_passes(timings, settings):
            end += wait_for_quiet(settings.results, tell, (TRAINING,))
            begun = monotonic()
            device, process = missing[0]
            stop = begun + (end - begun) / len(missing)
            tell(f"process {process + 1} of {settings.effort.processes} on {device}")
            workloads = tuple(w for w in plan.workloads if w.way.objection(device) is None)
            job = Job(
                device, process, workloads, settings.effort, settings.threads, stop, plan.always
            )
            done = _observed(job, tell, start)
            if held_locks(settings.results, (TRAINING,)):
                tell("training began meanwhile; this process is timed again after it")
                end += monotonic() - begun
                continue
            taken = monotonic() - begun
            if done.notes["throttled"] and retries and end - monotonic() > taken / 2 * len(missing):
                tell("the machine held this process back; it is timed again")
                retries -= 1
                continue
            timings.rows += done.rows
            timings.passes.append(done.notes)
            write_timings(timings, plan, settings, fingerprint, commandline)
    return timings


def _observed(job: Job, tell: Tell, start: Callable[[Job, Tell], Pass]) -> Pass:
    """Run one pass, and note what others did on the processor before and meanwhile."""
    first = activity()
    sleep(LOOK)
    before = activity()
    done = start(job, tell)
    after = activity()
    weather = {
        "seconds": round(after.wall - before.wall, 3),
        "others_before": cores_of_others(first, before),
        "others_during": cores_of_others(before, after),
        "load_average": round(os.getloadavg()[0], 2),
    }
    return replace(done, notes=done.notes | weather)


@contextmanager
def alone(results: Path, tell: Tell) -> Iterator[None]:
    """Hold the lock that says that something is being timed, taken once all is quiet."""
    lock = results / TIMING
    wait_for_quiet(results, tell)
    while (handle := try_lock(lock)) is None:
        wait_for_quiet(results, tell)
    try:
        yield
    finally:
        unlock(lock, handle)


def wait_for_quiet(
    results: Path, tell: Tell, patterns: Sequence[str] = (TRAINING, TIMING)
) -> float:
    """Wait until nobody trains or times in our folders; the seconds that it took."""
    start = monotonic()
    told = False
    while locks := held_locks(results, patterns):
        if not told:
            tell(f"waiting: something is trained or timed in {locks[0].parent}; Ctrl-C gives up")
            told = True
        sleep(POLL)
    return monotonic() - start if told else 0.0
