"""One picture for each claim: its cells seed by seed, and the difference against the margin.

On the left every seed's response in the cells compared, on the right what the verdict rests on:
the difference or slope of every seed, their mean with its interval, and shaded the differences
that the claim allows. Of timings only the right, with the machine's own differences in grey. Two
small drawings stand side by side or below each other, so that both are read on any screen.
"""

from collections.abc import Callable, Sequence
from math import inf, isfinite

import numpy as np

from report.axes import padded
from report.claim_marks import (
    HEIGHT,
    LETTER,
    WIDTH,
    box,
    dots,
    drawing,
    line,
    segments,
    text,
    tick_text,
    ticks,
    wrapped,
)
from report.claim_words import digits_for_claim, said_name, sides, size_word, turned, verb_of
from report.claims import Judgement
from report.comparisons import slope_weights
from report.estimates import Estimate, Floats
from report.numbers import Scale, capitalised, number, scale_of

TOP, BOTTOM, LEFT, RIGHT = 34.0, HEIGHT - 56.0, 58.0, WIDTH - 14.0
MOST_DOTS = 40  # of a picture; of more seeds or samples so many, evenly chosen
LARGEST = 1e200  # number that a drawing has room for
TONES = {"supported": "series-3", "contradicted": "series-2"}


def pictures_of(judgement: Judgement) -> tuple[str, ...]:
    """Drawings as SVG, to stand side by side; nothing for a claim that was not tested."""
    estimate = judgement.decision.estimate
    drawn = np.array(judgement.scores, float)
    if estimate is None or not drawn.size or np.nanmax(np.abs(drawn), initial=0) > LARGEST:
        return ()
    if judgement.seconds is not None:
        return (_ratios(judgement, estimate),)
    scale = scale_of(judgement.response)
    scores = scale.factor * drawn  # (cells, S)
    scores = scores[:, ~np.isnan(scores).any(axis=0)]
    return _cells(judgement, scores, scale), _evidence(judgement, scores, scale, estimate)


# Left: the response of every seed in every cell compared


def _cells(judgement: Judgement, scores: Floats, scale: Scale) -> str:
    """Seeds as dots, joined where they are the same seed, and the mean of every cell."""
    low, high = padded(float(scores.min()), float(scores.max()), 0.06)
    y = _placing((low, high), (BOTTOM, TOP))
    many = len(scores)
    step = (RIGHT - LEFT) / many
    x = [LEFT + step * (place + 0.5) for place in range(many)]
    marks = [text((4, 16), _axis(scale, judgement.response), anchor="start")]
    chosen = [int(s) for s in _some(np.arange(scores.shape[1], dtype=float))]
    rungs = ticks(low, high)
    for rung in rungs:
        marks += [
            line([(LEFT, y(rung)), (RIGHT, y(rung))], "grid"),
            text((LEFT - 7, y(rung) + 4), tick_text(rung, rungs), anchor="end"),
        ]
    joined = [[(x[c], y(scores[c, s])) for c in range(many)] for s in chosen]
    marks.append(segments(joined, "context", width=0.8))
    seeds = [(x[c], y(scores[c, s])) for c in range(many) for s in chosen]
    marks.append(dots(seeds, "series-1", size=6 if many < 4 else 4.5))
    means = scores.mean(axis=1)
    half = min(26.0, 0.34 * step)
    marks += [
        line([(x[c] - half, y(m)), (x[c] + half, y(m))], "ink", width=3)
        for c, m in enumerate(means)
    ]
    marks += _names(judgement, x, step)
    return drawing(marks)


def _names(judgement: Judgement, x: Sequence[float], step: float) -> list[str]:
    """Below each column its cell; the levels of a trend as numbers over their factor's name."""
    names = [name for name, _ in judgement.means]
    if not judgement.is_trend:
        return [
            mark
            for at, name in zip(x, names, strict=True)
            for mark in wrapped((at, BOTTOM + 19), name, step - 8)
        ]
    factor = str(judgement.claim["trend"]["factor"]).replace("_", " ")
    marks = [
        text((at, BOTTOM + 19), name.removeprefix(f"{factor} "), colour="ink")
        for at, name in zip(x, names, strict=True)
    ]
    return [*marks, text(((LEFT + RIGHT) / 2, BOTTOM + 40), factor)]


