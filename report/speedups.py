"""Stacks against what one would otherwise do: ratios over rounds, and shares of the machine."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from report.estimates import Estimate, Floats, interval_name, mean_estimate, median_interval

STACKED = "stacked"
LEAST_FOR_RANKS = 6  # values below which no order statistics cover a median at 95%


def ratios(speedup: pd.DataFrame) -> pd.DataFrame:
    """Seconds per trial of each other way over those of the stacks, paired by round.

    From six rounds on the median with order statistics; below, the geometric mean with Student t
    on the logarithms.

    Returns:
        `case`, `way`, `value`, `low`, `high`, `n` (rounds), `interval`, and the same with the
        time of compiling as `with_value`, `with_low`, `with_high` where there is any, else NaN.
    """
    rows = speedup.assign(
        cost=speedup["seconds"] / speedup["trials"],
        whole=(speedup["seconds"] + speedup["compile_seconds"]) / speedup["trials"],
    )
    stacks = rows[rows["way"] == STACKED][["case", "round", "cost"]]
    pairs = rows[rows["way"] != STACKED].merge(
        stacks, on=["case", "round"], suffixes=("", "_stacked")
    )
    found = []
    for (case, way), group in pairs.groupby(["case", "way"], sort=False):
        plain = _ratio(group["cost"].to_numpy(float), group["cost_stacked"].to_numpy(float))
        row = {"case": case, "way": way, **_bounds(plain), "n": plain.n, "interval": plain.interval}
        with_compiling = {"with_value": np.nan, "with_low": np.nan, "with_high": np.nan}
        if (group["compile_seconds"] > 0).any():
            whole = _ratio(group["whole"].to_numpy(float), group["cost_stacked"].to_numpy(float))
            with_compiling = {f"with_{name}": x for name, x in _bounds(whole).items()}
        found.append(row | with_compiling)
    columns = ["case", "way", "value", "low", "high", "n", "interval"]
    columns += ["with_value", "with_low", "with_high"]
    return pd.DataFrame(found, columns=columns)


def sampled(speedup: pd.DataFrame, notes: Mapping[str, Any]) -> pd.DataFrame:
    """Cases that are whole profiles, of which stacks were sampled by stratum.

    A total is the sum over strata of stacks times the mean seconds of those sampled. The interval
    of the ratio of both totals is Student's t with its linearised variance (Cochran 1977,
    sections 6.10 and 6.11), the finite number of stacks minded.

    Returns:
        `case`, `stacks`, `sampled`, `cores`, `stacked` and `notebook` (seconds on the clock of the
        whole profile), `value`, `low`, `high` of how many times faster the stacks are.
    """
    found = []
    for case, note in profiles(notes).items():
        own = speedup[speedup["case"] == case]
        try:
            sizes = {name: int(each["stacks"]) for name, each in note["strata"].items()}
            cores = int(note["cores"])
            strata = own["round"].map(lambda n, names=note["sampled"]: str(names[int(n)]))
        except (AttributeError, KeyError, TypeError, ValueError, IndexError):
            continue
        cost = own.assign(stratum=strata).pivot_table(
            index=["round", "stratum"], columns="way", values=["seconds", "trials"]
        )
        if own.empty or not {STACKED, "notebook"} <= set(own["way"]):
            continue
        ours = cost["seconds"][STACKED] / cores
        each = cost["seconds"]["notebook"] / cost["trials"]["notebook"]
        pairs = pd.DataFrame({"ours": ours, "theirs": each * cost["trials"][STACKED]}).dropna()
        found.append({"case": case, "cores": cores, **_totals(pairs, sizes)})
    columns = ["case", "stacks", "sampled", "cores", "stacked", "notebook", "value", "low", "high"]
    return pd.DataFrame(found, columns=columns)


def profiles(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes of cases that are whole profiles."""
    cases = notes.get("cases")
    each = cases.items() if isinstance(cases, dict) else ()
    return {case: note for case, note in each if isinstance(note, dict) and "strata" in note}


