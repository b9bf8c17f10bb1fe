"""Whether the machine held us back: a container's quota, or a GPU below its clock (T12)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.clock import Step

LAUNCHED_AHEAD = 50  # steps between two waits for a GPU that is kept at work
SLOW_CLOCK = 0.75  # of the maximum, below which a GPU counts as throttled
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Throttling:
    """What a pass saw of being held back; None where the system does not say."""

    periods: int | None = None  # of the scheduler, in which our container used up its quota
    gpu_clock: float | None = None  # of its maximum, under load

    @property
    def is_throttled(self) -> bool:
        """Whether times of this pass are longer than the machine needs."""
        return bool(self.periods) or (self.gpu_clock is not None and self.gpu_clock < SLOW_CLOCK)


def throttled_periods(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int | None:
    """Periods so far in which a quota of ours was used up, by version 1 or 2 of cgroups.

    A quota may be set on any group from ours up to the root, so the largest count is taken.
    """
    counts = [
        int(words[1])
        for file in group_files("cpu.stat", cgroups, membership)
        for line in _lines(file)
        if (words := line.split())[:1] == ["nr_throttled"]
    ]
    return max(counts, default=None)


def group_files(name: str, cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> list[Path]:
    """Where a file of our group and of those above it would be."""
    files = []
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for place in ("cpu", controllers) if controllers else ("", "unified"):
            root = cgroups / place
            own = root / path.lstrip("/")
            files += [root / name, own / name]
            files += [above / name for above in own.parents if root in above.parents]
    return list(dict.fromkeys(files))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def gpu_clock_share(
    device: str,
    step: Step,
    query: Callable[[str], str | None],
    *,
    wait: Callable[[torch.device], object] = torch.accelerator.synchronize,
) -> float | None:
    """A GPU's clock over its maximum while it works; None elsewhere or where nobody says.

    An idle GPU lowers its clock, so steps are run for as long as the answer takes.

    Args:
        step: keeps the device at work.
        query: asks a GPU, named as the driver names it, for its clocks, as in `1410, 1980`.
        wait: for the device, now and then, so that the end is not far off when the answer comes.
    """
    if torch.device(device).type != "cuda":
        return None
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(query, driver_name(device))
        while True:
            for _ in range(LAUNCHED_AHEAD):
                step()
            wait(torch.device(device))
            if answer.done():
                break
    found = answer.result()
    return None if found is None else share_of(found)


def driver_name(device: str) -> str:
    """A GPU by its UUID: the driver's own numbers know nothing of CUDA_VISIBLE_DEVICES."""
    index = torch.device(device).index
    own = torch.cuda.current_device() if index is None else index
    uuid = getattr(torch.cuda.get_device_properties(own), "uuid", None)
    return str(own) if uuid is None else f"GPU-{uuid}"


def share_of(answer: str) -> float | None:
    """The first of two numbers over the second; None where they are not numbers."""
    try:
        now, most = (float(word) for word in answer.split(","))
    except ValueError:
        return None
    return round(now / most, 3) if most > 0 else None


def query_clocks(name: str) -> str | None:
    """Clock and its maximum in MHz, as the driver's own tool says them."""
    fields = "--query-gpu=clocks.sm,clocks.max.sm"
    line = ["nvidia-smi", f"--id={name}", fields, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
