"""Sealed records, the source of truth, and the CSV files collected from them.

A record is one JSON file per stack, named by its key: a hash of everything that can change
its content, and of nothing else. It carries the sha256 of its payload, so a torn or
altered file is found, set aside and done again. Every file is written whole: to a
temporary file in the same folder, flushed to disk, then renamed.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from ablations.columns import CURVES, PICTURES, POINTS, STACKS, TRIALS
from ablations.outcome import Outcome
from ablations.stacking import Stack

SCHEMA = 1
DONE = frozenset({"finished", "diverged"})  # what is not tried again


class RecordError(RuntimeError):
    """A record or a results folder cannot be written, with the remedy."""


def key_of(stack: Stack, context: Mapping[str, Any]) -> str:
    """The name of a stack's record.

    Args:
        context: what else can change its numbers: checksum of the data, hash of the code,
            torch version, device, dtype, threads.
    """
    return sha256(canonical_json({**stack.config(), **context}).encode()).hexdigest()[:24]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def record_path(folder: Path, key: str) -> Path:
    """Where the record of a key lies in a study's folder."""
    return folder / "records" / key[:2] / f"{key}.json"


def payload_of(
    stack: Stack, key: str, outcome: Outcome, context: Mapping[str, Any], clock: Mapping[str, Any]
) -> dict[str, Any]:
    """What a record holds. `clock` is what depends on the clock and the machine."""
    return {
        "key": key,
        "config": {**stack.config(), **context},
        "outcome": outcome.sealed(),
        "clock": dict(clock),
    }


def seal(
    stack: Stack, key: str, outcome: Outcome, context: Mapping[str, Any], clock: Mapping[str, Any]
) -> str:
    """The text of a record."""
    return sealed(payload_of(stack, key, outcome, context, clock))


def sealed(payload: Mapping[str, Any]) -> str:
    """The text of a record that holds a payload."""
    body = canonical_json(payload)
    return (
        f'{{"schema":{SCHEMA},"sha256":"{sha256(body.encode()).hexdigest()}","payload":{body}}}\n'
    )


SEAL = re.compile(rb'\{"schema":(\d+),"sha256":"([0-9a-f]{64})","payload":(.*)\}\n', re.DOTALL)


def unseal(content: bytes, key: str) -> dict[str, Any] | None:
    """The payload of a record, or None when it is not exactly what was sealed."""
    match = SEAL.fullmatch(content)
    if match is None:
        return None
    schema, seal, body = match.groups()
    if schema.decode() != str(SCHEMA) or sha256(body).hexdigest() != seal.decode():
        return None
    payload: dict[str, Any] = json.loads(body)
    return payload if payload["key"] == key else None


def read_record(folder: Path, key: str, report: Callable[[str], None]) -> dict[str, Any] | None:
    """The payload of a stack's record; None if it is missing or was damaged.

    A damaged record is renamed so that it is never used, and `report` is told.
    """
    path = record_path(folder, key)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be read ({error.strerror}); mend or delete it"
        ) from error
    payload = unseal(content, key)
    if payload is None:
        aside = path.with_suffix(f".damaged-{uuid.uuid4().hex[:8]}")
        try:
            path.rename(aside)
            report(
                f"record {path} is damaged; set aside as {aside.name}, its stack is trained again"
            )
        except OSError as error:
            report(f"record {path} is damaged and cannot be renamed ({error.strerror}); ignored")
    return payload


def outdated_records(
    folder: Path, context: Mapping[str, Mapping[str, Any]]
) -> tuple[int, list[str]]:
    """How many records of a study were made otherwise than now, and in what that differs.

    Args:
        context: by task, what can change a record's numbers besides its stack.
    """
    count, differing = 0, set[str]()
    for path in folder.glob("records/*/*.json"):
        try:
            payload = unseal(path.read_bytes(), path.stem)
        except OSError:  # another run set it aside, or it may not be read
            continue
        config: Mapping[str, Any] = payload["config"] if payload is not None else {}
        now = context.get(config.get("task", {}).get("name"), {})
        others = {name for name, value in now.items() if config.get(name) != value}
        count += bool(others)
        differing |= others
    return count, sorted(differing)


