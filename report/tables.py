"""A results folder, read and checked: the one module of the report that opens CSV files."""

import csv
import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pandas as pd

SCHEMA: Final = 1
FACTORS: Final = (
    *("activation", "optimizer", "depth", "width", "residual", "network", "pooling", "init"),
    *("norm", "regularisation", "loss", "minibatch", "train_size", "schedule", "augmentation"),
)
STATUSES: Final = ("finished", "diverged", "failed", "timed_out", "out_of_memory")
STAGES: Final = ("tuning", "final")
FIRST_STUDIES: Final = ("activation", "optimizer", "depth-width", "regularisation", "crossed")
REMEDY: Final = "remove it and run `make ablations`, which writes it again"

# What a column holds: free text, a whole number in every row, or numbers where empty is NaN.
TEXT, WHOLE, NUMBER = "text", "whole numbers", "numbers"
Columns = dict[str, str]


def _columns(*groups: tuple[str, Iterable[str]]) -> Columns:
    return {name: kind for kind, names in groups for name in names}


_RESPONSES = [f"{part}_{of}" for of in ("loss", "accuracy", "r2") for part in ("train", "val")]
_TEST_RESPONSES = [
    f"{part}_{of}" for of in ("loss", "accuracy", "r2") for part in ("train", "val", "test")
]
TRIALS: Final = _columns(
    (TEXT, ("trial", "study", "task", "stage")),
    (WHOLE, ("seed",)),
    (TEXT, FACTORS),
    (NUMBER, ("learning_rate",)),
    (TEXT, ("status",)),
    (NUMBER, (*_TEST_RESPONSES, "best_step", "steps", "parameters", "sparsity")),
    (TEXT, ("stack",)),
)
CURVES: Final = _columns(
    (TEXT, ("trial",)), (WHOLE, ("step",)), (NUMBER, ("epoch", *_RESPONSES, "gradient_norm"))
)
PICTURES: Final = _columns(
    (TEXT, ("trial", "kind")),
    (WHOLE, ("step",)),
    (TEXT, ("shape", "range")),
    (NUMBER, ("classes",)),
    (TEXT, ("values",)),
)
POINTS: Final = _columns((TEXT, ("task",)), (NUMBER, ("x", "y", "label")))
STACKS: Final = _columns(
    (TEXT, ("stack", "task", "stage", "cell")),
    (NUMBER, ("trials",)),
    (TEXT, ("way", "worker")),
    (NUMBER, ("attempt", "seconds")),
)
TIMINGS: Final = _columns(
    (TEXT, ("workload", "task", *FACTORS, "device", "mode")),
    (WHOLE, ("threads",)),
    (TEXT, ("dtype",)),
    (WHOLE, ("process", "round", "order", "iterations")),
    (NUMBER, ("seconds",)),
)
STUDY_KEYS: Final[dict[str, type]] = {
    "name": str,
    "tasks": list,
    "factors": list,
    "baseline": dict,
    "cells": list,
    "trials": list,
}

# Before pandas 3.1 the default parser was off by one in the last bit; since then it is exact and
# naming the exact one is deprecated.
_EXACT_FLOATS: dict[str, Any] = (
    {}
    if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    else {"float_precision": "round_trip"}
)
_GUARDED = re.compile(r"^'(?=[=+\-@\t\r])")  # an apostrophe that keeps a spreadsheet from computing


class TableError(ValueError):
    """A results folder holds something that cannot be read as results."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Everything in one results folder."""

    folder: Path
    machine: dict[str, Any]
    studies: tuple[StudyResults, ...]
    timings: pd.DataFrame


def read_results(folder: Path) -> Results:
    """Read a results folder, or say in one line why it cannot be trusted.

    Errors:
        TableError: no results, or a file that is not what the run writes.
    """
    if folder.exists() and not folder.is_dir():
        raise TableError(f"{folder}: is a file, not a folder of results; name the folder it is in")
    machine_file = folder / "machine.json"
    machine = _read_json(machine_file) if machine_file.exists() else {}
    studies = [_read_study(path) for path in _study_folders(folder)]
    timings = read_table(folder / "timings.csv", TIMINGS)
    if not studies and timings.empty:
        raise TableError(f"{folder}: there are no results here; run `make ablations` first")
    doubled = _doubled(results.study["name"] for results in studies)
    if doubled:
        raise TableError(
            f"{folder}: two folders hold a study named {doubled[0]!r}; keep one of them"
        )
    return Results(folder, machine, tuple(sorted(studies, key=_study_order)), timings)


