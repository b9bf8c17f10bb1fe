"""A results folder, read and checked: what every number of the report comes from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import pandas as pd

from report.decomposition import with_decomposition
from report.files import existing, read_json, read_table
from report.reasons import read_reasons
from report.schema import (
    CURVES,
    PICTURES,
    POINTS,
    REMEDY,
    SPEEDUP,
    STACKS,
    STAGES,
    STATUSES,
    TIMINGS,
    TRIALS,
    TableError,
    check_study,
    doubled_in,
)

FIRST_STUDIES: Final = ("activation", "optimizer", "depth-width", "regularisation", "crossed")


@dataclass(frozen=True, slots=True, eq=False)
class StudyResults:
    """What one study asked for (`study.json`) and what came of it, one frame per CSV file.

    A file that is not there is a frame without rows. In `curves` and `pictures` the trial is a
    categorical, because it repeats.
    """

    study: dict[str, Any]
    trials: pd.DataFrame
    curves: pd.DataFrame
    pictures: pd.DataFrame
    points: pd.DataFrame
    stacks: pd.DataFrame
    folder: Path = Path()  # that they were read from
    reasons: Mapping[str, str] = field(default_factory=dict)  # why trials failed, by trial
    timings: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(TIMINGS)))
    timing_notes: Mapping[str, Any] = field(default_factory=dict)  # timings.json, if there


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Everything in one results folder."""

    folder: Path
    machine: dict[str, Any]
    studies: tuple[StudyResults, ...]
    timings: pd.DataFrame
    timing_notes: Mapping[str, Any] = field(default_factory=dict)  # timings.json, if there
    speedup: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SPEEDUP)))
    speedup_notes: Mapping[str, Any] = field(default_factory=dict)  # speedup.json, if there


def read_results(folder: Path) -> Results:
    """Read a results folder, or say in one line why it cannot be trusted.

    Errors:
        TableError: no results, or a file that is not what the run writes.
    """
    if folder.exists() and not folder.is_dir():
        raise TableError(f"{folder}: is a file, not a folder of results; name the folder it is in")
    machine, timing_notes, speedup_notes = (
        read_json(folder / name) if (folder / name).exists() else {}
        for name in ("machine.json", "timings.json", "speedup.json")
    )
    studies = [_read_study(path) for path in _study_folders(folder)]
    timings = read_table(folder / "timings.csv", TIMINGS)
    speedup = read_table(folder / "speedup.csv", SPEEDUP)
    if not studies and timings.empty and speedup.empty:
        raise TableError(f"{folder}: there are no results here; run `make ablations` first")
    doubled = doubled_in(results.study["name"] for results in studies)
    if doubled:
        raise TableError(
            f"{folder}: two folders hold a study named {doubled[0]!r}; keep one of them"
        )
    studies = [replace(one, timings=timings, timing_notes=timing_notes) for one in studies]
    ordered = tuple(sorted(studies, key=_study_order))
    return Results(folder, machine, ordered, timings, timing_notes, speedup, speedup_notes)


def _study_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    for path in folders:
        if not (path / "study.json").exists() and existing(path / "trials.csv"):
            raise TableError(
                f"{path / 'trials.csv'}: stands without the study.json that says what was asked; "
                "run `make ablations`, which writes both"
            )
    return [path for path in folders if (path / "study.json").exists()]


def _study_order(results: StudyResults) -> tuple[int, str]:
    name = results.study["name"]
    known = FIRST_STUDIES.index(name) if name in FIRST_STUDIES else len(FIRST_STUDIES)
    return known, name


def _read_study(folder: Path) -> StudyResults:
    study = read_json(folder / "study.json")
    check_study(folder / "study.json", study)
    results = StudyResults(
        study,
        read_table(folder / "trials.csv", TRIALS),
        read_table(folder / "curves.csv", CURVES).astype({"trial": "category"}),
        read_table(folder / "pictures.csv", PICTURES).astype({"trial": "category"}),
        read_table(folder / "points.csv", POINTS),
        read_table(folder / "stacks.csv", STACKS),
        folder,
    )
    _check_trials(folder / "trials.csv", results)
    expected = {trial["trial"] for trial in study["trials"]}
    for name, frame in (("curves.csv", results.curves), ("pictures.csv", results.pictures)):
        _check_known(folder / name, frame["trial"].cat.categories, expected)
    if results.curves.duplicated(["trial", "step"]).any():
        raise TableError(
            f"{folder / 'curves.csv'}: a trial has two rows for the same step; {REMEDY}"
        )
    trials = with_decomposition(results.trials, results.pictures, list(levels_of(study)))
    return replace(results, trials=trials, reasons=read_reasons(folder, results.trials))


def levels_of(study: Mapping[str, Any]) -> Iterable[str]:
    """The names of a study's factors."""
    return (factor["name"] for factor in study["factors"])


def _check_trials(path: Path, results: StudyResults) -> None:
    trials, name = results.trials, results.study["name"]
    doubled = doubled_in(trials["trial"])
    if doubled:
        raise TableError(f"{path}: trial {doubled[0]!r} has more than one row; {REMEDY}")
    for column, allowed in (("study", (name,)), ("stage", STAGES), ("status", STATUSES)):
        strange = trials.loc[~trials[column].isin(allowed), column]
        if not strange.empty:
            raise TableError(
                f"{path}: row {strange.index[0] + 2}: {column} is {strange.iloc[0]!r}, "
                f"not {' or '.join(allowed)}; {REMEDY}"
            )
    _check_known(path, trials["trial"], {trial["trial"] for trial in results.study["trials"]})


def _check_known(path: Path, trials: Iterable[str], expected: set[str]) -> None:
    for trial in trials:
        if trial not in expected:
            close = get_close_matches(trial[:500], list(expected)[:1000], n=1)
            meant = (
                f"the nearest there is {close[0]!r}" if close else "the two are of different runs"
            )
            raise TableError(
                f"{path}: trial {trial!r} is not in study.json, {meant}; "
                "run `make ablations`, which makes them agree"
            )
