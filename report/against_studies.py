"""One study in two results folders: differences by cell, who leads, and verdicts that changed."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from report import effects
from report.against import StudyPair, common_tasks, differences, share_of_both, verdicts
from report.anchors import slugs
from report.axes import WIDE, sheet
from report.document import Answer, Block, Figures, Picture, Section, Table
from report.drawing import draw
from report.effects import LOWERS, RAISES
from report.estimates import Estimate, paired_difference
from report.forests import contrast_window, plot_contrasts
from report.frames import records
from report.grids import task_of
from report.numbers import (
    Scale,
    bounds,
    capitalised,
    counted,
    decimals,
    listed,
    number,
    p_value,
    scale_of,
    scaled,
    seeds_text,
)
from report.prose import difference_phrase
from report.tables import StudyResults
from report.views import estimate_of, in_units

MOST_ROWS: Final = 40  # of a table and of a figure; of more cells, those that differ most
MOST_NAMED: Final = 3  # cells in a sentence
SAID: Final = {RAISES: "higher here", LOWERS: "lower here"}


@dataclass(frozen=True, slots=True)
class StudyPart:
    """What is said of one study, and a sentence for each change."""

    section: Section
    changed: tuple[str, ...]  # responses that differ beyond noise, one for each task
    verdicts: tuple[str, ...] = ()  # claims that fare otherwise
    said: tuple[str, ...] = ()  # of one task


def study_part(pair: StudyPair, slug: str) -> StudyPart:
    """The section of one study: a topic for each task, and the claims."""
    tasks = common_tasks(pair)
    names = slugs(tasks)
    found = [
        _task_part(pair, task, f"{slug}-{name}") for task, name in zip(tasks, names, strict=True)
    ]
    judged = verdicts(pair)
    turned = [each for each in judged if each[2] != each[3]]
    changed = [sentence for part in found for sentence in part.changed]
    claims = [
        f"{pair.name}: the claim “{statement}” on {task} was {there} there and is {here} here."
        for statement, task, here, there in turned
    ]
    said = [sentence for part in found for sentence in part.said]
    said += claims or (
        [f"The verdicts on {counted(len(judged), 'claim')} are the same."] if judged else []
    )
    section = Section(
        anchor=slug,
        title=pair.name,
        question=str(pair.here.study["question"]),
        blocks=(Answer(sentences=tuple(said or ["No task is in both."])),),
        topics=tuple(part.section for part in found if part.section.blocks),
    )
    return StudyPart(section, tuple(changed), tuple(claims))


def _task_part(pair: StudyPair, task: str, slug: str) -> StudyPart:
    scale = scale_of(str(task_of(pair.here, task)["response"]))
    frame = in_units(differences(pair, task), scale, "here", "there")
    resolved = frame[frame["word"].isin(list(SAID))]
    sentences = (_counts(frame, scale, task), _leaders(pair, frame, scale, task))
    blocks: list[Block] = []
    if not frame["is_alike"].all():
        picture = _picture(frame, scale, task, slug)
        blocks += [Figures(pictures=(picture,))] if picture else []
        blocks.append(_table(frame, scale, task))
    changes = _changes(resolved, len(frame), scale, task) if len(resolved) else ""
    return StudyPart(
        Section(anchor=slug, title=task, blocks=tuple(blocks)),
        changed=(f"{pair.name}: {changes}",) if changes else (),
        said=tuple(text for text in sentences if text),
    )


def _counts(frame: pd.DataFrame, scale: Scale, task: str) -> str:
    """How many cells are identical, how many differ beyond noise."""
    total, alike = len(frame), int(frame["is_alike"].sum())
    if not total:
        return f"On {task}, no cell is in both."
    if alike == total:
        return f"On {task}, {scale.name} is identical in {counted(total, 'cell')}, seed by seed."
    resolved = frame[frame["word"].isin(list(SAID))]
    same = f"; {alike} identical, seed by seed" if alike else ""
    if resolved.empty:
        return (
            f"On {task}, none of {counted(total, 'cell')} differs beyond noise in {scale.name}"
            f"{same}; {_largest(frame, scale)}."
        )
    told = _changes(resolved, total, scale, task)
    return capitalised(f"{told.removesuffix('.')}{same}.")


def _changes(resolved: pd.DataFrame, total: int, scale: Scale, task: str) -> str:
    """Which cells differ beyond noise, the largest difference with its interval."""
    up, down = (int((resolved["word"] == word).sum()) for word in (RAISES, LOWERS))
    ways = listed([f"{n} {w}" for n, w in ((up, "higher"), (down, "lower")) if n])
    return (
        f"on {task}, {scale.name} differs beyond noise in {len(resolved)} of "
        f"{counted(total, 'cell')} "
        f"({ways} here); {_largest(resolved, scale)}."
    )


def _largest(frame: pd.DataFrame, scale: Scale) -> str:
    row = records(frame.loc[[frame["value"].abs().idxmax()]])[0]
    estimate = estimate_of(row, str(row["interval"]))
    return f"the largest difference is {row['label']}'s, {difference_phrase(estimate, scale)}"


def _leaders(pair: StudyPair, frame: pd.DataFrame, scale: Scale, task: str) -> str:
    """Whether the same cell leads in both; where not, whether the two can be told apart."""
    tops = [frame.loc[frame[rank] == 1, "label"] for rank in ("rank_here", "rank_there")]
    if any(top.empty for top in tops):
        return ""
    here, there = (str(top.iloc[0]) for top in tops)
    moved = int((frame["rank_here"] != frame["rank_there"]).sum())
    ranks = f" {moved} of {counted(len(frame), 'rank')} changed." if moved else ""
    if here in set(tops[1]):
        return f"{here} has the best mean {scale.name} on {task} in both.{ranks}"
    share = share_of_both(pair)
    told = [
        f"{where} {difference_phrase(_lead(results, task, (here, there), scale, share), scale)}"
        for where, results in (("here", pair.here), ("there", pair.there))
    ]
    return (
        f"The best mean {scale.name} on {task} is {here}'s here and {there}'s there; the first "
        f"minus the second is {listed(told)}.{ranks}"
    )


def _lead(
    results: StudyResults, task: str, pair: tuple[str, str], scale: Scale, share: float
) -> Estimate:
    """One cell minus another in one folder, paired by seed."""
    scores = effects.scores(results, task)
    first, second = (scores[scores["label"] == label].set_index("seed")["score"] for label in pair)
    one, other = first.align(second, join="inner")
    confidence = 1 - effects.ALPHA * share
    difference = paired_difference(
        one.to_numpy(float), other.to_numpy(float), confidence=confidence
    )
    return scaled(difference, scale.factor)


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of a table: all, or those that differ most."""
    if len(frame) <= MOST_ROWS:
        return frame
    order = frame["value"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order[:MOST_ROWS]]