# Right: what the verdict rests on


def _evidence(judgement: Judgement, scores: Floats, scale: Scale, estimate: Estimate) -> str:
    """Each seed's difference or slope, their mean with its interval, against the margin."""
    own = turned(judgement, estimate, scale)
    weights = slope_weights(len(scores)) if judgement.is_trend else np.array([1.0, -1.0])
    each = _some((weights[:, None] * scores).sum(axis=0))
    edge = scale.factor * judgement.margin
    allowed = (-edge, edge) if judgement.is_equality else (judgement.sign * edge, inf)
    if not judgement.is_equality and judgement.sign < 0:
        allowed = (-inf, -edge)
    unit = f" ({scale.difference})" if scale.difference else ""
    kind = "Change from level to level" if judgement.is_trend else "Difference"
    first, second = ("", "") if judgement.is_trend else sides(judgement)
    said = verb_of if judgement.is_trend else size_word
    words = [said(judgement.response, more) for more in (False, True)]
    title = f"{kind}{unit}"
    digits = digits_for_claim(own, scale)
    value = f"{number(own.value, digits, signed=True)}"
    below = [] if judgement.is_trend else [_minus(first, second)]
    return _against(
        own,
        each,
        allowed,
        neutral=0.0,
        title=title,
        value=value,
        below=below,
        tone=TONES.get(judgement.verdict, "ink"),
        ends=(f"← {words[0]}", f"{words[1]} →"),
    )


def _minus(first: str, second: str) -> str:
    """What is taken from what, by name where there is room."""
    told = f"{first} minus {second}"
    return told if len(told) * LETTER < WIDTH - 16 else "the left one minus the right one"


def _ratios(judgement: Judgement, ratio: Estimate) -> str:
    """The ratio of every pair of samples, their median with its interval, on one scale."""
    edge = judgement.margin
    allowed = (1 - edge, 1 + edge) if judgement.is_equality else (-inf, 1 - edge)
    first, second = sides(judgement)
    spread = np.array(judgement.scores[0])
    inside = spread[(spread > np.quantile(spread, 0.02)) & (spread < np.quantile(spread, 0.98))]
    return _against(
        ratio,
        _some(inside if len(inside) else spread),
        allowed,
        neutral=1.0,
        title="Time of one over time of the other",
        value=f"{ratio.value:.3g}",
        below=[f"{first} over {second}"],
        tone=TONES.get(judgement.verdict, "ink"),
        ends=("← faster", "slower →"),
        own=(1 - judgement.within, 1 + judgement.within),
    )


