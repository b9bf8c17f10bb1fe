"""How long each workload takes next to the baseline of its task, and how sure that is."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from report.estimates import Estimate, median_interval
from report.frames import records
from report.schema import FACTORS

AGAIN = " (again)"  # ends the name of the second half of an A/A pair
GROUP = ["device", "mode", "task"]
COLUMNS = [
    *[*GROUP, "workload", "label", "is_baseline", "threads", "seconds", "seconds_low"],
    *["seconds_high", "n", "value", "low", "high", "pairs", "resolved", "noise_floor"],
]


def relative_times(timings: pd.DataFrame) -> pd.DataFrame:
    """Median seconds of every workload and its time relative to its task's baseline.

    The baseline of a task is the workload whose factors all have the level most common there,
    since a workload departs in one. Ratios are medians over pairs of samples taken in the same
    round of the same process (METHODS T13), with order-statistic intervals. `resolved` is False
    where the interval includes 1 or lies inside the noise floor: the widest interval of an A/A
    pair on that device and mode.

    Returns:
        One row per workload, A/A twins left out, in the order of the file.
    """
    timed = timings.assign(each=timings["seconds"] / timings["iterations"])
    timed = timed[timed["each"] > 0]
    groups = timed.groupby(GROUP, sort=False)
    rows = [row for _, group in groups for row in _group_rows(group)]
    frame = pd.DataFrame(rows, columns=[*COLUMNS[:-2]])
    twin = frame["workload"].str.endswith(AGAIN)
    frame["noise_floor"] = _noise_floors(frame, twin)
    outside = np.maximum(frame["high"] - 1, 1 - frame["low"]) > frame["noise_floor"]
    clear = (frame["low"] > 1) | (frame["high"] < 1)
    frame["resolved"] = clear & outside & ~frame["is_baseline"]
    return frame[~twin].reset_index(drop=True)[COLUMNS]


def _group_rows(group: pd.DataFrame) -> Iterator[dict[str, object]]:
    """One row per workload of one device, mode and task."""
    first = group.drop_duplicates("workload").set_index("workload")
    common = {factor: first[factor].mode().iloc[0] for factor in FACTORS}
    departs = {
        name: [f for f in FACTORS if row[f] != common[f]]
        for name, row in zip(map(str, first.index), records(first), strict=True)
    }
    plain = [name for name, factors in departs.items() if not factors]
    baseline = next((name for name in plain if f"{name}{AGAIN}" in departs), next(iter(plain), ""))
    for name, factors in departs.items():
        own = group[group["workload"] == name]
        base = name.removesuffix(AGAIN) if name.endswith(AGAIN) else baseline
        ratio = _ratio(own, group[group["workload"] == base])
        median = median_interval(own["each"].to_numpy())
        yield {
            **{column: own[column].iloc[0] for column in GROUP},
            "workload": name,
            "label": _label({f: str(first[f][name]) for f in factors}) or str(name),
            "is_baseline": name == baseline,
            "threads": own["threads"].iloc[0],
            "seconds": median.value,
            "seconds_low": median.low,
            "seconds_high": median.high,
            "n": median.n,
            "value": ratio.value,
            "low": ratio.low,
            "high": ratio.high,
            "pairs": ratio.n,
        }


SPEAKING = ("activation", "optimizer", "regularisation")  # levels that need no factor's name


def _label(levels: dict[str, str]) -> str:
    """The levels a workload departs in; a norm that comes with a regulariser is not said twice."""
    return ", ".join(
        level if factor in SPEAKING and level != "none" else f"{factor} {level}"
        for factor, level in levels.items()
        if factor != "norm" or "regularisation" not in levels
    )


def _ratio(own: pd.DataFrame, base: pd.DataFrame) -> Estimate:
    """Median ratio of paired samples, with an order-statistic interval."""
    pairs = own.merge(base, on=["process", "round"], suffixes=("", "_base"))
    logs = median_interval(np.log((pairs["each"] / pairs["each_base"]).to_numpy(dtype=float)))
    value, low, high = (float(np.exp(x)) for x in (logs.value, logs.low, logs.high))
    return Estimate(value, low, high, logs.n, logs.interval)


def _noise_floors(frame: pd.DataFrame, twin: "pd.Series[bool]") -> "pd.Series[float]":
    """How far from 1 an A/A pair's interval reaches, per device and mode; 0 without a pair."""
    reach = pd.concat([frame["high"] - 1, 1 - frame["low"]], axis=1).max(axis=1)
    keys = [frame["device"], frame["mode"]]
    return reach.where(twin, 0.0).groupby(keys).transform("max")
