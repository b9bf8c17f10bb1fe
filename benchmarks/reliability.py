"""What samples are worth: intervals of medians and ratios, and the flags that they earn.

Everything here is a function of samples; nothing is dropped, whatever its flags.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FLAGS = {  # METHODS.md T12, T6 and T7
    "noisy": "the middle half of the samples spans 10% to 25% of their median",
    "unusable": "the middle half of the samples spans more than 25% of their median",
    "drift": "samples rise or fall in the course of a process (Spearman, p < .01), by over 2%",
    "bimodal": "samples fall into two groups that lie at least 5% apart",
    "few_samples": "fewer than 30 samples, or less than 0.15 s of them",
    "no_steady_state": "the last ten samples of the warm-up still varied too much",
    "launch_bound": "one call takes less than 20 launches of a kernel: the host is what is timed",
    "host_waits": "the call makes the host wait for the device",
    "busy": "others kept half a core busy just before or during the timing",
    "throttled": "a container's quota was used up, or a GPU ran below 75% of its clock",
}
OUTLIERS = (
    "samples further beyond the middle half of their workload, in their process, than 3 times its "
    "span; they are counted and kept"
)
FENCE = 3.0  # times the interquartile range
NOISY, UNUSABLE = 0.10, 0.25
DRIFT_P, DRIFT_SIZE = 0.01, 0.02
MODE_SHARE, MODE_DISTANCE, MODE_EXPLAINS = 0.15, 0.05, 0.85
LAUNCHES = 20
LEAST_SAMPLES, LEAST_SECONDS = 30, 0.15  # of a workload, all processes together (T8)
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959964  # leaves 2.5% above it


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples of one workload, device and mode, in the order in which they were taken.

    Shapes: (n,) each; `each` is seconds of one iteration, `seconds` of a whole sample.
    """

    process: Integers
    round: Integers
    each: Floats
    seconds: Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with its 95% interval; NaN bounds where there are too few samples."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's length relative to the median; infinite without bounds."""
        half = (self.high - self.low) / 2 / self.value if self.value else math.nan
        return math.inf if math.isnan(half) else half

    @property
    def reach(self) -> float:
        """For a ratio: how far from 1 the interval extends."""
        return max(self.high - 1, 1 - self.low)


def median_interval(values: Floats | Sequence[float]) -> Interval:
    """Median of (n,) values with the order-statistic interval, free of any distribution."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    rank = median_rank(n)
    low, high = (ordered[rank - 1], ordered[n - rank]) if rank else (math.nan, math.nan)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else math.nan
    return Interval(float(middle), float(low), float(high), n)


@cache
def median_rank(n: int) -> int:
    """Rank from either end of the order statistics that cover the median; 0 for none.

    The largest k with P(X < k) <= 2.5% for X of n fair coins: 1 for 6, 6 for 20 values.
    """
    tail = (1 - CONFIDENCE) / 2
    if n > 1000:  # the normal limit is off by less than one rank here
        return int((n - NORMAL_QUANTILE * math.sqrt(n)) / 2)
    limit, cumulated, k = tail * 2.0**n, 0, 0
    while k <= n // 2 and (cumulated := cumulated + math.comb(n, k)) <= limit:
        k += 1
    return k


def ratio_interval(treated: Samples, control: Samples) -> Interval:
    """Median ratio over samples of the same round and process, with its interval (T13)."""
    place = {key: i for i, key in enumerate(_keys(control))}
    pairs = [(i, place[key]) for i, key in enumerate(_keys(treated)) if key in place]
    mine, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    logs = median_interval(np.log(treated.each[mine] / control.each[theirs]))
    return Interval(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high), logs.n)


def _keys(samples: Samples) -> list[tuple[int, int]]:
    return list(zip(samples.process.tolist(), samples.round.tolist(), strict=True))


def median_over_processes(
    samples: Samples, *, rng: np.random.Generator, resamples: int = 1000
) -> Interval:
    """Median with an interval that knows that processes differ (T10).

    Processes are resampled, then samples within each. One process has only the interval
    within it.
    """
    processes = [samples.each[samples.process == p] for p in np.unique(samples.process)]
    if len(processes) < 2:
        return median_interval(samples.each)
    draws = np.empty(resamples)
    for b in range(resamples):
        chosen = rng.integers(len(processes), size=len(processes))
        drawn = [
            processes[p][rng.integers(len(processes[p]), size=len(processes[p]))] for p in chosen
        ]
        draws[b] = np.median(np.concatenate(drawn))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(np.median(samples.each)), float(low), float(high), len(samples.each))


def flags(
    samples: Samples,
    *,
    unsteady: Sequence[bool] = (),
    launch_seconds: float | None = None,
    host_waits: bool = False,
    busy: bool = False,
    throttled: bool = False,
) -> list[str]:
    """Every reason to doubt the samples of one workload, in the words of FLAGS.

    Args:
        unsteady: for each process, whether its warm-up ended unsteady.
        launch_seconds: of one small kernel, on an accelerator.
        host_waits: whether a call was seen to wait for the device.
        busy: whether others used the processor before or during a pass.
        throttled: whether a pass was held back each time that it was tried.
    """
    spread = relative_iqr(samples.each)
    raised = {
        "noisy": NOISY < spread <= UNUSABLE,
        "unusable": spread > UNUSABLE,
        "drift": _drifts(samples),
        "bimodal": _is_bimodal(samples.each),
        "few_samples": len(samples.each) < LEAST_SAMPLES or samples.seconds.sum() < LEAST_SECONDS,
        "no_steady_state": sum(unsteady) > len(unsteady) / 2,
        "launch_bound": launch_seconds is not None
        and bool(np.median(samples.each) < LAUNCHES * launch_seconds),
        "host_waits": host_waits,
        "busy": busy,
        "throttled": throttled,
    }
    return [name for name in FLAGS if raised[name]]


def outliers(samples: Samples) -> int:
    """How many samples lie far outside of the others of their process (T11)."""
    count = 0
    for process in np.unique(samples.process):
        each = samples.each[samples.process == process]
        low, high = np.quantile(each, [0.25, 0.75])
        reach = FENCE * (high - low)
        count += int(((each < low - reach) | (each > high + reach)).sum())
    return count


def relative_iqr(values: Floats) -> float:
    """Interquartile range over the median."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float((high - low) / middle)


