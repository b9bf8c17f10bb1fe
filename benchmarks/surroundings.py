"""What stands around the timings: quota, governor, matrix routines, build and GPU (T16)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_info

from benchmarks.throttling import CGROUPS, MEMBERSHIP, group_files

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
GPU_FIELDS = (
    "name,uuid,driver_version,mig.mode.current,clocks.sm,clocks.max.sm,clocks.mem,power.limit,"
    "temperature.gpu"
)


def surroundings(*, has_gpu: bool) -> dict[str, Any]:
    """Everything that machine.json does not say; None where the system does not."""
    return {
        "quota": quota(),
        "governor": _governor(),
        "blas": matrix_libraries(),
        "torch_build": {
            "cuda": torch.version.cuda,
            "git": torch.version.git_version,
            "vectors": torch.backends.cpu.get_cpu_capability(),
            "mkl": torch.backends.mkl.is_available(),
        },
        "gpu_state": _gpu_state() if has_gpu else None,
    }


def quota(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Cores that our container may use at most; None without a limit, or where nobody says."""
    limits = []
    for file in group_files("cpu.max", cgroups, membership):  # version 2: `150000 100000`
        words = _text(file).split()
        if len(words) == 2 and words[0].isdecimal():
            limits.append(int(words[0]) / int(words[1]))
    for file in group_files("cpu.cfs_quota_us", cgroups, membership):  # version 1: -1 is no limit
        period = _text(file.with_name("cpu.cfs_period_us")).strip()
        share = _text(file).strip()
        if share.isdecimal() and period.isdecimal():
            limits.append(int(share) / int(period))
    return min(limits, default=None)


def matrix_libraries() -> list[str]:
    """Libraries that multiply matrices or run threads, for instance `openblas 0.3.30 SkylakeX`."""
    return sorted(
        {
            " ".join(
                str(library[key])
                for key in ("internal_api", "version", "architecture")
                if library.get(key)
            )
            for library in threadpool_info()
        }
    )


def _governor() -> str | None:
    return _text(GOVERNOR).strip() or None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _gpu_state() -> str | None:
    """Driver, clocks and power limit, as the driver's own tool says them."""
    try:
        return subprocess.run(
            ["nvidia-smi", f"--query-gpu={GPU_FIELDS}", "--format=csv"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
