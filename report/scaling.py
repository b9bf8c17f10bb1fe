"""How the time of one call grows with minibatch, width and depth, and where it saturates."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from report.estimates import Estimate, median_interval
from report.throughput import (
    AGAIN,
    FASTER,
    GROUP,
    SAME,
    SLOWER,
    departures,
    each_iteration,
    paired_ratio,
    word_of,
)

SIZES: Final = ("minibatch", "width", "depth")
LEAST_SIZES = 3  # of a line worth drawing
COLUMNS = [*GROUP, "factor", "size", "seconds", "low", "high", "n", "is_baseline"]


def scaling(timings: pd.DataFrame) -> pd.DataFrame:
    """Median seconds of one call at every size that was timed, the other factors at their baseline.

    Only lines of three sizes or more; a size that is not a number ("full") is none.

    Returns:
        `device`, `mode`, `task`, `factor`, `size`, `seconds`, `low`, `high` (95% order
        statistics), `n`, `is_baseline`; sizes ascend.
    """
    rows = [
        (*key, factor, size, each.value, each.low, each.high, each.n, is_base)
        for key, group in each_iteration(timings).groupby(GROUP, sort=False)
        for factor, sizes in _sizes(group).items()
        for size, (samples, is_base) in sizes.items()
        for each in [median_interval(samples["each"].to_numpy())]
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _sizes(group: pd.DataFrame) -> dict[str, dict[float, tuple[pd.DataFrame, bool]]]:
    """By factor and size, the samples of the workload that departs in that alone."""
    baseline, departs = departures(group)
    found: dict[str, dict[float, tuple[pd.DataFrame, bool]]] = {}
    if not baseline:
        return found
    samples = {str(name): rows for name, rows in group.groupby("workload", sort=False)}
    for factor in SIZES:
        levels = {
            name: own[factor]
            for name, own in departs.items()
            if list(own) == [factor] and not name.endswith(AGAIN)
        }
        levels[baseline] = str(samples[baseline][factor].iloc[0])
        sizes = {
            float(level): (samples[name], name == baseline)
            for name, level in levels.items()
            if level.isdecimal()
        }
        if len(sizes) >= LEAST_SIZES:
            found[factor] = dict(sorted(sizes.items()))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """What larger minibatches do to the time of one example."""

    device: str
    mode: str
    task: str
    sizes: tuple[int, ...]  # ascending
    saturated_at: int | None  # from here on no larger one is faster per example; None: not seen
    steps_up: tuple[str, ...]  # the word of every doubling, or whatever the sizes are
    gain: Estimate  # time per example at the smallest over that at the point, or at the largest

    @property
    def point(self) -> int:
        """The size that the gain is of."""
        return self.saturated_at or self.sizes[-1]


def saturations(timings: pd.DataFrame, within: float, alike: float) -> list[Saturation]:
    """Where examples stop to get cheaper: by device, mode and task with three minibatch sizes.

    That is the smallest size to which no larger one is faster per example, all being the same or
    slower by the rule for words (METHODS T14). An ambiguous comparison leaves it open, and at the
    largest size nothing is known of larger ones.
    """
    found = []
    for (device, mode, task), group in each_iteration(timings).groupby(GROUP, sort=False):
        sizes = {int(size): own for size, (own, _) in _sizes(group).get("minibatch", {}).items()}
        if not sizes:
            continue
        known = list(sizes)
        words = {
            (a, b): _word(sizes[b], sizes[a], a / b, within, alike)
            for i, a in enumerate(known)
            for b in known[i + 1 :]
        }
        ends = (SAME, SLOWER)
        saturated = next(
            (a for a in known[:-1] if all(words[a, b] in ends for b in known if b > a)), None
        )
        point = saturated or known[-1]
        gain = paired_ratio(sizes[known[0]], sizes[point], point / known[0])
        found.append(
            Saturation(
                device=str(device),
                mode=str(mode),
                task=str(task),
                sizes=tuple(known),
                saturated_at=saturated,
                steps_up=tuple(words[pair] for pair in pairwise(known)),
                gain=gain,
            )
        )
    return found


def _word(
    larger: pd.DataFrame, smaller: pd.DataFrame, scale: float, within: float, alike: float
) -> str:
    """Whether the larger minibatch is faster per example."""
    ratio = paired_ratio(larger, smaller, scale)
    return word_of(ratio.low, ratio.high, within, alike)


def still_gains(saturation: Saturation) -> bool:
    """Whether the last step up was still worth it."""
    return bool(saturation.steps_up) and saturation.steps_up[-1] == FASTER


def exponent(line: pd.DataFrame) -> float:
    """Slope of a line between its two largest sizes in double logarithms: 1 is proportional."""
    last = line.nlargest(2, "size")
    large, small = last.iloc[0], last.iloc[1]
    return float(
        np.log(large["seconds"] / small["seconds"]) / np.log(large["size"] / small["size"])
    )
