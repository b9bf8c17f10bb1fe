"""Peak memory of a workload, where the device counts it."""

from __future__ import annotations

import torch

NOT_MEASURED = "not measured: the processor's memory is not counted by workload"
HOW = (
    "bytes of tensors at the peak of the warm-up, network, optimizer and data of the workload "
    "included, others' not (torch.cuda.max_memory_allocated)"
)


def start_peak(device: str) -> int | None:
    """Forget the peak so far; bytes that are allocated now, None where nobody counts."""
    if torch.device(device).type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.memory_allocated(device))


def peak_since(device: str, before: int | None) -> int | None:
    """Bytes at the peak beyond those that were there before; None where nobody counts."""
    if before is None:
        return None
    return int(torch.cuda.max_memory_allocated(device)) - before


def memory_note(device: str) -> str:
    """What the figures of a device are, or why there are none."""
    return HOW if torch.device(device).type == "cuda" else NOT_MEASURED
