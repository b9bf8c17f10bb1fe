"""What one training step and one inference cost: base networks, activations, optimizers.

`make bench`, or `pytest benchmarks --benchmark-autosave` and `pytest-benchmark compare`.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.benchmark import timer

from ablations.streams import Streams
from ablations.studyfile import find_studies, load_study
from ablations.tasks import load_task
from benchmarks.workloads import AGAIN, Workload, prepare, workloads_of

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
WORKLOADS = [
    workload
    for workload in workloads_of([load_study(path) for path in find_studies("core")]).workloads
    if not workload.name.endswith(AGAIN)
]
SHOWN = ("tanh", "gelu", "mish", "sgd", "momentum", "adamax", "dropout(rate=0.3)", "batch_norm")

pytestmark = pytest.mark.benchmark(timer=timer)  # waits for the device at both readings


def run(benchmark: Any, workload: Workload, device: str) -> Tensor:
    """Time a workload on one thread; the result of its last call."""
    benchmark.group = f"{workload.task.name}: {workload.mode} on {device}"
    task = load_task(
        workload.task, [0], streams=Streams(workload.study_seed, workload.task.name), device=device
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        step = prepare(workload, task)
        result: Tensor = benchmark.pedantic(step, warmup_rounds=5, rounds=20, iterations=10)
        return result
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "workload",
    [w for w in WORKLOADS if w.is_base],
    ids=lambda w: f"{w.name} {w.mode}".replace(" ", "-"),
)
def bench_base(benchmark: Any, workload: Workload, device: str) -> None:
    result = run(benchmark, workload, device)

    assert torch.isfinite(result).all()
    assert result.dim() == (2 if workload.mode == "inference" else 0)
    assert result.device.type == device


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "workload",
    [
        w
        for w in WORKLOADS
        if w.task.name == "spiral"
        and w.mode == "training step"
        and w.name.partition("=")[2] in SHOWN
    ],
    ids=lambda w: w.name,
)
def bench_level(benchmark: Any, workload: Workload, device: str) -> None:
    loss = run(benchmark, workload, device)

    assert torch.isfinite(loss)
    assert loss.device.type == device
