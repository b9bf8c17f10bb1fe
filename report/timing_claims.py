"""Claims about cost: one level against another by the ratio of their seconds.

Where a claim has `table = "timings"`, better means faster: `by = 0.1` claims that better takes at
least a tenth less time than worse, `equal_within = 0.1` that the two take the same to a tenth. The
ratio is the median over samples of the same round (METHODS T13), its order-statistic interval at
1 - alpha/m. What a machine says of itself is no evidence: a ratio nearer to 1 than the noise floor
of its A/A pairs, and than 5% (10% where something else kept it busy), supports nothing (T14).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, nan
from typing import Any, Final

import numpy as np
import pandas as pd

from report.cells import level_of
from report.comparisons import ClaimError
from report.effects import ALPHA
from report.estimates import Estimate, Floats, median_interval
from report.schema import FACTORS
from report.tables import StudyResults
from report.throughput import AGAIN, departures, each_iteration, level_words, relative_times
from report.timing_notes import is_quiet
from report.verdicts import CONTRADICTED, SUPPORTED, UNRESOLVED, Decision

TRAINING: Final = "training step"  # what a claim is about that names no other mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two workloads of one task, device and mode, and how far the machine differs from itself."""

    about: str  # "relu over sigmoid"
    names: tuple[str, str]
    seconds: tuple[float, float]  # medians of one iteration
    ratio: Estimate  # of the first over the second
    within: float  # a ratio nearer to 1 than this is the machine's own
    ratios: tuple[float, ...]  # one per round that timed both


def compared(
    results: StudyResults, claim: Mapping[str, Any], task: str, mode: str, *, m: int = 1
) -> Comparison:
    """The ratio of the two workloads that a claim names.

    Errors:
        ClaimError, NamingError: it names something that was not timed.
    """
    group = _samples(results, task, mode)
    baseline, departs = departures(group)
    base = group[group["workload"] == baseline].iloc[0]
    # The baseline run in another way, on more threads or in another number format, is no level.
    same = (group["threads"] == base["threads"]) & (group["dtype"] == base["dtype"])
    group = group[same]
    sides = []
    for side in ("better", "worse"):
        if not isinstance(claim.get(side), Mapping):
            raise ClaimError(f"{side} must name levels of factors, got {claim.get(side)!r:.40}")
        sides.append(_workload(group, base, departs, claim[side]))
    if sides[0] == sides[1]:
        raise ClaimError(f"both sides are the same workload, {sides[0]}")
    ratios = ratios_of(group, sides[0], sides[1])
    ratio = ratio_of(ratios, confidence=1 - ALPHA / m)
    if ratio.n == 0:
        raise ClaimError(f"no round timed both {sides[0]} and {sides[1]}")
    names = [_words(base, departs[side], claim) for side in sides]
    seconds = [float(group.loc[group["workload"] == side, "each"].median()) for side in sides]
    return Comparison(
        about=f"{names[0]} over {names[1]}",
        names=(names[0], names[1]),
        seconds=(seconds[0], seconds[1]),
        ratio=ratio,
        within=_within(results, task, mode, baseline),
        ratios=tuple(ratios.tolist()),
    )


def ratios_of(group: pd.DataFrame, first: str, second: str) -> Floats:
    """The ratio of the seconds of two workloads in every round that timed both.

    Args:
        group: samples with `workload`, `process`, `round` and `each`, seconds of one iteration.
    """
    keys = ["process", "round"]
    pair = [group[group["workload"] == name][[*keys, "each"]] for name in (first, second)]
    joined = pair[0].merge(pair[1], on=keys, suffixes=("", "_other"))
    return (joined["each"] / joined["each_other"]).to_numpy(float)


def ratio_of(ratios: Floats, *, confidence: float = 0.95) -> Estimate:
    """The median ratio, with its interval from order statistics; geometric between two."""
    middle = median_interval(np.log(ratios), confidence=confidence)
    bounds = (exp(x) if np.isfinite(x) else nan for x in (middle.value, middle.low, middle.high))
    value, low, high = bounds
    return Estimate(value, low, high, middle.n, middle.interval)


def decide_on_time(found: Comparison, margin: float, *, is_equality: bool) -> Decision:
    """The verdict on a ratio of times.

    Supported when the interval lies below 1 - by, and beyond what the machine differs from itself;
    contradicted when it lies above 1 - by by more than that. An equality is supported inside
    1 ± margin and contradicted beyond it and beyond the machine's own differences.
    """
    ratio, within = found.ratio, found.within
    if not np.isfinite(ratio.low):
        return Decision(
            verdict=UNRESOLVED,
            estimate=ratio,
            reason=f"{ratio.n} pairs of samples are too few for an interval",
        )
    far = max(margin, within)
    if is_equality:
        inside = ratio.low >= 1 - margin and ratio.high <= 1 + margin
        outside = ratio.low > 1 + far or ratio.high < 1 - far
    else:
        inside = ratio.high < 1 - far
        outside = ratio.low > 1 - margin + within
    verdict = SUPPORTED if inside else CONTRADICTED if outside else UNRESOLVED
    return Decision(verdict=verdict, estimate=ratio)


def _samples(results: StudyResults, task: str, mode: str) -> pd.DataFrame:
    """The samples of one task and mode on the device of the study, with `each`."""
    timings = each_iteration(results.timings)
    if timings.empty:
        raise ClaimError("nothing was timed; run `make ablations`, which times after training")
    devices = list(dict.fromkeys(timings["device"]))
    own = str(results.study.get("device", ""))
    timings = timings[timings["device"] == (own if own in devices else devices[0])]
    modes = list(dict.fromkeys(timings["mode"]))
    if mode not in modes:
        raise ClaimError(f"unknown mode {mode!r}; timings.csv has {', '.join(modes)}")
    group: pd.DataFrame = timings[(timings["task"] == task) & (timings["mode"] == mode)]
    if group.empty or not departures(group)[0]:
        raise ClaimError(f"no {mode} of {task} was timed with a baseline to compare with")
    return group


def _workload(
    group: pd.DataFrame,
    base: "pd.Series[Any]",
    departs: Mapping[str, Mapping[str, str]],
    named: Mapping[str, Any],
) -> str:
    """The workload with these levels, every factor not named as in the timed baseline."""
    for factor in named:
        if factor not in FACTORS:
            raise ClaimError(f"unknown factor {factor!r}; there is {', '.join(FACTORS)}")
    asked = {f: level_of(f, sorted(set(group[f].astype(str))), given) for f, given in named.items()}
    wanted = {f: level for f, level in asked.items() if level != str(base[f])}
    there = set(group["workload"])
    for name, levels in departs.items():
        if dict(levels) == wanted and name in there and not name.endswith(AGAIN):
            return name
    raise ClaimError(f"{level_words(asked) or 'the baseline'} was not timed in this mode")


def _words(base: "pd.Series[Any]", levels: Mapping[str, str], claim: Mapping[str, Any]) -> str:
    """A workload by the factors that the claim names on either side."""
    named = [f for f in FACTORS if f in claim["better"] or f in claim["worse"]]
    return level_words({f: levels.get(f, str(base[f])) for f in named})


def _within(results: StudyResults, task: str, mode: str, baseline: str) -> float:
    """How far the machine differs from itself, as the tables of times have it."""
    own = results.timings[results.timings["mode"] == mode]
    speeds = relative_times(own, is_quiet=is_quiet(results.timing_notes))
    mine = speeds[(speeds["task"] == task) & (speeds["workload"] == baseline)]
    return float(mine["within"].iloc[0])
