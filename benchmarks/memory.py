"""Peak memory of a workload, where the device or the system counts it."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): sets the peak of the resident size to what it is now
NOT_MEASURED = "not measured: this system does not count the processor's memory by workload"
HOW = {
    "cuda": (
        "bytes of tensors at the peak of the warm-up, network, optimizer and data of the workload "
        "included, others' not (torch.cuda.max_memory_allocated)"
    ),
    "cpu": (
        "bytes that became resident up to the peak of the warm-up, network, optimizer and data of "
        "the workload included, in whole pages (VmHWM of Linux); small ones are mostly Python's"
    ),
}


def start_peak(device: str) -> int | None:
    """Forget the peak so far; bytes that are in use now, None where nobody counts."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    if kind != "cpu":
        return None
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # what was freed is not in use
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:
        return None
    return _resident("VmRSS")


def peak_since(device: str, before: int | None) -> int | None:
    """Bytes at the peak beyond those that were there before; None where nobody counts."""
    if before is None:
        return None
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device)) - before
    peak = _resident("VmHWM")
    return None if peak is None else peak - before


def _resident(name: str) -> int | None:
    """A line of the process's status in bytes: `VmHWM:     1234 kB`."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def memory_note(device: str) -> str:
    """What the figures of a device are, or why there are none."""
    kind = torch.device(device).type
    if kind == "cpu" and start_peak("cpu") is None:
        return NOT_MEASURED
    return HOW.get(kind, NOT_MEASURED)
