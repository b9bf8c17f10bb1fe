"""How long each workload takes next to the baseline of its task, and how sure that is."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from report.estimates import Estimate, median_interval
from report.frames import records
from report.schema import FACTORS

AGAIN = " (again)"  # ends the name of the second half of an A/A pair
GROUP = ["device", "mode", "task"]
COLUMNS = [
    *[*GROUP, "workload", "label", "kind", "is_baseline", "threads", "seconds", "seconds_low"],
    *["seconds_high", "n", "value", "low", "high", "pairs", "noise_floor", "within", "word"],
    "resolved",
]
LEVEL, SIZE, WAY, INPUT = "level", "size", "way", "input"  # kinds of workloads
WHOLE_PASSES: Final = ("input pipeline", "epoch")  # modes in which a call goes through all data
QUIET, SHARED = 0.05, 0.10  # how far a ratio may lie from 1 and still be the same (METHODS T14)
SLOWER, FASTER, SAME, AMBIGUOUS = "slower", "faster", "same", "ambiguous"
WAYS: Final = {
    "run=graph": "CUDA graph",
    "run=compiled": "torch.compile",
    "input=DataLoader": "DataLoader",
}
SPEAKING = ("activation", "optimizer", "regularisation")  # levels that need no factor's name

Asked = Mapping[str, Collection[tuple[str, str]]]  # factors and levels of the studies, by task


def relative_times(
    timings: pd.DataFrame, asked: Asked | None = None, *, is_quiet: bool = False
) -> pd.DataFrame:
    """Median seconds of every workload and its time relative to its task's baseline.

    The baseline of a task is the workload that was timed twice, or else the one whose factors all
    have the level most common there, since a workload departs in one. Ratios are medians over
    pairs of samples taken in the same round of the same process (METHODS T13), with
    order-statistic intervals. `noise_floor` is how far the widest interval of an A/A pair on that
    device and mode reaches from 1. `word` is what an interval allows to say (METHODS T14):
    "same" if it lies inside 5% on a quiet machine or 10% on a shared one, "slower" and "faster" if
    beyond that and beyond the noise floor, the larger of which is `within`; else "ambiguous".
    `resolved`: slower or faster.

    `kind` is "level" for what the studies ask, "size" for a depth, width or minibatch beyond
    them, "way" for the baseline run otherwise, "input" where the data of a whole epoch move.

    Args:
        asked: the levels of the studies by task; None takes every level for one of them.
        is_quiet: whether nothing else kept the machine busy.

    Returns:
        One row per workload, A/A twins left out, in the order of the file.
    """
    groups = each_iteration(timings).groupby(GROUP, sort=False)
    rows = [row for _, group in groups for row in _group_rows(group, asked)]
    frame = pd.DataFrame(rows, columns=[c for c in COLUMNS if c not in _DERIVED])
    twin = frame["workload"].str.endswith(AGAIN)
    frame["noise_floor"] = _noise_floors(frame, twin)
    alike = QUIET if is_quiet else SHARED
    frame["within"] = frame["noise_floor"].clip(lower=alike)
    frame["word"] = [
        word_of(row["low"], row["high"], row["within"], alike) if not row["is_baseline"] else ""
        for row in records(frame)
    ]
    frame["resolved"] = frame["word"].isin([SLOWER, FASTER])
    return frame[~twin].reset_index(drop=True)[COLUMNS]


_DERIVED = ("noise_floor", "within", "word", "resolved")


def word_of(low: float, high: float, within: float, alike: float) -> str:
    """What the interval of a ratio of times allows to say; no interval allows nothing (T14).

    Args:
        within: how far beyond 1 it must lie for slower and faster.
        alike: how far from 1 it may reach and still be the same.
    """
    if low > 1 + within:
        return SLOWER
    if high < 1 - within:
        return FASTER
    return SAME if low >= 1 - alike and high <= 1 + alike else AMBIGUOUS


def each_iteration(timings: pd.DataFrame) -> pd.DataFrame:
    """The samples with `each`, the seconds of one iteration; a clock that stood still is none."""
    timed = timings.assign(each=timings["seconds"] / timings["iterations"])
    kept: pd.DataFrame = timed[timed["each"] > 0]
    return kept


def departures(group: pd.DataFrame) -> tuple[str, dict[str, dict[str, str]]]:
    """The baseline of one device, mode and task, and the levels in which each workload departs."""
    first = group.drop_duplicates("workload").set_index("workload")
    names = [str(name) for name in first.index]
    twins = [name for name in names if f"{name}{AGAIN}" in names]
    common = {
        factor: first[factor][twins[0]] if twins else first[factor].mode().iloc[0]
        for factor in FACTORS
    }
    departs = {
        name: {f: str(row[f]) for f in FACTORS if row[f] != common[f]}
        for name, row in zip(names, records(first), strict=True)
    }
    plain = (name for name, levels in departs.items() if not levels)
    return next(iter([*twins, *plain]), ""), departs


def _group_rows(group: pd.DataFrame, asked: Asked | None) -> Iterator[dict[str, Any]]:
    """One row per workload of one device, mode and task."""
    baseline, departs = departures(group)
    samples = {str(name): rows for name, rows in group.groupby("workload", sort=False)}
    plain = records(samples[baseline].head(1))[0] if baseline else None
    for name, levels in departs.items():
        own = samples[name]
        first = records(own.head(1))[0]
        base = name.removesuffix(AGAIN)
        base = base if name.endswith(AGAIN) and base in samples else baseline
        ratio = paired_ratio(own, samples.get(base, own.head(0)))
        median = median_interval(own["each"].to_numpy())
        way = "" if name == baseline or levels else _way(name, first, plain)
        yield {
            **{column: first[column] for column in GROUP},
            "workload": name,
            "label": way or level_words(levels) or name,
            "kind": _kind(first, levels, way, asked),
            "is_baseline": name == baseline,
            "threads": first["threads"],
            "seconds": median.value,
            "seconds_low": median.low,
            "seconds_high": median.high,
            "n": median.n,
            "value": ratio.value,
            "low": ratio.low,
            "high": ratio.high,
            "pairs": ratio.n,
        }


def _kind(first: dict[str, Any], levels: dict[str, str], way: str, asked: Asked | None) -> str:
    """What a workload is there for."""
    if first["mode"] in WHOLE_PASSES:
        return INPUT
    if way:
        return WAY
    known = None if asked is None else asked.get(str(first["task"]))
    beyond = known is not None and any((f, level) not in known for f, level in levels.items())
    return SIZE if beyond and set(levels) <= {"depth", "width", "minibatch"} else LEVEL


def _way(name: str, first: dict[str, Any], plain: dict[str, Any] | None) -> str:
    """How the baseline's computation is run where no factor differs; "" where it is no way."""
    if plain is None or name.endswith(AGAIN):
        return ""
    if first["dtype"] != plain["dtype"]:
        return f"{first['dtype']} autocast"
    if first["threads"] != plain["threads"]:
        return f"{first['threads']} threads"
    return WAYS.get(name.rpartition("/")[2], "")


