"""How the cost of training grows with the number of trials in a stack."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.benchmark import timer

from ablations.design import trained_cells
from ablations.layers import stacked_linear
from ablations.stacking import final_stacks
from ablations.studyfile import find_studies, load_study
from ablations.training import train

TRIALS = (1, 10)
NETWORKS = (1, 8, 64)

pytestmark = pytest.mark.benchmark(timer=timer)  # waits for the device at both readings


@pytest.mark.parametrize("networks", NETWORKS, ids="M={}".format)
def bench_stacked_linear(benchmark: Any, networks: int, device: str) -> None:
    benchmark.group = f"stacked linear layer, 32 to 32 units on 64 examples, {device}"
    generator = torch.Generator().manual_seed(0)
    shapes = (networks, 32, 64), (networks, 32, 32), (networks, 32)
    x, weight, bias = (torch.randn(s, generator=generator).to(device) for s in shapes)

    result = benchmark.pedantic(
        stacked_linear, args=(x, weight, bias), warmup_rounds=5, rounds=20, iterations=50
    )

    assert result.shape == (networks, 32, 64)
    torch.testing.assert_close(result[-1], weight[-1] @ x[-1] + bias[-1].unsqueeze(1))


@pytest.mark.parametrize("trials", TRIALS, ids="M={}".format)
@pytest.mark.parametrize("task", ["spiral", "wave", "digits"])
def bench_training(benchmark: Any, task: str, trials: int, device: str) -> None:
    benchmark.group = f"100 steps of a stack on {task}, {device}"
    study = load_study(find_studies("activation")[0])
    spec = next(each for each in study.tasks if each.name == task)
    whole = next(final_stacks(study, spec, trained_cells(study, spec)[0], 0.003))
    stack = replace(whole, steps=100, pictures=False)
    members = stack.members[:trials]

    outcome = benchmark.pedantic(
        train, args=(stack, members), kwargs={"device": device}, warmup_rounds=1, rounds=5
    )

    assert [row["status"] for row in outcome.rows] == ["finished"] * trials
    assert all(row["steps"] == 100 for row in outcome.rows)
