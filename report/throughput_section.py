"""How fast each workload is: what choices cost, how cost grows, and what it buys."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.anchors import slugs
from report.axes import WIDE, short
from report.bargain_section import bargain_section
from report.devices_section import devices_section
from report.document import Answer, Block, Details, Figures, Finding, Picture, Section, Table, Text
from report.drawing import draw
from report.estimates import Estimate
from report.forests import plot_speeds
from report.frames import records
from report.input_section import input_section, raised, ways_section
from report.numbers import counted, listed
from report.scaling_section import scaling_section
from report.speedup_section import speedup_section
from report.tables import Results
from report.throughput import (
    AMBIGUOUS,
    FASTER,
    LEVEL,
    QUIET,
    SAME,
    SHARED,
    SLOWER,
    WHOLE_PASSES,
    relative_times,
)
from report.time_words import device_name, evidence_of, ratio_texts, time_texts, within_text
from report.timing_notes import flags_by_workload, is_quiet, note_blocks, twins_of

Key = tuple[str, str]  # a device and a mode
ANCHOR = "throughput"


def throughput_section(results: Results) -> tuple[Section | None, list[Finding]]:
    """The section on time, and what it offers to the findings; nothing without timings."""
    speedup, found = speedup_section(results.speedup, results.speedup_notes)
    if results.timings.empty:
        if speedup is None:
            return None, []
        return Section(anchor=ANCHOR, title="Throughput", topics=(speedup,)), found
    quiet = is_quiet(results.timing_notes)
    speeds = relative_times(results.timings, asked_levels(results), is_quiet=quiet)
    levels = speeds[(speeds["kind"] == LEVEL) & ~speeds["mode"].isin(WHOLE_PASSES)]
    groups = {key: group for key, group in groups_of(levels).items() if len(group) > 1}
    names = dict(
        zip(groups, slugs(f"time-{device}-{mode}" for device, mode in groups), strict=True)
    )
    pictures = [_picture(group, named(key), names[key]) for key, group in groups.items()]
    flags = flags_by_workload(results.timing_notes)
    blocks: list[Block] = []
    sentences = [_counts(key, group) for key, group in groups.items()]
    blocks += [Answer(sentences=tuple(sentences))] if sentences else []
    blocks.append(Text(paragraphs=(_floors(speeds, quiet=quiet),)))
    blocks += [Figures(pictures=tuple(pictures))] if pictures else []
    blocks += [
        Details(
            summary=f"Times of {named(key)} in numbers",
            blocks=(price_table(group, flags, named(key)),),
        )
        for key, group in groups.items()
    ]
    withins = {key: float(group["within"].max()) for key, group in groups_of(speeds).items()}
    twins = twins_of(results.timing_notes, "training step")
    counts = results.timings.drop_duplicates(["device", "mode", "workload"])
    alike = QUIET if quiet else SHARED
    topics = (
        devices_section(
            results.timings, speeds, results.timing_notes, withins, alike=alike, is_quiet=quiet
        ),
        scaling_section(results.timings, withins, alike),
        ways_section(speeds, flags),
        input_section(speeds, results.timings, flags),
        bargain_section(results.studies, speeds, results.timings, twins),
        speedup,
        Section(
            anchor="throughput-notes",
            title="How it was timed",
            blocks=tuple(note_blocks(results.timing_notes, len(counts))),
        ),
    )
    section = Section(
        anchor=ANCHOR,
        title="Throughput",
        question="What does each choice cost in time?",
        blocks=tuple(blocks),
        topics=tuple(topic for topic in topics if topic is not None),
    )
    return section, _findings(levels, names) + found


def throughput_findings(results: Results) -> list[Finding]:
    """What time offers to the findings, from the timings of training alone; nothing is drawn."""
    found = speedup_section(results.speedup, results.speedup_notes)[1]
    timings = results.timings[results.timings["mode"].str.contains("train")]
    if timings.empty:
        return found
    quiet = is_quiet(results.timing_notes)
    speeds = relative_times(timings, asked_levels(results), is_quiet=quiet)
    levels = speeds[(speeds["kind"] == LEVEL) & ~speeds["mode"].isin(WHOLE_PASSES)]
    return _findings(levels, dict.fromkeys(groups_of(levels), "")) + found


def asked_levels(results: Results) -> dict[str, set[tuple[str, str]]] | None:
    """Every level that some study varies, by task; None where there is no study."""
    if not results.studies:
        return None
    asked: dict[str, set[tuple[str, str]]] = {}
    for study in results.studies:
        pairs = {(f["name"], str(level)) for f in study.study["factors"] for level in f["levels"]}
        for task in study.study["tasks"]:
            asked.setdefault(str(task["name"]), set()).update(pairs)
    return asked


def groups_of(speeds: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    """The rows of each device and mode, in the order of the file."""
    keys = speeds[["device", "mode"]].drop_duplicates()
    return {
        (str(device), str(mode)): speeds[(speeds["device"] == device) & (speeds["mode"] == mode)]
        for device, mode in zip(keys["device"], keys["mode"], strict=True)
    }


def named(key: Key) -> str:
    """`training step on CPU`."""
    return f"{key[1]} on {device_name(key[0])}"


def _floors(speeds: pd.DataFrame, *, quiet: bool) -> str:
    """What the A/A pairs say of the machine's noise, and the rule for words."""
    floors = {key: float(group["noise_floor"].max()) for key, group in groups_of(speeds).items()}
    known = [f"{100 * floor:.1f}% ({named(key)})" for key, floor in floors.items() if floor > 0]
    start = (
        "Each workload is an ordinary module, timed alone and interleaved with the others, after "
        "warm-up and synchronised."
    )
    floor = (
        "The noise floor, the farthest that the interval of an A/A pair (the same workload timed "
        f"twice) reaches from 1, is {listed(known)}."
        if known
        else "No workload was timed twice, so the machine's noise floor is not known."
    )
    least = "5%, the machine having been quiet" if quiet else "10%, as on a shared machine"
    return (
        f"{start} {floor} Slower and faster are said of an interval that lies wholly beyond the "
        f"noise floor and beyond {least}; same of one that lies inside that share; all else is "
        "ambiguous. What is the same or ambiguous is drawn grey."
    )


