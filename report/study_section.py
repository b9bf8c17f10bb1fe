"""One study with few factors: its question, the short answer, and per task table and figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from report.document import Answer, Block, Details, Figures, Finding, Picture, Section, Table, Text
from report.evidence import seeds_text, task_pictures
from report.frames import records
from report.numbers import NOTHING, counted, decimals, number, p_value
from report.prose import Contrast, Ranking, contrast_sentence, headline, ranking_sentence
from report.tables import StudyResults
from report.views import TaskView, contrasts_of, ranking_of, slugs, study_colours, view_of


def study_section(results: StudyResults, slug: str) -> tuple[Section, list[Finding]]:
    """The section of one study, and what it offers to the findings."""
    names = slugs(task["name"] for task in results.study["tasks"])
    views = [
        view_of(results, task, f"{slug}-{name}")
        for task, name in zip(results.study["tasks"], names, strict=True)
    ]
    colours = study_colours(views)
    rankings = [ranking for view in views if (ranking := ranking_of(view)) is not None]
    section = Section(
        anchor=slug,
        title=str(results.study["name"]),
        question=str(results.study["question"]),
        blocks=study_blocks(results, views, [ranking_sentence(r) for r in rankings]),
        topics=tuple(_topic(view, task_pictures(view, colours)) for view in views),
    )
    return section, _findings(results, views, rankings)


def study_blocks(
    results: StudyResults, views: Sequence[TaskView], sentences: Sequence[str]
) -> tuple[Block, ...]:
    """The short answer and, where a reader would be misled without them, warnings."""
    warned = [text for text in (untuned(results), edges(views)) if text]
    said = [*sentences] or ["No final trial has a response yet, so there is no answer."]
    return Answer(sentences=tuple(said)), *([Text(paragraphs=tuple(warned))] if warned else [])


def untuned(results: StudyResults) -> str:
    """A study that compares optimizers at one rate says that it is no ranking."""
    stages = {trial["stage"] for trial in results.study["trials"]}
    rates = results.study.get("learning_rates") or {}
    if "tuning" in stages:
        return ""
    if rates.get("source"):
        return (
            f"Learning rates are those that the tuning of the study {rates['source']} chose; "
            "they were not tuned again for each cell."
        )
    return "One learning rate was used for every cell: untuned, not a ranking."


def edges(views: Sequence[TaskView]) -> str:
    """Cells whose best learning rate is the first or last that was tried."""
    told = [_edges_of(view) for view in views if view.cells["lr_at_edge"].any()]
    if not told:
        return ""
    return (
        "The best learning rate lies at the edge of the grid, so a better one may lie beyond it, "
        f"for {'; '.join(told)}."
    )


def _edges_of(view: TaskView, most: int = 3) -> str:
    """The cells at the edge on one task: by name if they are few, else their number."""
    found = view.cells[view.cells["lr_at_edge"].astype(bool)]
    if len(found) <= most:
        return f"{' and '.join(str(label) for label in found['label'])} on {view.name}"
    also = ", the baseline among them," if found["is_baseline"].any() else ""
    return f"{len(found)} of {len(view.cells)} cells{also} on {view.name}"


def _topic(view: TaskView, pictures: tuple[Picture, ...]) -> Section:
    blocks: list[Block] = [cell_table(view, view.cells)]
    if len(view.contrasts):
        details = contrast_table(view)
        blocks.append(Details(summary="Contrasts in numbers", blocks=(details,)))
    blocks.append(Figures(pictures=pictures))
    return Section(anchor=view.slug, title=task_title(view), blocks=tuple(blocks))


def task_title(view: TaskView) -> str:
    """`spiral`, said to be incomplete where trials failed or are missing."""
    return view.name if view.complete else f"{view.name} (incomplete)"


def cell_table(view: TaskView, cells: pd.DataFrame, *, caption: str = "") -> Table:
    """Mean response of each cell with its interval, n, rate, and how trials ended; best first."""
    scale = view.scale
    ranked = cells.sort_values("value", ascending=not scale.higher_is_better, kind="stable")
    digits = decimals(list((cells["high"] - cells["low"]) / 2), scale.most_decimals)
    counts = [name for name in ("diverged", "failed", "missing") if cells[name].sum()]
    mean = f"{scale.name}{', %' if scale.unit else ''}"
    header = ("cell", mean, "95% t interval", "n", "learning rate", *counts)
    rows = []
    for cell in records(ranked):
        low, high = (number(cell[side], digits) for side in ("low", "high"))
        interval = f"{low} to {high}" if NOTHING not in (low, high) else NOTHING
        rate = f"{cell['learning_rate']:g}" if np.isfinite(cell["learning_rate"]) else NOTHING
        rate += " (edge)" if cell["lr_at_edge"] else ""
        rows.append(
            (
                f"{cell['label']} (baseline)" if cell["is_baseline"] else str(cell["label"]),
                number(cell["value"], digits),
                interval,
                str(cell["n"]),
                rate,
                *(str(cell[name]) for name in counts),
            )
        )
    strong = frozenset(i for i, cell in enumerate(records(ranked)) if cell["is_baseline"])
    return Table(
        caption=caption or f"Cells of {view.results.study['name']} on {view.name}, best mean first",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:]),
        strong=strong,
        note=_table_note(view, cells),
    )


def _table_note(view: TaskView, cells: pd.DataFrame) -> str:
    """The noise floor of the test set (S12), and what a diverged trial counts as (S11)."""
    parts = []
    examples = (view.task.get("examples") or {}).get("test", 0)
    best = float(cells["value"].max()) / 100
    if view.scale.unit and examples and 0 <= best <= 1:
        floor = 100 * float(np.sqrt(best * (1 - best) / examples))
        parts.append(
            f"Noise floor of {counted(int(examples), 'test example')}: "
            f"{floor:.1f} percentage points (standard error of one accuracy)."
        )
    if cells["diverged"].sum():
        parts.append(
            "A diverged trial counts as the worse of the constant predictor and the worst "
            "finished trial of the task."
        )
    return " ".join(parts)


def contrast_table(view: TaskView) -> Table:
    """Every contrast with its tests and effect sizes."""
    frame, scale = view.contrasts, view.scale
    digits = decimals(list((frame["high"] - frame["low"]) / 2), scale.most_decimals)
    header = (
        *("cell", "difference", f"{view.interval} interval", "word", "Holm p", "sign-flip p"),
        *("d_z", "g", "correlation", "detectable", "n"),
    )
    rows = tuple(_contrast_row(row, digits) for row in records(frame))
    return Table(
        caption=f"Differences from {view.baseline} on {view.name} ({_unit(scale.difference)})",
        header=header,
        rows=rows,
        numeric=frozenset({*header[1:3], *header[4:]}),
        note=(
            f"One family of m = {len(frame)}: Holm-adjusted paired t p; intervals at 1 − .05/m; "
            f"{seeds_text(frame['n'])}. Sign-flip p is exact up to 16 seeds; † at its floor, "
            "where it could not reach .05/m. Detectable: smallest difference found with power .8."
        ),
    )


def _unit(difference: str) -> str:
    return difference or "in its own unit"


def _contrast_row(row: dict[str, object], digits: int) -> tuple[str, ...]:
    def value(name: str) -> float:
        return float(str(row[name]))

    low, high = (number(value(side), digits, signed=True) for side in ("low", "high"))
    floor = " †" if row["at_floor"] else ""
    return (
        str(row["label"]),
        number(value("value"), digits, signed=True),
        f"{low} to {high}" if low != NOTHING else NOTHING,
        str(row["word"]),
        p_value(value("p_holm")),
        p_value(value("sign_flip_p")) + floor,
        *(number(value(name), 2) for name in ("d_z", "hedges_g", "correlation")),
        number(value("detectable"), digits),
        str(row["n"]),
    )


# Findings


def _findings(
    results: StudyResults, views: Sequence[TaskView], rankings: Sequence[Ranking]
) -> list[Finding]:
    """The study's answer, its strongest contrasts, and what it could not resolve."""
    study = str(results.study["name"])
    if not rankings:
        return []
    strongest = max(rankings, key=lambda ranking: ranking.strength)
    answer = Finding(
        topic=study,
        lines=headline(rankings, noun=_noun(views)),
        figure=f"{_slug_of(views, strongest.task)}-contrasts",
        weight=strongest.strength,
        is_answer=True,
    )
    return [
        answer,
        *_contrast_findings(study, views, rankings),
        *_unresolved(study, views),
        *_edge_finding(study, views),
    ]


