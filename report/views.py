"""One study on one task as a reader sees it: display units, names, and who leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from report import effects
from report.axes import LONGEST_LABEL
from report.estimates import Estimate, interval_name
from report.frames import records
from report.grids import grid_of, level_label
from report.numbers import Scale, scale_of
from report.palette import SERIES, colours_of
from report.prose import Contrast
from report.schema import TRIALS, TableError, is_number
from report.tables import StudyResults

ESTIMATES = ("value", "low", "high")
DIFFERENCES = ("detectable", "equal_within")  # beside the estimate of a contrast, in its unit
LEADING = 5  # cells that have a colour because they are the best over all tasks
MOST_CONTRASTS = 30  # that a forest and a table show; of more, a stated choice


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TaskView:
    """Everything the report draws and says about one study on one task."""

    results: StudyResults
    task: dict[str, Any]
    slug: str  # begins the name of every figure
    scale: Scale
    cells: pd.DataFrame  # effects.cell_table, display units
    contrasts: pd.DataFrame  # effects.contrasts, display units, with `resolved`
    baseline: str  # label of the baseline cell

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.task["name"])

    @property
    def interval(self) -> str:
        """Method and level of the contrasts' intervals, for instance "99.38% t"."""
        return str(self.contrasts["interval"].iloc[0]) if len(self.contrasts) else ""

    @property
    def matters(self) -> float:
        """The smallest difference worth finding: of the task's claims, or of the scale."""
        claims = self.results.study.get("claims") or []
        margins = [abs(c["by"]) * self.scale.factor for c in claims if _is_about(c, self.task)]
        return min(margins, default=self.scale.matters)

    @property
    def factors(self) -> list[str]:
        """Names of the study's factors."""
        return [str(factor["name"]) for factor in self.results.study["factors"]]

    @property
    def labels(self) -> list[str]:
        """Every cell's label in the order of the study."""
        return [str(label) for label in self.cells["label"]]

    @property
    def ranked(self) -> pd.DataFrame:
        """The cells, best mean first, then those all of whose trials diverged, then the empty."""
        mean = self.cells["value"]
        place = np.select([mean.isna(), self.cells["is_lost"]], [2, 1], 0)
        order = np.lexsort((-mean if self.scale.higher_is_better else mean, place))
        return self.cells.iloc[order]

    @property
    def brief(self) -> dict[str, str]:
        """What a figure calls each cell: its label or, where labels are too long, its departure."""
        if max(map(len, self.labels), default=0) <= LONGEST_LABEL:
            return {label: label for label in self.labels}
        base = grid_of(self.results, self.name).baseline
        own = zip(self.labels, records(self.cells), strict=True)
        names = {label: _departure(cell, self.factors, base) for label, cell in own}
        alike = len(set(names.values())) < len(names)
        return {label: label for label in names} if alike else names

    @property
    def brief_words(self) -> str:
        """What such names leave out, for a caption; nothing where they leave out nothing."""
        if self.brief.get(self.baseline, self.baseline) == self.baseline:
            return ""
        return f" Names say what differs from the baseline, {self.baseline}."

    @property
    def partial(self) -> frozenset[str]:
        """Labels of the cells of which a final trial failed or is missing."""
        lacking = self.cells[["failed", "missing"]].sum(axis=1) > 0
        return frozenset(str(label) for label in self.cells.loc[lacking, "label"])

    @property
    def partial_words(self) -> str:
        """What faint marks mean, for a caption; nothing where every cell is complete."""
        return " Faint: cells of which a trial failed or is missing." if self.partial else ""

    @property
    def complete(self) -> bool:
        """Whether every final trial of the task finished or diverged."""
        return not int(self.cells[["failed", "missing"]].to_numpy().sum())


def _departure(cell: dict[str, Any], factors: Sequence[str], base: Sequence[str]) -> str:
    """The levels in which a cell departs from the baseline."""
    if cell["is_baseline"]:
        return "baseline"
    levels = zip(factors, base, strict=True)
    return ", ".join(level_label(f, cell[f]) for f, level in levels if cell[f] != level)


def view_of(results: StudyResults, task: dict[str, Any], slug: str) -> TaskView:
    """The view of one task, computed from the CSV files."""
    if task["response"] not in TRIALS:
        known = [name for name in TRIALS if name.startswith("test_")]
        raise TableError(
            f"{results.study['name']}: the task {task['name']!r} has the response "
            f"{task['response']!r}, which trials.csv has not; it has {', '.join(known)}"
        )
    scale = scale_of(str(task["response"]))
    factors = [str(factor["name"]) for factor in results.study["factors"]]
    cells = spoken(effects.cell_table(results, task["name"]), factors)
    cells = in_units(cells, scale)
    contrasts = spoken(effects.contrasts(results, task["name"]), factors)
    contrasts = in_units(contrasts, scale)
    base = cells.loc[cells["is_baseline"].astype(bool), "label"]
    return TaskView(
        results=results,
        task=task,
        slug=slug,
        scale=scale,
        cells=cells,
        contrasts=contrasts.assign(
            resolved=contrasts["word"].isin([effects.RAISES, effects.LOWERS])
        ),
        baseline=str(base.iloc[0]) if len(base) else "",
    )


