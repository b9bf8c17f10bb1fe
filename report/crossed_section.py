"""A full factorial of three factors or more: effects of factors and what depends on what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from report import effects, factorial
from report.document import Block, Figures, Finding, Picture, Section, Text
from report.drawing import draw
from report.evidence import HALF, sheet, wall
from report.palette import SERIES
from report.prose import (
    ALPHA,
    Ranking,
    contrast_sentence,
    decimals,
    listed,
    number,
    p_value,
    ranking_sentence,
)
from report.study_section import cell_table, study_blocks, task_title
from report.tables import StudyResults
from report.views import TaskView, contrast_of, in_units, ranking_of, records, slugs, view_of

SHOWN = 10  # best and worst cells in the table
MOST_TERMS = 14
STRONGEST = 3  # interactions drawn for each task


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Factorial:
    """The effects of factors on one task, or the reason why there are none."""

    view: TaskView
    refusal: str = ""
    terms: pd.DataFrame  # effects.anova
    effects: pd.DataFrame  # effects.main_effects, display units
    means: pd.DataFrame  # effects.marginal_means, display units
    pairs: pd.DataFrame  # effects.interaction_effects, display units
    dependencies: pd.DataFrame  # effects.depends_on


def crossed_section(results: StudyResults, slug: str) -> tuple[Section, list[Finding]]:
    """The section of a crossed study, and what it offers to the findings."""
    names = slugs(task["name"] for task in results.study["tasks"])
    views = [
        view_of(results, task, f"{slug}-{name}")
        for task, name in zip(results.study["tasks"], names, strict=True)
    ]
    parts = [_factorial(view) for view in views]
    rankings = [ranking for view in views if (ranking := ranking_of(view)) is not None]
    sentences = [sentence for part in parts for sentence in _sentences(part)]
    section = Section(
        anchor=slug,
        title=str(results.study["name"]),
        question=str(results.study["question"]),
        blocks=study_blocks(results, views, [*sentences, *map(ranking_sentence, rankings)]),
        topics=tuple(_topic(part) for part in parts),
    )
    return section, _findings(results, parts, rankings)


def _factorial(view: TaskView) -> Factorial:
    """Everything that a complete grid allows; empty frames and a reason otherwise."""
    try:
        return Factorial(
            view=view,
            terms=effects.anova(view.results, view.name),
            effects=in_units(
                effects.main_effects(view.results, view.name), view.scale, "detectable"
            ),
            means=in_units(effects.marginal_means(view.results, view.name), view.scale),
            pairs=in_units(
                effects.interaction_effects(view.results, view.name), view.scale, "mean"
            ),
            dependencies=effects.depends_on(view.results, view.name),
        )
    except effects.UnbalancedError as error:
        none = pd.DataFrame()
        return Factorial(
            view=view,
            refusal=str(error),
            terms=none,
            effects=none,
            means=none,
            pairs=none,
            dependencies=none,
        )


def _topic(part: Factorial) -> Section:
    view = part.view
    ranked = view.cells.sort_values(
        "value", ascending=not view.scale.higher_is_better, kind="stable"
    )
    ends = ranked.index.isin([*ranked.index[:SHOWN], *ranked.index[-SHOWN:]])
    some = ranked[ends | ranked["is_baseline"].astype(bool)]
    caption = (
        f"The {SHOWN} best and {SHOWN} worst of {len(ranked)} cells on {view.name}, and the "
        "baseline; every row is in trials.csv"
        if len(some) < len(ranked)
        else ""
    )
    drawn = (main_effects(part), shares(part), *interactions(part))
    pictures = tuple(picture for picture in drawn if picture is not None)
    walls = tuple(p for kind in ("region", "curve") if (p := wall(view, kind)) is not None)
    blocks: list[Block] = []
    if part.refusal:
        blocks.append(Text(paragraphs=(f"{part.refusal[0].upper()}{part.refusal[1:]}.",)))
    blocks.append(Figures(pictures=pictures))
    blocks.append(cell_table(view, some, caption=caption))
    blocks.append(Figures(pictures=walls))
    return Section(anchor=view.slug, title=task_title(view), blocks=tuple(blocks))


# Figures


def main_effects(part: Factorial) -> Picture | None:
    """The mean at every level of every factor."""
    if part.means.empty:
        return None
    view = part.view
    figure, ax = sheet(HALF, 3.5)
    factorial.plot_main_effects(ax, part.means, response=view.scale.axis)
    said = [
        f"{row['label']} {number(row['value'], 1, signed=True)}"
        for row in records(part.effects[part.effects["word"].isin(["raises", "lowers"])])
    ]
    found = f"resolved against the baseline level: {', '.join(said)}" if said else "none resolved"
    return Picture(
        drawing=draw(figure, f"{view.slug}-main-effects"),
        title=f"Main effects, {view.name}",
        alt=f"Main effects on {view.scale.name} on {view.name}; {found}.",
        caption=(
            f"Mean {view.scale.name} at each level, averaged over all levels of the other factors; "
            f"bars are 95% t intervals over n = {int(part.means['n'].max())} seeds. Grey line: "
            "the grand mean."
        ),
    )


def shares(part: Factorial) -> Picture | None:
    """Share of the variance of each term."""
    if part.terms.empty:
        return None
    view = part.view
    frame = shares_frame(part.terms)
    figure, ax = sheet(HALF, 3.5)
    factorial.plot_shares(ax, frame)
    named = frame[~frame["noise"]].iloc[:3]
    top = listed([f"{row['term']} {row['share']:.1f}%" for row in records(named)])
    return Picture(
        drawing=draw(figure, f"{view.slug}-shares"),
        title=f"Share of variance, {view.name}",
        alt=f"Shares of the variance of {view.scale.name} on {view.name}, largest: {top}.",
        caption=(
            "Analysis of variance with the seed as block; shares are corrected for noise, "
            "(SS − df MS error) / total, so a term of pure noise is near zero. Grey: differences "
            "between seeds and what is left over."
        ),
    )


def shares_frame(terms: pd.DataFrame) -> pd.DataFrame:
    """The frame that `plot_shares` takes: the largest terms, the rest summed, then the noise."""
    design = terms[terms["order"] > 0].sort_values("share", ascending=False, kind="stable")
    noise = terms[terms["order"] == 0]
    top, rest = design.iloc[: MOST_TERMS - 3], design.iloc[MOST_TERMS - 3 :]
    rows = [(row["term"], 100 * row["share"], False) for row in records(top)]
    if len(rest):
        rows.append((f"{len(rest)} other terms", 100 * float(rest["share"].sum()), False))
    rows += [(_NOISE[row["term"]], 100 * row["share"], True) for row in records(noise)]
    return pd.DataFrame(rows, columns=["term", "share", "noise"])


_NOISE = {"seed": "between seeds", "error": "left over (noise)"}


def interactions(part: Factorial) -> list[Picture]:
    """The strongest interactions of two factors, each as lines that would be parallel without."""
    return [_interaction(part, row) for row in records(strongest_pairs(part))]


def strongest_pairs(part: Factorial) -> pd.DataFrame:
    """The terms of two factors that the F test resolves, largest share first."""
    if part.terms.empty:
        return part.terms
    pairs = part.terms[part.terms["order"] == 2]
    adjusted = effects.estimates.holm(pairs["p"].to_numpy(dtype=float))
    pairs = pairs.assign(p_holm=adjusted)
    found = pairs[pairs["p_holm"] <= ALPHA].sort_values("share", ascending=False, kind="stable")
    return found.iloc[:STRONGEST]


def _interaction(part: Factorial, term: dict[str, object]) -> Picture:
    view = part.view
    first, second = _factors_of(view, str(term["term"]))
    pairs = part.pairs[(part.pairs["factor_a"] == first) & (part.pairs["factor_b"] == second)]
    across, lines = (first, second) if _many(pairs, "a") >= _many(pairs, "b") else (second, first)
    side = "a" if across == first else "b"
    other = "b" if side == "a" else "a"
    half = (pairs["high"] - pairs["low"]) / 2
    frame = pd.DataFrame(
        {
            "across": [effects.level_label(across, x) for x in pairs[f"level_{side}"]],
            "line": [effects.level_label(lines, x) for x in pairs[f"level_{other}"]],
            "value": pairs["mean"],
            "low": pairs["mean"] - half,
            "high": pairs["mean"] + half,
        }
    )
    names = list(dict.fromkeys(frame["line"]))
    colours = dict(zip(names, SERIES * (len(names) // len(SERIES) + 1), strict=False))
    figure, ax = sheet(HALF, 2.9)
    factorial.plot_interaction(
        ax, frame, across=across, response=view.scale.axis, colours=colours
    )
    share = f"{100 * float(str(term['share'])):.1f}%"
    place = f"{slugs([first])[0]}-{slugs([second])[0]}"
    return Picture(
        drawing=draw(figure, f"{view.slug}-{place}"),
        title=f"{first} × {second}, {view.name}",
        alt=(
            f"The effect of {across} on {view.scale.name} on {view.name} differs between levels "
            f"of {lines}; this interaction is {share} of the variance."
        ),
        caption=(
            f"Mean {view.scale.name} over all other factors. Lines that are not parallel are the "
            f"interaction: {share} of the variance, Holm-adjusted p {_p(term)}. Bars: the 95% t "
            f"interval of the interaction alone, n = {int(pairs['n'].max())} seeds."
        ),
    )


def _p(term: dict[str, object]) -> str:
    text = p_value(float(str(term["p_holm"])))
    return text if text.startswith("<") else f"= {text}"


def _factors_of(view: TaskView, term: str) -> tuple[str, str]:
    """The two factors of a term; compared by name, since a name may itself hold the sign."""
    names = view.factors
    pairs = {f"{a} × {b}": (a, b) for i, a in enumerate(names) for b in names[i + 1 :]}
    return pairs[term]


def _many(pairs: pd.DataFrame, side: str) -> int:
    return int(pairs[f"level_{side}"].nunique())


# Sentences


def _sentences(part: Factorial) -> list[str]:
    """What matters most on this task, and what depends on what."""
    if part.terms.empty:
        return []
    return [text for text in (_matters(part), _depends(part)) if text]


def _matters(part: Factorial) -> str:
    """The factors with the largest shares, and how much is noise."""
    terms = part.terms
    main = terms[terms["order"] == 1].sort_values("share", ascending=False, kind="stable")
    named = [f"{row['term']} {100 * row['share']:.0f}%" for row in records(main)[:3]]
    crossed = 100 * float(terms.loc[terms["order"] > 1, "share"].sum())
    noise = 100 * float(terms.loc[terms["order"] == 0, "share"].sum())
    n = int(part.means["n"].max())
    return (
        f"On {part.view.name}, the variance of {part.view.scale.name} is due to {listed(named)}; "
        f"all interactions together {crossed:.0f}%, noise and differences between seeds "
        f"{noise:.0f}% (shares corrected for noise, n = {n} seeds)."
    )


def _depends(part: Factorial) -> str:
    """The strongest interaction that is resolved, with the numbers at its extreme levels."""
    pairs = strongest_pairs(part)
    if pairs.empty:
        return f"On {part.view.name}, no interaction of two factors is detectable."
    term = records(pairs)[0]
    first, second = _factors_of(part.view, str(term["term"]))
    words = _swing(part, first, second)
    whole = set(part.dependencies["factor"]) if len(part.dependencies) else set()
    strong = listed(sorted(whole & {first, second}))
    caution = (
        f" The main effect of {strong} should not be read alone: its interaction is as large."
        if strong
        else ""
    )
    return (
        f"On {part.view.name}, the effect of {first} depends on {second} "
        f"({100 * term['share']:.1f}% of the variance, Holm-adjusted p {_p(term)}): {words}."
        f"{caution}"
    )


def _swing(part: Factorial, first: str, second: str) -> str:
    """The level of `first` whose difference from the baseline level changes most over `second`."""
    pairs = part.pairs[(part.pairs["factor_a"] == first) & (part.pairs["factor_b"] == second)]
    table = pairs.pivot(index="level_a", columns="level_b", values="mean")
    levels = part.view.results.study["factors"]
    base = next(f["levels"][0] for f in levels if f["name"] == first)
    change = (table - table.loc[base]).drop(index=base)  # (levels of first, levels of second)
    level = (change.max(axis=1) - change.min(axis=1)).idxmax()
    low, high = change.loc[level].idxmin(), change.loc[level].idxmax()
    scale = part.view.scale
    digits = decimals(list((pairs["high"] - pairs["low"]) / 2), scale.most_decimals)
    unit = f" {scale.difference}" if scale.difference else ""
    at = [
        f"{number(float(change.loc[level, x]), digits, signed=True)}{unit} with "
        f"{effects.level_label(second, str(x))}"
        for x in (high, low)
    ]
    own, other = (effects.level_label(first, str(x)) for x in (level, base))
    return f"{own} against {other} is {at[0]} and {at[1]}"


def _findings(
    results: StudyResults, parts: Sequence[Factorial], rankings: Sequence[Ranking]
) -> list[Finding]:
    """What matters and what depends on what, then the strongest main effect of each task."""
    study = str(results.study["name"])
    found = []
    complete = [part for part in parts if not part.terms.empty]
    if complete:
        strongest = max(complete, key=_largest_share)
        text = " ".join(_short_share(part) for part in complete)
        figure = f"{strongest.view.slug}-shares"
        weight = max(float(np.nanmax(_strengths(part), initial=0)) for part in complete)
        found.append(
            Finding(topic=study, text=text, figure=figure, weight=weight, is_answer=True)
        )
        found += _dependency_finding(study, complete)
    for part in complete:
        found += _main_effect_finding(study, part)
    if not complete and rankings:
        told = " ".join(map(ranking_sentence, rankings))
        figure = f"{parts[0].view.slug}-regions"
        found.append(Finding(topic=study, text=told, figure=figure, is_answer=True))
    return found


def _short_share(part: Factorial) -> str:
    terms = part.terms[part.terms["order"] > 0].sort_values("share", ascending=False)
    rows = records(terms)[:2]
    named = [f"{row['term']} ({100 * row['share']:.0f}%)" for row in rows]
    n = int(part.means["n"].max())
    return (
        f"On {part.view.name} most of the variance of {part.view.scale.name} that the design "
        f"explains is due to {listed(named)}, n = {n} seeds."
    )


def _largest_share(part: Factorial) -> float:
    return float(part.terms.loc[part.terms["order"] > 0, "share"].max())


def _strengths(part: Factorial) -> np.ndarray:
    rows = [contrast_of(row, part.view.matters).strength for row in records(part.effects)]
    return np.array(rows, dtype=float)


def _dependency_finding(study: str, parts: Sequence[Factorial]) -> list[Finding]:
    """The strongest interaction over all tasks."""
    with_pairs = [part for part in parts if not strongest_pairs(part).empty]
    if not with_pairs:
        names = listed([part.view.name for part in parts])
        text = f"No interaction of two factors is detectable on {names}."
        return [Finding(topic=study, text=text, figure=f"{parts[0].view.slug}-shares")]
    part = max(with_pairs, key=lambda p: float(strongest_pairs(p)["share"].iloc[0]))
    term = records(strongest_pairs(part))[0]
    first, second = _factors_of(part.view, str(term["term"]))
    figure = f"{part.view.slug}-{slugs([first])[0]}-{slugs([second])[0]}"
    weight = float(np.sqrt(float(str(term["f"]))))
    return [Finding(topic=study, text=_depends(part), figure=figure, weight=weight, is_answer=True)]


def _main_effect_finding(study: str, part: Factorial) -> list[Finding]:
    contrasts = [contrast_of(row, part.view.matters) for row in records(part.effects)]
    resolved = [c for c in contrasts if c.resolved]
    if not resolved:
        return []
    strongest = max(resolved, key=lambda c: c.strength)
    factor = records(part.effects[part.effects["label"] == strongest.label])[0]["factor"]
    levels = part.view.results.study["factors"]
    base = next(f["levels"][0] for f in levels if f["name"] == factor)
    sentence = contrast_sentence(
        strongest,
        part.view.scale,
        task=f"{part.view.name}, averaged over all other factors",
        baseline=effects.level_label(str(factor), base),
    )
    figure = f"{part.view.slug}-main-effects"
    return [Finding(topic=study, text=sentence, figure=figure, weight=strongest.strength)]
