"""How cost grows with size: a figure per device and mode, and where minibatches saturate."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from report.anchors import slugs
from report.axes import WIDE, short
from report.document import Answer, Block, Details, Figures, Picture, Section, Table
from report.drawing import draw
from report.frames import records
from report.numbers import capitalised, listed
from report.palette import SERIES
from report.scaling import SIZES, Saturation, exponent, saturations, scaling, still_gains
from report.throughput import SAME, SLOWER
from report.time_plots import fit_times, plot_scaling
from report.time_words import device_name, evidence_of, ratio_texts, time_texts

MOST_TASKS = len(SERIES)


def scaling_section(
    timings: pd.DataFrame, withins: dict[tuple[str, str], float], alike: float
) -> Section | None:
    """The section, where three sizes of something were timed.

    Args:
        withins: by device and mode, how far from 1 a ratio must lie for faster and slower.
        alike: how far from 1 it may reach and still be the same.
    """
    lines = scaling(timings)
    if lines.empty:
        return None
    keys = list(dict.fromkeys(zip(lines["device"], lines["mode"], strict=True)))
    names = slugs(f"scaling-{device}-{mode}" for device, mode in keys)
    groups = [lines[(lines["device"] == d) & (lines["mode"] == m)] for d, m in keys]
    found = saturation_sentences(timings, withins, alike)
    blocks: list[Block] = [Answer(sentences=tuple(found))] if found else []
    pictures = [
        _picture(group, f"{mode} on {device_name(device)}", name)
        for (device, mode), group, name in zip(keys, groups, names, strict=True)
    ]
    blocks.append(Figures(pictures=tuple(pictures)))
    blocks.append(Details(summary="Sizes in numbers", blocks=(_table(lines),)))
    return Section(
        anchor="throughput-scaling",
        title="How cost grows with size",
        question="When does a larger minibatch, layer or network cost more?",
        blocks=tuple(blocks),
    )


def saturation_sentences(
    timings: pd.DataFrame, withins: dict[tuple[str, str], float], alike: float
) -> list[str]:
    """One sentence for every device, mode and task with minibatches of three sizes."""
    return [
        saturation_sentence(saturation, alike)
        for (device, mode), within in withins.items()
        for saturation in saturations(
            timings[(timings["device"] == device) & (timings["mode"] == mode)], within, alike
        )
    ]


def saturation_sentence(saturation: Saturation, alike: float) -> str:
    """From which minibatch on examples get no cheaper, or that this was not seen."""
    where = (
        f"{capitalised(saturation.mode)} of {saturation.task} on {device_name(saturation.device)}"
    )
    least, largest, point = saturation.sizes[0], saturation.sizes[-1], saturation.point
    share = f"{100 * alike:.3g}%"
    gain = (
        f"an example takes {ratio_texts(saturation.gain)[0]} times as long in a minibatch of "
        f"{least:,} as in one of {point:,} ({evidence_of(saturation.gain)})"
    )
    if saturation.saturated_at == least:
        return (
            f"{where} is saturated from the start: up to {largest:,} no minibatch makes an example "
            f"cheaper by more than {share} than one of {least:,} does."
        )
    if saturation.saturated_at is not None:
        return (
            f"{where} saturates at a minibatch of {point:,}: {gain}, and up to {largest:,} no "
            f"larger one is cheaper by more than {share}."
        )
    if still_gains(saturation):
        return (
            f"{where} is not saturated at {largest:,}: {gain}, and the last step up still gained."
        )
    told = saturation.steps_up[-1] in (SAME, SLOWER)
    ending = "gained nothing" if told else "is ambiguous"
    return f"{where} may saturate: {gain}, and the last step up {ending}."


def _picture(lines: pd.DataFrame, what: str, name: str) -> Picture:
    """A panel for every size that was varied, the same seconds on all."""
    factors = [factor for factor in SIZES if (lines["factor"] == factor).any()]
    tasks = [str(task) for task in dict.fromkeys(lines["task"])][:MOST_TASKS]
    lines = lines[lines["task"].isin(tasks)]
    colours = dict(zip(tasks, SERIES, strict=False))
    figure = Figure(figsize=(WIDE, 3.1), layout="constrained")
    axes = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    low = float(lines[["low", "seconds"]].min().min())
    high = float(lines[["high", "seconds"]].max().max())
    for ax, factor in zip(axes, factors, strict=True):
        own = lines[lines["factor"] == factor]
        is_log = float(own["size"].min()) > 0 and factor != "depth"
        plot_scaling(ax, own, colours=colours, is_log=is_log, name=_AXES[factor])
    fit_times(axes[0], low, high, vertical=True, name="time of one call")
    marks = [Line2D([], [], color=colours[t], marker="o", label=short(t)) for t in tasks]
    figure.legend(handles=marks, loc="outside upper left", ncols=len(tasks), frameon=False)
    counts = (int(lines["n"].min()), int(lines["n"].max()))
    samples = f"n = {counts[0]}" if counts[0] == counts[1] else f"n = {counts[0]} to {counts[1]}"
    return Picture(
        drawing=draw(figure, name),
        title=f"Scaling of {what}",
        alt=f"Time of {what} against {listed(factors)}; {_slopes(lines, factors)}.",
        caption=(
            f"Median time of one call with 95% order-statistic intervals, {samples} samples; every "
            "other factor as in the baseline network of the task, which is hollow. Minibatch and "
            "width in double logarithms: a line that is flat pays for calls, not for arithmetic. "
            "Depth is linear across, because it begins at 0."
        ),
        wide=True,
    )


_AXES = {
    "minibatch": "minibatch (examples)",
    "width": "width (units per hidden layer)",
    "depth": "depth (hidden layers)",
}


def _slopes(lines: pd.DataFrame, factors: Sequence[str]) -> str:
    """How steep each line ends, in words for those who do not see the figure."""
    told = []
    for factor in factors:
        for task, line in lines[lines["factor"] == factor].groupby("task", sort=False):
            sizes = line.nlargest(2, "size")["size"]
            if factor != "depth" and float(sizes.min()) > 0:
                told.append(f"{factor} on {task} ends with slope {exponent(line):.2f}")
    return listed(told) or "see the table"


def _table(lines: pd.DataFrame) -> Table:
    header = ("device", "mode", "task", "factor", "size", "median", "95% interval", "samples")
    rows = []
    for row in records(lines):
        median, interval = time_texts(row["seconds"], row["low"], row["high"])
        size = f"{row['size']:,.0f}"
        place = (device_name(row["device"]), str(row["mode"]), str(row["task"]), str(row["factor"]))
        rows.append((*place, size, median, interval, str(int(row["n"]))))
    return Table(
        caption="Time of one call by size",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[4:]),
        strong=frozenset(i for i, row in enumerate(records(lines)) if row["is_baseline"]),
        note="Bold: the baseline of the task. Medians with order-statistic intervals.",
    )