def _study_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    for path in folders:
        if not (path / "study.json").exists() and _existing(path / "trials.csv"):
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
    study = _read_json(folder / "study.json")
    _check_study(folder / "study.json", study)
    results = StudyResults(
        study,
        read_table(folder / "trials.csv", TRIALS),
        read_table(folder / "curves.csv", CURVES).astype({"trial": "category"}),
        read_table(folder / "pictures.csv", PICTURES).astype({"trial": "category"}),
        read_table(folder / "points.csv", POINTS),
        read_table(folder / "stacks.csv", STACKS),
    )
    _check_trials(folder / "trials.csv", results)
    expected = {trial["trial"] for trial in study["trials"]}
    for name, frame in (("curves.csv", results.curves), ("pictures.csv", results.pictures)):
        _check_known(folder / name, frame["trial"].cat.categories, expected)
    if results.curves.duplicated(["trial", "step"]).any():
        raise TableError(
            f"{folder / 'curves.csv'}: a trial has two rows for the same step; {REMEDY}"
        )
    return results


# study.json


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_bytes(path).decode("utf-8-sig"))
    except ValueError as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{path}: is not JSON ({error}); {REMEDY}") from error
    except RecursionError as error:
        raise TableError(f"{path}: is nested too deeply; {REMEDY}") from error
    if not isinstance(content, dict):
        raise TableError(f"{path}: holds a {type(content).__name__}, not an object; {REMEDY}")
    return content


def _check_study(path: Path, study: dict[str, Any]) -> None:
    """Refuse a study of another schema, or one that lacks what every reader relies on."""
    if study.get("schema") != SCHEMA:
        raise TableError(
            f"{path}: has schema {study.get('schema')!r}, this report reads schema {SCHEMA}; "
            "make the report with the version that made the results, or run `make ablations` again"
        )
    for key, kind in STUDY_KEYS.items():
        if not isinstance(study.get(key), kind):
            given = repr(study[key])[:40] if key in study else "nothing"
            raise TableError(f"{path}: {key!r} must be a {kind.__name__}, got {given}; {REMEDY}")
    _check_entries(path, study, "tasks", {"name": str, "kind": str, "response": str})
    _check_entries(path, study, "factors", {"name": str, "levels": list})
    factors = [factor["name"] for factor in study["factors"]]
    for key, names, known in (
        ("factor", factors, FACTORS),
        ("response", [task["response"] for task in study["tasks"]], TRIALS),
    ):
        for name in names:
            if name not in known:
                raise TableError(f"{path}: unknown {key} {name!r}, {_hint(name, known)}; {REMEDY}")
    levels = dict.fromkeys(factors, str)
    _check_entries(path, study, "cells", {"task": str, **levels})
    asked = {"trial": str, "task": str, "stage": str, "seed": int}
    _check_entries(path, study, "trials", {**asked, **levels})
    doubled = _doubled(trial["trial"] for trial in study["trials"])
    if doubled:
        raise TableError(f"{path}: lists trial {doubled[0]!r} twice; {REMEDY}")
    _check_final_trials(path, study, factors)


def _check_entries(path: Path, study: dict[str, Any], key: str, needed: dict[str, type]) -> None:
    for number, entry in enumerate(study[key]):
        if not isinstance(entry, dict):
            raise TableError(f"{path}: {key}[{number}] is {entry!r:.40}, not an object; {REMEDY}")
        for name, kind in needed.items():
            if not isinstance(entry.get(name), kind):
                given = f"{entry[name]!r:.40}" if name in entry else "nothing"
                raise TableError(
                    f"{path}: {key}[{number}]: {name!r} must be a {kind.__name__}, got {given}; "
                    f"{REMEDY}"
                )


def _check_final_trials(path: Path, study: dict[str, Any], factors: list[str]) -> None:
    """One final trial per cell and seed, in a cell that the study lists."""

    def cell(entry: dict[str, Any]) -> tuple[Any, ...]:
        return (entry["task"], *(entry[factor] for factor in factors))

    finals = [trial for trial in study["trials"] if trial["stage"] == "final"]
    doubled = _doubled((*cell(trial), trial["seed"]) for trial in finals)
    if doubled:
        raise TableError(f"{path}: lists two final trials for {doubled[0]!r}; {REMEDY}")
    cells = {cell(entry) for entry in study["cells"]}
    for trial in study["trials"]:
        if cell(trial) not in cells:
            raise TableError(
                f"{path}: trial {trial['trial']!r} belongs to none of the study's cells; {REMEDY}"
            )


# CSV


def _check_trials(path: Path, results: StudyResults) -> None:
    trials, name = results.trials, results.study["name"]
    doubled = _doubled(trials["trial"])
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
            hint = (
                f"the nearest there is {close[0]!r}" if close else "the two are of different runs"
            )
            raise TableError(
                f"{path}: trial {trial!r} is not in study.json, {hint}; "
                "run `make ablations`, which makes them agree"
            )


