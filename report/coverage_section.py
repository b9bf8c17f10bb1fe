"""What is not finished, before anything is read: a map and a table of every unfinished study."""

from collections.abc import Iterator, Sequence
from typing import Final

import pandas as pd

from report.axes import HALF, LONGEST_LABEL, WIDE, sheet
from report.coverage import (
    ENDINGS,
    MISSING,
    coverage,
    coverage_sentence,
    departures,
    is_finished,
    spoken,
    study_sentence,
)
from report.coverage_map import plot_coverage
from report.document import Answer, Block, Details, Figures, Picture, Section, Table
from report.drawing import draw
from report.frames import records
from report.numbers import counted, listed
from report.tables import StudyResults

ANCHOR: Final = "coverage"
MOST_ROWS: Final = 30  # of a map and of a table; of more cells, the least complete
HALF_TASKS: Final = 2  # more tasks take the whole width


def coverage_section(studies: Sequence[StudyResults], names: Sequence[str]) -> Section | None:
    """How far the unfinished studies have come; nothing where every study is finished.

    Args:
        names: the anchor of each study.
    """
    open_ones = [(r, n) for r, n in zip(studies, names, strict=True) if not is_finished(r)]
    if not open_ones:
        return None
    frames = [(results, name, coverage(results)) for results, name in open_ones]
    sentences = [f"{r.study['name']}. {study_sentence(r)}" for r, _ in open_ones]
    done = len(studies) - len(open_ones)
    sentences += [f"{counted(done, 'other study', 'other studies')}: finished."] if done else []
    pictures = tuple(_picture(results, name, frame) for results, name, frame in frames)
    tables: tuple[Block, ...] = tuple(_table(results, frame) for results, _, frame in frames)
    return Section(
        anchor=ANCHOR,
        title="Coverage",
        question="How much of what was asked for is there?",
        blocks=(
            Answer(sentences=tuple(sentences)),
            Figures(pictures=pictures),
            Details(summary="Every cell that is not complete, in numbers", blocks=tables),
        ),
    )


def coverage_fact(studies: Sequence[StudyResults]) -> str:
    """How far everything has come, in a line; nothing without studies."""
    return coverage_sentence(studies) if studies else ""


def shown_rows(frame: pd.DataFrame, most: int = MOST_ROWS) -> list[str]:
    """The cells of a map: all of a small study, else those that lack most, in study order."""
    labels = list(dict.fromkeys(frame["label"]))
    if len(labels) <= most:
        return labels
    lack = (frame["asked"] - frame["done"]).groupby(frame["label"], sort=False).sum()
    chosen = set(lack[lack > 0].sort_values(ascending=False, kind="stable").index[:most])
    return [label for label in labels if label in chosen]


def _picture(results: StudyResults, name: str, frame: pd.DataFrame) -> Picture:
    labels, tasks = shown_rows(frame), frame["task"].nunique()
    brief = max(map(len, labels), default=0) > LONGEST_LABEL
    names = departures(results) if brief else {label: label for label in labels}
    longest = max((len(names[label]) for label in labels), default=0)
    wide = tasks > HALF_TASKS or longest > LONGEST_LABEL / 2
    figure, ax = sheet(WIDE if wide else HALF, 0.95 + 0.215 * len(labels))
    plot_coverage(ax, frame, names={label: names[label] for label in labels})
    total = frame["label"].nunique()
    rule = (
        f" Of {total} cells the {len(labels)} that lack most; the others lack less or nothing."
        if len(labels) < total
        else ""
    )
    return Picture(
        drawing=draw(figure, f"{ANCHOR}-{name}"),
        title=f"Trials of {results.study['name']} by cell and task",
        alt=f"{results.study['name']}: {study_sentence(results)}",
        caption=(
            "Each bar is a cell's trials on one task, tuning and final, cut by how they ended; "
            f"n = {counted(int(frame['asked'].sum()), 'trial')} asked for. "
            f"Where some lack, the number that ended by themselves.{rule}"
            + (" Names say what differs from the baseline." if brief else "")
        ),
        wide=wide,
    )


def _table(results: StudyResults, frame: pd.DataFrame) -> Table:
    """The cells that are not complete, those that lack most first."""
    lack = frame["asked"] - frame["done"]
    order = lack[lack > 0].sort_values(ascending=False, kind="stable").index
    shown = frame.loc[order[:MOST_ROWS]]
    kinds = [ending for ending in ENDINGS if frame[ending].sum() or ending == MISSING]
    rows = tuple(
        (str(r["task"]), str(r["label"]), *(str(r[k]) for k in kinds), str(r["asked"]))
        for r in records(shown)
    )
    return Table(
        caption=f"Incomplete cells of {results.study['name']}",
        header=("task", "cell", *map(spoken, kinds), "asked for"),
        rows=rows,
        numeric=frozenset({*map(spoken, kinds), "asked for"}),
        note=" ".join(_notes(frame, order)),
    )


def _notes(frame: pd.DataFrame, order: "pd.Index[int]") -> Iterator[str]:
    if len(order) > MOST_ROWS:
        yield f"The {MOST_ROWS} that lack most of {len(order)}; trials.csv has every row."
    tasks = frame.groupby("task", sort=False)[["asked", "done"]].sum()
    whole = [str(task) for task in tasks.index[tasks["asked"] == tasks["done"]]]
    if whole:
        yield f"Complete on {listed(whole)}."
