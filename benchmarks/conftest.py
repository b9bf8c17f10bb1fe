"""What the pytest-benchmark suites share: one settled thread, every device, data on it."""

from collections.abc import Iterator

import pytest
import torch

from ablations.processor import settle_process

settle_process()  # before any algebra: MKL reads its environment when it is first used


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the timings: one thread, named and fixed (METHODS.md T17)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
