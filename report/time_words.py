"""Times and ratios of times as readers want them."""

import math
from collections.abc import Iterable

from report.estimates import Estimate
from report.numbers import number

RULE = (
    "Slower and faster need a 95% interval that lies beyond {within} from 1, same one that lies "
    "inside; all else is ambiguous"
)


def unit_of(seconds: float) -> tuple[str, float]:
    """A unit in which these seconds read well, and how many of it make a second."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return unit, factor
    return "µs", 1e6


def digits_for(margin: float) -> int:
    """Two digits of the margin, at most three after the point."""
    if not (math.isfinite(margin) and margin > 0):
        return 2
    return max(0, min(3, 1 - math.floor(math.log10(margin))))


def time_texts(value: float, low: float, high: float) -> tuple[str, str]:
    """`41.2 ms` and `40.9 to 41.6`, in one unit."""
    unit, factor = unit_of(value)
    digits = digits_for(factor * (high - low) / 2)
    interval = f"{number(factor * low, digits)} to {number(factor * high, digits)}"
    return f"{number(factor * value, digits)} {unit}", interval


def ratio_texts(ratio: Estimate) -> tuple[str, str]:
    """`1.62` and `1.60 to 1.65`, with the digits that the interval supports."""
    digits = digits_for((ratio.high - ratio.low) / 2)
    interval = f"{number(ratio.low, digits)} to {number(ratio.high, digits)}"
    return number(ratio.value, digits), interval


def evidence_of(ratio: Estimate) -> str:
    """`95% order-statistic interval 1.60 to 1.65, n = 76 pairs`."""
    return f"95% order-statistic interval {ratio_texts(ratio)[1]}, n = {ratio.n} pairs"


def device_name(device: object) -> str:
    """`CPU` and `CUDA` as people write them."""
    return str(device).upper() if str(device) in ("cpu", "cuda", "mps", "xpu") else str(device)


def within_text(shares: Iterable[float]) -> str:
    """`10%`, or the range where devices and modes differ."""
    texts = list(dict.fromkeys(f"{100 * share:.3g}%" for share in sorted(shares)))
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}" if texts else ""
