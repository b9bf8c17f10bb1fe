"""What a results folder holds: the columns of every CSV file, and what study.json must say."""

from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeGuard

SCHEMA: Final = 1
MOST: Final = 1e300  # of a number in study.json; JSON knows larger ones
FACTORS: Final = (
    *("activation", "optimizer", "depth", "width", "residual", "network", "pooling", "init"),
    *("norm", "regularisation", "loss", "minibatch", "train_size", "schedule", "augmentation"),
)
STATUSES: Final = ("finished", "diverged", "failed", "timed_out", "out_of_memory")
FAILED: Final = ("failed", "timed_out", "out_of_memory")  # did not end by themselves
STAGES: Final = ("tuning", "final")
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
MEASURES: Final = (
    *("penalised_loss", "gap", "curve_area", "curve_noise", "first_gradient", "last_gradient"),
    *("dead_units", "saturation", "weight_norm", "linear_regions", "parameter_error"),
)
# Columns that later versions added: a file of before is read as if they were empty.
ADDED: Final = frozenset((*MEASURES, "running_loss"))
DERIVED: Final = ("bias", "variance")  # of the probes in pictures.csv, see `decomposition`
TRIALS: Final = _columns(
    (TEXT, ("trial", "study", "task", "stage")),
    (WHOLE, ("seed",)),
    (TEXT, FACTORS),
    (NUMBER, ("learning_rate",)),
    (TEXT, ("status",)),
    (NUMBER, (*_TEST_RESPONSES, "best_step", "steps", "parameters", "sparsity", *MEASURES)),
    (TEXT, ("stack",)),
)
CURVES: Final = _columns(
    (TEXT, ("trial",)),
    (WHOLE, ("step",)),
    (NUMBER, ("epoch", *_RESPONSES, "gradient_norm", "running_loss")),
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
SPEEDUP: Final = _columns(
    (TEXT, ("case", "way")),
    (WHOLE, ("round", "order", "trials", "steps")),
    (NUMBER, ("seconds", "compile_seconds", "loss")),
)
STUDY_KEYS: Final[dict[str, type]] = {
    "name": str,
    "tasks": list,
    "factors": list,
    "baseline": dict,
    "cells": list,
    "trials": list,
}


class TableError(ValueError):
    """A results folder holds something that cannot be read as results."""


def check_study(path: Path, study: dict[str, Any]) -> None:
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
    for key in ("claims", "published"):
        if not isinstance(study.setdefault(key, []), list):
            raise TableError(f"{path}: {key!r} must be a list, got {study[key]!r:.40}; {REMEDY}")
        _check_entries(path, study, key, {})
    _check_entries(path, study, "tasks", {"name": str, "kind": str, "response": str})
    _check_entries(path, study, "factors", {"name": str, "levels": list})
    factors = [factor["name"] for factor in study["factors"]]
    for key, names, known in (
        ("factor", factors, FACTORS),
        ("response", [task["response"] for task in study["tasks"]], TRIALS),
    ):
        for name in names:
            if name not in known:
                raise TableError(f"{path}: unknown {key} {name!r}, {hint(name, known)}; {REMEDY}")
    levels = dict.fromkeys(factors, str)
    _check_entries(path, study, "cells", {"task": str, **levels})
    asked = {"trial": str, "task": str, "stage": str, "seed": int}
    _check_entries(path, study, "trials", {**asked, **levels})
    doubled = doubled_in(trial["trial"] for trial in study["trials"])
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
    doubled = doubled_in((*cell(trial), trial["seed"]) for trial in finals)
    if doubled:
        raise TableError(f"{path}: lists two final trials for {doubled[0]!r}; {REMEDY}")
    cells = {cell(entry) for entry in study["cells"]}
    for trial in study["trials"]:
        if cell(trial) not in cells:
            raise TableError(
                f"{path}: trial {trial['trial']!r} belongs to none of the study's cells; {REMEDY}"
            )


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of study.json is a number that arithmetic can take."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= MOST  # false for NaN


def doubled_in(values: Iterable[Any]) -> list[Any]:
    """The values that are there more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def hint(name: str, known: Iterable[str]) -> str:
    """What was probably meant by a name that is not known."""
    close = get_close_matches(name[:100], known, n=1)
    return f"did you mean {close[0]!r}?" if close else "which does not belong here"
