"""What paired times of two states of the code say: faster, same, slower, or ambiguous.

Pairs that come from the same two processes share whatever those were dealt (memory layout,
address randomisation), so they are not independent. Each pair of processes gives one
number, the median of its log ratios; the interval is Student's t over those numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.reliability import Floats, Integers, Interval

Verdict = Literal["faster", "same", "slower", "ambiguous"]

LEAST_PAIRS = 15  # T13
LEAST_PROCESSES = 3
SHARED, QUIET = 0.10, 0.05  # how far a ratio may lie from 1 and still be the same (T14)
WARN, FAIL = 1.10, 1.25  # lower ends of an interval (T19)
T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
)  # fmt: skip
"""97.5% quantiles of Student's t for 1, 2, ... degrees of freedom."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Times of one workload, round by round; the three of a round lie next to each other.

    Shapes: (n,) each; seconds of one iteration. `again` is the base's code in a process of
    its own: base against base.
    """

    process: Integers
    base: Floats
    head: Floats
    again: Floats


def ratio_over_processes(treated: Floats, control: Floats, process: Integers) -> Interval:
    """The ratio of paired times with its 95% interval, `n` counting pairs.

    Fewer than two pairs of processes have no interval.
    """
    logs = np.log(treated / control)
    medians = np.array([np.median(logs[process == p]) for p in np.unique(process)])
    count = len(medians)
    value = float(medians.mean()) if count else math.nan
    half = math.nan
    if count > 1:
        half = T_975[min(count - 1, len(T_975)) - 1] * float(medians.std(ddof=1)) / count**0.5
    return Interval(math.exp(value), math.exp(value - half), math.exp(value + half), len(logs))


def verdict(ratio: Interval, delta: float) -> Verdict:
    """What a ratio of head to base allows to say (T14); no interval allows nothing."""
    if ratio.low > 1 + delta:
        return "slower"
    if ratio.high < 1 - delta:
        return "faster"
    if ratio.low > 1 - delta and ratio.high < 1 + delta:
        return "same"
    return "ambiguous"


@dataclass(frozen=True, slots=True)
class Compared:
    """One workload on both sides."""

    workload: str
    base_seconds: float  # median of one call
    head_seconds: float
    ratio: Interval  # head over base
    control: Interval  # base over base
    verdict: Verdict

    @property
    def is_suspect(self) -> bool:
        """Whether it is slow enough to fail, if a second measurement says so, too."""
        return self.ratio.low > FAIL


def compared(workload: str, pairs: Pairs, delta: float) -> Compared:
    """Both ratios of one workload, and what the first of them says."""
    ratio = ratio_over_processes(pairs.head, pairs.base, pairs.process)
    return Compared(
        workload,
        float(np.median(pairs.base)),
        float(np.median(pairs.head)),
        ratio,
        ratio_over_processes(pairs.again, pairs.base, pairs.process),
        verdict(ratio, delta),
    )