def read_table(path: Path, columns: Columns) -> pd.DataFrame:
    """Read one CSV file (or its `.csv.gz`) with exactly these columns and exact numbers.

    Text cells lose the apostrophe that guards them in a spreadsheet. A file that is not there
    is a frame without rows.

    Errors:
        TableError: other columns, other kinds of values, rows of another length, no header.
    """
    found = _existing(path)
    if found is None:
        return _empty(columns)
    content = _read_bytes(found).removeprefix(b"\xef\xbb\xbf")  # a spreadsheet's byte order mark
    _check_shape(found, content, columns)
    text = [name for name, kind in columns.items() if kind == TEXT]
    numbers = [name for name, kind in columns.items() if kind != TEXT]
    try:
        frame: pd.DataFrame = pd.read_csv(
            BytesIO(content),
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,  # "none" and "nan" may be names of levels
            na_values={name: [""] for name in numbers},
            low_memory=False,
            **_EXACT_FLOATS,
        )
    except (ValueError, OverflowError) as error:
        raise TableError(f"{found}: {' '.join(str(error).split())}; {REMEDY}") from error
    for name in numbers:
        frame[name] = _as_numbers(found, frame[name], columns[name])
    for name in text if b"'" in content else ():
        frame[name] = frame[name].str.replace(_GUARDED, "", regex=True)
    return frame.reindex(columns=list(columns))


def _existing(path: Path) -> Path | None:
    """The file itself, or its compressed twin."""
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _read_bytes(path: Path) -> bytes:
    """All bytes at once, so that a file replaced meanwhile is read old or new, never mixed."""
    if path.is_dir():
        raise TableError(f"{path}: is a folder, not a file; {REMEDY}")
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{path}: cannot be read ({error}); {REMEDY}") from error


def _empty(columns: Columns) -> pd.DataFrame:
    kinds = {TEXT: "str", WHOLE: "int64", NUMBER: "float64"}
    return pd.DataFrame({name: pd.Series(dtype=kinds[kind]) for name, kind in columns.items()})


def _check_shape(path: Path, content: bytes, columns: Columns) -> None:
    """Refuse other columns and torn rows, which pandas would fill up in silence."""
    if not content or content.isspace():
        raise TableError(f"{path}: is empty, without even a header; {REMEDY}")
    # A quoted cell may hold commas and line ends; without them a line is a row.
    plain = re.sub(rb'"[^"]*"', b"", content) if b'"' in content else content
    if plain.count(b"\r") != plain.count(b"\r\n"):
        raise TableError(f"{path}: a cell with a carriage return is not quoted; {REMEDY}")
    header = content.partition(b"\n")[0][:100_000].decode(errors="replace").rstrip("\r")
    _check_header(path, next(csv.reader([header]), []), columns)
    for number, line in enumerate(BytesIO(plain), start=1):
        if line.count(b",") != len(columns) - 1 and line.strip():
            raise TableError(
                f"{path}: row {number} has {line.count(b',') + 1} cells, the header has "
                f"{len(columns)}; {REMEDY}"
            )
    if not content.endswith(b"\n"):
        raise TableError(f"{path}: the last row is cut short, it has no line end; {REMEDY}")


def _check_header(path: Path, header: list[str], columns: Columns) -> None:
    doubled = _doubled(header)
    if doubled:
        raise TableError(f"{path}: column {doubled[0]!r} is there twice; {REMEDY}")
    for name in header:
        if name not in columns:
            hint = _hint(name, columns)
            raise TableError(f"{path}: unknown column {name!r}, {hint}; {REMEDY}")
    for name in columns:
        if name not in header:
            raise TableError(f"{path}: column {name!r} is missing; {REMEDY}")


def _as_numbers(path: Path, values: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    is_whole = pd.api.types.is_integer_dtype(values)
    is_number = is_whole or pd.api.types.is_float_dtype(values)
    if values.empty or (is_whole if kind == WHOLE else is_number):
        return values.astype("int64" if kind == WHOLE else "float64")
    parsed = pd.to_numeric(values.astype("str"), errors="coerce")
    wrong = parsed % 1 != 0 if kind == WHOLE else parsed.isna() & values.notna()
    row = int(wrong.to_numpy().argmax()) if wrong.any() else 0
    given = "nothing" if pd.isna(values.iloc[row]) else repr(str(values.iloc[row])[:40])
    raise TableError(
        f"{path}: column {values.name!r} holds {kind}, row {row + 2} has {given}; {REMEDY}"
    )


def _doubled(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name[:100], known, n=1)
    return f"did you mean {close[0]!r}?" if close else "which does not belong here"
