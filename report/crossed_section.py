"""A full factorial of three factors or more: effects of factors and what depends on what."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from report import effects
from report.cautions import UNTUNED, is_untuned
from report.cell_tables import cell_table
from report.crossed_figures import (
    Factorial,
    factorial_of,
    factors_of,
    grid,
    interactions,
    main_effects,
    p_text,
    resolved_pairs,
    shares,
)
from report.document import Figures, Finding, Section
from report.estimates import holm, interval_name, paired_difference
from report.factor_tables import base_levels
from report.frames import records
from report.grids import level_label
from report.leads import ranking_of
from report.numbers import capitalised, counted, listed, scaled
from report.prose import ALPHA, contrast_sentence, short_difference
from report.rankings import Ranking, ranking_sentence
from report.sequential import share_of
from report.study_findings import study_findings, topic_of
from report.study_section import (
    detail_blocks,
    study_blocks,
    study_topics,
    task_title,
    topic,
    views_of,
)
from report.tables import StudyResults
from report.views import contrast_of, study_colours
from report.wall_pictures import wall


def crossed_section(results: StudyResults, slug: str) -> tuple[Section, list[Finding]]:
    """The section of a crossed study, and what it offers to the findings.

    A task whose grid allows no effects of factors is reported cell by cell, like one of a study
    with few factors.
    """
    views = views_of(results, slug)
    parts = [factorial_of(view) for view in views]
    colours = study_colours(views)
    refused = [part.view for part in parts if part.refusal]
    rankings = {v.slug: r for v in refused if (r := ranking_of(v)) is not None}
    said = [_said(part, rankings) for part in parts]
    section = Section(
        anchor=slug,
        title=str(results.study["name"]),
        question=str(results.study["question"]),
        blocks=study_blocks(results, views, [sentence for sentence in said if sentence]),
        topics=(
            *(
                topic(part.view, colours, first=f"{capitalised(part.refusal)}.")
                if part.refusal
                else _topic(part)
                for part in parts
            ),
            *study_topics(views, colours, slug),
        ),
    )
    return section, crossed_findings(results, parts)


def crossed_findings(results: StudyResults, parts: Sequence[Factorial]) -> list[Finding]:
    """What factors did on each task, and on a task whose grid does not allow it, what cells did."""
    refused = [part.view for part in parts if part.refusal]
    rankings = [ranking for view in refused if (ranking := ranking_of(view)) is not None]
    return [*_findings(results, parts), *study_findings(results, refused, rankings)]


def _said(part: Factorial, rankings: Mapping[str, Ranking]) -> str:
    """The answer on one task: what factors did, or else which cell leads."""
    if not part.refusal:
        return _both_sentences(part)
    ranking = rankings.get(part.view.slug)
    return ranking_sentence(ranking) if ranking else ""


def _topic(part: Factorial) -> Section:
    view = part.view
    drawn = (main_effects(part), shares(part), interactions(part), grid(part))
    pictures = tuple(picture for picture in drawn if picture is not None)
    walls = tuple(p for kind in ("region", "curve") if (p := wall(view, kind)) is not None)
    details = detail_blocks(view)
    blocks = (Figures(pictures=pictures), cell_table(view), *details, Figures(pictures=walls))
    return Section(anchor=view.slug, title=task_title(view), blocks=blocks)


# Sentences


def _both_sentences(part: Factorial) -> str:
    """What matters most on this task, and what depends on what."""
    return f"{_matters(part)} {_depends(part, place='There')}"


def _matters(part: Factorial) -> str:
    """The factors that are detectable by their shares, and how much is interaction and noise."""
    name, scale, terms = part.view.name, part.view.scale.name, part.terms
    main = terms[terms["order"] == 1]
    found = main[holm(main["p"].to_numpy(dtype=float)) <= ALPHA]
    found = found.sort_values("share", ascending=False, kind="stable")
    crossed = 100 * max(float(terms.loc[terms["order"] > 1, "share"].sum()), 0.0)
    noise = 100 * float(terms.loc[terms["order"] == 0, "share"].sum())
    rest = (
        f"all interactions together {crossed:.0f}%, seeds and noise {noise:.0f}% "
        f"(n = {counted(int(part.means['n'].max()), 'seed')})"
    )
    if found.empty:
        return f"On {name}, no factor has a detectable effect on {scale}; {rest}."
    first, *others = [(row["term"], f"{100 * row['share']:.0f}%") for row in records(found)]
    more = [f"{term} {share}" for term, share in others]
    told = f"{first[0]} explains {first[1]} of the variance of {scale}"
    return f"On {name}, {listed([told, *more])}; {rest}."


def _depends(part: Factorial, *, place: str = "") -> str:
    """The strongest interaction that is resolved, with the numbers at its extreme levels."""
    place = place or f"On {part.view.name}"
    pairs = resolved_pairs(part)
    if pairs.empty:
        return f"{place}, no interaction of two factors is detectable."
    term = records(pairs)[0]
    first, second = factors_of(part.view, str(term["term"]))
    words = _swing(part, first, second)
    return (
        f"{place}, the effect of {first} depends on {second} "
        f"({100 * term['share']:.1f}% of the variance, Holm-adjusted p {p_text(term)}): {words}."
        f"{_not_alone(part)}"
    )


def _not_alone(part: Factorial) -> str:
    """Which main effects are no larger than an interaction of their factor."""
    found = records(part.dependencies)
    if not found:
        return ""
    if len(found) == 1:
        return (
            f" The main effect of {found[0]['factor']} should not be read alone: its interaction "
            f"with {found[0]['on']} is as large."
        )
    factors = listed([str(row["factor"]) for row in found])
    return (
        f" The main effects of {factors} should not be read alone: each has an interaction as "
        "large."
    )


def _swing(part: Factorial, first: str, second: str) -> str:
    """The level of `first` whose difference from the baseline level changes most over `second`."""
    pairs = part.pairs[(part.pairs["factor_a"] == first) & (part.pairs["factor_b"] == second)]
    table = pairs.pivot_table(index="level_a", columns="level_b", values="mean")
    base = base_levels(part.view.results)[first]
    change = (table - table.loc[base]).drop(index=base)  # (levels of first, levels of second)
    level = str((change.max(axis=1) - change.min(axis=1)).idxmax())
    ends = [change.loc[level].idxmax(), change.loc[level].idxmin()]
    at = [
        f"{_simple_effect(part, (first, level, base), (second, str(end)))} with "
        f"{level_label(second, str(end))}"
        for end in ends
    ]
    own, other = (level_label(first, x) for x in (level, base))
    n = f"n = {counted(int(part.means['n'].max()), 'seed')}"
    interval = interval_name(_confidence(part))
    return f"{own} against {other} is {at[0]} and {at[1]} ({interval} intervals, {n})"


def _confidence(part: Factorial) -> float:
    """Of one difference by itself: 95%, and with sequential seeds what the look may spend."""
    return 1 - ALPHA * share_of(part.view.results)


def _simple_effect(part: Factorial, change: tuple[str, str, str], at: tuple[str, str]) -> str:
    """One level against another at one level of another factor, over all the rest, per seed.

    Args:
        change: the factor, the level and the level it is compared with.
        at: the other factor and its level.
    """
    view, (factor, level, base), (other, fixed) = part.view, change, at
    scores = effects.scores(view.results, view.name)
    scores = scores[scores[other] == fixed]
    means = scores.pivot_table(index=factor, columns="seed", values="score")
    pair = (means.loc[name].to_numpy(dtype=float) for name in (level, base))
    difference = paired_difference(*pair, confidence=_confidence(part))
    estimate = scaled(difference, view.scale.factor)
    return short_difference(estimate, view.scale)


def _findings(results: StudyResults, parts: Sequence[Factorial]) -> list[Finding]:
    """What matters and what depends on what, then the strongest main effect of each task."""
    study = topic_of(results)
    found = []
    complete = [part for part in parts if not part.terms.empty]
    if complete:
        strongest = max(complete, key=_largest_share)
        caution = (UNTUNED,) if is_untuned(results) else ()
        lines = (*map(_matters, complete), *caution)
        figure = f"{strongest.view.slug}-shares"
        weight = max(float(np.nanmax(_strengths(part), initial=0)) for part in complete)
        found.append(
            Finding(topic=study, lines=lines, figure=figure, weight=weight, is_answer=True)
        )
        found += _dependency_finding(study, complete)
    for part in complete:
        found += _main_effect_finding(study, part)
    return found


def _largest_share(part: Factorial) -> float:
    return float(part.terms.loc[part.terms["order"] > 0, "share"].max())


def _strengths(part: Factorial) -> NDArray[np.float64]:
    rows = [contrast_of(row, part.view.matters).strength for row in records(part.effects)]
    return np.array(rows, dtype=float)


def _dependency_finding(study: str, parts: Sequence[Factorial]) -> list[Finding]:
    """The strongest interaction over all tasks."""
    with_pairs = [part for part in parts if not resolved_pairs(part).empty]
    if not with_pairs:
        names = listed([part.view.name for part in parts])
        text = f"No interaction of two factors is detectable on {names}."
        figure = f"{parts[0].view.slug}-interactions"
        return [Finding(topic=study, lines=(text,), figure=figure, is_answer=True)]
    part = max(with_pairs, key=lambda p: float(resolved_pairs(p)["share"].iloc[0]))
    weight = float(np.sqrt(float(resolved_pairs(part)["f"].iloc[0])))
    return [
        Finding(
            topic=study,
            lines=tuple(_depends(each) for each in parts),
            figure=f"{part.view.slug}-interactions",
            weight=weight,
            is_answer=True,
        )
    ]


def _main_effect_finding(study: str, part: Factorial) -> list[Finding]:
    """The strongest that is resolved, of factors without an interaction as large."""
    dependent = {row["factor"] for row in records(part.dependencies)}
    contrasts = [
        (contrast_of(row, part.view.matters), str(row["factor"]))
        for row in records(part.effects)
        if row["factor"] not in dependent
    ]
    resolved = [pair for pair in contrasts if pair[0].resolved]
    if not resolved:
        return []
    strongest, factor = max(resolved, key=lambda pair: pair[0].strength)
    base = base_levels(part.view.results)[factor]
    sentence = contrast_sentence(
        strongest,
        part.view.scale,
        task=f"{part.view.name}, averaged over all other factors",
        baseline=level_label(factor, base),
    )
    figure = f"{part.view.slug}-main-effects"
    return [Finding(topic=study, lines=(sentence,), figure=figure, weight=strongest.strength)]
