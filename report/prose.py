"""Sentences: they have sign, unit, interval and n, and claim no more than these allow.

One rule decides the words (METHODS S5): an effect "raises" or "lowers" when its Holm-adjusted p is
at most .05 and the simultaneous interval printed beside it does not reach zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from report.estimates import Estimate
from report.numbers import Scale, bounds, counted, decimals, digits_of, listed, margin, number

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One difference from the baseline, in the unit of its scale."""

    label: str
    estimate: Estimate  # simultaneous: at 1 - alpha/m
    p_holm: float
    detectable: float = math.nan  # smallest difference this n finds with power .8
    seeds_for: float = math.nan  # seeds that would find the difference seen
    underpowered: bool = False

    @property
    def resolved(self) -> bool:
        """Whether "raises" or "lowers" may be said of it; the one rule."""
        clear = self.estimate.low > 0 or self.estimate.high < 0
        return self.p_holm <= ALPHA and clear

    @property
    def strength(self) -> float:
        """Effect over margin: what findings are ranked by."""
        half = margin(self.estimate)
        if not math.isfinite(half):
            return 0.0
        return abs(self.estimate.value) / half if half > 0 else math.inf


def level_phrase(estimate: Estimate, scale: Scale) -> str:
    """`93.1% (95% t interval 91.0 to 95.2, n = 10 seeds)`."""
    digits = decimals([margin(estimate)], scale.most_decimals)
    value = f"{number(estimate.value, digits)}{scale.unit}"
    return f"{value} ({evidence(estimate, digits, signed=False)})"


def difference_phrase(estimate: Estimate, scale: Scale, *, signed: bool = True) -> str:
    """`+4.2 percentage points (98.75% t interval +1.2 to +7.2, n = 10 seeds)`."""
    digits = digits_of(estimate, scale)
    value = estimate.value if signed else abs(estimate.value)
    amount = f"{number(value, digits, signed=signed)} {scale.difference}".strip()
    return f"{amount} ({evidence(estimate, digits, signed=True)})"


def evidence(estimate: Estimate, digits: int, *, signed: bool) -> str:
    """Interval with method and level, and n; says so where there is no interval."""
    sample = f"n = {counted(estimate.n, 'seed')}"
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"no interval, {sample}"
    return f"{estimate.interval} interval {bounds(estimate, digits, signed=signed)}, {sample}"


def contrast_sentence(contrast: Contrast, scale: Scale, *, task: str, baseline: str) -> str:
    """Say one contrast, and claim no more than its interval and p allow."""
    estimate = contrast.estimate
    if contrast.resolved:
        verb = "raises" if estimate.value > 0 else "lowers"
        amount = difference_phrase(estimate, scale, signed=False)
        return f"On {task}, {contrast.label} {verb} {scale.name} against {baseline} by {amount}."
    amount = difference_phrase(estimate, scale)
    if contrast.underpowered:
        return (
            f"On {task}, the comparison of {contrast.label} with {baseline} in {scale.name} is "
            f"underpowered: {amount}{_power_clause(contrast, scale)}."
        )
    return (
        f"On {task}, {contrast.label} has no detectable effect on {scale.name} against "
        f"{baseline}: {amount}{_power_clause(contrast, scale)}."
    )


