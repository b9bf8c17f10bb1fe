"""Timings of some studies' workloads: what is missing is timed, files are written whole.

`timings.csv` holds raw samples, `timings.json` beside it what is to be known about them:
what was left out by which rule, flags, and how each pass went. The unit of resumption is
the pass, one fresh process on one device. Passes are kept as long as the fingerprint of
code, versions, machine and workloads is the same, and timings.csv is as it was written.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np

from ablations.design import Study
from ablations.levels import FACTORS
from ablations.provenance import code_hash, machine
from ablations.records import canonical_json, try_lock, unlock, write_atomically, write_csv
from benchmarks.clock import LEAST_ITERATIONS, LEAST_WARM_UP
from benchmarks.passes import (
    PROCESS_WARM_UP,
    TIMING,
    TRAINING,
    Job,
    Pass,
    Tell,
    activity,
    cores_of_others,
    held_locks,
    in_fresh_process,
)
from benchmarks.reliability import FLAGS, LEAST_SAMPLES, LEAST_SECONDS, Samples, flags
from benchmarks.sampling import Effort
from benchmarks.workloads import LeftOut, Plan, Workload, predicted_seconds, workloads_of

SCHEMA = 1
TIMINGS = [
    "workload", "task", *FACTORS, "device", "mode", "threads", "dtype", "process", "round",
    "order", "iterations", "seconds",
]  # fmt: skip
START_UP = {"cpu": 4.0, "accelerator": 6.0}  # seconds until a process times, planned
RESERVE = 4.0  # seconds of the budget for imports, writing files and the last words
UNTIMED = 1.5  # wall seconds per timed second: the untimed call before each sample, the rest
BUSY = 0.5  # cores that others keep busy, from which a pass counts as disturbed
LOOK = 0.2  # seconds of a look at what others do before a pass
POLL = 1.0  # seconds between looks whether training has ended
RULE = (
    "Workloads are taken in order of importance (the base network of each task family, timed "
    "twice, then task by task the training step and the inference of each level of each factor), "
    "each if it still fits into {budget:g} s at its least: {samples} samples and {seconds} s of "
    "them in all, after a warm-up in each of {processes} fresh processes per device."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to time, from the command line."""

    results: Path
    devices: tuple[str, ...]
    profile: str
    effort: Effort
    threads: int = 1


