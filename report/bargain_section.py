"""Quality against time: which cells no other beats at both, and how long a target takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.anchors import slugs
from report.axes import WIDE, short
from report.bargains import TRAINING, target_of, timed_cells, times_to_target
from report.document import Block, Details, Figures, Picture, Section, Table, Text
from report.drawing import draw
from report.frames import records
from report.numbers import Scale, counted, listed, number, scale_of, seeds_text
from report.tables import StudyResults
from report.time_plots import fit_times, name_front, plot_bargains, plot_targets, time_window
from report.time_words import device_name, time_texts
from report.views import in_units, spoken

LEAST_CELLS = 3
HEIGHT = 2.9  # inches of a panel of scores
ROUGH = 0.05  # of a time without an interval: half of what its digits may hide


def bargain_section(
    studies: Sequence[StudyResults],
    speeds: pd.DataFrame,
    timings: pd.DataFrame,
    twins: Mapping[str, str],
) -> Section | None:
    """The section, where three cells of a study were timed as they were trained."""
    training = speeds[speeds["mode"] == TRAINING]
    blocks: list[Block] = []
    places = [(str(device), study) for device in training["device"].unique() for study in studies]
    names = slugs(f"bargain-{device}-{study.study['name']}" for device, study in places)
    for (device, study), name in zip(places, names, strict=True):
        own = timings[(timings["device"] == device) & (timings["mode"] == TRAINING)]
        blocks += _study_blocks(study, training[training["device"] == device], own, twins, name)
    if not blocks:
        return None
    words = (
        "A study's score joined with the time of a training step of the very same network: same "
        "task, all factors alike. A cell that was not timed, such as one that departs in two "
        "factors, is not shown. Cells of a study train the same number of steps, so that time per "
        "step ranks them as time of training does; those that stop early take less time than that."
    )
    return Section(
        anchor="throughput-bargains",
        title="Quality against time",
        question="Which choices are worth their time?",
        blocks=(Text(paragraphs=(words,)), *blocks),
    )


def _study_blocks(
    study: StudyResults,
    speeds: pd.DataFrame,
    timings: pd.DataFrame,
    twins: Mapping[str, str],
    name: str,
) -> list[Block]:
    """One study on one device: a figure over its tasks, and the way to a target."""
    factors = [str(factor["name"]) for factor in study.study["factors"]]
    panels: list[tuple[str, Scale, pd.DataFrame]] = []
    targets: list[tuple[str, float, pd.DataFrame]] = []
    for task in study.study["tasks"]:
        cells = timed_cells(study, task["name"], speeds, timings, twins)
        if len(cells) < LEAST_CELLS:
            continue
        scale = scale_of(str(task["response"]))
        panels.append((str(task["name"]), scale, in_units(_spoken(cells, factors), scale)))
        target = target_of(study, task["name"])
        if target is not None:
            rows = _spoken(times_to_target(study, task["name"], target, cells), factors)
            factor = scale_of(f"val_{str(task['response']).partition('_')[2]}").factor
            targets.append((str(task["name"]), target * factor, rows))
    if not panels:
        return []
    device = device_name(speeds["device"].iloc[0])
    title = str(study.study["name"])
    pictures = [_picture(panels, f"{title} on {device}", name)]
    targets = [each for each in targets if _has_times(each[2])]
    if targets:
        pictures.append(_target_picture(targets, study, f"{title} on {device}", f"{name}-target"))
    tables = [_table(task, scale, cells) for task, scale, cells in panels]
    tables += [_target_table(task, rows) for task, _, rows in targets]
    return [
        Figures(pictures=tuple(pictures)),
        Details(summary=f"Quality against time in {title} in numbers", blocks=tuple(tables)),
    ]


def _spoken(frame: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """A frame whose names read as in a sentence, `brief` too."""
    frame = spoken(frame, factors)
    return frame if len(factors) > 1 else frame.assign(brief=frame["label"])


def _has_times(rows: pd.DataFrame) -> bool:
    """Whether some cell reached the target in half its trials, and not before its first step."""
    return bool((np.isfinite(rows["value"]) & (rows["value"] > 0)).any())


def _picture(panels: Sequence[tuple[str, Scale, pd.DataFrame]], what: str, name: str) -> Picture:
    figure = Figure(figsize=(WIDE, HEIGHT), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    shown = panels[0][1].axis
    for ax, (task, scale, cells) in zip(axes, panels, strict=True):
        alike = scale.axis == shown and ax is not axes[0]
        plot_bargains(ax, cells, response="" if alike else scale.axis)
        fit_times(ax, *time_window(cells), vertical=False, name="time of one training step")
        name_front(ax, cells, points=72 * HEIGHT - 62, longest=24 if len(panels) > 2 else 30)
        ax.set_title(short(task))
    told = [f"on {task} {listed(_front_names(cells))}" for task, _, cells in panels]
    every = pd.concat([cells for _, _, cells in panels])
    alike_names = bool((every["brief"] == every["label"]).all())
    return Picture(
        drawing=draw(figure, name),
        title=f"Quality against time, {what}",
        alt=f"Cells that no other beats in both: {'; '.join(told)}.",
        caption=(
            f"Mean score with 95% t interval over seeds ({seeds_text(every['n'])}) against median "
            f"time with 95% order-statistic interval (n = {int(every['samples'].min())} samples or "
            "more). Blue and named: no other cell has both a mean as good and a median as short; "
            "where intervals overlap, that may be chance. Square: the baseline, in ink where a "
            "cell beats it in both. Grey: the others. Arrow: a score beyond the axis."
            + ("" if alike_names else " Names say what differs from the baseline.")
        ),
        wide=True,
    )


def _front_names(cells: pd.DataFrame) -> list[str]:
    return [str(label) for label in cells.loc[cells["on_front"].astype(bool), "brief"]]


def _target_picture(
    targets: Sequence[tuple[str, float, pd.DataFrame]], study: StudyResults, what: str, name: str
) -> Picture:
    """A panel for every task: seconds until the target, rows aligned."""
    every = pd.concat([rows for _, _, rows in targets])
    rank = every.replace(np.inf, 1e9).groupby("brief")["value"].median().sort_values()
    labels = [str(label) for label in rank.index]
    figure = Figure(figsize=(WIDE, 1.0 + 0.2 * len(labels)), layout="constrained")
    axes = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for ax, (task, _, rows) in zip(axes, targets, strict=True):
        known = rows[["low", "value", "high"]].replace([np.inf, 0.0], np.nan)
        low, high = float(known.min().min()), float(known.max().max())
        edge = high * (high / low) ** 0.12 if high > low else high * 1.5
        plot_targets(ax, rows, labels=labels, edge=edge)
        fit_times(ax, low, edge, vertical=False, name="time of training until the target")
        ax.set_title(short(task))
    responses = {
        str(t["name"]): f"val_{t['response'].partition('_')[2]}" for t in study.study["tasks"]
    }
    words = []
    for task, target, _ in targets:
        scale = scale_of(responses[task])
        words.append(f"{scale.name} {number(target, 1 if scale.unit else 2)}{scale.unit} on {task}")
    missed = int((~np.isfinite(every["value"])).sum())
    return Picture(
        drawing=draw(figure, name),
        title=f"Time to target, {what}",
        alt=f"Fastest to the target: {', '.join(labels[:3])}.",
        caption=(
            f"Target: {listed(words)}, nine tenths of the baseline's way from the constant "
            "predictor to its last evaluation. Median steps to the first evaluation that reaches "
            "it, over all trials, times median time per step; the bars multiply the ends of both "
            f"95% intervals, so they hold at least 90%; {seeds_text(every['n'])}. "
            + (
                f"Grey arrow ({counted(missed, 'cell')}): half the trials or more never did. "
                if missed
                else ""
            )
            + ("Below six seeds there is no interval. " if every["low"].isna().any() else "")
            + "Evaluations are as far apart as the study's steps over their number."
        ),
        wide=True,
    )


def _table(task: str, scale: Scale, cells: pd.DataFrame) -> Table:
    header = ("cell", scale.axis, "95% t", "time per step", "95% interval", "not dominated")
    ordered = cells.sort_values("seconds")
    digits = 1 if scale.unit else 3
    rows = []
    for row in records(ordered):
        median, interval = time_texts(row["seconds"], row["seconds_low"], row["seconds_high"])
        score = (number(row["value"], digits), _range(row["low"], row["high"], digits))
        rows.append((str(row["label"]), *score, median, interval, "yes" if row["on_front"] else ""))
    return Table(
        caption=f"Score and time per training step on {task}, fastest first",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:5]),
        strong=frozenset(i for i, row in enumerate(records(ordered)) if row["is_baseline"]),
    )


def _range(low: float, high: float, digits: int) -> str:
    return f"{number(low, digits)} to {number(high, digits)}" if low <= high else "–"


def _target_table(task: str, rows: pd.DataFrame) -> Table:
    header = (
        "cell",
        "steps to target",
        "95% interval",
        "reached",
        "time to target",
        "at least 90%",
    )
    ordered = rows.sort_values("value")
    lines = []
    for row in records(ordered):
        reached = f"{round(row['reached'] * row['n'])} of {int(row['n'])}"
        bounds = f"{_steps(row['steps_low'])} to {_steps(row['steps_high'])}"
        steps = _steps(row["steps"]), bounds if np.isfinite(row["steps_low"]) else "–"
        lines.append((str(row["label"]), *steps, reached, *_time(row)))
    return Table(
        caption=f"Time to target on {task}",
        header=header,
        rows=tuple(lines),
        numeric=frozenset(header[1:]),
        strong=frozenset(i for i, row in enumerate(records(ordered)) if row["is_baseline"]),
        note="Medians over all trials; one that never reached the target counts as infinite.",
    )


def _time(row: Mapping[str, Any]) -> tuple[str, str]:
    """The time and its interval, which may have no upper end or, of few seeds, not exist."""
    value, low, high = row["value"], row["low"], row["high"]
    if not np.isfinite(value):
        return "not reached", "–"
    if np.isfinite(high):
        return time_texts(value, low, high)
    known = np.isfinite(low)
    margin = value - low if known else ROUGH * value
    return time_texts(value, value - margin, value + margin)[0], "no upper end" if known else "–"


def _steps(steps: float) -> str:
    return f"{steps:,.0f}" if np.isfinite(steps) else "never" if steps == np.inf else "–"