def _against(
    shown: Estimate,
    each: Floats,
    allowed: tuple[float, float],
    *,
    neutral: float,
    title: str,
    value: str,
    below: Sequence[str],
    tone: str,
    ends: tuple[str, str],
    own: tuple[float, float] | None = None,
) -> str:
    """An estimate on a horizontal axis, with what the claim allows shaded.

    Args:
        each: what every seed says.
        allowed: the range that the claim allows, unbounded on one side or on none.
        own: differences that the machine has from itself.
    """
    bounds = [x for x in (shown.value, shown.low, shown.high, *allowed, neutral) if isfinite(x)]
    everything = [*bounds, *each, *(own or ())]
    low, high = padded(min(everything), max(everything), 0.09)
    left, right = 16.0, WIDTH - 16.0
    x = _placing((low, high), (left, right))
    start, end = (min(max(x(side), left), right) for side in _clipped(allowed, low, high))
    marks = [text((4, 16), title, anchor="start")]
    marks.append(box((start, TOP), (end, BOTTOM), "series-3", opacity=0.14))
    marks.append(_word(start, end))
    if own:
        corners = (x(own[0]), TOP + 24), (x(own[1]), BOTTOM)
        marks.append(box(*corners, "context", opacity=0.25))
    marks.append(line([(left, BOTTOM), (right, BOTTOM)], "edge"))
    marks.append(line([(x(neutral), TOP), (x(neutral), BOTTOM)], "ink", width=1.2))
    marks += [
        line([(x(side), TOP), (x(side), BOTTOM)], "series-3", width=1.6, dashes="5 4")
        for side in allowed
        if isfinite(side) and side != neutral and low < side < high
    ]
    rungs = ticks(low, high)
    marks += [text((x(rung), BOTTOM + 17), tick_text(rung, rungs)) for rung in rungs]
    spread = [(x(v), TOP + 52 + 9 * ((7 * i) % 5)) for i, v in enumerate(each)]
    marks.append(dots(spread, "series-1"))
    marks += _interval(shown, x, value, tone)
    marks += [
        text((left, BOTTOM + 34), ends[0], anchor="start"),
        text((right, BOTTOM + 34), ends[1], anchor="end"),
    ]
    marks += [text((WIDTH / 2, BOTTOM + 50), words, colour="ink") for words in below]
    return drawing(marks)


def _interval(shown: Estimate, x: Callable[[float], float], value: str, tone: str) -> list[str]:
    """The estimate as a diamond with its interval, and its value in numbers."""
    height, at = BOTTOM - 40, x(shown.value)
    marks = []
    if isfinite(shown.low) and isfinite(shown.high):
        low, high = x(shown.low), x(shown.high)
        marks.append(line([(low, height), (high, height)], tone, width=4))
        marks += [
            line([(side, height - 7), (side, height + 7)], tone, width=2.5) for side in (low, high)
        ]
    marks.append(dots([(at, height)], tone, size=13))
    near = min(max(at, 40.0), WIDTH - 40.0)
    return [*marks, text((near, height + 27), value, colour="ink", bold=True)]


def _word(start: float, end: float) -> str:
    """The word that names the shaded range, at its left edge or, where narrow, around it."""
    if end - start >= 64:
        at, anchor = start + 6, "start"
    else:
        at, anchor = min(max((start + end) / 2, 34.0), WIDTH - 34.0), "middle"
    return text((at, TOP + 16), "claimed", anchor=anchor, colour="series-3", bold=True)


def _clipped(allowed: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    return max(allowed[0], low), min(allowed[1], high)


def _placing(given: tuple[float, float], drawn: tuple[float, float]) -> Callable[[float], float]:
    """From one pair of limits to the other, along a straight line."""
    start, end = drawn

    def placed(value: float) -> float:
        # The share first: the slope overflows where the limits are nearly the same.
        return start + (end - start) * ((float(value) - given[0]) / (given[1] - given[0]))

    return placed


def _some(values: Floats) -> Floats:
    """At most so many values, evenly chosen."""
    if len(values) <= MOST_DOTS:
        return values
    chosen: Floats = values[np.linspace(0, len(values) - 1, MOST_DOTS).astype(int)]
    return chosen


def picture_words(judgement: Judgement) -> str:
    """What the drawings of a claim show, for those who do not see them."""
    name = capitalised(said_name(judgement.response))
    what = "slope" if judgement.is_trend else "ratio" if judgement.seconds else "difference"
    if judgement.seconds is not None:
        return "The ratio of both times with its interval, against what is claimed."
    return f"{name} of every seed, and the {what} with its interval against what is claimed."


def _axis(scale: Scale, response: str) -> str:
    """What the left axis shows."""
    return capitalised(f"{said_name(response).removeprefix('the ')}{_unit_words(scale)}")


def _unit_words(scale: Scale) -> str:
    if scale.difference == "powers of ten":
        return " (log₁₀)"
    return f" ({scale.unit})" if scale.unit else ""
