"""A full factorial of three factors or more: effects of factors and what depends on what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report import effects, factorial
from report.document import Block, Figures, Finding, Picture, Section, Text
from report.drawing import draw
from report.evidence import HALF, WIDE, heat_map_of, sheet, wall
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
MOST_TERMS = 12
LEAST_SHARE = 0.005  # a smaller term is summed with the others
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
    sentences = [" ".join(said) for part in parts if (said := _sentences(part))]
    section = Section(
        anchor=slug,
        title=str(results.study["name"]),
        question=str(results.study["question"]),
        blocks=study_blocks(results, views, sentences or [*map(ranking_sentence, rankings)]),
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
    drawn = (main_effects(part), shares(part), interactions(part), grid(part))
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
    large = (design["share"] >= LEAST_SHARE) & (np.arange(len(design)) < MOST_TERMS)
    top, rest = design[large], design[~large]
    rows = [(row["term"], 100 * row["share"], False) for row in records(top)]
    if len(rest):
        rows.append((f"{len(rest)} other terms", 100 * float(rest["share"].sum()), False))
    rows += [(_NOISE[row["term"]], 100 * row["share"], True) for row in records(noise)]
    return pd.DataFrame(rows, columns=["term", "share", "noise"])


_NOISE = {"seed": "between seeds", "error": "left over (noise)"}


def interactions(part: Factorial) -> Picture | None:
    """The strongest interactions of two factors, each as lines that would be parallel without."""
    terms = strongest_pairs(part)
    if terms.empty:
        return None
    view = part.view
    figure = Figure(figsize=(WIDE, 2.9), layout="constrained")
    axes = figure.subplots(1, len(terms), sharey=True, squeeze=False)[0]
    told = []
    for ax, term in zip(axes, records(terms), strict=True):
        frame, across, lines = _lines_of(part, term)
        names = list(dict.fromkeys(frame["line"]))
        colours = dict(zip(names, SERIES * (len(names) // len(SERIES) + 1), strict=False))
        response = view.scale.axis if ax is axes[0] else ""
        factorial.plot_interaction(ax, frame, across=across, response=response, colours=colours)
        ax.set_title(f"{lines} by {across}: {_share(term)}")
        told.append(f"{term['term']} {_share(term)}, {_verdict(term)}")
    return Picture(
        drawing=draw(figure, f"{view.slug}-interactions"),
        title=f"Strongest interactions of two factors, {view.name}",
        alt=f"Interactions on {view.scale.name} on {view.name}: {'; '.join(told)}.",
        caption=(
            f"Mean {view.scale.name} over all other factors; lines that are not parallel are the "
            f"interaction. Share of the variance and F test, Holm-adjusted over all pairs: "
            f"{'; '.join(told)}. Bars: 95% t intervals of the interaction alone, "
            f"n = {int(part.pairs['n'].max())} seeds."
        ),
        wide=True,
    )


def _share(term: dict[str, object]) -> str:
    return f"{100 * max(float(str(term['share'])), 0):.1f}%"


def _verdict(term: dict[str, object]) -> str:
    word = "resolved" if float(str(term["p_holm"])) <= ALPHA else "not resolved"
    return f"p {_p(term)}, {word}"


def strongest_pairs(part: Factorial) -> pd.DataFrame:
    """The terms of two factors with the largest shares, with their Holm-adjusted p."""
    if part.terms.empty:
        return part.terms
    pairs = part.terms[part.terms["order"] == 2]
    pairs = pairs.assign(p_holm=effects.estimates.holm(pairs["p"].to_numpy(dtype=float)))
    return pairs.sort_values("share", ascending=False, kind="stable").iloc[:STRONGEST]


def resolved_pairs(part: Factorial) -> pd.DataFrame:
    """Those of them that the F test resolves."""
    pairs = strongest_pairs(part)
    return pairs if pairs.empty else pairs[pairs["p_holm"] <= ALPHA]


def _lines_of(part: Factorial, term: dict[str, object]) -> tuple[pd.DataFrame, str, str]:
    """The frame that `plot_interaction` takes, the factor along x and the factor of the lines."""
    first, second = _factors_of(part.view, str(term["term"]))
    pairs = part.pairs[(part.pairs["factor_a"] == first) & (part.pairs["factor_b"] == second)]
    wider = _many(pairs, "a") >= _many(pairs, "b")
    side, other = ("a", "b") if wider else ("b", "a")
    across, lines = (first, second) if wider else (second, first)
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
    return frame, across, lines


def grid(part: Factorial) -> Picture | None:
    """Depth by width averaged over the other factors, where both have three levels or more."""
    if part.pairs.empty:
        return None
    mine = part.pairs[(part.pairs["factor_a"] == "depth") & (part.pairs["factor_b"] == "width")]
    if mine.empty or min(_many(mine, "a"), _many(mine, "b")) < 3:
        return None
    cells = mine.rename(columns={"level_a": "depth", "level_b": "width"})
    half = (cells["high"] - cells["low"]) / 2
    cells = cells.assign(value=cells["mean"], low=cells["mean"] - half, high=cells["mean"] + half)
    return heat_map_of(part.view, cells, height=3.2)


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
    named = [f"{row['term']} ({100 * row['share']:.0f}%)" for row in records(main)[:3]]
    crossed = 100 * float(terms.loc[terms["order"] > 1, "share"].sum())
    noise = 100 * float(terms.loc[terms["order"] == 0, "share"].sum())
    n = int(part.means["n"].max())
    return (
        f"On {part.view.name}, the variance of {part.view.scale.name} is due to {listed(named)}; "
        f"all interactions together make {max(crossed, 0):.0f}%, noise and differences between seeds "
        f"{noise:.0f}% (shares corrected for noise, n = {n} seeds)."
    )


def _depends(part: Factorial) -> str:
    """The strongest interaction that is resolved, with the numbers at its extreme levels."""
    pairs = resolved_pairs(part)
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
        lines = tuple(_short_share(part) for part in complete)
        figure = f"{strongest.view.slug}-shares"
        weight = max(float(np.nanmax(_strengths(part), initial=0)) for part in complete)
        found.append(
            Finding(topic=study, lines=lines, figure=figure, weight=weight, is_answer=True)
        )
        found += _dependency_finding(study, complete)
    for part in complete:
        found += _main_effect_finding(study, part)
    if not complete and rankings:
        lines = tuple(map(ranking_sentence, rankings))
        figure = f"{parts[0].view.slug}-regions"
        found.append(Finding(topic=study, lines=lines, figure=figure, is_answer=True))
    return found


def _short_share(part: Factorial) -> str:
    main = part.terms[part.terms["order"] == 1].sort_values("share", ascending=False)
    named = [f"{row['term']} ({100 * row['share']:.0f}%)" for row in records(main)[:3]]
    crossed = 100 * float(part.terms.loc[part.terms["order"] > 1, "share"].sum())
    n = int(part.means["n"].max())
    return (
        f"On {part.view.name} the variance of {part.view.scale.name} is due to {listed(named)}; "
        f"all interactions together make {max(crossed, 0):.0f}% (n = {n} seeds)."
    )


def _largest_share(part: Factorial) -> float:
    return float(part.terms.loc[part.terms["order"] > 0, "share"].max())


def _strengths(part: Factorial) -> np.ndarray:
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
    return [Finding(topic=study, lines=(sentence,), figure=figure, weight=strongest.strength)]
