"""What each device does in a second, and from which size on an accelerator beats the processor."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import numpy as np
import pandas as pd

from report.frames import records
from report.scaling import scaling
from report.throughput import (
    FASTER,
    SAME,
    WHOLE_PASSES,
    each_iteration,
    paired_ratio,
    word_of,
)
from report.time_ratios import time_ratios

PROCESSOR: Final = "cpu"
LAUNCHES: Final = 20  # fewer launches than that, and the host is what is timed (METHODS T6)
RATES: Final = (
    *("device", "mode", "task", "minibatch", "seconds", "seconds_low", "seconds_high"),
    *("rate", "rate_low", "rate_high"),
)


def rates(speeds: pd.DataFrame, timings: pd.DataFrame) -> pd.DataFrame:
    """Examples per second of every base network, by inversion of its median time (METHODS T10).

    `rate` is NaN where a minibatch has no fixed size. Whole epochs and parts of a step are left
    out, because their calls do not take one minibatch.
    """
    sizes = timings.drop_duplicates(["device", "mode", "workload"]).set_index(
        ["device", "mode", "workload"]
    )["minibatch"]
    rows = []
    for row in records(speeds[speeds["is_baseline"].astype(bool)]):
        if row["mode"] not in ("training step", "inference"):
            continue
        size = str(sizes.loc[row["device"], row["mode"], row["workload"]])
        examples = float(size) if size.isdecimal() else np.nan
        rows.append(
            {
                **{name: row[name] for name in RATES[:3]},
                "minibatch": size,
                **{name: row[name] for name in RATES[4:7]},
                "rate": examples / row["seconds"],
                "rate_low": examples / row["seconds_high"],
                "rate_high": examples / row["seconds_low"],
            }
        )
    return pd.DataFrame(rows, columns=list(RATES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """The processor against an accelerator over the minibatches of one mode and task."""

    device: str
    mode: str
    task: str
    sizes: tuple[int, ...]  # ascending
    words: tuple[str, ...]  # of the accelerator's time over the processor's, at each size
    ratios: tuple[float, ...]  # processor over accelerator: above 1 the accelerator is faster

    @property
    def first_faster(self) -> int | None:
        """The size from which on the accelerator is faster at every size that was timed."""
        found = None
        for size, word in zip(reversed(self.sizes), reversed(self.words), strict=True):
            if word != FASTER:
                break
            found = size
        return found

    @property
    def before(self) -> int | None:
        """The size just below the crossing."""
        below = [size for size in self.sizes if size < (self.first_faster or inf)]
        return below[-1] if below else None


def crossings(
    timings: pd.DataFrame, *, rng: np.random.Generator, is_quiet: bool = False
) -> list[Crossing]:
    """Every accelerator against the processor, where three minibatches were timed on both.

    Processes of two devices have nothing in common, so intervals are those of `time_ratios`: over
    processes, then samples. One process on either side allows no word.
    """
    whole = timings[~timings["mode"].isin(WHOLE_PASSES)]
    lines = scaling(whole)
    lines = lines[lines["factor"] == "minibatch"]
    names = _by_size(whole, lines)
    found = []
    for device in accelerators(names):
        ratios = time_ratios(
            names[names["device"] == device],
            names[names["device"] == PROCESSOR],
            rng=rng,
            is_quiet=is_quiet,
        )
        ratios["size"] = [int(str(name).rpartition("/")[2]) for name in ratios["workload"]]
        for (mode, task), own in ratios.groupby(["mode", "task"], sort=False):
            own = own.sort_values("size")  # noqa: PLW2901
            if len(own) >= 3:
                found.append(
                    Crossing(
                        device=device,
                        mode=str(mode),
                        task=str(task),
                        sizes=tuple(own["size"]),
                        words=tuple(own["word"]),
                        ratios=tuple(1 / own["value"]),
                    )
                )
    return found


def _by_size(timings: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Samples of workloads that differ from the baseline in the minibatch alone, named by it."""
    places = {(r["device"], r["mode"], r["task"], str(int(r["size"]))) for r in records(lines)}
    baselines = timings[timings["workload"] == timings["task"] + "/baseline"]
    sized = timings["workload"] == timings["task"] + "/minibatch=" + timings["minibatch"].astype(
        str
    )
    own = pd.concat([baselines, timings[sized]])
    keys = list(
        zip(own["device"], own["mode"], own["task"], own["minibatch"].astype(str), strict=True)
    )
    own = own[[key in places for key in keys]]
    return own.assign(workload=own["task"] + "/" + own["minibatch"].astype(str))


