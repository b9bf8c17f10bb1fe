"""One study's answer in a line for each task, for the top of the report."""

import math
from collections.abc import Sequence

from report.numbers import Scale, counted, decimals, listed, margin, number
from report.prose import Contrast, constant_clause, difference_phrase, short_difference
from report.rankings import (
    Ranking,
    better_clause,
    divergence_clause,
    none_of,
    nothing_leads,
    rest_clause,
)


def headline(rankings: Sequence[Ranking], *, noun: str) -> tuple[str, ...]:
    """One study's answer, a sentence for each task.

    The interval method, level and n stand once at the end where all tasks share them.
    """
    methods = {(c.estimate.interval, c.estimate.n) for r in rankings for c in r.tested}
    shared = len(methods) == 1
    lines = [f"{_clause(ranking, noun, shared=shared)}." for ranking in rankings]
    if shared:
        interval, n = methods.pop()
        lines[-1] += f" Differences with {interval} intervals, n = {counted(n, 'seed')}."
    return tuple(lines)


def _clause(ranking: Ranking, noun: str, *, shared: bool) -> str:
    if not ranking.best:
        return nothing_leads(ranking)
    contrast = ranking.contrast(ranking.best)
    said = (
        _baseline_leads(ranking, noun, shared=shared)
        if contrast is None
        else _other_leads(ranking, contrast, noun, shared=shared)
    )
    return f"On {ranking.task}, {said}{divergence_clause(ranking)}"


def _baseline_leads(ranking: Ranking, noun: str, *, shared: bool) -> str:
    worst = max(ranking.resolved, key=lambda c: abs(c.estimate.value), default=None)
    start = f"the baseline {ranking.best} has {_best(ranking)}"
    if worst is not None:
        verb = "raises" if worst.estimate.value > 0 else "lowers"
        amount = _amount(worst, ranking.scale, shared=shared)
        return f"{start}; {worst.label} {verb} it most, by {amount}{rest_clause(ranking)}"
    if not ranking.contrasts:
        return start
    if not ranking.tested:
        seeds = f" (n = {counted(ranking.level.n, 'seed')})" if ranking.level.n == 1 else ""
        return f"{start}, and {none_of(ranking.contrasts, 'be tested against it')}{seeds}"
    none = f"{_nothing(ranking, noun)} can be told from it"
    told = none_of(ranking.tested, "be told from it") if rest_clause(ranking) else none
    return f"{start}, and {told}{rest_clause(ranking)}"


def _other_leads(ranking: Ranking, contrast: Contrast, noun: str, *, shared: bool) -> str:
    scale, best, baseline = ranking.scale, ranking.best, ranking.baseline
    amount = _amount(contrast, scale, shared=shared)
    level = _level(ranking)
    if contrast.resolved:
        verb = "raises" if contrast.estimate.value > 0 else "lowers"
        return (
            f"{best} has the best mean ({level}) and {verb} {scale.name} against "
            f"{baseline} by {amount}{_runner_up_clause(ranking)}"
        )
    beaten = better_clause(ranking)
    told = f"; {beaten}" if beaten else ""
    if contrast.estimate.is_constant:
        clause = constant_clause(contrast.estimate, scale, baseline)
        return f"{best} has {_best(ranking)} and {clause}{told}{_worse_clause(ranking)}"
    if not contrast.is_tested:
        return (
            f"{best} has {_best(ranking)}, but its difference from {baseline} cannot be tested: "
            f"{amount}{told}"
        )
    if beaten:
        return (
            f"{beaten} in {scale.name}; {best} has the best mean ({level}), but its difference of "
            f"{amount} is not resolved{_worse_clause(ranking)}"
        )
    return (
        f"{_nothing(ranking, noun)} is shown to beat {baseline} in {scale.name}; {best} has the "
        f"best mean ({level}), a difference of {amount}{_worse_clause(ranking)}"
    )


def _best(ranking: Ranking) -> str:
    """`the best mean test accuracy (93.0%)`; of one seed there is no mean."""
    mean = "mean " if ranking.level.n > 1 else ""
    return f"the best {mean}{ranking.scale.name} ({_level(ranking)})"


def _level(ranking: Ranking) -> str:
    digits = decimals([margin(ranking.level)], ranking.scale.most_decimals)
    return f"{number(ranking.level.value, digits)}{ranking.scale.unit}"


def _nothing(ranking: Ranking, noun: str) -> str:
    return "nothing" if ranking.baseline.startswith("no ") else f"no {noun}"


def _worse_clause(ranking: Ranking) -> str:
    """How many alternatives are shown to be worse than the baseline, by name if one or two are."""
    worse = ranking.worse
    if not worse:
        return ""
    if len(worse) <= 2:
        return f"; shown to be worse: {listed(worse)}"
    return f"; {len(worse)} of {len(ranking.tested)} are shown to be worse"


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
    phrase = short_difference if shared and contrast.is_tested else difference_phrase
    return phrase(contrast.estimate, scale, signed=not contrast.resolved)
