"""Sentences: they have sign, unit, interval and n, and claim no more than these allow.

One rule decides the words (METHODS S5): an effect "raises" or "lowers" when its Holm-adjusted p is
at most .05 and the simultaneous interval printed beside it does not reach zero.
"""

import math
from dataclasses import dataclass

from report.estimates import Estimate
from report.numbers import (
    Scale,
    bounds,
    counted,
    decimals,
    digits_of,
    margin,
    number,
    p_value,
    scaled,
)
from report.resampling import sign_flip_floor

ALPHA = 0.05
MOST_SEEDS = 10_000  # that a sentence asks for; nobody trains more


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One difference from the baseline, in the unit of its scale."""

    label: str
    estimate: Estimate  # simultaneous: at 1 - alpha/m
    p_holm: float
    detectable: float = math.nan  # smallest difference this n finds with power .8
    seeds_for: float = math.nan  # seeds that would find the difference seen
    underpowered: bool = False
    equal_within: float = math.nan  # the margin that the study stated; NaN for none

    @property
    def is_tested(self) -> bool:
        """Whether there was a t test: two seeds or more, and a difference that varies."""
        return math.isfinite(self.p_holm) and not self.estimate.is_constant

    @property
    def resolved(self) -> bool:
        """Whether "raises" or "lowers" may be said of it; the one rule."""
        clear = self.estimate.low > 0 or self.estimate.high < 0
        return self.is_tested and self.p_holm <= ALPHA and clear

    @property
    def is_equal(self) -> bool:
        """Whether "practically equal" may be said: no direction, all inside the margin."""
        margin = self.equal_within
        inside = -margin < self.estimate.low and self.estimate.high < margin
        return self.is_tested and not self.resolved and inside

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
    if estimate.n == 0:
        return "no seed has a response of both"
    estimate, digits = _told(estimate, signed=signed), digits_of(estimate, scale)
    return (
        f"{_amount(estimate, scale, signed=signed)} ({evidence(estimate, digits, signed=signed)})"
    )


def short_difference(estimate: Estimate, scale: Scale, *, signed: bool = True) -> str:
    """`+4.2 percentage points (+1.2 to +7.2)`, for where method and n are said once for several."""
    estimate = _told(estimate, signed=signed)
    same = "the same on every seed" if estimate.is_constant else ""
    interval = same or bounds(estimate, digits_of(estimate, scale), signed=signed)
    return f"{_amount(estimate, scale, signed=signed)} ({interval})"


def _told(estimate: Estimate, *, signed: bool) -> Estimate:
    """What is printed: after a verb that says the direction, the amount by which it goes there."""
    return estimate if signed or estimate.value >= 0 else scaled(estimate, -1)


def _amount(estimate: Estimate, scale: Scale, *, signed: bool = True) -> str:
    text = number(estimate.value, digits_of(estimate, scale), signed=signed)
    return f"{text} {scale.difference}".strip()


def evidence(estimate: Estimate, digits: int, *, signed: bool) -> str:
    """Interval with method and level, and n; where there is no interval, why not."""
    if estimate.is_constant:
        return f"the same on every one of {estimate.n} seeds, so no t interval can be computed"
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"no interval can be computed from n = {counted(estimate.n, 'seed')}"
    interval = f"{estimate.interval} interval {bounds(estimate, digits, signed=signed)}"
    return f"{interval}, n = {counted(estimate.n, 'seed')}"


def contrast_sentence(contrast: Contrast, scale: Scale, *, task: str, baseline: str) -> str:
    """Say one contrast, and claim no more than its interval and p allow."""
    estimate = contrast.estimate
    if contrast.resolved:
        verb = "raises" if estimate.value > 0 else "lowers"
        amount = difference_phrase(estimate, scale, signed=False)
        return f"On {task}, {contrast.label} {verb} {scale.name} against {baseline} by {amount}."
    if estimate.is_constant:
        return f"On {task}, {contrast.label} {constant_clause(estimate, scale, baseline)}."
    amount = difference_phrase(estimate, scale)
    if not contrast.is_tested:
        return (
            f"On {task}, the difference of {contrast.label} from {baseline} in {scale.name} "
            f"cannot be tested: {amount}."
        )
    if contrast.is_equal:
        return (
            f"On {task}, {contrast.label} is practically equal to {baseline} in {scale.name}: "
            f"{amount}, {within_margin(contrast, scale)}."
        )
    if contrast.underpowered:
        return (
            f"On {task}, the comparison of {contrast.label} with {baseline} in {scale.name} is "
            f"underpowered: {amount}{_power_clause(contrast, scale)}."
        )
    return (
        f"On {task}, {contrast.label} has no detectable effect on {scale.name} against "
        f"{baseline}: {amount}{_power_clause(contrast, scale)}."
    )


def constant_clause(estimate: Estimate, scale: Scale, baseline: str) -> str:
    """`has the same R² as relu on every one of 3 seeds`, or by how much it differs on each."""
    seeds = f"on every one of {estimate.n} seeds"
    if estimate.value == 0:
        return f"has the same {scale.name} as {baseline} {seeds}"
    floor = p_value(sign_flip_floor(estimate.n))
    return (
        f"differs from {baseline} in {scale.name} by the same {_amount(estimate, scale)} {seeds}, "
        "so no t interval can be computed and no direction is claimed (sign-flip p "
        f"{floor if floor.startswith('<') else f'= {floor}'}, its floor)"
    )


def within_margin(contrast: Contrast, scale: Scale) -> str:
    """`inside ±1 percentage points`, with the digits that the margin was written with."""
    return f"inside ±{contrast.equal_within:.10g} {scale.difference}".strip()


def _power_clause(contrast: Contrast, scale: Scale) -> str:
    """What this n could have found, and the seeds that the difference seen would need."""
    if not math.isfinite(contrast.detectable):
        return ""
    digits = decimals([contrast.detectable], scale.most_decimals)
    amount = f"{number(contrast.detectable, digits)} {scale.difference}".strip()
    text = f"; with power .8, n = {contrast.estimate.n} finds {amount} or more"
    if contrast.seeds_for > MOST_SEEDS:
        text += f", and a difference as small as this would take more than {MOST_SEEDS:,} seeds"
    elif contrast.seeds_for > contrast.estimate.n:
        text += f", and this difference would take about {contrast.seeds_for:,.0f} seeds"
    return text