def _counts(key: Key, group: pd.DataFrame) -> str:
    """How many choices cost time, and the dearest and the cheapest of them."""
    others = group[~group["is_baseline"]]
    words = others["word"].value_counts()
    told = listed([f"{int(words.get(w, 0))} {w}" for w in (SLOWER, FASTER, SAME, AMBIGUOUS)])
    what = (
        f"Of {counted(len(others), 'choice')} timed for {named(key)}, against the baseline: {told}"
    )
    slower = others[others["word"] == SLOWER].nlargest(1, "value")
    faster = others[others["word"] == FASTER].nsmallest(1, "value")
    most = [
        f"{name} is {row['label']} on {row['task']}, {ratio_texts(ratio_of(row))[0]} times as long "
        f"({evidence_of(ratio_of(row))})"
        for name, rows in (("the dearest", slower), ("the cheapest", faster))
        for row in records(rows)
    ]
    return f"{what}{'; ' if most else ''}{listed(most)}."


def ratio_of(row: Mapping[str, float]) -> Estimate:
    """The ratio that a row of `relative_times` holds."""
    return Estimate(row["value"], row["low"], row["high"], int(row["pairs"]), "")


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
        ax.set_title(short(task))
    figure.supxlabel("time relative to the baseline (left of 1× is faster)", fontsize=8.5)
    slower = shown[shown["word"] == SLOWER].nlargest(3, "value")
    told = [f"{row['label']} on {row['task']} {row['value']:.2f} times" for row in records(slower)]
    known_pairs = group["pairs"].replace(0, np.nan).dropna()
    pairs = f"n = {int(known_pairs.min())}" if len(known_pairs) else "n = 0"
    return Picture(
        drawing=draw(figure, name),
        title=f"Time of {what}, relative to the baseline",
        alt=f"Slowest {what}: {', '.join(told) or 'none resolved'}.",
        caption=(
            "Median ratio of samples paired by round; bars are 95% order-statistic intervals, "
            f"{pairs} pairs or more. Blue: faster, vermilion: slower, by more than "
            f"{within_text(group['within'].unique())}; grey and hollow: the same, or ambiguous. "
            "Only levels that the studies vary; other sizes and ways stand below."
        ),
        wide=True,
    )


def price_table(
    group: pd.DataFrame, flags: Mapping[tuple[str, str, str], list[str]], what: str
) -> Table:
    """Every level with its median, its ratio, its word and its flags."""
    header = (
        *("workload", "task", "median", "95% interval", "relative", "95% interval ", "word"),
        *("samples", "flags"),
    )
    rows = []
    for row in records(group):
        median, interval = time_texts(row["seconds"], row["seconds_low"], row["seconds_high"])
        ratio = ("1", "") if row["is_baseline"] else ratio_texts(ratio_of(row))
        rows.append(
            (
                str(row["label"]) if not row["is_baseline"] else f"{row['workload']} (baseline)",
                str(row["task"]),
                *(median, interval, *ratio),
                str(row["word"]),
                str(int(row["n"])),
                ", ".join(raised(row, flags)),
            )
        )
    strong = frozenset(i for i, row in enumerate(records(group)) if row["is_baseline"])
    return Table(
        caption=f"Time of one {what}, and relative to the baseline of its task",
        header=header,
        rows=tuple(rows),
        numeric=frozenset((*header[2:6], "samples")),
        strong=strong,
        note=(
            "Medians with order-statistic intervals; ratios are medians over paired samples. "
            "Flags are explained under “How it was timed”."
        ),
    )


def _findings(levels: pd.DataFrame, names: Mapping[Key, str]) -> list[Finding]:
    """The strongest resolved difference in time of each device, for training."""
    found = []
    training = levels[levels["resolved"] & levels["mode"].str.contains("train")]
    for device, group in training.groupby("device", sort=False):
        row = records(group.loc[[np.log(group["value"]).abs().idxmax()]])[0]
        text = (
            f"On {row['task']}, {row['label']} is {row['word']} than the baseline: a {row['mode']} "
            f"on {device_name(device)} takes {ratio_texts(ratio_of(row))[0]} times as long "
            f"({evidence_of(ratio_of(row))}), the largest resolved difference between a level of "
            "the studies and the baseline of its task."
        )
        figure = names[str(device), str(row["mode"])]
        found.append(Finding(topic=ANCHOR, lines=(text,), figure=figure, is_answer=True))
    return found