def level_words(levels: Mapping[str, str]) -> str:
    """The levels a workload departs in; a norm that comes with a regulariser is not said twice."""
    return ", ".join(
        level if factor in SPEAKING and level != "none" else f"{factor.replace('_', ' ')} {level}"
        for factor, level in levels.items()
        if factor != "norm" or "regularisation" not in levels
    )


def paired_ratio(own: pd.DataFrame, base: pd.DataFrame, scale: float = 1.0) -> Estimate:
    """Median ratio of samples of the same round times `scale`, with an order-statistic interval."""
    pairs = own.merge(base, on=["process", "round"], suffixes=("", "_base"))
    logs = median_interval(np.log((pairs["each"] / pairs["each_base"]).to_numpy(dtype=float)))
    value, low, high = (scale * float(np.exp(x)) for x in (logs.value, logs.low, logs.high))
    return Estimate(value, low, high, logs.n, logs.interval)


def _noise_floors(frame: pd.DataFrame, twin: "pd.Series[bool]") -> "pd.Series[float]":
    """How far from 1 an A/A pair's interval reaches, per device and mode; 0 without a pair."""
    reach = pd.concat([frame["high"] - 1, 1 - frame["low"]], axis=1).max(axis=1)
    keys = [frame["device"], frame["mode"]]
    return reach.where(twin, 0.0).groupby(keys).transform("max")
