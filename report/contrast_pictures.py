"""The forest of one task, each contrast with its interval, and what it shows in words."""

import numpy as np

from report.axes import HALF, sheet
from report.document import Picture
from report.drawing import draw
from report.forests import contrast_window, plot_contrasts
from report.numbers import counted, decimals, number, seeds_text
from report.prose import ALPHA, Contrast
from report.sequential import share_of
from report.views import TaskView, chosen_words, contrasts_of, shown_contrasts


def forest_height(view: TaskView) -> float:
    """Inches that the rows of a task's forest take."""
    return min(max(2.9, 0.7 + 0.235 * len(shown_contrasts(view))), 7.5)


def forest(view: TaskView, height: float) -> Picture | None:
    """Contrasts against the baseline."""
    shown = shown_contrasts(view)
    frame = shown[np.isfinite(shown["value"])]
    if frame.empty:
        return None
    figure, ax = sheet(HALF, height)
    unit = view.scale.difference or view.scale.name
    everything = view.baseline in view.partial
    lacking = frame["label"].isin(view.partial) | everything
    drawn = frame.assign(label=frame["label"].map(view.brief), partial=lacking)
    plot_contrasts(ax, drawn, unit=unit, baseline=view.brief.get(view.baseline, view.baseline))
    low, high = contrast_window(frame)
    beyond = ~frame["value"].between(low, high)
    seeds = seeds_text(frame["n"])
    share = share_of(view.results)
    whole = "95%" if share == 1 else f"{100 * (1 - ALPHA * share):.3g}%, as this look requires,"
    intervals = (
        f"Bars are {view.interval} intervals: {whole} for the whole family of "
        f"{counted(len(view.contrasts), 'comparison')} (Bonferroni), {seeds}. Filled: "
        "Holm-adjusted p at most .05 and interval clear of zero. Grey and hollow: not resolved."
        if np.isfinite(frame["low"]).any()
        else f"Each mark is a difference without an interval, {seeds}; nothing is resolved."
    )
    return Picture(
        drawing=draw(figure, f"{view.slug}-contrasts"),
        title=f"Difference in {view.scale.name} from {view.baseline}, {view.name}",
        alt=forest_in_words(view),
        caption=" ".join(
            [
                "Paired by seed.",
                intervals,
                *_without_interval(contrasts_of(view, frame)),
                *(["Arrow: beyond the axis, at the value beside it."] if beyond.any() else []),
                *([chosen_words(view)] if len(shown) < len(view.contrasts) else []),
            ]
        )
        + view.brief_words
        + view.partial_words,
    )


def _without_interval(contrasts: tuple[Contrast, ...]) -> list[str]:
    """Why a mark has no bar: every seed gave the same difference, or there is only one."""
    same = sum(c.estimate.is_constant for c in contrasts)
    single = sum(not c.is_tested and not c.estimate.is_constant for c in contrasts)
    words = {
        "the difference is the same on every seed, so no t interval can be computed": same,
        "from one seed no interval can be computed": single,
    }
    return [f"Without a bar ({many}): {why}." for why, many in words.items() if many]


def forest_in_words(view: TaskView) -> str:
    """Which levels raise, which lower, and how many cannot be told."""
    contrasts = contrasts_of(view, shown_contrasts(view))
    parts = [
        _group_words("above", [c for c in contrasts if c.resolved and c.estimate.value > 0], view),
        _group_words("below", [c for c in contrasts if c.resolved and c.estimate.value < 0], view),
    ]
    same = sum(c.estimate.is_constant for c in contrasts)
    unclear = sum(c.is_tested and not c.resolved for c in contrasts)
    untested = sum(not c.is_tested for c in contrasts) - same
    for count, words in (
        (unclear, "not resolved"),
        (same, "the same on every seed"),
        (untested, "not tested"),
    ):
        parts.append(f"{count} of {len(contrasts)} {words}" if count else "")
    text = "; ".join(part for part in parts if part)
    return f"{view.scale.name} on {view.name} against {view.baseline}: {text}."


def _group_words(side: str, contrasts: list[Contrast], view: TaskView) -> str:
    if not contrasts:
        return ""
    ranked = sorted(contrasts, key=lambda c: -abs(c.estimate.value))[:4]
    digits = decimals([(c.estimate.high - c.estimate.low) / 2 for c in ranked], 2)
    named = [f"{c.label} ({number(c.estimate.value, digits, signed=True)})" for c in ranked]
    more = f" and {len(contrasts) - 4} more" if len(contrasts) > 4 else ""
    return f"{side} it {', '.join(named)}{more}"