def is_done(payload: Mapping[str, Any] | None) -> bool:
    """Whether every trial of a record ended by itself."""
    return payload is not None and all(row["status"] in DONE for row in payload["outcome"]["rows"])


def write_atomically(path: Path, content: str) -> None:
    """Write a file whole or not at all, and survive a power cut after it.

    Raises:
        RecordError: the disk is full, read-only or failing.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "x", encoding="utf-8", newline="") as file:  # noqa: PTH123
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written ({error.strerror}); make room or choose another folder "
            "with --results, then run again: what is finished is kept"
        ) from error


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def try_lock(path: Path) -> int | None:
    """Lock a stack while it is trained; None when another process holds it.

    The kernel frees the lock when its holder dies, so there is no stale lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(handle).st_ino == path.stat().st_ino:
                    return handle
            except BlockingIOError:
                os.close(handle)
                return None
            except FileNotFoundError:
                pass  # its last holder removed it between open and stat
            os.close(handle)
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written ({error.strerror}); choose another folder with --results"
        ) from error


def unlock(path: Path, handle: int) -> None:
    """Remove and free a lock file; one that cannot be removed is free all the same."""
    with suppress(OSError):
        path.unlink()
    os.close(handle)


def trial_rows(stack: Stack, key: str, payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of trials.csv from one record."""
    shown = {"study": stack.study, "task": stack.task.name, "stage": stack.stage, "stack": key}
    shown |= stack.cell.texts()
    for row in payload["outcome"]["rows"]:
        yield {**shown, **row}


def stack_row(stack: Stack, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """A row of stacks.csv from one record."""
    return {
        "stack": key,
        "task": stack.task.name,
        "stage": stack.stage,
        "cell": stack.cell_name,
        "trials": len(stack.members),
        **payload["clock"],
    }


def collect(folder: Path, found: Iterable[tuple[Stack, str, Mapping[str, Any]]]) -> None:
    """Write the CSV files of a study from its records, in the order of the study."""
    trials: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    stacks: list[dict[str, Any]] = []
    for stack, key, payload in found:
        outcome = payload["outcome"]
        trials += trial_rows(stack, key, payload)
        curves += outcome["curves"]
        pictures += outcome["pictures"]
        stacks.append(stack_row(stack, key, payload))
        if outcome["points"] and not any(p["task"] == stack.task.name for p in points):
            points += [{"task": stack.task.name, **point} for point in outcome["points"]]
    tables: Sequence[tuple[str, list[str], list[dict[str, Any]]]] = (
        ("trials", TRIALS, trials),
        ("curves", CURVES, curves),
        ("pictures", PICTURES, pictures),
        ("points", POINTS, points),
        ("stacks", STACKS, stacks),
    )
    for name, columns, rows in tables:
        write_csv(folder / f"{name}.csv", columns, rows)


PLAIN = frozenset((float, int, type(None)))  # what the writer itself writes as `csv_field` does


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file with exactly these columns; a missing value is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = map(row.get, columns)
        writer.writerow([x if type(x) in PLAIN else csv_field(x) for x in values])
    write_if_changed(path, buffer.getvalue())


def write_if_changed(path: Path, content: str) -> None:
    """Write a file unless it already says just this, so that a second run touches nothing."""
    try:
        same = path.read_bytes() == content.encode()
    except OSError:
        same = False
    if not same:
        write_atomically(path, content)


def csv_field(value: Any) -> str:
    """Numbers so that they come back exactly, text so that no spreadsheet runs it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    shown = str(value)
    risky = shown.startswith(("=", "+", "-", "@", "\t", "\r")) and not _number(shown)
    return f"'{shown}" if risky else shown


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
