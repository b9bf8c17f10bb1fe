"""Workloads timed in turns, round by round, until each median is known well enough.

In every round each workload that is still open has one sample, in a new random order, so
that a slow minute of the machine falls on all of them alike (METHODS.md T8, T9, T13).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from benchmarks.clock import MARGIN, Block, Clock, Step, WarmUp, time_hot_block
from benchmarks.reliability import LEAST_SAMPLES, LEAST_SECONDS, median_interval
from benchmarks.ways import using_threads

HARD = 3  # times its cap is all that a workload ever has
UNTIMED = 1.5  # wall seconds per timed second: the untimed calls before each sample, the rest
UNSOUND = 30  # readings that are not sound, beyond as many as are, before a workload is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much time is spent; all of it in seconds."""

    budget: float  # of the whole run, start of processes included
    cap: float  # of the samples of one workload, all processes together
    processes: int  # fresh ones, on each device
    sample: float  # of one sample at least: longer samples, fewer rows
    target: float = 0.02  # half-width of a median's interval at which sampling stops


EFFORTS = {
    "quick": Effort(budget=20, cap=0.3, processes=1, sample=1e-3),
    "standard": Effort(budget=150, cap=1, processes=3, sample=3e-3),
    "full": Effort(budget=900, cap=15, processes=3, sample=10e-3),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One clock reading of a workload: seconds of all its iterations."""

    round: int
    order: int  # its place in the round
    iterations: int
    seconds: float
    device_seconds: float | None = None


@dataclass(slots=True, eq=False)
class Meter:
    """A workload in this process, warmed up, with the samples it has so far."""

    step: Step
    warm: WarmUp
    shortest: float = 0.0  # seconds that a sample should last
    group: Hashable = None  # workloads that are compared with each other
    is_base: bool = False  # what the others of its group are compared with
    threads: int | None = None  # None: those that the process has
    samples: list[Sample] = field(default_factory=list)
    backwards: int = 0  # discarded: the clock did not advance
    in_flight: int = 0  # discarded: the device still worked
    iterations: int = field(init=False)  # of the next sample

    def __post_init__(self) -> None:
        """Start with the inner loop that the warm-up chose."""
        self.iterations = self.warm.iterations

    def add(self, round_: int, order: int, block: Block) -> None:
        """Keep a sound reading, count any other; after one that was too short, iterate more."""
        if block.in_flight:
            self.in_flight += 1
        elif not block.is_sound:
            self.backwards += 1
        else:
            sample = Sample(round_, order, self.iterations, block.seconds, block.device_seconds)
            self.samples.append(sample)
            if block.seconds < self.shortest:
                self.iterations = ceil(self.iterations * self.shortest * MARGIN / block.seconds)

    def least_seconds(self, effort: Effort) -> float:
        """Wall time of the fewest samples that it should have in this process."""
        each = max(self.shortest, self.warm.iterations * self.warm.typical)
        share = 1 / effort.processes
        return UNTIMED * max(LEAST_SECONDS * share, ceil(LEAST_SAMPLES * share) * each)

    @property
    def is_given_up(self) -> bool:
        """Whether too few readings are sound to go on."""
        return self.backwards + self.in_flight > len(self.samples) + UNSOUND

    def is_settled(self, effort: Effort) -> bool:
        """Whether this process has enough samples: by precision, or by the cap."""
        if self.is_given_up:
            return True
        spent = sum(sample.seconds for sample in self.samples)
        share = 1 / effort.processes
        if spent >= HARD * effort.cap * share:
            return True  # few samples of a workload that stutters, rather than few of all others
        if len(self.samples) < ceil(LEAST_SAMPLES * share) or spent < LEAST_SECONDS * share:
            return False
        if spent >= effort.cap * share:
            return True
        each = [sample.seconds / sample.iterations for sample in self.samples]
        return median_interval(each).half_width <= effort.target


def due(meters: Sequence[Meter], effort: Effort) -> list[Meter]:
    """Who is sampled in the next round: the open ones, and the bases of their groups."""
    open_ = {id(meter) for meter in meters if not meter.is_settled(effort)}
    groups = {meter.group for meter in meters if id(meter) in open_}
    return [
        meter
        for meter in meters
        if id(meter) in open_ or (meter.is_base and meter.group in groups and not meter.is_given_up)
    ]


def time_rounds(
    meters: Sequence[Meter],
    clock: Clock,
    effort: Effort,
    *,
    rng: np.random.Generator,
    has_time: Callable[[], bool],
    report: Callable[[int, int], None] = lambda round_, open_: None,
) -> None:
    """Sample until every meter is settled or time is up.

    Each sample follows untimed calls, so that the workload finds its own data in the caches
    and not those of the one before it: times are hot (T5).

    Args:
        rng: of the order within rounds.
        has_time: asked before every sample.
        report: told the number of the round and how many meters are due in it.
    """
    round_ = 0
    while meters_due := due(meters, effort):
        report(round_, len(meters_due))
        for order, index in enumerate(rng.permutation(len(meters_due))):
            if not has_time():
                return
            meter = meters_due[index]
            with using_threads(meter.threads):
                block = time_hot_block(clock, meter.step, meter.iterations)
            meter.add(round_, order, block)
        round_ += 1
