"""How far a study has come: for every cell and task, how many of its trials ended how."""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from report.grids import cell_label, level_label, levels_of
from report.numbers import counted, listed
from report.schema import STATUSES
from report.tables import StudyResults

MISSING: Final = "missing"
ENDINGS: Final = (*STATUSES, MISSING)
DONE: Final = ("finished", "diverged")  # ended by themselves


def coverage(results: StudyResults) -> pd.DataFrame:
    """How many trials of each cell, of both stages, ended how.

    Returns:
        One row per task and cell that has trials, in the order of study.json: `task`, `label`,
        a column of counts for each of ENDINGS, `asked`, their sum, and `done`, those that
        finished or diverged.
    """
    names = list(levels_of(results))
    ended = dict(zip(results.trials["trial"], results.trials["status"], strict=True))
    labels: dict[tuple[str, ...], str] = {}
    rows = []
    for trial in results.study["trials"]:
        cell = tuple(trial[name] for name in names)
        if cell not in labels:
            labels[cell] = cell_label(dict(zip(names, cell, strict=True)))
        rows.append((trial["task"], labels[cell], ended.get(trial["trial"], MISSING)))
    trials = pd.DataFrame(rows, columns=["task", "label", "status"], dtype="str")
    ended_so = pd.DataFrame({ending: trials["status"] == ending for ending in ENDINGS}, dtype=int)
    frame = ended_so.groupby([trials["task"], trials["label"]], sort=False).sum()
    done = frame[list(DONE)].sum(axis=1)
    return frame.assign(asked=frame.sum(axis=1), done=done).reset_index()


def departures(results: StudyResults) -> dict[str, str]:
    """Every cell's label, and the levels in which it departs from the baseline cell."""
    first = {factor: levels[0] for factor, levels in levels_of(results).items()}
    base = {factor: {**first, **results.study["baseline"]}[factor] for factor in first}
    found = {}
    for cell in results.study["cells"]:
        levels = {factor: cell[factor] for factor in first}
        own = [level_label(f, level) for f, level in levels.items() if level != base[f]]
        found[cell_label(levels)] = ", ".join(own) or "baseline"
    return found


def is_finished(results: StudyResults) -> bool:
    """Whether every trial that was asked for finished or diverged."""
    statuses = results.trials["status"]
    return len(statuses) == len(results.study["trials"]) and bool(statuses.isin(DONE).all())


def lacking(counts: "pd.Series[int]") -> str:
    """`3 failed and 12 missing`, or nothing where every trial ended by itself.

    Args:
        counts: number of trials by ending; those that are not there count as none.
    """
    words = [f"{counts[e]:,} {spoken(e)}" for e in ENDINGS if e not in DONE and counts.get(e, 0)]
    return listed(words)


def spoken(ending: str) -> str:
    """`timed out`."""
    return ending.replace("_", " ")


def coverage_sentence(studies: Sequence[StudyResults]) -> str:
    """How far all studies together have come, in one line."""
    finished = [results for results in studies if is_finished(results)]
    trials = sum(len(results.study["trials"]) for results in studies)
    if len(finished) == len(studies):
        diverged = sum(int((r.trials["status"] == "diverged").sum()) for r in studies)
        more = f", {diverged:,} of them by diverging" if diverged else ""
        return f"Complete: every one of {counted(trials, 'trial')} ended by itself{more}."
    open_ones = [str(results.study["name"]) for results in studies if not is_finished(results)]
    done = sum(int(results.trials["status"].isin(DONE).sum()) for results in studies)
    return (
        f"Incomplete: {done:,} of {counted(trials, 'trial')} ended by themselves; unfinished: "
        f"{listed(open_ones)}."
    )


def study_sentence(results: StudyResults) -> str:
    """How far one unfinished study has come, and on which tasks; nothing of a finished one."""
    if is_finished(results):
        return ""
    frame = coverage(results)
    total = frame[[*ENDINGS]].sum()
    asked, done = int(frame["asked"].sum()), int(frame["done"].sum())
    whole = int((frame["asked"] == frame["done"]).sum())
    tasks = frame.groupby("task", sort=False)[["asked", "done"]].sum()
    empty = [str(task) for task in tasks.index[tasks["done"] == 0]]
    nothing = f" Nothing has ended on {listed(empty)}." if empty and done else ""
    return (
        f"Unfinished: {done:,} of {counted(asked, 'trial')} ended by themselves, "
        f"{lacking(total)}; {whole} of {counted(len(frame), 'cell')}, counted on each task, "
        f"{'is' if whole == 1 else 'are'} complete.{nothing}"
    )
