"""Every workload's time in numbers, for other programs (METHODS T10)."""

from typing import Any, Final

import numpy as np
import pandas as pd

from report.frames import records
from report.tables import Results
from report.throughput import each_iteration, relative_times
from report.timing_notes import flags_by_workload, is_quiet

TIME_COLUMNS: Final = (
    *("device", "mode", "task", "workload", "threads", "n", "minimum", "median", "low", "high"),
    *("mad", "cov", "ratio", "ratio_low", "ratio_high", "pairs", "within", "word", "flags"),
)


def time_rows(results: Results) -> list[dict[str, Any]]:
    """A row for every workload, A/A twins left out.

    `minimum`, `median` with its order-statistic interval `low` to `high`, and `mad`, the median
    absolute deviation, are seconds of one call over all processes; `cov` is the standard deviation
    over the mean. `ratio` is to the baseline of the task, and `within` how far from 1 it must lie
    before `word` says slower or faster.
    """
    notes = results.timing_notes
    spread = _spread(results.timings)
    flags = flags_by_workload(notes)
    rows = []
    for row in records(relative_times(results.timings, is_quiet=is_quiet(notes))):
        key = (row["device"], row["mode"], row["workload"])
        rows.append(
            {name: row[name] for name in TIME_COLUMNS if name in row}
            | {"median": row["seconds"], "low": row["seconds_low"], "high": row["seconds_high"]}
            | {"ratio": row["value"], "ratio_low": row["low"], "ratio_high": row["high"]}
            | spread[key]
            | {"flags": " ".join(flags.get(key, []))}
        )
    return rows


def _spread(timings: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, float]]:
    """Least, and how far the samples of a workload lie apart."""
    found = {}
    for key, group in each_iteration(timings).groupby(["device", "mode", "workload"], sort=False):
        device, mode, workload = map(str, key)
        each = group["each"].to_numpy(float)
        found[device, mode, workload] = {
            "minimum": float(each.min()),
            "mad": float(np.median(np.abs(each - np.median(each)))),
            "cov": float(each.std(ddof=1) / each.mean()) if len(each) > 1 else np.nan,
        }
    return found
