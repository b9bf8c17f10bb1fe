"""Throughput by device: examples per second, and what an accelerator is worth at which size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from report.anchors import slugs
from report.axes import WIDE, short
from report.devices import (
    LAUNCHES,
    PROCESSOR,
    Crossing,
    Launches,
    accelerators,
    crossings,
    flat_until,
    launches,
    mean_ratios,
    rates,
)
from report.document import Answer, Block, Figures, Picture, Section, Table
from report.drawing import draw
from report.frames import records
from report.numbers import capitalised, counted, listed, number
from report.palette import SERIES
from report.scaling import scaling
from report.throughput import FASTER, SLOWER
from report.time_plots import fit_times, plot_scaling, time_label
from report.time_words import device_name, time_texts

MODES = ("training step", "inference")


def devices_section(
    timings: pd.DataFrame,
    speeds: pd.DataFrame,
    notes: Mapping[str, Any],
    withins: Mapping[tuple[str, str], float],
    *,
    alike: float,
    is_quiet: bool,
) -> Section | None:
    """The section, where a base network was timed.

    Args:
        speeds: rows of `relative_times`.
        notes: timings.json.
        withins: by device and mode, how far from 1 a ratio must lie for slower.
        alike: how far from 1 it may reach and still be the same.
        is_quiet: whether nothing else kept the machine busy.
    """
    found = rates(speeds, timings)
    if found.empty:
        return None
    crossed = crossings(timings, rng=np.random.default_rng(0), is_quiet=is_quiet)
    sentences = [*_means(timings), *map(crossing_sentence, crossed)]
    sentences += launch_sentences(launches(timings, notes))
    for crossing in crossed:
        flat = flat_until(
            timings,
            crossing.device,
            crossing.mode,
            crossing.task,
            within=withins[crossing.device, crossing.mode],
            alike=alike,
        )
        if flat is not None:
            sentences.append(flat_sentence(crossing, *flat))
    blocks: list[Block] = [Answer(sentences=tuple(sentences))] if sentences else []
    if crossed:
        blocks.append(Figures(pictures=tuple(_pictures(timings, crossed))))
    return Section(
        anchor="throughput-devices",
        title="Throughput by device",
        question="How many examples a second, and when does an accelerator pay?",
        blocks=(*blocks, _table(found)),
    )


def _means(timings: pd.DataFrame) -> list[str]:
    """Each accelerator against the processor over everything that both were timed with."""
    return [
        f"Over {counted(count, 'workload')} timed on both, {mode} takes "
        f"{number(ratio, 2)} times as long on {device_name(PROCESSOR)} as on "
        f"{device_name(device)} (geometric mean of ratios of medians)."
        for device in accelerators(timings)
        for mode, (ratio, count) in mean_ratios(timings, device, modes=MODES).items()
    ]


def crossing_sentence(crossing: Crossing) -> str:
    """From which minibatch on the accelerator is faster, or that it is not, or not seen."""
    where = f"{capitalised(crossing.mode)} of {crossing.task}"
    device, sizes = device_name(crossing.device), crossing.sizes
    ends = (
        f"{number(crossing.ratios[0], 2)} times as long on {device_name(PROCESSOR)} at "
        f"{sizes[0]:,}, {number(crossing.ratios[-1], 2)} times at {sizes[-1]:,}"
    )
    first = crossing.first_faster
    if first == sizes[0]:
        return f"{where}: {device} is faster at every minibatch from {first:,} on; it takes {ends}."
    if first is not None:
        below = crossing.words[sizes.index(crossing.before or sizes[0])]
        is_clear = "" if below == SLOWER else f", the comparison at the smaller being {below}"
        return (
            f"{where}: {device} overtakes {device_name(PROCESSOR)} between minibatches of "
            f"{crossing.before:,} and {first:,}{is_clear}; it takes {ends}."
        )
    if all(word == SLOWER for word in crossing.words):
        return (
            f"{where}: {device_name(PROCESSOR)} is faster at every minibatch up to {sizes[-1]:,}, "
            f"so that a crossover would lie beyond; it takes {ends}."
        )
    if FASTER not in crossing.words:
        return f"{where}: no minibatch up to {sizes[-1]:,} is faster on {device}; it takes {ends}."
    return f"{where}: no clear crossover up to a minibatch of {sizes[-1]:,}; it takes {ends}."


def launch_sentences(found: Sequence[Launches]) -> list[str]:
    """For every device, how much of what was timed is the host's work."""
    told = []
    for device in dict.fromkeys(each.device for each in found):
        own = [each for each in found if each.device == device]
        shares = listed([f"{each.bound} of {each.total} of {each.mode}" for each in own])
        told.append(
            f"On {device_name(device)} a launch takes {time_label(own[0].seconds)}; a call that "
            f"takes less than {LAUNCHES} of them, {time_label(LAUNCHES * own[0].seconds)}, is "
            f"launch bound, the host being what is timed: {shares} workloads."
        )
    return told


