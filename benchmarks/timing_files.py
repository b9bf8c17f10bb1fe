"""timings.csv and timings.json: written whole, read back only if they still hold.

`timings.csv` holds raw samples, `timings.json` beside it what is to be known about them:
what was left out by which rule, flags, peak memory, and how each pass went. Passes are kept
as long as the fingerprint of code, versions, machine and workloads is the same, and
timings.csv is as it was written.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ablations.levels import FACTORS
from ablations.provenance import code_hash, machine
from ablations.records import canonical_json, write_atomically, write_csv
from benchmarks.budgeting import Settings
from benchmarks.memory import memory_note
from benchmarks.passes import Tell
from benchmarks.reliability import FLAGS, OUTLIERS
from benchmarks.series import flags_of, outliers_of
from benchmarks.surroundings import surroundings
from benchmarks.workloads import Plan

SCHEMA = 1
TIMINGS = [
    "workload", "task", *FACTORS, "device", "mode", "threads", "dtype", "process", "round",
    "order", "iterations", "seconds",
]  # fmt: skip
MEASURING = (
    "catalogue", "clock", "epochs", "fresh", "passes", "sampling", "steps", "ways", "workloads",
)  # fmt: skip


@dataclass(slots=True)
class Timings:
    """What the files hold: rows of timings.csv, and one note per pass."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    passes: list[dict[str, Any]] = field(default_factory=list)

    def has(self, device: str, process: int) -> bool:
        """Whether a pass is done."""
        return any(p["device"] == device and p["process"] == process for p in self.passes)


def fingerprint_of(plan: Plan, settings: Settings) -> str:
    """A hash of everything that can change the timings, but for the weather."""
    here = machine(settings.devices[-1], settings.threads)
    content = {
        "schema": SCHEMA,
        "profile": settings.profile,
        "effort": asdict(settings.effort),
        "devices": settings.devices,
        "threads": settings.threads,
        "workloads": [workload.identity() for workload in plan.workloads],
        "code": [code_hash(), _own_hash()],
        "machine": [here[key] for key in ("python", "torch", "platform", "cpu", "cores", "gpu")],
    }
    return sha256(canonical_json(content).encode()).hexdigest()[:24]


def _own_hash() -> str:
    digest = sha256()
    for name in MEASURING:
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
        "flags": flags_of(timings.rows, timings.passes),
        "meaning_of_flags": FLAGS,
        "outliers": outliers_of(timings.rows),
        "meaning_of_outliers": OUTLIERS,
        "peak_memory": peak_memory(timings.passes),
        "meaning_of_peak_memory": {device: memory_note(device) for device in settings.devices},
        "passes": timings.passes,
        "machine": here
        | {"command": shlex.join(commandline)}
        | surroundings(has_gpu=here["gpu"] is not None),
    }
    write_atomically(
        settings.results / "timings.json", json.dumps(content, indent=1, allow_nan=False) + "\n"
    )
    if not (settings.results / "machine.json").exists():
        write_atomically(
            settings.results / "machine.json", json.dumps(content["machine"], indent=1) + "\n"
        )


def peak_memory(passes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The least peak of each workload over the processes; nothing for devices without.

    The first workloads of a process also touch what its libraries need once.
    """
    peaks: dict[tuple[str, str, str], int] = {}
    for note in passes:
        for name, mode, count in note["peak_memory"]:
            key = (note["device"], mode, name)
            peaks[key] = min(count, peaks.get(key, count))
    return [
        {"workload": name, "device": device, "mode": mode, "bytes": count}
        for (device, mode, name), count in peaks.items()
    ]


def missing_passes(timings: Timings, settings: Settings) -> list[tuple[str, int]]:
    """Device and number of each process that is still to be started, in their order."""
    return [
        (device, process)
        for process in range(settings.effort.processes)
        for device in settings.devices
        if not timings.has(device, process)
    ]
