"""What a study with few factors offers to the findings: its answer, and what it left open."""

from collections.abc import Sequence

from report.cautions import UNTUNED, at_edge, edges, is_untuned
from report.document import Finding
from report.headlines import headline
from report.prose import Contrast, contrast_sentence
from report.rankings import Ranking
from report.tables import StudyResults
from report.views import TaskView, contrasts_of, shown_contrasts


def study_findings(
    results: StudyResults, views: Sequence[TaskView], rankings: Sequence[Ranking]
) -> list[Finding]:
    """The study's answer, its strongest contrasts, and what it could not resolve."""
    study = topic_of(results)
    if not rankings:
        return []
    strongest = max(rankings, key=lambda ranking: ranking.strength)
    caution = (UNTUNED,) if is_untuned(results) else ()
    answer = Finding(
        topic=study,
        lines=headline(rankings, noun=_noun(views)) + caution,
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


def topic_of(results: StudyResults) -> str:
    """The study's name; where its rates were not tuned, each of its findings says so."""
    return f"{results.study['name']}{' (untuned)' if is_untuned(results) else ''}"


def _noun(views: Sequence[TaskView]) -> str:
    """What an alternative of this study is called."""
    factors = views[0].factors
    return factors[0].replace("_", " ") if len(factors) == 1 else "other cell"


def _slug_of(views: Sequence[TaskView], task: str) -> str:
    return next(view.slug for view in views if view.name == task)


def _contrast_findings(
    study: str, views: Sequence[TaskView], rankings: Sequence[Ranking]
) -> list[Finding]:
    """On each task the strongest contrast of its figure that the answer has not told already."""
    found = []
    shown = {view.name: set(shown_contrasts(view)["label"]) for view in views}
    for ranking in rankings:
        told = ranking.best if ranking.best != ranking.baseline else _worst(ranking)
        rest = [c for c in ranking.resolved if c.label != told and c.label in shown[ranking.task]]
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
    """What may matter but could not be resolved, and the seeds it would take."""
    found = []
    for view in views:
        best = str(view.ranked["label"].iloc[0]) if len(view.ranked) else ""  # told already
        hopeful = [
            c
            for c in contrasts_of(view, shown_contrasts(view))
            if not (c.resolved or c.is_equal)
            and (c.underpowered or (c.estimate.is_constant and c.label != best))
            and abs(c.estimate.value) >= view.matters
        ]
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
    view = next(view for view in views if at_edge(view).any())
    share = max(float(at_edge(view).mean()) for view in views)
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
