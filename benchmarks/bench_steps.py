"""What one training step and one inference cost: base networks, and levels next to them.

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
from benchmarks.catalogue import workloads_of
from benchmarks.steps import prepare
from benchmarks.ways import PLAIN
from benchmarks.workloads import AGAIN, MODES, Workload

CORE = [
    workload
    for workload in workloads_of([load_study(path) for path in find_studies("core")]).workloads
    if not workload.name.endswith(AGAIN) and workload.mode in MODES and workload.way == PLAIN
]
BASES = [w for w in CORE if w.is_base]
SHOWN = ("tanh", "gelu", "mish", "sgd", "momentum", "adamax", "dropout(rate=0.3)", "batch_norm")
LEVELS = [
    w
    for w in CORE
    if (w.group, w.mode) == ("spiral", "training step")
    and (w.name == "spiral/baseline" or w.name.partition("=")[2] in SHOWN)
]

pytestmark = pytest.mark.benchmark(timer=timer)  # waits for the device at both readings


def run(benchmark: Any, workload: Workload, device: str) -> Tensor:
    """Time a workload; the result of its last call."""
    streams = Streams(workload.study_seed, workload.task.name)
    step = prepare(workload, load_task(workload.task, [0], streams=streams, device=device))
    result: Tensor = benchmark.pedantic(step, warmup_rounds=5, rounds=20, iterations=10)
    return result


@pytest.mark.parametrize("workload", BASES, ids=lambda w: f"{w.group} {w.mode}".replace(" ", "-"))
def bench_base(benchmark: Any, workload: Workload, device: str) -> None:
    benchmark.group = f"{workload.mode} of the base networks on {device}"

    result = run(benchmark, workload, device)

    assert torch.isfinite(result).all()
    assert result.dim() == (2 if workload.mode == "inference" else 0)
    assert result.device.type == device


@pytest.mark.parametrize("workload", LEVELS, ids=lambda w: w.name.partition("/")[2])
def bench_level(benchmark: Any, workload: Workload, device: str) -> None:
    benchmark.group = f"training step of each level on spiral, {device}"

    loss = run(benchmark, workload, device)

    assert torch.isfinite(loss)
    assert loss.device.type == device
