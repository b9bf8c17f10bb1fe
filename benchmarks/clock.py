"""The one way to time: wait for the device, read the clock, iterate, wait, read again.

A launch on an accelerator returns before its work is done, so both readings wait for the
device (METHODS.md T2), and after the second one the device is asked whether it is idle:
a block that still ran is caught, not reported. The clock is an argument, so that tests
can bring one that jumps, and a device that only pretends to work.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, repeat
from math import ceil
from statistics import median, quantiles
from time import perf_counter_ns
from typing import Any, Protocol

import torch

Step = Callable[[], object]

OVERHEADS = 10_000  # a sample lasts at least as many readings of the clock (T1)
SHORTEST = {"cpu": 1e-3, "accelerator": 1e-4}  # seconds of a sample at least (T1)
LEAST_WARM_UP = {"cpu": 0.05, "accelerator": 0.025}  # seconds (T7)
LEAST_ITERATIONS = 10  # of a warm-up (T7)
STEADY = {"cpu": 0.05, "accelerator": 0.02}  # relative spread of the last ten samples (T7)
HEATING = 2  # untimed calls before a sample at least
WINDOW = 10  # samples behind that spread
MARGIN = 1.2  # samples are planned this much longer, since some steps are faster than the median


class Event(Protocol):
    """A mark in the device's own stream, as `torch.cuda.Event`."""

    def record(self) -> None:
        """Place the mark behind what was launched so far."""

    def elapsed_time(self, end_event: Any, /) -> float:
        """Milliseconds from this mark to another."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What is read, and what is waited for before it is read.

    `idle` says whether nothing is in flight on any device this process uses; `event`
    makes marks in the device's stream where there are such.
    """

    kind: str = "cpu"  # or accelerator
    now: Callable[[], int] = perf_counter_ns
    wait: Callable[[], object] = lambda: None
    idle: Callable[[], bool] = lambda: True
    event: Callable[[], Event] | None = None


def clock_for(device: str) -> Clock:
    """The clock of a device: `cpu`, `cuda`, `cuda:1` or another accelerator."""
    kind = torch.device(device).type
    if kind == "cpu":
        return Clock(idle=_nothing_in_flight)
    wait = partial(torch.accelerator.synchronize, torch.device(device))
    if kind != "cuda":
        return Clock(kind="accelerator", wait=wait)
    event = partial(torch.cuda.Event, enable_timing=True)
    return Clock(kind="accelerator", wait=wait, idle=_nothing_in_flight, event=event)


def _nothing_in_flight() -> bool:
    """Whether no GPU that this process has used is still working on its current stream."""
    if not torch.cuda.is_initialized():
        return True
    devices = range(torch.cuda.device_count())
    return all(torch.cuda.current_stream(device).query() for device in devices)


@dataclass(frozen=True, slots=True)
class Block:
    """One timed block, as read."""

    nanoseconds: int
    in_flight: bool  # the device still worked when the clock had been read
    device_seconds: float | None = None  # between marks in the device's stream

    @property
    def is_sound(self) -> bool:
        """Whether time went forward and everything was waited for."""
        return self.nanoseconds > 0 and not self.in_flight

    @property
    def seconds(self) -> float:
        """Wall time of the block."""
        return self.nanoseconds * 1e-9


def time_block(clock: Clock, step: Step, iterations: int) -> Block:
    """Time some iterations of a step, with no kernel in flight at either end."""
    marks = None if clock.event is None else (clock.event(), clock.event())
    with paused_collector():
        clock.wait()
        start = clock.now()
        if marks:
            marks[0].record()
        for _ in repeat(None, iterations):
            step()
        if marks:
            marks[1].record()
        clock.wait()
        end = clock.now()
    in_flight = not clock.idle()
    device = None if marks is None or in_flight else marks[0].elapsed_time(marks[1]) * 1e-3
    return Block(end - start, in_flight, device)


