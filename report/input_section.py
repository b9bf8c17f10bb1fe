"""Other ways to run the baseline, and what the data of an epoch cost: two small tables."""

from collections.abc import Mapping

import pandas as pd

from report.document import Answer, Section, Table
from report.estimates import Estimate
from report.frames import records
from report.numbers import listed
from report.throughput import (
    INPUT,
    WAY,
    WHOLE_PASSES,
    each_iteration,
    paired_ratio,
)
from report.time_words import device_name, evidence_of, ratio_texts, time_texts

Flags = Mapping[tuple[str, str, str], list[str]]


def ways_section(speeds: pd.DataFrame, flags: Flags) -> Section | None:
    """Threads, autocast, compilation and graphs against eager float32."""
    rows = speeds[speeds["kind"] == WAY]
    if rows.empty:
        return None
    return Section(
        anchor="throughput-ways",
        title="Other ways to run the same",
        question="Do more threads, bfloat16, compilation or graphs pay?",
        blocks=(
            Answer(sentences=tuple(sentence(row, flags) for row in records(rows))),
            _table(rows, flags),
        ),
    )


def input_section(speeds: pd.DataFrame, timings: pd.DataFrame, flags: Flags) -> Section | None:
    """The minibatches of an epoch from tensors or a DataLoader, and the whole epoch."""
    rows = speeds[speeds["kind"] == INPUT]
    if rows.empty:
        return None
    others = rows[~rows["is_baseline"]]
    sentences = [sentence(row, flags, "tensors on the device") for row in records(others)]
    sentences += _shares(timings)
    return Section(
        anchor="throughput-input",
        title="Input pipeline and epoch",
        question="How much of an epoch are its data?",
        blocks=(Answer(sentences=tuple(sentences)), _table(rows, flags, base="tensors")),
    )


def sentence(row: Mapping[str, object], flags: Flags, against: str = "the baseline") -> str:
    """One way with its word, ratio, interval and n, and why its time may be doubted."""
    ratio, doubts = _ratio(row), raised(row, flags)
    flagged = f"; flagged {listed(doubts)}" if doubts else ""
    return (
        f"For {row['mode']} of {row['task']} on {device_name(row['device'])}, {row['label']}: "
        f"{row['word']}, {ratio_texts(ratio)[0]} times the time of {against} "
        f"({evidence_of(ratio)}){flagged}."
    )


def raised(row: Mapping[str, object], flags: Flags) -> list[str]:
    """The flags of a row's workload, in words."""
    key = str(row["device"]), str(row["mode"]), str(row["workload"])
    return [flag.replace("_", " ") for flag in flags.get(key, [])]


def _ratio(row: Mapping[str, object]) -> Estimate:
    value, low, high = (float(str(row[column])) for column in ("value", "low", "high"))
    return Estimate(value, low, high, int(str(row["pairs"])), "")


def _shares(timings: pd.DataFrame) -> list[str]:
    """The input pipeline as a share of the epoch that has the same source."""
    pipeline, epoch = WHOLE_PASSES
    timed = each_iteration(timings)
    found = []
    for (device, task), group in timed.groupby(["device", "task"], sort=False):
        for name in dict.fromkeys(group.loc[group["mode"] == epoch, "workload"]):
            parts = [
                group[(group["mode"] == mode) & (group["workload"] == name)]
                for mode in (pipeline, epoch)
            ]
            if parts[0].empty or str(name).endswith(")"):
                continue
            share = paired_ratio(parts[0], parts[1])
            source = "a DataLoader" if "DataLoader" in str(name) else "tensors on the device"
            percent = Estimate(100 * share.value, 100 * share.low, 100 * share.high, share.n, "")
            found.append(
                f"An epoch of {task} on {device_name(device)} spends {ratio_texts(percent)[0]}% of "
                f"its time on minibatches from {source} ({evidence_of(percent)})."
            )
    return found


def _table(rows: pd.DataFrame, flags: Flags, base: str = "") -> Table:
    header = (
        *("device", "mode", "task", "way", "median", "95% interval"),
        *("relative", "95% interval ", "word", "pairs", "flags"),
    )
    lines = []
    for row in records(rows):
        median, interval = time_texts(row["seconds"], row["seconds_low"], row["seconds_high"])
        ratio = ("1", "") if row["is_baseline"] else ratio_texts(_ratio(row))
        way = base if row["is_baseline"] else str(row["label"])
        place = (device_name(row["device"]), str(row["mode"]), str(row["task"]), way)
        pairs = "" if row["is_baseline"] else str(int(row["pairs"]))
        doubts = ", ".join(raised(row, flags))
        lines.append((*place, median, interval, *ratio, str(row["word"]), pairs, doubts))
    return Table(
        caption="One call of each way" if not base else "One pass over the training data",
        header=header,
        rows=tuple(lines),
        numeric=frozenset((*header[4:8], "pairs")),
        strong=frozenset(i for i, row in enumerate(records(rows)) if row["is_baseline"]),
        note=(
            "Relative to "
            + ("eager float32 with the threads of the run" if not base else "tensors on the device")
            + "; medians over paired samples with order-statistic intervals."
        ),
    )
