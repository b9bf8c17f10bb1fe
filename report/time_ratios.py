"""The same workloads timed in two results folders: ratios of medians with honest intervals.

Rounds of two folders have nothing in common, so nothing is paired. Processes are resampled first,
then the samples of each (METHODS T10), because medians of processes differ by more than their
samples say; and a ratio must lie beyond both folders' noise floors before a word is said.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from report.estimates import Floats
from report.schema import FACTORS
from report.throughput import AGAIN, QUIET, SHARED, each_iteration, relative_times, word_of

RESAMPLES: Final = 1_000
COLUMNS: Final = (
    *("workload", "task", "mode", "device_here", "device_there", "here", "there", "value", "low"),
    *("high", "processes_here", "processes_there", "within", "word"),
)
_KEY: Final = ["mode", "task", "workload", *FACTORS, "threads", "dtype"]


def time_ratios(
    here: pd.DataFrame,
    there: pd.DataFrame,
    *,
    rng: np.random.Generator,
    is_quiet: bool = False,
) -> pd.DataFrame:
    """Seconds here over seconds there of every workload in both, with its word.

    A workload is paired with the one of the same name, mode, levels, threads and dtype on the
    same device, or across devices where each folder timed it on one device only. `word` is of
    `throughput.word_of`, `within` the larger of both noise floors and 5% or 10%. Intervals are
    95% percentile bootstrap over processes, then samples; NaN where a side has one process.

    Args:
        rng: source of the resamples.
        is_quiet: whether nothing else kept either machine busy.
    """
    own, other = each_iteration(here), each_iteration(there)
    alike = QUIET if is_quiet else SHARED
    floors = [_floors(frame) for frame in (here, there)]
    rows = []
    for first, second in _pairs(own, other):
        row = _row(first, second, rng)
        floor = max(
            floors[0].get((row["device_here"], row["mode"]), 0.0),
            floors[1].get((row["device_there"], row["mode"]), 0.0),
        )
        within = max(alike, floor)
        rows.append(
            {**row, "within": within, "word": word_of(row["low"], row["high"], within, alike)}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _floors(timings: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The noise floor of each device and mode."""
    if timings.empty:
        return {}
    speeds = relative_times(timings)
    largest = speeds.groupby(["device", "mode"])["noise_floor"].max()
    return {(str(d), str(m)): float(v) for (d, m), v in zip(largest.index, largest, strict=True)}


def _pairs(own: pd.DataFrame, other: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    theirs = dict(iter(other.groupby(_KEY, sort=False)))
    for key, group in own.groupby(_KEY, sort=False):
        if str(group["workload"].iloc[0]).endswith(AGAIN) or key not in theirs:
            continue
        devices = {str(d): rows for d, rows in group.groupby("device", sort=False)}
        found = {str(d): rows for d, rows in theirs[key].groupby("device", sort=False)}
        if len(devices) == len(found) == 1:
            yield next(iter(devices.values())), next(iter(found.values()))
            continue
        for device, rows in devices.items():
            if device in found:
                yield rows, found[device]


def _row(here: pd.DataFrame, there: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    medians = [float(frame["each"].median()) for frame in (here, there)]
    counts = [int(frame["process"].nunique()) for frame in (here, there)]
    low = high = np.nan
    if min(counts) > 1:
        drawn = [np.log(_resampled(frame, rng)) for frame in (here, there)]
        low, high = np.exp(np.quantile(drawn[0] - drawn[1], [0.025, 0.975])).tolist()
    first = here.iloc[0]
    return {
        **{name: str(first[name]) for name in ("workload", "task", "mode")},
        "device_here": str(first["device"]),
        "device_there": str(there["device"].iloc[0]),
        "here": medians[0],
        "there": medians[1],
        "value": medians[0] / medians[1],
        "low": low,
        "high": high,
        "processes_here": counts[0],
        "processes_there": counts[1],
    }


def _resampled(frame: pd.DataFrame, rng: np.random.Generator) -> Floats:
    """Medians of resampled processes with resampled samples, shape (RESAMPLES,)."""
    groups = [group.to_numpy(dtype=float) for _, group in frame.groupby("process")["each"]]
    least = min(map(len, groups))  # of every process as many, so that each weighs the same
    table = np.stack([group[:least] for group in groups])  # (processes, samples)
    chosen = rng.integers(len(table), size=(RESAMPLES, len(table)))
    places = rng.integers(least, size=(RESAMPLES, len(table), least))
    values = table[chosen[:, :, None], places]  # (RESAMPLES, processes, samples)
    return np.asarray(np.median(values.reshape(RESAMPLES, -1), axis=1))
