"""The steps of a stack on a GPU, captured as CUDA graphs.

A step is dozens of operations, and those of small networks are sooner computed than launched.
A graph holds all of them and launches them by one call.

Shapes and memory are fixed when a graph is captured, and so is every number that Python
passes. So there is a graph for each number of examples, these lie where the first ones lay,
the step is counted on the device, and random numbers are drawn before the launch.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from ablations.layers import Context
from ablations.minibatches import Minibatches, Uniform
from ablations.network import Network
from ablations.state import Training
from ablations.steps import Note, Steps

T = TypeVar("T")
WARM = 3  # steps of each shape before their capture, as torch's notes on CUDA graphs have it


def capturable(network: Network, device: torch.device) -> bool:
    """Whether the steps of a stack can be graphs: a user's module may do whatever it likes."""
    return device.type == "cuda" and network.foreign is None and not CapturedSteps.refused


def capture(
    step: Callable[[], T], device: torch.device, pool: Any = None
) -> tuple[Callable[[], None], T]:
    """What a function launches, as one launch, and its result, which every launch writes anew.

    Nothing is computed meanwhile, and no garbage collected: the end of another graph would
    invalidate this one.

    Args:
        pool: of memory, shared with graphs that are never launched at the same time.

    Raises:
        RuntimeError: the function waits for the device, or does what else no graph can hold.
    """
    graph = torch.cuda.CUDAGraph()
    collects = gc.isenabled()
    gc.disable()
    try:
        with torch.cuda.device(device):
            here, aside = torch.cuda.current_stream(), _stream(device)
            back = torch.cuda.stream(here)  # from a failure, too
            with back, torch.cuda.graph(graph, pool=pool, stream=aside):
                result = step()
    finally:
        if collects:
            gc.enable()
    return graph.replay, result


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all captures on a device; torch's own is that of the first device captured."""
    return torch.cuda.Stream(device)


class Drawn:
    """Random numbers that lie where they lay in the step before."""

    def __init__(self, draw: Callable[[tuple[int, ...]], Tensor]) -> None:
        self.draw, self.at = draw, 0
        self.held: list[Tensor] = []

    def renew(self) -> None:
        """Draw all of the next step."""
        for each in self.held:
            each.copy_(self.draw(tuple(each.shape[1:])))

    def rewind(self) -> None:
        """Begin a step."""
        self.at = 0

    def next(self, shape: tuple[int, ...]) -> Tensor:
        """(M, *shape) numbers in [0, 1)."""
        if self.at == len(self.held):
            self.held.append(self.draw(shape))
        self.at += 1
        return self.held[self.at - 1]


@dataclass(slots=True)
class Room:
    """Where the examples of steps with as many examples lie."""

    x: Tensor
    y: Tensor
    count: int
    context: Context
    drawn: Drawn
    launch: Callable[[], None] | None = None  # of their gradient, once it is captured
    taken: int = 0  # steps


class CapturedSteps(Steps):
    """The steps of a stack that is capturable: a graph of the gradient and one of the update.

    Nothing here refers to itself, so that graphs and stack end at once when the steps do.
    """

    refused = False  # whether a capture has failed in this process: torch may not be itself since

    def __init__(self, training: Training, batches: Minibatches) -> None:
        super().__init__(training, batches)
        self.draw = Uniform(training).draw
        self.t = torch.zeros(1, dtype=torch.int64, device=training.seed_of.device)
        self.rooms: dict[tuple[int, torch.Size], Room] = {}
        self.launch: Callable[[], None] | None = None  # of the update
        self.pool: Any = None  # one graph after the other is launched, so they share their memory

    def take(self, start: int, end: int, note: Note) -> None:
        """Take the steps from `start`, counted from 0, up to `end`.

        Args:
            note: told when the gradient of the stack is that of the last step, without penalties.
        """
        self.t.fill_(start)
        for t in range(start, end):
            room = self._filled(*self.batches.draw())
            if room.taken == WARM and self.training.way == "captured":
                self._capture(room)
            room.taken += 1
            if room.launch is not None:
                room.launch()
            else:
                self._gradient(room)
            if t == end - 1:
                note()
            if self.launch is not None:
                self.launch()
            else:
                self._update()

    def _filled(self, x: Tensor, y: Tensor, count: int) -> Room:
        """The room of so many examples, with these and new random numbers in it."""
        key = count, x.shape
        if key not in self.rooms:
            drawn = Drawn(self.draw)
            context = replace(self.context, uniform=drawn.next)
            self.rooms[key] = Room(x, y, count, context, drawn)
            return self.rooms[key]
        room = self.rooms[key]
        for held, new in ((room.x, x), (room.y, y)):
            if held is not new:
                held.copy_(new)
        room.drawn.renew()
        return room

    def _gradient(self, room: Room) -> None:
        self.context = room.context
        room.drawn.rewind()
        self.gradient(room.x, room.y, room.count)

    def _update(self) -> None:
        self.update(self.t)
        self.t.add_(1)

    def _capture(self, room: Room) -> None:
        device = self.t.device
        try:
            self.pool = self.pool or torch.cuda.graph_pool_handle()
            room.launch, _ = capture(partial(self._gradient, room), device, self.pool)
            if self.launch is None:
                self.launch, _ = capture(self._update, device, self.pool)
        except torch.OutOfMemoryError:
            raise  # the stack is halved
        except RuntimeError as error:
            CapturedSteps.refused = True
            self.training.way = "stacked"
            self.launch = None
            for each in self.rooms.values():
                each.launch = None
            warnings.warn(
                f"a stack is trained without CUDA graphs, which takes longer: {error}",
                stacklevel=2,
            )