def _drifts(samples: Samples) -> bool:
    """A monotone trend with time within processes that moves the median noticeably."""
    times, values, early, late = [], [], [], []
    for process in np.unique(samples.process):
        each = samples.each[samples.process == process]  # in the order of its rounds
        n = len(each)
        if n < 2:
            continue
        times.append(np.arange(n) / (n - 1))
        values.append(_ranks(each) / (n - 1))
        early.append(each[: n // 2])
        late.append(each[n // 2 :])
    if not times:
        return False
    p = _correlation_p(np.concatenate(times), np.concatenate(values))
    before, after = np.median(np.concatenate(early)), np.median(np.concatenate(late))
    return p < DRIFT_P and bool(abs(after / before - 1) > DRIFT_SIZE)


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts + 1) / 2)[inverse]
    return ranks


def _correlation_p(x: Floats, y: Floats) -> float:
    """Two-sided p of a correlation, by Fisher's transformation."""
    n = len(x)
    if n < 5 or x.std() == 0 or y.std() == 0:
        return 1.0
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1 + 1e-12, 1 - 1e-12))
    return math.erfc(abs(math.atanh(r)) * math.sqrt(n - 3) / math.sqrt(2))


def _is_bimodal(values: Floats) -> bool:
    """Whether one cut explains most of the variance and parts two groups that matter.

    The best cut of a normal distribution explains 64% of its variance, of a uniform one
    75%. The outer 5% on either side are laid aside, so that spikes make no group.
    """
    ordered = np.sort(values)
    trim = len(ordered) // 20
    ordered = ordered[trim : len(ordered) - trim]
    n = len(ordered)
    cuts = np.arange(math.ceil(MODE_SHARE * n), math.floor((1 - MODE_SHARE) * n) + 1)
    cuts = cuts[(cuts > 0) & (cuts < n)]
    variance = ordered.var()
    if not len(cuts) or variance == 0:
        return False
    sums = np.cumsum(ordered)
    low = sums[cuts - 1] / cuts  # mean below each cut
    high = (sums[-1] - sums[cuts - 1]) / (n - cuts)  # mean above it
    share = cuts / n
    explained = share * (1 - share) * (high - low) ** 2 / variance
    best = int(np.argmax(explained))
    apart = high[best] / low[best] - 1
    return bool(explained[best] > MODE_EXPLAINS and apart > MODE_DISTANCE)
