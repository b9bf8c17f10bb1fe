"""The times of two results folders: ratios, words, and what each workload took."""

from typing import Final

import numpy as np
import pandas as pd

from report.against import Against
from report.document import Answer, Details, Section, Table, Text
from report.estimates import Estimate
from report.frames import records
from report.numbers import NOTHING, counted, listed
from report.throughput import AMBIGUOUS, FASTER, SAME, SLOWER
from report.time_ratios import time_ratios
from report.time_words import device_name, ratio_texts, time_texts, within_text
from report.timing_notes import is_quiet

RESAMPLING_SEED: Final = 10
MOST_ROWS: Final = 60  # of the table, by how far a ratio lies from 1


def time_part(found: Against) -> tuple[Section | None, tuple[str, ...]]:
    """The section on time, and a sentence for each mode in which times changed beyond noise."""
    if found.here.timings.empty or found.there.timings.empty or found.same_timings:
        return None, ()
    quiet = is_quiet(found.here.timing_notes) and is_quiet(found.there.timing_notes)
    rng = np.random.default_rng(RESAMPLING_SEED)
    ratios = time_ratios(found.here.timings, found.there.timings, rng=rng, is_quiet=quiet)
    if ratios.empty:
        return _section(["No workload was timed in both."], ratios), ()
    groups = {str(mode): group for mode, group in ratios.groupby("mode", sort=False)}
    changed = tuple(
        _counts(mode, group)
        for mode, group in groups.items()
        if group["word"].isin([SLOWER, FASTER]).any()
    )
    return _section([_counts(mode, group) for mode, group in groups.items()], ratios), changed


def _counts(mode: str, group: pd.DataFrame) -> str:
    """How many workloads are slower or faster here, and by how much the typical one is."""
    words = group["word"].value_counts()
    told = listed([f"{words.get(w, 0)} {w}" for w in (SLOWER, FASTER, SAME, AMBIGUOUS)])
    centre = float(np.exp(np.log(group["value"]).mean()))
    ends = group[group["word"].isin([SLOWER, FASTER])]
    extreme = ""
    if len(ends):
        row = records(ends.loc[[np.log(ends["value"]).abs().idxmax()]])[0]
        text, interval = ratio_texts(_ratio(row))
        extreme = f"; most of all {row['workload']}, {text} times (95% interval {interval})"
    return (
        f"Time of {mode}: of {counted(len(group), 'workload')}, here against there, {told}; "
        f"geometric mean of the ratios {centre:.2f}{extreme}."
    )


def _took(seconds: float, device: str) -> str:
    return f"{time_texts(seconds, seconds, seconds)[0]} ({device_name(device)})"


def _ratio(row: dict[str, float]) -> Estimate:
    return Estimate(row["value"], row["low"], row["high"], int(row["processes_here"]), "")


def _section(sentences: list[str], ratios: pd.DataFrame) -> Section:
    blocks = (
        Answer(sentences=tuple(sentences)),
        *((_floor(ratios), _details(ratios)) if len(ratios) else ()),
    )
    return Section(
        anchor="times", title="Times", question="What became slower or faster?", blocks=blocks
    )


def _floor(ratios: pd.DataFrame) -> Text:
    return Text(
        paragraphs=(
            f"A word needs an interval beyond {within_text(ratios['within'].unique())} from 1, the "
            "larger of both folders' noise floors and what a machine's quiet allows.",
        )
    )


def _details(ratios: pd.DataFrame) -> Details:
    order = np.log(ratios["value"]).abs().sort_values(ascending=False, kind="stable").index
    shown = ratios.loc[order[:MOST_ROWS]]
    header = ("workload", "mode", "there", "here", "ratio", "95% interval", "word", "processes")
    rows = []
    for row in records(shown):
        known = np.isfinite(row["low"])
        text, interval = ratio_texts(_ratio(row)) if known else (f"{row['value']:.2f}", NOTHING)
        took = [_took(row[side], row[f"device_{side}"]) for side in ("there", "here")]
        counts = f"{row['processes_there']}, {row['processes_here']}"
        rows.append(
            (str(row["workload"]), str(row["mode"]), *took, text, interval, row["word"], counts)
        )
    left = len(ratios) - len(shown)
    table = Table(
        caption="Median time of one iteration, and here over there",
        header=header,
        rows=tuple(rows),
        numeric=frozenset({*header[2:6], "processes"}),
        note=f"And {counted(left, 'workload')} whose ratio is nearer to 1." if left else "",
    )
    return Details(summary="Times in numbers, the largest changes first", blocks=(table,))
