"""The effects of crossed factors on one task, as the figures draw them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report import factorial, factors
from report.axes import HALF, WIDE, sheet, short
from report.document import Picture
from report.drawing import draw
from report.estimates import holm
from report.frames import records
from report.grid_pictures import heat_map_of
from report.grids import level_label
from report.numbers import listed, number, p_value
from report.palette import SERIES
from report.prose import ALPHA
from report.views import TaskView, by_size, in_units

MOST_TERMS = 12
LEAST_SHARE = 0.005  # a smaller term is summed with the others
STRONGEST = 3  # interactions drawn for each task


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Factorial:
    """The effects of factors on one task, or the reason why there are none."""

    view: TaskView
    refusal: str = ""
    terms: pd.DataFrame  # factors.anova
    effects: pd.DataFrame  # factors.main_effects, display units
    means: pd.DataFrame  # factors.marginal_means, display units
    pairs: pd.DataFrame  # factors.interaction_effects, display units
    dependencies: pd.DataFrame  # factors.depends_on


def factorial_of(view: TaskView) -> Factorial:
    """Everything that a complete grid allows; empty frames and a reason otherwise."""
    try:
        return Factorial(
            view=view,
            terms=factors.anova(view.results, view.name),
            effects=in_units(
                factors.main_effects(view.results, view.name), view.scale, "detectable"
            ),
            means=in_units(factors.marginal_means(view.results, view.name), view.scale),
            pairs=in_units(
                factors.interaction_effects(view.results, view.name), view.scale, "mean"
            ),
            dependencies=factors.depends_on(view.results, view.name),
        )
    except factors.UnbalancedError as error:
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


def main_effects(part: Factorial) -> Picture | None:
    """The mean at every level of every factor."""
    if part.means.empty:
        return None
    view = part.view
    figure, ax = sheet(HALF, 3.5)
    groups = [by_size(group, ["level"]) for _, group in part.means.groupby("factor", sort=False)]
    factorial.plot_main_effects(ax, pd.concat(groups), response=view.scale.axis)
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
            f"between seeds and what is left over; n = {int(part.means['n'].max())} seeds."
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
        verdict = share_text(term) if float(term["p_holm"]) <= ALPHA else "not resolved"
        ax.set_title(f"{short(lines)} by {short(across)}: {verdict}")
        told.append(f"{term['term']} {share_text(term)}, {_verdict(term)}")
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


def share_text(term: dict[str, Any]) -> str:
    """The share of a term in percent; what noise left below zero is zero."""
    return f"{100 * max(float(str(term['share'])), 0):.1f}%"


def _verdict(term: dict[str, Any]) -> str:
    word = "resolved" if float(str(term["p_holm"])) <= ALPHA else "not resolved"
    return f"p {p_text(term)}, {word}"


def strongest_pairs(part: Factorial) -> pd.DataFrame:
    """The terms of two factors with the largest shares, with their Holm-adjusted p."""
    if part.terms.empty:
        return part.terms
    pairs = part.terms[part.terms["order"] == 2]
    pairs = pairs.assign(p_holm=holm(pairs["p"].to_numpy(dtype=float)))
    return pairs.sort_values("share", ascending=False, kind="stable").iloc[:STRONGEST]


def resolved_pairs(part: Factorial) -> pd.DataFrame:
    """Those of them that the F test resolves."""
    pairs = strongest_pairs(part)
    return pairs if pairs.empty else pairs[pairs["p_holm"] <= ALPHA]


def _lines_of(part: Factorial, term: dict[str, Any]) -> tuple[pd.DataFrame, str, str]:
    """The frame that `plot_interaction` takes, the factor along x and the factor of the lines."""
    first, second = factors_of(part.view, str(term["term"]))
    pairs = part.pairs[(part.pairs["factor_a"] == first) & (part.pairs["factor_b"] == second)]
    wider = _many(pairs, "a") >= _many(pairs, "b")
    side, other = ("a", "b") if wider else ("b", "a")
    across, lines = (first, second) if wider else (second, first)
    pairs = by_size(pairs, [f"level_{side}", f"level_{other}"])
    half = (pairs["high"] - pairs["low"]) / 2
    frame = pd.DataFrame(
        {
            "across": [level_label(across, x) for x in pairs[f"level_{side}"]],
            "line": [level_label(lines, x) for x in pairs[f"level_{other}"]],
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


def p_text(term: dict[str, Any]) -> str:
    """`= .03` or `< .001`."""
    text = p_value(float(str(term["p_holm"])))
    return text if text.startswith("<") else f"= {text}"


def factors_of(view: TaskView, term: str) -> tuple[str, str]:
    """The two factors of a term; compared by name, since a name may itself hold the sign."""
    names = view.factors
    pairs = {f"{a} × {b}": (a, b) for i, a in enumerate(names) for b in names[i + 1 :]}
    return pairs[term]


def _many(pairs: pd.DataFrame, side: str) -> int:
    return int(pairs[f"level_{side}"].nunique())
