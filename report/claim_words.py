"""What is said of a claim: the numbers, what they rest on, and what would have contradicted it.

A difference is told as better minus worse in the response itself, as larger or smaller, so that it
reads alike where more of it is better and where less is.
"""

from math import isfinite, isnan
from typing import Final

from report.claims import Judgement
from report.estimates import Estimate
from report.numbers import (
    MEASURES,
    Scale,
    bounds,
    capitalised,
    counted,
    decimals,
    is_zero,
    listed,
    margin,
    number,
    scale_of,
    scaled,
)
from report.prose import MOST_SEEDS, evidence
from report.time_words import digits_for, unit_of
from report.verdicts import UNRESOLVED

PSEUDO: Final = frozenset({"bias", "variance"})  # of which a seed has a pseudo-value
MOST_DIGITS: Final = 6  # after the point
TELLING: Final = 0.2  # a machine that differs from itself by more cannot tell what is the same
SIZES: Final = frozenset(  # which are larger or smaller; all others are higher or lower
    {"gap", "first_gradient", "last_gradient", "weight_norm", "linear_regions", "sparsity"}
    | {"parameter_error", "bias", "variance", "curve_noise", "dead_units", "saturation"}
)


def numbers_of(judgement: Judgement) -> str:
    """What was measured, with interval and n, and what was claimed."""
    estimate = judgement.decision.estimate
    if estimate is None:
        reason = judgement.decision.reason
        return f"On {judgement.task}, not tested: {reason}{'' if reason.endswith('?') else '.'}"
    if judgement.seconds is not None:
        return _ratio_sentence(judgement, estimate)
    many = f", one of m = {judgement.m} claims here" if judgement.m > 1 else ""
    said = _slope(judgement, estimate) if judgement.is_trend else _difference(judgement, estimate)
    return f"On {judgement.task}, {said}; claimed: {claimed(judgement)}{many}."


def particulars(judgement: Judgement) -> str:
    """The means behind it, what keeps it unresolved, and what would resolve it."""
    decision = judgement.decision
    if decision.estimate is None:
        return ""
    if judgement.seconds is not None:
        return _ratio_particulars(judgement)
    parts = [f"Means: {_means(judgement, decision.estimate)}."]
    if judgement.reversals:
        turns = listed([f"from {first} to {second}" for first, second in judgement.reversals])
        against = _BARE[verb_of(judgement.response, judgement.sign < 0)]
        parts.append(f"The means {against} {turns}.")
    if judgement.response in PSEUDO:
        parts.append(
            f"A seed counts with its share of the {judgement.response}, which may be below 0."
        )
    if decision.reason:
        parts.append(f"{capitalised(decision.reason)}.")
    if decision.verdict == UNRESOLVED:
        parts.append(_seeds(decision.seeds_needed))
    if judgement.diverged:
        verb = "counts" if judgement.diverged == 1 else "count"
        parts.append(f"{counted(judgement.diverged, 'diverged trial')} {verb} as the worst.")
    return " ".join(parts)


def refutation(judgement: Judgement) -> str:
    """What would have contradicted a claim, in the words of its margin."""
    if judgement.decision.estimate is None:
        return ""
    if judgement.seconds is not None:
        far = max(judgement.margin, judgement.within)
        if judgement.is_equality:
            low, high = f"{1 - far:.3g}", f"{1 + far:.3g}"
            return f"a ratio of the two times whose interval lies below {low} or above {high}"
        most = 1 - judgement.margin + judgement.within
        return f"a ratio of the two times whose interval lies above {most:.3g}"
    name = said_name(judgement.response)
    if judgement.is_trend:
        verb = verb_of(judgement.response, judgement.sign > 0)
        if judgement.margin:
            return f"{name} that {verb} by less than {_margin(judgement)} from level to level"
        return f"{name} that does not {_BARE[verb]} from level to level"
    first, second = sides(judgement)
    if judgement.is_equality:
        apart = f"differing by more than {_margin(judgement)}"
        return f"{name} {apart} between {first} and {second}{place_of(judgement)}"
    word = size_word(judgement.response, judgement.sign > 0)
    less = (
        f"being less than {_margin(judgement)} {word}" if judgement.margin else f"not being {word}"
    )
    return f"{name} {less} with {first} than with {second}{place_of(judgement)}"