@dataclass(slots=True)
class Timings:
    """What the files hold: rows of timings.csv, and one note per pass."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    passes: list[dict[str, Any]] = field(default_factory=list)

    def has(self, device: str, process: int) -> bool:
        """Whether a pass is done."""
        return any(p["device"] == device and p["process"] == process for p in self.passes)


def plan_timings(studies: Sequence[Study], settings: Settings) -> Plan:
    """Take workloads in order of importance, each if it still fits the budget."""
    effort = settings.effort
    candidates = workloads_of(studies)
    start_ups = sum(START_UP[_kind(device)] + PROCESS_WARM_UP for device in settings.devices)
    seconds = effort.budget - RESERVE - effort.processes * start_ups
    chosen: list[Workload] = []
    left_out = list(candidates.left_out)
    for workload in candidates.workloads:
        needed = sum(_least_seconds(workload, effort, device) for device in settings.devices)
        if needed > seconds and len(chosen) >= 2:  # one A/A pair is always timed
            reason = f"it does not fit into the budget of {effort.budget:g} s"
            left_out.append(LeftOut(workload.name, workload.mode, reason))
            continue
        seconds -= needed
        chosen.append(workload)
    rule = RULE.format(
        budget=effort.budget,
        samples=LEAST_SAMPLES,
        seconds=LEAST_SECONDS,
        processes=effort.processes,
    )
    return replace(candidates, workloads=tuple(chosen), left_out=tuple(left_out), rule=rule)


def _kind(device: str) -> str:
    return "cpu" if device == "cpu" else "accelerator"


def _least_seconds(workload: Workload, effort: Effort, device: str) -> float:
    """Wall time of the fewest samples that a workload may have, over all processes."""
    call = predicted_seconds(workload)
    warm = max(LEAST_WARM_UP[_kind(device)], LEAST_ITERATIONS * call)
    sampled = max(LEAST_SECONDS, LEAST_SAMPLES * max(call, effort.sample))
    return effort.processes * warm + UNTIMED * sampled


def fingerprint_of(plan: Plan, settings: Settings) -> str:
    """A hash of everything that can change the timings, but for the weather."""
    here = machine(settings.devices[-1], settings.threads)
    content = {
        "schema": SCHEMA,
        "profile": settings.profile,
        "effort": asdict(settings.effort),
        "devices": settings.devices,
        "threads": settings.threads,
        "workloads": [
            [w.name, w.mode, w.cell.resolved(), w.task.identity(), w.study_seed]
            for w in plan.workloads
        ],
        "code": [code_hash(), _own_hash()],
        "machine": [here[key] for key in ("python", "torch", "platform", "cpu", "cores", "gpu")],
    }
    return sha256(canonical_json(content).encode()).hexdigest()[:24]


def _own_hash() -> str:
    digest = sha256()
    for name in ("clock", "passes", "sampling", "workloads"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def read_timings(folder: Path, fingerprint: str, tell: Tell) -> Timings:
    """What is there and still holds; empty, with the reason told, when it does not."""
    try:
        notes = json.loads((folder / "timings.json").read_text(encoding="utf-8"))
        content = (folder / "timings.csv").read_bytes()
        known, seal, passes = (notes[key] for key in ("fingerprint", "sha256", "passes"))
    except FileNotFoundError:
        return Timings()
    except (OSError, ValueError, KeyError, TypeError):
        tell("timings.json cannot be read; everything is timed again")
        return Timings()
    if known != fingerprint:
        tell("code, versions, machine or workloads have changed; everything is timed again")
        return Timings()
    if sha256(content).hexdigest() != seal:
        tell("timings.csv is not as it was written; everything is timed again")
        return Timings()
    return Timings(list(csv.DictReader(io.StringIO(content.decode(), newline=""))), passes)


def write_timings(
    timings: Timings, plan: Plan, settings: Settings, fingerprint: str, commandline: Sequence[str]
) -> None:
    """Write timings.csv, then timings.json, which says what timings.csv must be."""
    path = settings.results / "timings.csv"
    write_csv(path, TIMINGS, timings.rows)
    here = machine(settings.devices[-1], settings.threads)
    content = {
        "schema": SCHEMA,
        "fingerprint": fingerprint,
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "profile": settings.profile,
        "complete": not missing_passes(timings, settings),
        "effort": asdict(settings.effort),
        "devices": settings.devices,
        "time": "wall seconds of all iterations, the device waited for at both ends; hot caches",
        "rule": plan.rule,
        "left_out": [asdict(left) for left in plan.left_out],
        "same_as": [asdict(same) for same in plan.same_as],
        "flags": flags_of(timings),
        "meaning_of_flags": FLAGS,
        "passes": timings.passes,
        "machine": here
        | {
            "command": shlex.join(commandline),
            "governor": _governor(),
            "gpu_state": None if here["gpu"] is None else _gpu_state(),
        },
    }
    write_atomically(
        settings.results / "timings.json", json.dumps(content, indent=1, allow_nan=False) + "\n"
    )
    if not (settings.results / "machine.json").exists():
        write_atomically(
            settings.results / "machine.json", json.dumps(content["machine"], indent=1) + "\n"
        )


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _gpu_state() -> str | None:
    """Driver, clocks and power limit, as the driver's own tool says them (T16)."""
    fields = "driver_version,clocks.sm,clocks.max.sm,power.limit,temperature.gpu"
    try:
        return subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def missing_passes(timings: Timings, settings: Settings) -> list[tuple[str, int]]:
    """Device and number of each process that is still to be started, in their order."""
    return [
        (device, process)
        for process in range(settings.effort.processes)
        for device in settings.devices
        if not timings.has(device, process)
    ]


Series = dict[tuple[str, str, str], Samples]  # by device, mode and workload


def series_of(rows: Sequence[Mapping[str, Any]]) -> Series:
    """The samples of each workload, in the order of its processes and rounds."""
    grouped: dict[tuple[str, str, str], list[tuple[int, int, int, float]]] = {}
    for row in rows:
        key = (row["device"], row["mode"], row["workload"])
        numbers = (int(row["process"]), int(row["round"]), int(row["iterations"]))
        grouped.setdefault(key, []).append((*numbers, float(row["seconds"])))
    series = {}
    for key, samples in grouped.items():
        process, round_, iterations, seconds = (
            np.array(column) for column in zip(*sorted(samples), strict=True)
        )
        series[key] = Samples(process, round_, seconds / iterations, seconds)
    return series


def flags_of(timings: Timings) -> list[dict[str, Any]]:
    """The flags of every workload that has some."""
    found = []
    for (device, mode, name), samples in series_of(timings.rows).items():
        passes = [p for p in timings.passes if p["device"] == device]
        launches = [p["launch_seconds"] for p in passes if p["launch_seconds"] is not None]
        raised = flags(
            samples,
            unsteady=[[name, mode] in p["unsteady"] for p in passes],
            launch_seconds=min(launches, default=None),
            host_waits=any([name, mode] in p["host_waits"] for p in passes),
            busy=any(max(p["others_before"], p["others_during"]) >= BUSY for p in passes),
        )
        if raised:
            found.append({"workload": name, "device": device, "mode": mode, "flags": raised})
    return found


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
    thrown away and done again when that has ended; its time is not counted.

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
        while missing := missing_passes(timings, settings):
            end += wait_for_quiet(settings.results, tell, (TRAINING,))
            begun = monotonic()
            device, process = missing[0]
            stop = begun + (end - begun) / len(missing)
            tell(f"process {process + 1} of {settings.effort.processes} on {device}")
            job = Job(device, process, plan.workloads, settings.effort, settings.threads, stop)
            done = _observed(job, tell, start)
            if held_locks(settings.results, (TRAINING,)):
                tell("training began meanwhile; this process is timed again after it")
                end += monotonic() - begun
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