def spoken(frame: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """A frame whose label "none" reads as in a sentence, for instance "no regularisation"."""
    if len(factors) != 1:
        return frame
    label = frame["label"].where(frame["label"] != "none", level_label(factors[0], "none"))
    return frame.assign(label=label)


def by_size(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Rows by these columns of levels: numbers by their size, names in the order they have."""

    def key(levels: "pd.Series[Any]") -> "pd.Series[Any]":
        numbers = pd.to_numeric(levels, errors="coerce")
        named = pd.Series(pd.factorize(levels)[0], index=levels.index)
        return named if numbers.isna().any() else numbers

    return frame.sort_values(list(columns), key=key, kind="stable")


def in_units(frame: pd.DataFrame, scale: Scale, *more: str) -> pd.DataFrame:
    """A frame of estimates in the unit of its scale."""
    columns = [c for c in (*ESTIMATES, *DIFFERENCES, *more) if c in frame]
    return frame.assign(**{column: frame[column] * scale.factor for column in columns})


def contrasts_of(view: TaskView, frame: pd.DataFrame | None = None) -> tuple[Contrast, ...]:
    """The contrasts of a view, or some rows of them, as values that sentences take."""
    rows = records(view.contrasts if frame is None else frame)
    return tuple(contrast_of(row, view.matters) for row in rows)


def shown_contrasts(view: TaskView, *, most: int = MOST_CONTRASTS) -> pd.DataFrame:
    """Every contrast; of more than `most`, those that depart in one factor, and the best cell."""
    if len(view.contrasts) <= most:
        return view.contrasts
    grid = grid_of(view.results, view.name)
    near = {
        row
        for cell, row in grid.resolved.items()
        if sum(a != b for a, b in zip(cell, grid.baseline, strict=True)) == 1
    }
    rows = [row for row in range(len(grid.cells)) if row != grid.baseline_row]
    best = view.contrasts["label"] == view.ranked["label"].iloc[0]
    shown: pd.DataFrame = view.contrasts[np.isin(rows, list(near)) | best]
    return shown


def chosen_words(view: TaskView) -> str:
    """By what rule some contrasts of many are shown."""
    return (
        f"Of {len(view.contrasts)} comparisons those that depart from the baseline in one factor, "
        "and the best cell; effects.csv has all."
    )


def contrast_of(row: dict[str, Any], matters: float) -> Contrast:
    """One row of `effects.contrasts` in display units as a value."""
    return Contrast(
        label=str(row["label"]),
        estimate=estimate_of(row, str(row["interval"])),
        p_holm=float(row["p_holm"]),
        detectable=float(row["detectable"]),
        seeds_for=float(row["seeds_for"]),
        underpowered=float(row["detectable"]) > matters,
        equal_within=float(row["equal_within"]),
    )


def estimate_of(row: dict[str, Any], interval: str = interval_name(0.95)) -> Estimate:
    """The estimate that a row of a frame holds."""
    value, low, high = (float(row[column]) for column in ESTIMATES)
    return Estimate(value, low, high, int(row["n"]), interval)


def _is_about(claim: object, task: dict[str, Any]) -> bool:
    """Whether a claim's margin is a difference of two cells in the task's own response."""
    if not isinstance(claim, dict) or not is_number(claim.get("by")):
        return False
    if "trend" in claim or claim.get("table") == "timings":  # a slope, a share of the seconds
        return False
    same = claim.get("response") in (None, task["response"])
    return same and claim.get("task") == task["name"] and claim["by"] != 0


def study_colours(views: Sequence[TaskView]) -> dict[str, str]:
    """A colour for every label, the same in all figures of a study.

    With more than eight alternatives, the best of each task, the best over all of them by the mean
    of their places, and those that differ most from the baseline get one.
    """
    labels = list(dict.fromkeys(label for view in views for label in view.labels))
    baseline = next((view.baseline for view in views), "")
    if len(labels) <= len(SERIES) + 1:
        return colours_of(labels, baseline=baseline, shown=labels)
    weights = dict.fromkeys(labels, 0.0)
    for view in views:
        largest = view.contrasts["value"].abs().max()
        for row in records(shown_contrasts(view)):
            share = abs(row["value"]) / largest if largest > 0 else 0.0
            weights[str(row["label"])] += share if np.isfinite(share) else 0.0
    places = dict.fromkeys(labels, 0)
    first = set()
    for view in views:
        ranked = {str(label): place for place, label in enumerate(view.ranked["label"])}
        first |= set(list(ranked)[:1])
        for label in labels:
            places[label] += ranked.get(label, len(labels))
    best = sorted([label for label in labels if label != baseline], key=lambda x: places[x])
    for label in first | set(best[:LEADING]):
        weights[label] += len(views)
    shown = sorted(labels, key=lambda label: -weights[label])[: len(SERIES)]
    return colours_of(labels, baseline=baseline, shown=shown)
