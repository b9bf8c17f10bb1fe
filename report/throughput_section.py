"""How fast each workload is: relative times as a dot plot per device and mode, and a table."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.anchors import slugs
from report.axes import WIDE
from report.document import Block, Details, Figures, Finding, Picture, Section, Table, Text
from report.drawing import draw
from report.forests import plot_speeds
from report.frames import records
from report.numbers import counted, listed, number
from report.throughput import relative_times


def throughput_section(timings: pd.DataFrame) -> tuple[Section | None, list[Finding]]:
    """The section on time, and the strongest slow-down or speed-up; nothing without timings."""
    if timings.empty:
        return None, []
    speeds = relative_times(timings)
    groups = _groups(speeds)
    names = slugs(f"time-{device}-{mode}" for (device, mode), _ in groups)
    pictures = [
        _picture(group, f"{mode} on {device_name(device)}", name)
        for ((device, mode), group), name in zip(groups, names, strict=True)
    ]
    blocks: list[Block] = [Text(paragraphs=(_floors(speeds),)), Figures(pictures=tuple(pictures))]
    blocks += [
        Details(
            summary=f"Times of {mode} on {device_name(device)} in numbers", blocks=(_table(group),)
        )
        for (device, mode), group in groups
    ]
    section = Section(
        anchor="throughput",
        title="Throughput",
        question="What does each choice cost in time?",
        blocks=tuple(blocks),
    )
    return section, _findings(speeds, dict(zip([key for key, _ in groups], names, strict=True)))


def _groups(speeds: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """The rows of each device and mode, in the order of the file."""
    keys = speeds[["device", "mode"]].drop_duplicates()
    return [
        ((device, mode), speeds[(speeds["device"] == device) & (speeds["mode"] == mode)])
        for device, mode in zip(keys["device"], keys["mode"], strict=True)
    ]


def device_name(device: object) -> str:
    """`CPU` and `CUDA` as people write them."""
    return str(device).upper() if str(device) in ("cpu", "cuda", "mps", "xpu") else str(device)


def _floors(speeds: pd.DataFrame) -> str:
    """What the A/A pairs say of the machine's noise."""
    floors = [(key, float(group["noise_floor"].max())) for key, group in _groups(speeds)]
    known = [
        f"{100 * floor:.1f}% ({mode} on {device_name(device)})"
        for (device, mode), floor in floors
        if floor > 0
    ]
    start = (
        "Each workload is an ordinary module, timed alone and interleaved with the others, after "
        "warm-up and synchronised."
    )
    if not known:
        return f"{start} No workload was timed twice, so the machine's noise floor is not known."
    return (
        f"{start} The same workload timed twice as an A/A pair differs by up to "
        f"{listed(known)}: differences within that are noise and drawn grey."
    )


def _picture(group: pd.DataFrame, what: str, name: str) -> Picture:
    """One panel per task, rows aligned."""
    shown = group[~group["is_baseline"] & np.isfinite(group["value"])]
    labels = list(dict.fromkeys(shown["label"]))
    tasks = list(dict.fromkeys(shown["task"]))
    figure = Figure(figsize=(WIDE, 0.95 + 0.215 * len(labels)), layout="constrained")
    axes = figure.subplots(1, max(len(tasks), 1), sharex=True, sharey=True, squeeze=False)[0]
    known = shown[["low", "value", "high"]]
    limits = (float(known.min().min()), float(known.max().max())) if len(known) else (0.5, 2.0)
    for ax, task in zip(axes, tasks, strict=False):
        plot_speeds(ax, shown[shown["task"] == task], labels=labels, limits=limits)
        ax.set_title(str(task))
    figure.supxlabel("time relative to the baseline (left of 1× is faster)", fontsize=8.5)
    slower = shown[shown["resolved"] & (shown["value"] > 1)].nlargest(3, "value")
    told = [f"{row['label']} on {row['task']} {row['value']:.2f} times" for row in records(slower)]
    known = group["pairs"].replace(0, np.nan).dropna()
    pairs = f"n = {int(known.min())}" if len(known) else "n = 0"
    return Picture(
        drawing=draw(figure, name),
        title=f"Time of {what}, relative to the baseline",
        alt=f"Slowest {what}: {', '.join(told) or 'none resolved'}.",
        caption=(
            "Median ratio of samples paired by round; bars are 95% order-statistic intervals, "
            f"{pairs} pairs or more. Blue: faster, vermilion: slower, grey and hollow: the "
            "interval includes 1 or lies within the noise floor."
        ),
        wide=True,
    )


def _table(group: pd.DataFrame) -> Table:
    header = ("workload", "task", "median", "95% interval", "relative", "95% interval ", "n")
    rows = []
    for row in records(group):
        unit, factor = _unit(row["seconds"])
        digits = _digits(factor * (row["seconds_high"] - row["seconds_low"]) / 2)
        low, high = (number(factor * row[f"seconds_{x}"], digits) for x in ("low", "high"))
        ratio = _digits((row["high"] - row["low"]) / 2)
        rows.append(
            (
                str(row["label"]) if not row["is_baseline"] else f"{row['workload']} (baseline)",
                str(row["task"]),
                f"{number(factor * row['seconds'], digits)} {unit}",
                f"{low} to {high}",
                "1" if row["is_baseline"] else number(row["value"], ratio),
                ""
                if row["is_baseline"]
                else f"{number(row['low'], ratio)} to {number(row['high'], ratio)}",
                counted(int(row["n"]), "sample"),
            )
        )
    strong = frozenset(i for i, row in enumerate(records(group)) if row["is_baseline"])
    return Table(
        caption="Median time of one iteration, and relative to the baseline of its task",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[2:]),
        strong=strong,
        note="Medians with order-statistic intervals; ratios are medians over paired samples.",
    )


def _unit(seconds: float) -> tuple[str, float]:
    """A unit in which these seconds read well, and how many of it make a second."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return unit, factor
    return "µs", 1e6


def _digits(margin: float) -> int:
    """Two digits of the margin, at most three after the point."""
    if not (math.isfinite(margin) and margin > 0):
        return 2
    return max(0, min(3, 1 - math.floor(math.log10(margin))))


def _findings(speeds: pd.DataFrame, names: dict[tuple[str, str], str]) -> list[Finding]:
    """The strongest resolved difference in time of each device, for training."""
    found = []
    training = speeds[speeds["resolved"] & speeds["mode"].str.contains("train")]
    for device, group in training.groupby("device", sort=False):
        row = records(group.loc[[np.log(group["value"]).abs().idxmax()]])[0]
        digits = _digits((row["high"] - row["low"]) / 2)
        low, high = number(row["low"], digits), number(row["high"], digits)
        figure = names[str(device), str(row["mode"])]
        text = (
            f"On {row['task']}, {row['label']} takes {number(row['value'], digits)} times as long "
            f"as the baseline for a {row['mode']} on {device_name(device)} (95% order-statistic "
            f"interval {low} to {high}, n = {int(row['pairs'])} pairs): the largest difference in "
            "time that is resolved."
        )
        found.append(Finding(topic="throughput", lines=(text,), figure=figure, is_answer=True))
    return found