def _picture(frame: pd.DataFrame, scale: Scale, task: str, slug: str) -> Picture | None:
    shown = _shown(frame[np.isfinite(frame["value"])])
    if shown.empty:
        return None
    figure, ax = sheet(WIDE, max(1.6, 0.75 + 0.215 * len(shown)))
    unit = scale.difference or scale.name
    drawn = shown.assign(resolved=shown["word"].isin(list(SAID)))
    plot_contrasts(ax, drawn, unit=unit, baseline="there")
    within = drawn["value"].between(*contrast_window(drawn))
    resolved = drawn[drawn["resolved"]]
    names = listed([str(label) for label in resolved["label"][:MOST_NAMED]])
    more = f" and {len(resolved) - MOST_NAMED} more" if len(resolved) > MOST_NAMED else ""
    return Picture(
        drawing=draw(figure, f"against-{slug}"),
        title=f"{capitalised(scale.name)} here minus there, {task}",
        alt=f"Beyond noise on {task}: {names or 'nothing'}{more}.",
        caption=(
            f"Paired by seed, {seeds_text(shown['n'])}; bars are {shown['interval'].iloc[0]} "
            f"intervals, 95% for the family of {counted(len(frame), 'cell')} (Bonferroni). Filled: "
            "Holm-adjusted p at most .05 and interval clear of zero. Grey and hollow: not "
            "resolved; without a bar, the same on every seed."
            + ("" if within.all() else " Arrow: beyond the axis, at the value beside it.")
        ),
        wide=True,
    )


def _table(frame: pd.DataFrame, scale: Scale, task: str) -> Table:
    shown = _shown(frame)
    digits = decimals(list((shown["high"] - shown["low"]) / 2), scale.most_decimals)
    interval = str(frame["interval"].iloc[0])
    header = (
        *("cell", f"{scale.axis} there", "here", "difference", f"{interval} interval", "word"),
        *("Holm p", "n", "rank there", "rank here"),
    )
    rows = []
    for row in records(shown):
        word = "identical" if row["is_alike"] else SAID.get(row["word"], str(row["word"]))
        rows.append(
            (
                str(row["label"]),
                *(number(row[side], digits) for side in ("there", "here")),
                number(row["value"], digits, signed=True),
                bounds(estimate_of(row, interval), digits, signed=True),
                word,
                p_value(row["p_holm"]),
                str(row["n"]),
                *(f"{row[rank]:.0f}" for rank in ("rank_there", "rank_here")),
            )
        )
    lost = [int(frame[f"diverged_{side}"].sum()) for side in ("there", "here")]
    notes = [f"One family of m = {len(frame)}."]
    if len(shown) < len(frame):
        notes.append(f"The {MOST_ROWS} cells of {len(frame)} that differ most.")
    if any(lost):
        notes.append(
            f"Diverged: {lost[0]} there, {lost[1]} here; each counts as the worst of its folder."
        )
    return Table(
        caption=f"Every cell on {task}, there and here",
        header=header,
        rows=tuple(rows),
        numeric=frozenset({*header[1:5], *header[6:]}),
        note=" ".join(notes),
    )