def claimed(judgement: Judgement) -> str:
    """What the claim says of the difference or the slope, with its margin."""
    if judgement.is_equality:
        return f"no more than {_margin(judgement)} apart"
    if judgement.is_trend:
        verb = verb_of(judgement.response, judgement.sign > 0)
        return f"it {verb}" + (f" by more than {_margin(judgement)}" if judgement.margin else "")
    word = size_word(judgement.response, judgement.sign > 0)
    return f"more than {_margin(judgement)} {word}" if judgement.margin else word


def sides(judgement: Judgement) -> tuple[str, str]:
    """The names of both cells, with where they stand in the other factors named."""
    (first, _), (second, _) = judgement.means
    return first, second


def place_of(judgement: Judgement) -> str:
    """` at depth 2`, `, both with sigmoid`: the other factors of both cells that a claim names."""
    place = judgement.about.partition(" at ")[2]
    if not place or judgement.is_trend:
        return ""
    if any(letter.isdigit() for letter in place):
        return f" at {place}"
    return f", both with {place.replace(', ', ' and ')}"


def said_name(response: str) -> str:
    """A response as a sentence speaks of it; its logarithm shows in the unit."""
    name = scale_of(response).name.removeprefix("log10 ")
    return f"the {name}" if response in MEASURES else name


def size_word(response: str, more: bool) -> str:
    """`larger` or `smaller`, of scores and losses `higher` or `lower`."""
    pair = ("smaller", "larger") if response in SIZES else ("lower", "higher")
    return pair[more]


def verb_of(response: str, rises: bool) -> str:
    """`shrinks` or `grows`, of scores and losses `falls` or `rises`."""
    pair = ("shrinks", "grows") if response in SIZES else ("falls", "rises")
    return pair[rises]


_BARE: Final = {"shrinks": "shrink", "grows": "grow", "falls": "fall", "rises": "rise"}


# Differences and slopes


def _difference(judgement: Judgement, estimate: Estimate) -> str:
    """`test accuracy is 3.1 percentage points higher with relu than with tanh (...)`."""
    scale = scale_of(judgement.response)
    (first, second), own = sides(judgement), turned(judgement, estimate, scale)
    at = place_of(judgement)
    name = said_name(judgement.response)
    if own.value == 0 and own.is_constant:
        return (
            f"{name} is the same with {first} and with {second}{at}, on every one of {own.n} seeds"
        )
    shown = own if own.value >= 0 else scaled(own, -1.0)
    word = size_word(judgement.response, own.value >= 0)
    told, digits = _amount(shown, scale)
    if is_zero(shown.value, digits):  # higher and lower would be of nothing
        told, digits = _amount(own, scale)
        between = f"between {first} and {second}{at}"
        return f"{name} differs by {told} {between} ({evidence(own, digits, signed=True)})"
    ratio = f", a factor of {_factor(shown.value)}" if scale.difference == "powers of ten" else ""
    return (
        f"{name} is {told} {word} with {first} than with {second}{at}{ratio} "
        f"({evidence(shown, digits, signed=False)})"
    )


def _slope(judgement: Judgement, estimate: Estimate) -> str:
    """`squared bias falls by 0.03 from level to level of width 4, 8 and 32 (...)`."""
    scale = scale_of(judgement.response)
    own = turned(judgement, estimate, scale)
    shown = own if own.value >= 0 else scaled(own, -1.0)
    told, digits = _amount(shown, scale)
    verb = verb_of(judgement.response, own.value >= 0)
    nothing = is_zero(shown.value, digits)
    if nothing:
        shown, verb = own, "changes"
    return (
        f"{said_name(judgement.response)} {verb} by {told} from level to level of "
        f"{judgement.about.removeprefix('slope over ')} "
        f"({evidence(shown, digits, signed=nothing)})"
    )


def turned(judgement: Judgement, estimate: Estimate, scale: Scale) -> Estimate:
    """The estimate in display units, as better minus worse or as the slope, not as an advantage."""
    return scaled(estimate, judgement.sign * scale.factor)


