"""Who leads on one task, and what may be said of the lead.

A cell all of whose trials diverged is scored as the worst (METHODS S11) and never leads; what was
not tested is never counted among what could not be told apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from report.estimates import Estimate
from report.numbers import Scale, counted, listed
from report.prose import (
    Contrast,
    constant_clause,
    difference_phrase,
    level_phrase,
    within_margin,
)

MOST_NAMED = 4  # alternatives in one clause


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Who leads on one task, and what may be said of the lead; differences in display units."""

    task: str
    scale: Scale
    baseline: str
    best: str  # a cell of which a trial finished; empty where there is none
    level: Estimate  # of the best
    contrasts: tuple[Contrast, ...]
    runner_up: str = ""
    lead: Estimate | None = None  # best minus runner-up, corrected for having been chosen
    diverged: int = 0  # trials
    trials: int = 0  # that finished or diverged
    lost: tuple[str, ...] = ()  # cells of which every trial diverged

    def contrast(self, label: str) -> Contrast | None:
        """The contrast of a label, if it is not the baseline."""
        return next((c for c in self.contrasts if c.label == label), None)

    @property
    def tested(self) -> tuple[Contrast, ...]:
        """The contrasts of which anything could be tested."""
        return tuple(c for c in self.contrasts if c.is_tested)

    @property
    def resolved(self) -> tuple[Contrast, ...]:
        """The contrasts of which a direction may be said."""
        return tuple(c for c in self.contrasts if c.resolved)

    @property
    def better(self) -> tuple[str, ...]:
        """Labels of those that are shown to beat the baseline, the best first."""
        return self._towards(1)

    @property
    def worse(self) -> tuple[str, ...]:
        """Labels of those that are shown to be worse, the worst first."""
        return self._towards(-1)

    def _towards(self, sign: int) -> tuple[str, ...]:
        sign = sign if self.scale.higher_is_better else -sign
        gains = {c.label: c.estimate.value * sign for c in self.resolved}
        found = [label for label, gain in gains.items() if gain > 0]
        return tuple(sorted(found, key=lambda label: -gains[label]))

    @property
    def strength(self) -> float:
        """Of its strongest contrast that is resolved."""
        return max((c.strength for c in self.resolved), default=0.0)


def ranking_sentence(ranking: Ranking) -> str:
    """Which level was best on a task, and whether it can be told from the baseline."""
    if not ranking.best:
        return f"{nothing_leads(ranking)}."
    scale, level = ranking.scale, level_phrase(ranking.level, ranking.scale)
    order = "highest" if scale.higher_is_better else "lowest"
    mean = "mean " if ranking.level.n > 1 else ""
    start = f"On {ranking.task}, {ranking.best} has the {order} {mean}{scale.name}, {level}"
    return f"{start}{_standing(ranking)}{divergence_clause(ranking)}."


def _standing(ranking: Ranking) -> str:
    """How the best stands to the baseline and to the next."""
    scale, contrast = ranking.scale, ranking.contrast(ranking.best)
    if contrast is None:
        return f"; it is the baseline{_rivals_clause(ranking)}"
    beaten = better_clause(ranking)
    beaten = f"; {beaten}" if beaten else ""
    if contrast.estimate.is_constant:
        clause = constant_clause(contrast.estimate, scale, ranking.baseline)
        return f"; it {clause}{_lead_clause(ranking)}{beaten}"
    amount = difference_phrase(contrast.estimate, scale, signed=not contrast.resolved)
    if contrast.resolved:
        side = "above" if contrast.estimate.value > 0 else "below"
        return f", {side} {ranking.baseline} by {amount}{_lead_clause(ranking)}"
    if not contrast.is_tested:
        return f"; its difference from {ranking.baseline} cannot be tested: {amount}{beaten}"
    if contrast.is_equal:
        within = within_margin(contrast, scale)
        told = f"practically equal to {ranking.baseline}: {amount}, {within}"
        return f", {told}{_lead_clause(ranking)}{beaten}"
    verdict = (
        "which this study is too small to tell from"
        if contrast.underpowered
        else "not distinguishable from"
    )
    return f", {verdict} {ranking.baseline}: {amount}{_lead_clause(ranking)}{beaten}"


def better_clause(ranking: Ranking) -> str:
    """`tanh is shown to beat relu`, `5 of 18 are shown to beat relu`; empty where nothing is."""
    better = ranking.better
    if not better:
        return ""
    few = len(better) <= MOST_NAMED
    who = listed(better) if few else f"{len(better)} of {len(ranking.tested)}"
    return f"{who} {'is' if len(better) == 1 else 'are'} shown to beat {ranking.baseline}"


def nothing_leads(ranking: Ranking) -> str:
    """That every trial diverged, so that there is no best."""
    every = "the one trial" if ranking.trials == 1 else f"all {ranking.trials:,} trials"
    return f"On {ranking.task}, {every} diverged, so no cell is the best in {ranking.scale.name}"


def divergence_clause(ranking: Ranking, most: int = 3) -> str:
    """How many trials diverged, and the cells of which every one did: by name if they are few."""
    if not ranking.diverged:
        return ""
    text = f"; {ranking.diverged:,} of {counted(ranking.trials, 'trial')} diverged"
    if not ranking.lost:
        return text
    named = [f"all of {label}" for label in ranking.lost]
    many = f"all of each of {len(named)} cells"
    return f"{text}, {listed(named) if len(named) <= most else many}"


def _rivals_clause(ranking: Ranking) -> str:
    """How many alternatives are told from a baseline that leads, of those that were tested."""
    if not ranking.contrasts:
        return ""
    tested, told = ranking.tested, ranking.resolved
    if not tested:
        return f", and {none_of(ranking.contrasts, 'be tested against it')}"
    rest = rest_clause(ranking)
    if not told:
        return f", but {none_of(tested, 'be told from it')}{rest}"
    if len(tested) == 1:
        return f", and {tested[0].label} is worse{rest}"
    verb = "is" if len(told) == 1 else "are"
    return f", and {len(told)} of {len(tested)} alternatives {verb} worse{rest}"


def none_of(contrasts: Sequence[Contrast], what: str) -> str:
    """`tanh cannot be told from it`, `none of the 4 alternatives can be told from it`."""
    if len(contrasts) == 1:
        return f"{contrasts[0].label} cannot {what}"
    return f"none of the {len(contrasts)} alternatives can {what}"


def rest_clause(ranking: Ranking) -> str:
    """How many alternatives were not tested, where some were."""
    rest = len(ranking.contrasts) - len(ranking.tested)
    return f"; {rest} more could not be tested" if rest else ""


def _lead_clause(ranking: Ranking) -> str:
    """Whether the best can be told from the next, unless the next is the baseline."""
    lead = ranking.lead
    if lead is None or ranking.runner_up == ranking.baseline or not math.isfinite(lead.low):
        return ""
    if lead.low <= 0 <= lead.high:
        return f"; its lead over {ranking.runner_up} is not resolved"
    amount = difference_phrase(lead, ranking.scale, signed=False)
    return f"; it also leads {ranking.runner_up}, the next, by {amount}"