def _power_clause(contrast: Contrast, scale: Scale) -> str:
    """What this n could have found, and the seeds that the difference seen would need."""
    if not math.isfinite(contrast.detectable):
        return ""
    digits = decimals([contrast.detectable], scale.most_decimals)
    amount = f"{number(contrast.detectable, digits)} {scale.difference}".strip()
    text = f"; with power .8, n = {contrast.estimate.n} finds {amount} or more"
    if math.isfinite(contrast.seeds_for) and contrast.seeds_for > contrast.estimate.n:
        text += f", and this difference would take about {contrast.seeds_for:,.0f} seeds"
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Who leads on one task, and what may be said of the lead; differences in display units."""

    task: str
    scale: Scale
    baseline: str
    best: str
    level: Estimate  # of the best
    contrasts: tuple[Contrast, ...]
    runner_up: str = ""
    lead: Estimate | None = None  # best minus runner-up, corrected for having been chosen

    def contrast(self, label: str) -> Contrast | None:
        """The contrast of a label, if it is not the baseline."""
        return next((c for c in self.contrasts if c.label == label), None)

    @property
    def resolved(self) -> tuple[Contrast, ...]:
        """The contrasts of which a direction may be said."""
        return tuple(c for c in self.contrasts if c.resolved)

    @property
    def strength(self) -> float:
        """Of its strongest contrast that is resolved."""
        return max((c.strength for c in self.resolved), default=0.0)


def ranking_sentence(ranking: Ranking) -> str:
    """Which level was best on a task, and whether it can be told from the baseline."""
    scale, level = ranking.scale, level_phrase(ranking.level, ranking.scale)
    order = "highest" if scale.higher_is_better else "lowest"
    start = f"On {ranking.task}, {ranking.best} has the {order} mean {scale.name}, {level}"
    contrast = ranking.contrast(ranking.best)
    if contrast is None:
        return f"{start}; it is the baseline{_rivals_clause(ranking)}."
    amount = difference_phrase(contrast.estimate, scale, signed=not contrast.resolved)
    if contrast.resolved:
        side = "above" if contrast.estimate.value > 0 else "below"
        return f"{start}, {side} {ranking.baseline} by {amount}{_lead_clause(ranking)}."
    verdict = (
        "which this study is too small to tell from"
        if contrast.underpowered
        else ("not distinguishable from")
    )
    return f"{start}, {verdict} {ranking.baseline}: {amount}{_lead_clause(ranking)}."


def _rivals_clause(ranking: Ranking) -> str:
    """How many alternatives are told from a baseline that leads."""
    told = len(ranking.resolved)
    many = len(ranking.contrasts)
    if not many:
        return ""
    if not told:
        return f", but none of the {counted(many, 'alternative')} can be told from it"
    return f", and {told} of {counted(many, 'alternative')} {'is' if told == 1 else 'are'} worse"


def _lead_clause(ranking: Ranking) -> str:
    """Whether the best can be told from the next, unless the next is the baseline."""
    lead = ranking.lead
    if lead is None or ranking.runner_up == ranking.baseline or not math.isfinite(lead.low):
        return ""
    if lead.low <= 0 <= lead.high:
        return f"; its lead over {ranking.runner_up} is not resolved"
    amount = difference_phrase(lead, ranking.scale, signed=False)
    return f"; it also leads {ranking.runner_up}, the next, by {amount}"


def headline(rankings: Sequence[Ranking], *, noun: str) -> tuple[str, ...]:
    """One study's answer, a sentence for each task, for the top of the report.

    The interval method, level and n stand once at the end where all tasks share them.
    """
    methods = {(c.estimate.interval, c.estimate.n) for r in rankings for c in r.contrasts}
    shared = len(methods) == 1
    lines = [f"{_headline_clause(ranking, noun, shared=shared)}." for ranking in rankings]
    if shared:
        interval, n = methods.pop()
        lines[-1] += f" Differences with {interval} intervals, n = {counted(n, 'seed')}."
    return tuple(lines)


def _headline_clause(ranking: Ranking, noun: str, *, shared: bool) -> str:
    scale, best = ranking.scale, ranking.best
    digits = decimals([margin(ranking.level)], scale.most_decimals)
    level = f"{number(ranking.level.value, digits)}{scale.unit}"
    contrast = ranking.contrast(best)
    start = f"On {ranking.task},"
    none = "nothing" if ranking.baseline.startswith("no ") else f"no {noun}"
    if contrast is None:
        worst = max(ranking.resolved, key=lambda c: abs(c.estimate.value), default=None)
        start += f" the baseline {best} has the best mean {scale.name} ({level})"
        if worst is None:
            return f"{start}, and {none} can be told from it"
        verb = "raises" if worst.estimate.value > 0 else "lowers"
        return f"{start}; {worst.label} {verb} it most, by {_amount(worst, scale, shared=shared)}"
    amount = _amount(contrast, scale, shared=shared)
    if contrast.resolved:
        verb = "raises" if contrast.estimate.value > 0 else "lowers"
        return (
            f"{start} {best} has the best mean ({level}) and {verb} {scale.name} against "
            f"{ranking.baseline} by {amount}{_runner_up_clause(ranking)}"
        )
    return (
        f"{start} {none} is shown to beat {ranking.baseline} in {scale.name}; {best} has the "
        f"best mean ({level}), a difference of {amount}{_worse_clause(ranking)}"
    )


def _worse_clause(ranking: Ranking) -> str:
    """How many alternatives are shown to be worse than the baseline, by name if one or two are."""
    better = 1 if ranking.scale.higher_is_better else -1
    worse = [c.label for c in ranking.resolved if c.estimate.value * better < 0]
    if not worse:
        return ""
    if len(worse) <= 2:
        return f"; shown to be worse: {listed(worse)}"
    return f"; {len(worse)} of {len(ranking.contrasts)} are shown to be worse"


def _runner_up_clause(ranking: Ranking) -> str:
    lead = ranking.lead
    if lead is None or ranking.runner_up == ranking.baseline or not math.isfinite(lead.low):
        return ""
    if lead.low <= 0 <= lead.high:
        return f", but is not distinguishable from the runner-up, {ranking.runner_up}"
    return f", ahead of the runner-up, {ranking.runner_up}"


def _amount(contrast: Contrast, scale: Scale, *, shared: bool) -> str:
    """A difference with its bounds; method and n too unless they are said once for all.

    Signed, unless a verb before it has said the direction.
    """
    estimate, signed = contrast.estimate, not contrast.resolved
    if not shared:
        return difference_phrase(estimate, scale, signed=signed)
    digits = digits_of(estimate, scale)
    value = estimate.value if signed else abs(estimate.value)
    words = f"{number(value, digits, signed=signed)} {scale.difference}".strip()
    return f"{words} ({bounds(estimate, digits, signed=True)})"
