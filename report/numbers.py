"""Numbers as readers want them: units, true minus signs, and the digits that intervals support."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from report.estimates import Estimate

MOST_DECIMALS = 12  # of a difference that is tiny and yet resolved
HUGE = 1e9  # from here on a number has an exponent
NOTHING = "–"  # stands for a number that does not exist


@dataclass(frozen=True, slots=True)
class Scale:
    """How a response is spoken of: accuracies in percent, everything else as it is."""

    name: str  # "test accuracy"
    unit: str  # written after a level: "%" or nothing
    difference: str  # written after a difference: "percentage points" or nothing
    factor: float  # from the CSV to the unit
    most_decimals: int
    higher_is_better: bool
    matters: float  # smallest difference worth finding where the study's claims name none
    ceiling: float  # the largest value there can be

    @property
    def axis(self) -> str:
        """The label of an axis that shows it."""
        return f"{self.name} (%)" if self.unit else self.name


def scale_of(response: str) -> Scale:
    """The scale of a column of trials.csv or curves.csv, for instance `test_accuracy`."""
    if response in MEASURES:
        return _scale_of_measure(response)
    part, _, kind = response.partition("_")
    words = {"val": "validation", "train": "training"}
    name = f"{words.get(part, part)} {'R²' if kind == 'r2' else kind.replace('_', ' ')}".strip()
    if kind == "accuracy":
        return Scale(name, "%", "percentage points", 100.0, 2, True, 2.0, 100.0)
    return Scale(
        name,
        "",
        "",
        1.0,
        3 if kind == "r2" else 4,
        kind != "loss",
        0.05,
        1.0 if kind == "r2" else math.inf,
    )


def _scale_of_measure(response: str) -> Scale:
    """Of what is measured of a trained network besides its losses and scores."""
    name, kind, most, higher = MEASURES[response]
    if kind == "share":
        return Scale(name, "%", "percentage points", 100.0, 2, higher, 2.0, 100.0)
    unit = "powers of ten" if kind == "power" else ""
    return Scale(name, "", unit, 1.0, most, higher, 0.05, math.inf)


MEASURES = {  # name, kind, most decimals, and whether more of it is better
    "sparsity": ("share of weights near zero", "share", 2, True),
    "dead_units": ("share of dead units", "share", 2, False),
    "saturation": ("share of saturated activations", "share", 2, False),
    "gap": ("gap between training and test", "number", 4, False),
    "penalised_loss": ("training loss with penalty", "number", 4, False),
    "curve_area": ("mean loss along the learning curve", "number", 4, False),
    "curve_noise": ("unevenness of the learning curve", "number", 4, False),
    "first_gradient": ("log10 gradient of the first layer at the start", "power", 3, True),
    "last_gradient": ("log10 gradient of the last layer at the start", "power", 3, True),
    "weight_norm": ("norm of the weights", "number", 3, False),
    "linear_regions": ("number of linear regions along a line", "number", 2, True),
    "parameter_error": ("largest error of a coefficient", "number", 5, False),
    "bias": ("squared bias", "number", 6, False),
    "variance": ("variance between seeds", "number", 6, False),
    "running_loss": ("running training loss", "number", 4, False),
}


# Numbers


def decimals(margins: Sequence[float], most: int) -> int:
    """Digits after the point that intervals of these half-widths support (METHODS T21).

    The margin keeps one digit, or two where it begins below 3.55, as particle physicists round.
    For several numbers in one column, the median margin decides.
    """
    known = sorted(m for m in margins if math.isfinite(m) and m > 1e-12)  # less is rounding
    if not known:
        return min(most, 1) if most < 3 else most
    middle = known[len(known) // 2]
    power = math.floor(math.log10(middle))
    return max(0, min(most, (1 if middle / 10.0**power < 3.55 else 0) - power))


def digits_of(difference: Estimate, scale: Scale) -> int:
    """Digits that a difference is shown with; as many as it takes where it is clear of zero."""
    digits = decimals([margin(difference)], scale.most_decimals)
    clear = difference.low > 0 or difference.high < 0
    shown = round(difference.value, digits) != 0
    return digits if shown or not clear else decimals([margin(difference)], MOST_DECIMALS)


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """A number with a true minus sign; no minus on what rounds to zero."""
    if not math.isfinite(value):
        return NOTHING
    if abs(value) >= HUGE:
        return f"{'−' if value < 0 else '+' if signed else ''}{abs(value):.2e}"
    text = f"{abs(value):.{digits}f}"
    zero = float(text) == 0
    sign = "" if zero else ("−" if value < 0 else ("+" if signed else ""))
    return sign + text


def bounds(estimate: Estimate, digits: int, *, signed: bool = False) -> str:
    """`low to high`, or a dash where there is no interval.

    Of a difference that is clear of zero no bound reads as zero: it has the digits that it takes.
    """
    low, high = estimate.low, estimate.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    clear = signed and (low > 0 or high < 0)
    told = [number(x, seen(x, digits) if clear else digits, signed=signed) for x in (low, high)]
    return f"{told[0]} to {told[1]}"


def seen(value: float, digits: int) -> int:
    """The digits with which a number that is not zero does not read as zero."""
    if value == 0 or not is_zero(value, digits):
        return digits
    return min(MOST_DECIMALS, -math.floor(math.log10(abs(value))))


def is_zero(value: float, digits: int) -> bool:
    """Whether a number reads as zero with so many digits."""
    return math.isfinite(value) and float(f"{abs(value):.{digits}f}") == 0


def capitalised(text: str) -> str:
    """A sentence's first word in capitals, all else as it is: `Test R²`."""
    return f"{text[:1].upper()}{text[1:]}"


def p_value(p: float) -> str:
    """A p-value to two digits, never as zero."""
    if not math.isfinite(p):
        return NOTHING
    if p < 0.001:
        return "< .001"
    text = f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"
    return text.removeprefix("0") if p < 1 else "1"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 trial`, `2 trials`, `1,200 trials`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def seeds_text(numbers: Iterable[float]) -> str:
    """`n = 10 seeds`, or the range where cells differ."""
    known = [int(n) for n in numbers if math.isfinite(n)] or [0]
    low, high = min(known), max(known)
    return f"n = {counted(high, 'seed')}" if low == high else f"n = {low} to {high} seeds"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def margin(estimate: Estimate) -> float:
    """Half the width of the interval."""
    return (estimate.high - estimate.low) / 2


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The same estimate in another unit; a negative factor turns it around."""
    value, low, high = (factor * x for x in (estimate.value, estimate.low, estimate.high))
    if factor < 0:
        low, high = high, low
    return Estimate(value, low, high, estimate.n, estimate.interval)
