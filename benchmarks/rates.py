"""What the machine can do at most: the rate of matrix products, and of moving memory.

Measured in a fresh process of one thread, set up as one that trains: `python -m
benchmarks.rates cpu` prints the samples as JSON, `cuda` instead of `cpu` those of a GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SIZE = 1024  # of the square matrices, float32: 12 MiB in all
GPU_SIZE = 4096  # a GPU takes some milliseconds for them
COPIED = 1 << 28  # bytes of an array that no cache holds
SAMPLES = 9
WARM_UP = 3


def measured_rates(device: str) -> dict[str, Any]:
    """The samples of a fresh process.

    Raises:
        RuntimeError: it failed.
    """
    line = [sys.executable, "-m", "benchmarks.rates", device]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the machine's rates cannot be measured: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def sample_rates(device: str) -> dict[str, Any]:
    """Seconds of each sample, and what one sample is: multiply-adds, or bytes read and written."""
    return _cpu_rates() if device == "cpu" else _gpu_rates(device)


def _gpu_rates(device: str) -> dict[str, Any]:
    """By torch alone; products are float32's, as torch leaves TF32 to convolutions."""
    import torch  # noqa: PLC0415

    left, right = torch.rand(2, GPU_SIZE, GPU_SIZE, device=device)
    product = torch.empty_like(left)
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)

    def finished(call: Callable[[], object]) -> Callable[[], None]:
        def whole() -> None:
            call()
            torch.accelerator.synchronize(torch.device(device))

        return whole

    return {
        "threads": 1,
        "size": GPU_SIZE,
        "multiply_adds": GPU_SIZE**3,
        "bytes": 2 * COPIED,
        "seconds": {
            "torch": seconds_of(finished(lambda: torch.matmul(left, right, out=product))),
            "copy": seconds_of(finished(lambda: target.copy_(source))),
        },
    }


def _cpu_rates() -> dict[str, Any]:
    from ablations.processor import settle_process  # noqa: PLC0415, before numpy and torch

    settle_process()
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    a, b = (np.random.default_rng(seed).random((SIZE, SIZE), np.float32) for seed in (0, 1))
    result = np.empty_like(a)
    left, right, product = (torch.from_numpy(array) for array in (a, b, result))
    source = np.ones(COPIED // 4, np.float32)
    target = np.empty_like(source)
    return {
        "threads": 1,
        "size": SIZE,
        "multiply_adds": SIZE**3,
        "bytes": 2 * COPIED,
        "seconds": {
            "numpy": seconds_of(lambda: np.matmul(a, b, out=result)),
            "torch": seconds_of(lambda: torch.matmul(left, right, out=product)),
            "copy": seconds_of(lambda: np.copyto(target, source)),
        },
    }


def seconds_of(call: Callable[[], object]) -> list[float]:
    """Some samples of a call, after a warm-up."""
    found = []
    for number in range(WARM_UP + SAMPLES):
        start = time.perf_counter()
        call()
        if number >= WARM_UP:
            found.append(time.perf_counter() - start)
    return found


if __name__ == "__main__":
    print(json.dumps(sample_rates(sys.argv[1])))
