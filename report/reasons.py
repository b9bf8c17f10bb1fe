"""Why trials failed, as the records of their stacks tell; nothing where a record is not there."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pandas as pd

from report.escaping import LONGEST_CELL, visible
from report.schema import FAILED

KEY: Final = re.compile(r"[0-9a-f]{8,64}")  # of a record; a name from a file never leads elsewhere
MOST_RECORDS: Final = 100  # that are read; reasons repeat


def read_reasons(folder: Path, trials: pd.DataFrame) -> dict[str, str]:
    """The reason of every failed trial of a study's folder that a record tells, shortened.

    A record is the sealed JSON of one stack, in `records/<first two letters>/<stack>.json`. One
    that is missing or damaged gives no reasons; the trial is counted as failed all the same.
    """
    failed = trials[trials["status"].isin(FAILED)]
    stacks = [key for key in dict.fromkeys(failed["stack"]) if KEY.fullmatch(key)]
    found: dict[str, str] = {}
    for key in stacks[:MOST_RECORDS]:
        for row in _rows(folder / "records" / key[:2] / f"{key}.json"):
            if isinstance(row, dict) and row.get("message"):
                found[str(row.get("trial"))] = visible(row["message"], LONGEST_CELL)
    return {trial: found[trial] for trial in failed["trial"] if trial in found}


def _rows(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_bytes())["payload"]["outcome"]["rows"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return rows if isinstance(rows, list) else []