def _noun(views: Sequence[TaskView]) -> str:
    """What an alternative of this study is called."""
    factors = views[0].factors
    return factors[0].replace("_", " ") if len(factors) == 1 else "other cell"


def _slug_of(views: Sequence[TaskView], task: str) -> str:
    return next(view.slug for view in views if view.name == task)


def _contrast_findings(
    study: str, views: Sequence[TaskView], rankings: Sequence[Ranking]
) -> list[Finding]:
    """On each task the strongest contrast that the answer has not told already."""
    found = []
    for ranking in rankings:
        told = ranking.best if ranking.best != ranking.baseline else _worst(ranking)
        rest = [c for c in ranking.resolved if c.label != told]
        if rest:
            strongest = max(rest, key=lambda c: c.strength)
            sentence = contrast_sentence(
                strongest, ranking.scale, task=ranking.task, baseline=ranking.baseline
            )
            figure = f"{_slug_of(views, ranking.task)}-contrasts"
            found.append(
                Finding(topic=study, lines=(sentence,), figure=figure, weight=strongest.strength)
            )
    return found


def _worst(ranking: Ranking) -> str:
    worst = max(ranking.resolved, key=lambda c: abs(c.estimate.value), default=None)
    return worst.label if worst else ""


def _unresolved(study: str, views: Sequence[TaskView]) -> list[Finding]:
    """How much a study could not resolve, and the seeds it would take."""
    found = []
    for view in views:
        open_ones = [c for c in contrasts_of(view) if not c.resolved and c.underpowered]
        hopeful = [c for c in open_ones if abs(c.estimate.value) >= view.matters]
        if hopeful:
            sentence = _unresolved_sentence(view, hopeful)
            found.append(
                Finding(
                    topic=study,
                    lines=(sentence,),
                    figure=f"{view.slug}-contrasts",
                    weight=max(c.strength for c in hopeful),
                    is_warning=True,
                )
            )
    return found


def _edge_finding(study: str, views: Sequence[TaskView]) -> list[Finding]:
    """A best rate at the edge of the grid, which would change who wins."""
    text = edges(views)
    if not text:
        return []
    view = next(view for view in views if view.cells["lr_at_edge"].any())
    share = max(float(view.cells["lr_at_edge"].mean()) for view in views)
    return [
        Finding(
            topic=study,
            lines=(text,),
            figure=f"{view.slug}-rates",
            weight=share,
            is_warning=True,
        )
    ]


def _unresolved_sentence(view: TaskView, contrasts: Sequence[Contrast]) -> str:
    largest = max(contrasts, key=lambda c: abs(c.estimate.value))
    return contrast_sentence(largest, view.scale, task=view.name, baseline=view.baseline)