def time_hot_block(clock: Clock, step: Step, iterations: int) -> Block:
    """Time some iterations that find their own data in the caches, not others' (T5).

    After one untimed call a training step was still 4% slower than in a long row of calls, and
    after two 2%; a third of the sample is what the budget allows.
    """
    for _ in range(max(HEATING, iterations // 3)):
        step()
    return time_block(clock, step, iterations)


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keep Python's garbage collector out of a timed block (T18)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def timer_overhead(clock: Clock, readings: int = 1000) -> float:
    """Seconds between two readings in a row: the median, which no jump of the clock moves."""
    times = [clock.now() for _ in range(readings + 1)]
    return median(b - a for a, b in pairwise(times)) * 1e-9


def shortest_sample(clock: Clock, overhead: float, wanted: float = 0.0) -> float:
    """Seconds that a sample lasts at least.

    Args:
        overhead: of the timer, in seconds.
        wanted: longer samples than the rules ask for, to have fewer rows.
    """
    return max(OVERHEADS * overhead, SHORTEST[clock.kind], wanted)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a workload was warmed up, and how long its samples are to be."""

    iterations: int  # of one sample from now on
    total: int  # iterations run
    seconds: float
    spread: float  # interquartile range over median of the last ten samples
    typical: float = 0.0  # seconds of one iteration at the end

    def is_steady(self, kind: str) -> bool:
        """Whether the last samples vary little enough for this kind of device."""
        return self.spread <= STEADY[kind]


def warm_up(clock: Clock, step: Step, shortest: float) -> WarmUp:
    """Iterate until caches, allocator and autotuning are warm, and choose the inner loop.

    Raises:
        ClockError: the clock does not advance, or the step is never waited for.
    """
    iterations = _first_iterations(clock, step, shortest)
    each: list[float] = []
    total, spent, unsound = iterations, 0.0, 0
    while len(each) < WINDOW or spent < LEAST_WARM_UP[clock.kind] or total < LEAST_ITERATIONS:
        block = time_block(clock, step, iterations)
        total += iterations
        if block.is_sound:
            each.append(block.seconds / iterations)
            spent += block.seconds
            continue
        unsound += 1
        if unsound > len(each) + WINDOW:
            raise ClockError(_complaint(block))
    typical = median(each[-WINDOW:])
    needed = max(1, ceil(shortest * MARGIN / typical))
    return WarmUp(needed, total, spent, relative_spread(each[-WINDOW:]), typical)


class ClockError(RuntimeError):
    """A workload cannot be timed."""


def _complaint(block: Block) -> str:
    if block.in_flight:
        return (
            "its device still worked when the clock had been read; the workload runs on a device "
            "or a stream that the clock does not wait for"
        )
    return "the clock does not advance; a monotonic clock is needed"


def _first_iterations(clock: Clock, step: Step, shortest: float) -> int:
    """Double the inner loop until it lasts as long as a sample, the first calls included."""
    iterations = 1
    while iterations < 2**20:
        block = time_block(clock, step, iterations)
        if block.is_sound and block.seconds >= shortest:
            break
        if not block.is_sound and iterations > WINDOW:
            break  # `warm_up` says what is wrong
        iterations *= 2
    return iterations


def relative_spread(values: list[float]) -> float:
    """Interquartile range over the median."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def launch_overhead(clock: Clock, device: str, launches: int = 2000) -> float | None:
    """Seconds that the host needs to launch one small kernel; None if the clock only jumps."""
    x = torch.zeros(8, device=device)
    add = partial(x.add_, 1.0)
    blocks = [time_block(clock, add, launches) for _ in range(4)][1:]  # the first one warms up
    return min((b.seconds / launches for b in blocks if b.is_sound), default=None)


def waits_for_device(device: str, step: Step) -> bool:
    """Whether one call of a step makes the host wait for a GPU, which no step may (T3)."""
    if torch.device(device).type != "cuda":
        return False
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return False
