"""Frames as plain rows."""

from typing import Any

import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as dictionaries from column to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
