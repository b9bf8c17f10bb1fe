"""Rows of timings.csv as the samples of each workload, and the flags that these earn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.reliability import Samples, flags, outliers

BUSY = 0.5  # cores that others keep busy, from which a pass counts as disturbed

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


def flags_of(
    rows: Sequence[Mapping[str, Any]], all_passes: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The flags of every workload that has some."""
    found = []
    for (device, mode, name), samples in series_of(rows).items():
        passes = [p for p in all_passes if p["device"] == device]
        launches = [p["launch_seconds"] for p in passes if p["launch_seconds"] is not None]
        raised = flags(
            samples,
            unsteady=[[name, mode] in p["unsteady"] for p in passes],
            launch_seconds=min(launches, default=None),
            host_waits=any([name, mode] in p["host_waits"] for p in passes),
            busy=any(max(p["others_before"], p["others_during"]) >= BUSY for p in passes),
            throttled=any(p["throttled"] for p in passes),
        )
        if raised:
            found.append({"workload": name, "device": device, "mode": mode, "flags": raised})
    return found


def outliers_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many samples of each workload are outliers, where there are some (T11)."""
    return [
        {"workload": name, "device": device, "mode": mode, "samples": n, "outliers": count}
        for (device, mode, name), samples in series_of(rows).items()
        for n, count in [(len(samples.each), outliers(samples))]
        if count
    ]
