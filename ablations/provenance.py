"""Where results came from: commit, versions, machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
COMPUTING = (
    "anatomy", "compaction", "compiled", "elementary", "evaluation", "foreign", "graphs", "history",
    "kernels", "layers", "layout", "losses", "measures", "minibatches", "network", "optimizers",
    "pictures", "pretraining", "processor", "products", "regularisation", "sizes", "stacking",
    "state", "steps", "streams", "tasks", "training",
)  # fmt: skip
PACKAGES = ("numpy", "pandas", "scikit-learn", "torchvision", "matplotlib", "scipy", "numba")


@cache
def code_hash() -> str:
    """Of the modules that compute: a record is keyed by it, comments included."""
    digest = sha256()
    for name in COMPUTING:
        path = ROOT / f"{name}.py"
        files = [path] if path.exists() else sorted((ROOT / name).rglob("*.py"))
        for file in files:
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def machine(device: str, threads: int) -> dict[str, Any]:
    """The contents of machine.json, but for the studies."""
    commit, dirty = _commit()
    return {
        "schema": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": dirty,
        "command": shlex.join(["python", "-m", "ablations", *sys.argv[1:]]),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "platform": platform.platform(),
        "cpu": _processor(),
        "cores": _cores(),
        "threads": threads,
        "device": device,
        "gpu": _gpu(device) if device != "cpu" else None,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool]:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", ":/*.py"))
    except (OSError, subprocess.SubprocessError):
        return None, False


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _gpu(device: str) -> str | None:
    import torch  # noqa: PLC0415

    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else None
