"""What a stack leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["finished", "diverged", "failed", "timed_out", "out_of_memory"]
Way = Literal["compiled", "captured", "stacked", "vmap", "alone"]
Row = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What a stack leaves behind; every value can be written as JSON.

    `rows` has one entry per trial, `curves` one per trial and evaluation.
    """

    rows: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    pictures: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)
    way: Way = "stacked"  # how it was trained, which no record seals

    def sealed(self) -> dict[str, list[Row]]:
        """What a record keeps."""
        kinds = ("rows", "curves", "pictures", "points")
        return {kind: getattr(self, kind) for kind in kinds}

    def extend(self, other: Outcome) -> None:
        """Append another outcome, trial after trial; the way becomes that of the other."""
        self.way = other.way
        self.rows += other.rows
        self.curves += other.curves
        self.pictures += other.pictures
        self.points += other.points