def accelerators(timings: pd.DataFrame) -> list[str]:
    """Devices beside the processor, in the order of the file; none where that was not timed."""
    devices = [str(device) for device in timings["device"].unique()]
    return [d for d in devices if d != PROCESSOR] if PROCESSOR in devices else []


def mean_ratios(
    timings: pd.DataFrame, device: str, *, modes: tuple[str, ...]
) -> dict[str, tuple[float, int]]:
    """Geometric mean of the processor's median times over the accelerator's, and of how many."""
    found = {}
    timed = each_iteration(timings)
    for mode in modes:
        medians = timed[timed["mode"] == mode].pivot_table(
            index="workload", columns="device", values="each", aggfunc="median"
        )
        if {PROCESSOR, device} <= set(medians.columns):
            logs = np.log((medians[PROCESSOR] / medians[device]).dropna())
            if len(logs):
                found[mode] = (float(np.exp(logs.mean())), len(logs))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Launches:
    """What an accelerator's launches bound, in one mode."""

    device: str
    mode: str
    seconds: float  # of one launch
    bound: int  # workloads whose call takes less than LAUNCHES of them
    total: int


def launches(timings: pd.DataFrame, notes: Mapping[str, Any]) -> list[Launches]:
    """For every device whose passes measured what a launch takes."""
    medians = each_iteration(timings).groupby(["device", "mode", "workload"], sort=False)["each"]
    found = []
    table = medians.median().reset_index()
    for (device, mode), own in table.groupby(["device", "mode"], sort=False):
        least = _launch_seconds(notes, str(device))
        if least is not None and mode not in WHOLE_PASSES:
            bound = int((own["each"] < LAUNCHES * least).sum())
            found.append(
                Launches(
                    device=str(device), mode=str(mode), seconds=least, bound=bound, total=len(own)
                )
            )
    return found


def _launch_seconds(notes: Mapping[str, Any], device: str) -> float | None:
    passes = notes.get("passes")
    known = [
        float(entry["launch_seconds"])
        for entry in (passes if isinstance(passes, list) else [])
        if isinstance(entry, dict)
        and entry.get("device") == device
        and isinstance(entry.get("launch_seconds"), int | float)
        and entry["launch_seconds"] > 0
    ]
    return min(known, default=None)


def flat_until(
    timings: pd.DataFrame, device: str, mode: str, task: str, *, within: float, alike: float
) -> tuple[int, int] | None:
    """The smallest minibatch, and the largest up to which a call takes no longer than with that.

    None where fewer than three were timed. A call that takes as long whatever the minibatch pays
    for launches, not for arithmetic.
    """
    whole = timings[
        (timings["device"] == device) & (timings["mode"] == mode) & (timings["task"] == task)
    ]
    lines = scaling(whole)
    lines = lines[lines["factor"] == "minibatch"]
    if lines.empty:
        return None
    own = each_iteration(_by_size(whole, lines))
    by_size = {int(size): rows for size, rows in own.groupby(own["minibatch"].astype(int))}
    sizes = sorted(by_size)
    last = sizes[0]
    for size in sizes[1:]:
        ratio = paired_ratio(by_size[size], by_size[sizes[0]])
        if word_of(ratio.low, ratio.high, within, alike) not in (SAME, FASTER):
            break
        last = size
    return sizes[0], last
