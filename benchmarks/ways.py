"""The same computation run in other ways: another type, more threads, compiled, captured."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ablations.graphs import WARM, capture

BFLOAT16 = "bfloat16"
COMPILERS = ("c++", "g++", "clang++")

Run = Literal["eager", "compiled", "graph"]
Source = Literal["tensors", "DataLoader"]


@dataclass(frozen=True, slots=True)
class Way:
    """How a computation is run. The default is how the studies' levels are timed."""

    dtype: str = "float32"  # or bfloat16, by autocast: parameters stay float32
    threads: int | None = None  # None: those that the run asks for
    run: Run = "eager"
    source: Source = "tensors"  # where the minibatches of an epoch come from

    def objection(self, device: str) -> str | None:
        """Why this way cannot be gone on a device; None where it can."""
        kind = torch.device(device).type
        if self.threads is not None and kind != "cpu":
            return "threads are the processor's"
        if self.run == "graph" and kind != "cuda":
            return "CUDA graphs need a CUDA device"
        if self.run == "compiled" and kind == "cpu" and not has_compiler():
            return "compiling for a CPU needs a C++ compiler, for instance g++"
        return None


PLAIN = Way()


def has_compiler() -> bool:
    """Whether there is what `torch.compile` needs on a CPU."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name)


def cast(way: Way, device: torch.device) -> AbstractContextManager[object]:
    """The autocast of a way, to be entered around forward pass and loss."""
    if way.dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, way.dtype))


def compiled(way: Way, model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The model, compiled if the way says so; the first call does it."""
    return torch.compile(model) if way.run == "compiled" else model


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Let torch use some threads for a while; None leaves them as they are."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_capturable(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer count its steps on the device, which a graph of a step needs."""
    for group in optimizer.param_groups:
        group["capturable"] = True


def captured(step: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """A step as one CUDA graph: what is launched once is replayed as a whole.

    The result of every replay lies in the same memory.
    """
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # allocations and autotuning, outside of the graph
            for _ in range(WARM):
                step()
        torch.cuda.current_stream().wait_stream(aside)
    launch, result = capture(step, device)

    def replay() -> Tensor:
        launch()
        return result

    return replay
