"""The files of a results folder, each read whole and checked: CSV into frames, JSON as it is."""

import csv
import gzip
import json
import re
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.schema import (
    ADDED,
    NUMBER,
    REMEDY,
    TEXT,
    WHOLE,
    Columns,
    TableError,
    doubled_in,
    hint,
)

# Before pandas 3.1 the default parser was off by one in the last bit; since then it is exact and
# naming the exact one is deprecated.
_EXACT_FLOATS: dict[str, Any] = (
    {}
    if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    else {"float_precision": "round_trip"}
)
_GUARDED = re.compile(r"^'(?=[=+\-@\t\r])")  # an apostrophe that keeps a spreadsheet from computing


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Errors:
        TableError: no JSON, or something else than an object.
    """
    try:
        content = json.loads(read_bytes(path).decode("utf-8-sig"))
    except ValueError as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{path}: is not JSON ({error}); {REMEDY}") from error
    except RecursionError as error:
        raise TableError(f"{path}: is nested too deeply; {REMEDY}") from error
    if not isinstance(content, dict):
        raise TableError(f"{path}: holds a {type(content).__name__}, not an object; {REMEDY}")
    return content


def read_table(path: Path, columns: Columns) -> pd.DataFrame:
    """Read one CSV file (or its `.csv.gz`) with exactly these columns and exact numbers.

    Text cells lose the apostrophe that guards them in a spreadsheet. A file that is not there
    is a frame without rows.

    Errors:
        TableError: other columns, other kinds of values, rows of another length, no header.
    """
    found = existing(path)
    if found is None:
        return _empty(columns)
    content = read_bytes(found).removeprefix(b"\xef\xbb\xbf")  # a spreadsheet's byte order mark
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
    for name in (name for name in numbers if name in frame):
        frame[name] = _as_numbers(found, frame[name], columns[name])
    for name in text if b"'" in content else ():
        frame[name] = frame[name].str.replace(_GUARDED, "", regex=True)
    added = dict.fromkeys(ADDED.intersection(columns).difference(frame), np.nan)
    return frame.assign(**added)[list(columns)]


def existing(path: Path) -> Path | None:
    """The file itself, or its compressed twin."""
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def read_bytes(path: Path) -> bytes:
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
    names = next(csv.reader([header]), [])
    _check_header(path, names, columns)
    for number, line in enumerate(BytesIO(plain), start=1):
        if line.count(b",") != len(names) - 1 and line.strip():
            raise TableError(
                f"{path}: row {number} has {line.count(b',') + 1} cells, the header has "
                f"{len(names)}; {REMEDY}"
            )
    if not content.endswith(b"\n"):
        raise TableError(f"{path}: the last row is cut short, it has no line end; {REMEDY}")


def _check_header(path: Path, header: list[str], columns: Columns) -> None:
    doubled = doubled_in(header)
    if doubled:
        raise TableError(f"{path}: column {doubled[0]!r} is there twice; {REMEDY}")
    for name in header:
        if name not in columns:
            raise TableError(f"{path}: unknown column {name!r}, {hint(name, columns)}; {REMEDY}")
    for name in columns:
        if name not in header and name not in ADDED:
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