def _amount(shown: Estimate, scale: Scale) -> tuple[str, int]:
    digits = digits_for_claim(shown, scale)
    return f"{number(shown.value, digits)} {scale.difference}".strip(), digits


def digits_for_claim(shown: Estimate, scale: Scale) -> int:
    """As many digits as its interval supports, without the limit that holds in tables.

    Without an interval it has the digits of the response.
    """
    if not shown.high > shown.low:
        return scale.most_decimals
    return decimals([margin(shown)], max(scale.most_decimals, MOST_DIGITS))


def _factor(powers: float) -> str:
    """Ten to so many powers, to two digits."""
    if powers > 12:
        return f"10^{powers:.0f}"
    factor = float(f"{10.0**powers:.2g}")
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"


def _margin(judgement: Judgement) -> str:
    """The margin with the digits it was written with."""
    scale = scale_of(judgement.response)
    amount = f"{scale.factor * judgement.margin:.10g}"
    unit = scale.difference
    if amount == "1":
        unit = unit.removesuffix("s").replace("powers of", "power of")
    return f"{amount} {unit}".strip() if judgement.margin else "zero"


def _means(judgement: Judgement, estimate: Estimate) -> str:
    scale = scale_of(judgement.response)
    digits = digits_for_claim(scaled(estimate, scale.factor), scale)
    told = [
        f"{name} ({number(scale.factor * mean, digits)}{scale.unit})"
        for name, mean in judgement.means
    ]
    return ", ".join(told)


def _seeds(needed: float) -> str:
    if isnan(needed):
        return "How many seeds would resolve it cannot be told from these."
    if needed > MOST_SEEDS:
        return (
            f"It would take more than {MOST_SEEDS:,} seeds to resolve it with power .8: the "
            "difference lies too near the margin."
        )
    return f"To resolve it with power .8 would take about {needed:,.0f} seeds."


# Ratios of times


def _ratio_sentence(judgement: Judgement, ratio: Estimate) -> str:
    """`On digits, the training step with relu takes 0.93 times as long as with tanh (...)`."""
    first, second = sides(judgement)
    digits = digits_for(margin(ratio))
    pairs = counted(ratio.n, "pair of samples", "pairs of samples")
    sure = f"{ratio.interval} interval {bounds(ratio, digits)}, n = {pairs}"
    told = sure if isfinite(ratio.low) else f"no interval can be computed from n = {pairs}"
    many = f", one of m = {judgement.m} claims here" if judgement.m > 1 else ""
    return (
        f"On {judgement.task}, the {judgement.response} with {first} takes "
        f"{number(ratio.value, digits)} times as long as with {second} ({told}); claimed: "
        f"{_claimed_time(judgement)}{many}."
    )


def _claimed_time(judgement: Judgement) -> str:
    if judgement.is_equality:
        low, high = (f"{1 + sign * judgement.margin:.10g}" for sign in (-1, 1))
        return f"between {low} and {high} times"
    return f"less than {1 - judgement.margin:.10g} times"


def _seconds_text(seconds: float) -> str:
    unit, factor = unit_of(seconds)
    return f"{factor * seconds:.3g} {unit}"


def _ratio_particulars(judgement: Judgement) -> str:
    """Both medians, and how far apart the machine is from itself."""
    told = [f"{name} ({_seconds_text(seconds)})" for name, seconds in judgement.means]
    parts = [
        f"Medians: {', '.join(told)}. Nearer to 1 than {100 * judgement.within:.0f}% is not told "
        "from this machine's own differences."
    ]
    if judgement.decision.reason:
        parts.append(f"{capitalised(judgement.decision.reason)}.")
    if judgement.verdict == UNRESOLVED:
        parts.append(_what_narrows(judgement))
    return " ".join(parts)


def _what_narrows(judgement: Judgement) -> str:
    """What would resolve a claim on timings; more samples do not where the two are the same."""
    ratio = judgement.decision.estimate
    told_apart = ratio is None or max(1 - ratio.low, ratio.high - 1) > judgement.within
    if not told_apart and judgement.within <= TELLING:
        return "As far as this machine can tell the two take the same time."
    return "More samples (PROFILE=full) or a quieter machine would narrow it."
