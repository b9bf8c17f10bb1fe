"""One study on one task as a reader sees it: display units, names, and who leads."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from report import effects
from report.estimates import Estimate, interval_name, paired_difference
from report.frames import records
from report.grids import level_label
from report.numbers import Scale, scale_of, scaled
from report.palette import SERIES, colours_of
from report.prose import ALPHA, Contrast, Ranking
from report.schema import TRIALS, TableError
from report.tables import StudyResults

ESTIMATES = ("value", "low", "high")
RESERVED = ("findings", "claims", "known", "run", "throughput", "methods", "provenance")


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
    def complete(self) -> bool:
        """Whether every final trial of the task finished or diverged."""
        return not int(self.cells[["failed", "missing"]].to_numpy().sum())


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
    contrasts = in_units(contrasts, scale, "detectable")
    base = cells.loc[cells["is_baseline"].astype(bool), "label"]
    return TaskView(
        results=results,
        task=task,
        slug=slug,
        scale=scale,
        cells=cells,
        contrasts=contrasts.assign(resolved=contrasts["word"].isin(["raises", "lowers"])),
        baseline=str(base.iloc[0]) if len(base) else "",
    )


def spoken(frame: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """A frame whose label "none" reads as in a sentence, for instance "no regularisation"."""
    if len(factors) != 1:
        return frame
    label = frame["label"].where(frame["label"] != "none", level_label(factors[0], "none"))
    return frame.assign(label=label)


def in_units(frame: pd.DataFrame, scale: Scale, *more: str) -> pd.DataFrame:
    """A frame of estimates in the unit of its scale."""
    columns = [c for c in (*ESTIMATES, *more) if c in frame]
    return frame.assign(**{column: frame[column] * scale.factor for column in columns})


def contrasts_of(view: TaskView) -> tuple[Contrast, ...]:
    """The contrasts of a view as values that sentences take."""
    return tuple(contrast_of(row, view.matters) for row in records(view.contrasts))


def contrast_of(row: dict[str, Any], matters: float) -> Contrast:
    """One row of `effects.contrasts` in display units as a value."""
    return Contrast(
        label=str(row["label"]),
        estimate=estimate_of(row, str(row["interval"])),
        p_holm=float(row["p_holm"]),
        detectable=float(row["detectable"]),
        seeds_for=float(row["seeds_for"]),
        underpowered=float(row["detectable"]) > matters,
    )


def estimate_of(row: dict[str, Any], interval: str = interval_name(0.95)) -> Estimate:
    """The estimate that a row of a frame holds."""
    value, low, high = (float(row[column]) for column in ESTIMATES)
    return Estimate(value, low, high, int(row["n"]), interval)


def _is_about(claim: object, task: dict[str, Any]) -> bool:
    if not isinstance(claim, dict) or not isinstance(claim.get("by"), int | float):
        return False
    same = claim.get("response") in (None, task["response"])
    return same and claim.get("task") == task["name"] and claim["by"] != 0


def ranking_of(view: TaskView) -> Ranking | None:
    """Who leads on this task; None where no cell has a value."""
    known = view.cells[np.isfinite(view.cells["value"])]
    if known.empty:
        return None
    order = known.sort_values("value", ascending=not view.scale.higher_is_better, kind="stable")
    best = order.iloc[0]
    runner_up = str(order.iloc[1]["label"]) if len(order) > 1 else ""
    return Ranking(
        task=view.name,
        scale=view.scale,
        baseline=view.baseline,
        best=str(best["label"]),
        level=estimate_of(records(order)[0]),
        contrasts=contrasts_of(view),
        runner_up=runner_up,
        lead=_lead(view, str(best["label"]), runner_up) if runner_up else None,
    )


def _lead(view: TaskView, best: str, runner_up: str) -> Estimate:
    """Best minus runner-up; Bonferroni over all rivals, because the best was chosen by looking."""
    scores = spoken(effects.scores(view.results, view.name), view.factors)
    rivals = max(len(view.cells) - 1, 1)
    pair = [scores[scores["label"] == x].set_index("seed")["score"] for x in (best, runner_up)]
    first, second = pair[0].align(pair[1], join="inner")
    difference = paired_difference(
        first.to_numpy(dtype=float), second.to_numpy(dtype=float), confidence=1 - ALPHA / rivals
    )
    return scaled(difference, view.scale.factor)


def study_colours(views: Sequence[TaskView]) -> dict[str, str]:
    """A colour for every label, the same in all figures of a study.

    With more than eight alternatives, the best of each task and those that differ most from the
    baseline get one.
    """
    labels = list(dict.fromkeys(label for view in views for label in view.labels))
    baseline = next((view.baseline for view in views), "")
    if len(labels) <= len(SERIES) + 1:
        return colours_of(labels, baseline=baseline, shown=labels)
    weights = dict.fromkeys(labels, 0.0)
    for view in views:
        largest = view.contrasts["value"].abs().max()
        for row in records(view.contrasts):
            share = abs(row["value"]) / largest if largest > 0 else 0.0
            weights[str(row["label"])] += share if np.isfinite(share) else 0.0
    for view in views:
        known = view.cells[np.isfinite(view.cells["value"])]
        ranked = known.sort_values("value", ascending=not view.scale.higher_is_better)
        if len(ranked):
            weights[str(ranked.iloc[0]["label"])] += len(views)
    shown = sorted(labels, key=lambda label: -weights[label])[: len(SERIES)]
    return colours_of(labels, baseline=baseline, shown=shown)


def slugs(names: Iterable[str]) -> list[str]:
    """A name for files and anchors for each name: plain letters, never two alike."""
    taken: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", str(name).lower())[:40].strip("-") or "unnamed"
        slug, count = plain, 2
        while slug in taken:
            slug, count = f"{plain}-{count}", count + 1
        taken.append(slug)
    return taken


def study_slugs(studies: Sequence[StudyResults]) -> list[str]:
    """The anchor of every study, apart from those of the report's own sections."""
    names = slugs(results.study["name"] for results in studies)
    return [f"study-{name}" if name in RESERVED else name for name in names]


def contrasts_picture(results: StudyResults, slug: str, task: str, response: str) -> str:
    """The name of the figure, drawn or not, of the contrasts in one response; "" for no such."""
    tasks = results.study["tasks"]
    places = zip(tasks, slugs(entry["name"] for entry in tasks), strict=True)
    drawn = {(entry["name"], entry["response"]): place for entry, place in places}
    place = drawn.get((task, response))
    return f"{slug}-{place}-contrasts" if place else ""
