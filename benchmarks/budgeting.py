"""Which workloads fit a budget: taken in order of importance, each at its least."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablations.design import Study
from benchmarks.catalogue import Place, workloads_of
from benchmarks.clock import LEAST_ITERATIONS, LEAST_WARM_UP
from benchmarks.passes import PROCESS_WARM_UP
from benchmarks.predictions import predicted_seconds, set_up_seconds
from benchmarks.reliability import LEAST_SAMPLES, LEAST_SECONDS
from benchmarks.sampling import UNTIMED, Effort
from benchmarks.workloads import LeftOut, Plan, Workload

START_UP = {"cpu": 4.0, "accelerator": 6.0}  # seconds until a process times, planned
RESERVE = 4.0  # seconds of the budget for imports, writing files and the last words
FILLED = 0.85  # of the budget at most, so that noisy workloads have time beyond their least
COMPILING = ("full",)  # profiles with time for `torch.compile`
RULE = (
    "Workloads are taken in order of importance (what claims about time compare, which is always "
    "timed; the base network of each task family, timed twice; the first one's other ways to run "
    "and its epochs; task by task the training step and the inference of each level of each "
    "factor, and of depths, widths and minibatches beyond; each optimizer's update and each "
    "activation alone; the other families' sizes, ways and epochs; compiled networks), each if it "
    "still fits into {budget:g} s at its least: {samples} samples and {seconds} s of them in all, "
    "after a warm-up in each of {processes} fresh processes per device."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to time, from the command line."""

    results: Path
    devices: tuple[str, ...]
    profile: str
    effort: Effort
    threads: int = 1


def plan_timings(studies: Sequence[Study], settings: Settings) -> Plan:
    """Take workloads in order of importance, each if it still fits the budget."""
    effort = settings.effort
    place = Place(settings.devices, visible_cores(), settings.profile in COMPILING)
    candidates = workloads_of(studies, place)
    start_ups = sum(START_UP[_kind(device)] + PROCESS_WARM_UP for device in settings.devices)
    seconds = FILLED * (effort.budget - RESERVE - effort.processes * start_ups)
    chosen: list[Workload] = []
    left_out = list(candidates.left_out)
    for workload in candidates.workloads:
        devices = [d for d in settings.devices if workload.way.objection(d) is None]
        needed = sum(least_seconds(workload, effort, device) for device in devices)
        if needed > seconds and len(chosen) >= candidates.always:
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


def least_seconds(workload: Workload, effort: Effort, device: str) -> float:
    """Wall time of the fewest samples that a workload may have, over all processes."""
    call = predicted_seconds(workload)
    warm = max(LEAST_WARM_UP[_kind(device)], LEAST_ITERATIONS * call) + set_up_seconds(workload)
    sampled = max(LEAST_SECONDS, LEAST_SAMPLES * max(call, effort.sample))
    return effort.processes * warm + UNTIMED * sampled


def visible_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