def flat_sentence(crossing: Crossing, least: int, last: int) -> str:
    """Up to which minibatch a call costs launches and no arithmetic."""
    where = f"{crossing.mode} of {crossing.task} on {device_name(crossing.device)}"
    if last == least:
        return (
            f"{capitalised(where)} takes longer with every step up from a minibatch of {least:,}."
        )
    ending = " the largest timed" if last == crossing.sizes[-1] else ""
    return (
        f"{capitalised(where)} takes no longer at a minibatch of {last:,},"
        f"{ending + ',' if ending else ''} than at {least:,}: there it pays for launches, not for "
        "arithmetic."
    )


def _pictures(timings: pd.DataFrame, crossed: list[Crossing]) -> list[Picture]:
    """For every mode a panel per task, a line per device."""
    modes = list(dict.fromkeys(each.mode for each in crossed))
    names = slugs(f"devices-{mode}" for mode in modes)
    return [
        _picture(timings, [each for each in crossed if each.mode == mode], name)
        for mode, name in zip(modes, names, strict=True)
    ]


def _picture(timings: pd.DataFrame, crossed: list[Crossing], name: str) -> Picture:
    mode = crossed[0].mode
    tasks = list(dict.fromkeys(each.task for each in crossed))
    devices = [PROCESSOR, *dict.fromkeys(each.device for each in crossed)][: len(SERIES)]
    colours = dict(zip(map(device_name, devices), SERIES, strict=False))
    lines = scaling(timings[timings["device"].isin(devices) & (timings["mode"] == mode)])
    lines = lines[(lines["factor"] == "minibatch") & lines["task"].isin(tasks)]
    figure = Figure(figsize=(WIDE, 3.1), layout="constrained")
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for ax, task in zip(axes, tasks, strict=True):
        own = lines[lines["task"] == task]
        own = own.assign(task=[device_name(device) for device in own["device"]])
        plot_scaling(ax, own, colours=colours, is_log=True, name="minibatch (examples)")
        ax.set_title(short(task))
    low = float(lines[["low", "seconds"]].min().min())
    high = float(lines[["high", "seconds"]].max().max())
    fit_times(axes[0], low, high, vertical=True, name="time of one call")
    marks = [Line2D([], [], color=c, marker="o", label=d) for d, c in colours.items()]
    figure.legend(handles=marks, loc="outside upper left", ncols=len(marks), frameon=False)
    least = int(lines["n"].min())
    return Picture(
        drawing=draw(figure, name),
        title=f"{capitalised(mode)} on each device, by minibatch",
        alt=" ".join(map(crossing_sentence, crossed)),
        caption=(
            f"Median time of one {mode} with 95% order-statistic intervals, n = {least} samples or "
            "more; the baseline network is hollow. Where two lines cross, the devices are equally "
            "fast; a line that is flat pays for launches."
        ),
        wide=True,
    )


def _table(found: pd.DataFrame) -> Table:
    header = (
        *("device", "mode", "task", "minibatch", "median", "95% interval"),
        *("examples per second", "95% interval "),
    )
    rows = []
    for row in records(found):
        median, interval = time_texts(row["seconds"], row["seconds_low"], row["seconds_high"])
        rate = _rate_texts(row["rate"], row["rate_low"], row["rate_high"])
        place = (device_name(row["device"]), str(row["mode"]), str(row["task"]))
        rows.append((*place, str(row["minibatch"]), median, interval, *rate))
    return Table(
        caption="Throughput of the base networks",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[3:]),
        note=_note(found),
    )


def _note(found: pd.DataFrame) -> str:
    note = "The inverse of the median time of one minibatch, with order-statistic intervals."
    if found["rate"].isna().any():
        note += " A full minibatch has no fixed number of examples."
    return note


def _rate_texts(value: float, low: float, high: float) -> tuple[str, str]:
    """`184,000` and `181,000 to 187,000`, to two digits of the margin."""
    if not np.isfinite(value):
        return "–", "–"
    margin = (high - low) / 2
    digits = 1 - int(np.floor(np.log10(margin))) if np.isfinite(margin) and margin > 0 else 0
    texts = [
        f"{round(x, digits):,.{max(digits, 0)}f}" if np.isfinite(x) else "–"
        for x in (value, low, high)
    ]
    return texts[0], f"{texts[1]} to {texts[2]}"
