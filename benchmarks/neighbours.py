"""What others do on the machine: processor time that is not ours, and locks that are held."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TRAINING = "*/records/*/*.lock"  # held in a results folder while a stack is trained
TIMING = "timings.lock"  # held while workloads are timed


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