def _totals(pairs: pd.DataFrame, sizes: Mapping[str, int]) -> dict[str, float]:
    """Totals and their ratio from seconds of sampled stacks, indexed by round and stratum."""
    groups = {str(name): group for name, group in pairs.groupby(level="stratum")}
    ours = sum(sizes[name] * float(group["ours"].mean()) for name, group in groups.items())
    theirs = sum(sizes[name] * float(group["theirs"].mean()) for name, group in groups.items())
    ratio, variance = theirs / ours, 0.0
    for name, group in groups.items():
        n, size = len(group), sizes[name]
        if 1 < n < size:
            rest = group["theirs"] - ratio * group["ours"]
            variance += size**2 * (1 - n / size) * float(rest.var()) / n
    degrees = max(len(pairs) - len(groups), 1)
    half = float(stats.t.ppf(0.975, degrees)) * float(np.sqrt(variance)) / ours
    return {
        "stacks": sum(sizes.values()),
        "sampled": len(pairs),
        "stacked": ours,
        "notebook": theirs,
        "value": ratio,
        "low": ratio - half,
        "high": ratio + half,
    }


def _bounds(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _ratio(others: Floats, stacked: Floats) -> Estimate:
    """Others over stacked."""
    logs = np.log(others / stacked)
    if len(logs) >= LEAST_FOR_RANKS:
        middle, name = median_interval(logs), interval_name(0.95, "order statistics")
    else:
        middle, name = mean_estimate(logs), interval_name(0.95)
    value, low, high = (float(np.exp(x)) for x in (middle.value, middle.low, middle.high))
    return Estimate(value, low, high, middle.n, name)


def shares(speedup: pd.DataFrame, notes: Mapping[str, Any]) -> pd.DataFrame:
    """What the stacks reach of the machine's rates, for every case that speedup.json counts.

    Returns:
        `case`, `trials`, `cores`, `seconds` (median over rounds of all trials), `gflops` and
        `gigabytes` per second reached, `peak` (Gflop/s of all cores) with the library that has
        it, `bandwidth` (GB/s of a copy on one core), `arithmetic`, `traffic`, `evaluation`:
        shares of the time that the multiplications of the steps, the bytes of the steps, and the
        multiplications of the evaluations would take at those rates; `compiled`, whether each
        trial takes its steps by itself; `device`; `size` of the multiplied matrices.
    """
    cases = notes.get("cases")
    found = []
    for case, note in (cases if isinstance(cases, dict) else {}).items():
        own = speedup[(speedup["case"] == case) & (speedup["way"] == STACKED)]
        try:
            work, rates, cores = note["work"], note["rates"], int(note["cores"])
            size = int(rates["size"])
            medians = {name: float(np.median(s)) for name, s in rates["seconds"].items()}
            library = min(medians.keys() & {"numpy", "torch"}, key=medians.__getitem__)
            peak = cores * 2 * rates["multiply_adds"] / medians[library]
            bandwidth = rates["bytes"] / medians["copy"]
            operations = 2.0 * work["multiply_adds"]
            evaluation = 2.0 * work["evaluation_multiply_adds"]
            moved = float(work["bytes"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            continue
        if own.empty:
            continue
        trials = int(own["trials"].iloc[0])
        seconds = float(own["seconds"].median())
        found.append(
            {
                "case": case,
                "trials": trials,
                "cores": cores,
                "seconds": seconds,
                "gflops": trials * operations / seconds / 1e9,
                "gigabytes": trials * moved / seconds / 1e9,
                "peak": peak / 1e9,
                "library": library,
                "bandwidth": bandwidth / 1e9,
                "arithmetic": trials * operations / seconds / peak,
                "traffic": trials * moved / seconds / bandwidth,
                "evaluation": trials * evaluation / seconds / peak,
                "compiled": work.get("compiled") is True,
                "device": str(note.get("device", "cpu")),
                "size": size,
            }
        )
    return pd.DataFrame(found, columns=_SHARES)


_SHARES = [
    *("case", "trials", "cores", "seconds", "gflops", "gigabytes", "peak", "library"),
    *("bandwidth", "arithmetic", "traffic", "evaluation", "compiled", "device", "size"),
]
