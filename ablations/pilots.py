"""How far seeds vary: deviations of paired differences, taken from trials that were run before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.design import DesignError, Study
from ablations.looks import contrast_names, differences, moments

COLUMNS = ("trial", "stage", "seed", "status")
Deviations = dict[tuple[str, str], tuple[int, float]]  # pairs and deviation by task and contrast


def pilot_file(folder: Path, study: Study) -> Path | None:
    """The trials of a study in a results folder, or in its own folder there; None without."""
    folders = [folder / study.name, *([folder] if folder.name == study.name else [])]
    places = (each / name for each in folders for name in ("trials.csv", "trials.csv.gz"))
    return next((path for path in places if path.is_file()), None)


def read_deviations(path: Path, study: Study) -> Deviations:
    """Every contrast of a study; without two common seeds in the pilot its deviation is NaN.

    Raises:
        DesignError: the file cannot be read, or is not one of trials.
    """
    frame = _read_final_trials(path)
    rows: dict[str, Mapping[str, Any]] = {
        str(row["trial"]): {str(k): None if pd.isna(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    }
    seen = replace(study, seeds=int(frame["seed"].max()) + 1 if len(frame) else 1)
    chances = _chances(path.with_name("study.json"))
    found: Deviations = {}
    for task in study.tasks:
        chance = chances.get(task.name, 0.0)
        n, _, deviation = moments(differences(seen, task, rows, chance))
        for row, name in enumerate(contrast_names(study, task)):
            found[task.name, name] = int(n[row]), float(deviation[row])
    return found


def _read_final_trials(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DesignError(f"{path}: cannot be read ({error}); name another pilot") from None
    for column in COLUMNS:
        if column not in frame:
            raise DesignError(f"{path}: has no column {column!r}; name another pilot")
    return frame[frame["stage"] == "final"]


def _chances(path: Path) -> dict[str, float]:
    """The accuracy of always answering the same, by task, as far as study.json tells."""
    try:
        tasks = json.loads(path.read_bytes())["tasks"]
        return {task["name"]: float(task["chance"]) for task in tasks}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
