"""The colours of the report, each with its twin for a dark page."""

from collections.abc import Mapping, Sequence

INK = "#1c1e21"  # text, and the baseline in every figure
MUTED = "#4d545c"  # axis labels
EDGE = "#b8bec5"  # axes
GRID = "#e6e8eb"
CONTEXT = "#8b929a"  # what could not be resolved, and curves shown only for context
PAPER = "#ffffff"

# Okabe and Ito's order, darkened until a label in each reads on white (contrast >= 4.5).
SERIES = (
    *("#0067a8", "#bf4a00", "#00755a", "#8a4fa0"),
    *("#966400", "#1f7f96", "#b83a6b", "#6b6b00"),
)
_DARK_SERIES = (
    *("#5ab0e8", "#f28c4b", "#3fc39c", "#c795dc"),
    *("#d9a741", "#5cc3da", "#f28fb4", "#bfbf52"),
)

# Drawn in a figure -> (variable of the page, colour on a dark page).
THEME: Mapping[str, tuple[str, str]] = {
    INK: ("ink", "#e8eaed"),
    MUTED: ("muted", "#a9b1ba"),
    EDGE: ("edge", "#59616a"),
    GRID: ("grid", "#2a3036"),
    CONTEXT: ("context", "#858d96"),
    PAPER: ("paper", "#171a1e"),
    **{
        light: (f"series-{i}", dark)
        for i, (light, dark) in enumerate(zip(SERIES, _DARK_SERIES, strict=True), 1)
    },
}

# Classes of a picture: the first of the series, which differ in lightness as well as in hue.
CLASSES = ("#4393c3", "#e08214", "#35a07f", "#9970ab", "#c2a500")


def colours_of(labels: Sequence[str], *, baseline: str, shown: Sequence[str]) -> dict[str, str]:
    """A colour for every label: ink for the baseline, grey for those not among `shown`.

    Args:
        labels: every label, in the order of the study.
        shown: the labels worth telling apart; at most eight get a colour.
    """
    coloured = [label for label in labels if label in set(shown) and label != baseline]
    series = dict(zip(coloured, SERIES, strict=False))
    return {label: INK if label == baseline else series.get(label, CONTEXT) for label in labels}
