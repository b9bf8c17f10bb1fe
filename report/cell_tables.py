"""Tables of one task: every cell with its mean, every contrast with its tests."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from report import effects
from report.document import Table
from report.estimates import Estimate, improvement_word
from report.frames import records
from report.numbers import (
    NOTHING,
    Scale,
    bounds,
    counted,
    decimals,
    listed,
    number,
    p_value,
    scaled,
    seeds_text,
    seen,
)
from report.pairs import all_pairs
from report.sequential import share_of
from report.views import (
    TaskView,
    chosen_words,
    contrast_of,
    estimate_of,
    shown_contrasts,
    spoken,
)

MOST_CELLS = 30  # that a table shows; of more, the ends
SHOWN = 10  # best and worst cells of a larger table
UNDERPOWERED = "underpowered"


def cell_table(view: TaskView) -> Table:
    """Mean response of each cell with its interval, n, rate, and how trials ended; best first.

    Of many cells the best, the worst and the baseline.
    """
    scale, ranked = view.scale, view.ranked
    if len(ranked) > MOST_CELLS:
        place = np.arange(len(ranked))
        ends = (place < SHOWN) | (place >= len(ranked) - SHOWN)
        ranked = ranked[ends | ranked["is_baseline"].astype(bool)]
    digits = decimals(list((ranked["high"] - ranked["low"]) / 2), scale.most_decimals)
    counts = [name for name in ("diverged", "failed", "missing") if ranked[name].sum()]
    mean = f"{scale.name}{', %' if scale.unit else ''}"
    header = ("cell", mean, "95% t interval", "n", "learning rate", *counts)
    rows = []
    for cell in records(ranked):
        low, high = (number(cell[side], digits) for side in ("low", "high"))
        interval = f"{low} to {high}" if NOTHING not in (low, high) else NOTHING
        rate = f"{cell['learning_rate']:g}" if np.isfinite(cell["learning_rate"]) else NOTHING
        rate += " (edge)" if cell["lr_at_edge"] else ""
        rows.append(
            (
                f"{cell['label']} (baseline)" if cell["is_baseline"] else str(cell["label"]),
                number(cell["value"], digits),
                interval,
                str(cell["n"]),
                rate,
                *(str(cell[name]) for name in counts),
            )
        )
    strong = frozenset(i for i, cell in enumerate(records(ranked)) if cell["is_baseline"])
    return Table(
        caption=_caption(view, len(ranked)),
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:]),
        strong=strong,
        note=_table_note(view, ranked),
    )


def _caption(view: TaskView, shown: int) -> str:
    if shown == len(view.cells):
        return f"Cells of {view.results.study['name']} on {view.name}, best mean first"
    return (
        f"The {SHOWN} best and {SHOWN} worst of {len(view.cells)} cells on {view.name}, and the "
        "baseline; every row is in trials.csv"
    )


def _table_note(view: TaskView, cells: pd.DataFrame) -> str:
    """The noise floor (S12), what has no interval, and what a diverged trial counts as (S11)."""
    parts = []
    examples = (view.task.get("examples") or {}).get("test", 0)
    best = float(cells["value"].max()) / 100
    if view.scale.unit and examples and 0 <= best <= 1:
        floor = 100 * float(np.sqrt(best * (1 - best) / examples))
        parts.append(
            f"Noise floor of {counted(int(examples), 'test example')}: "
            f"{floor:.1f} percentage points (standard error of one accuracy)."
        )
    if (cells["n"] == 1).any():
        parts.append("From one seed no interval can be computed.")
    if ((cells["n"] > 1) & cells["low"].isna()).any():
        parts.append("Without an interval: the mean of seeds that all have the same value.")
    if cells["diverged"].sum():
        parts.append(
            "A diverged trial counts as the worse of the constant predictor and the worst "
            "finished trial of the task."
        )
    if cells["is_lost"].any():
        lost = listed([str(label) for label in cells.loc[cells["is_lost"], "label"]])
        parts.append(f"A cell all of whose trials diverged stands last: {lost}.")
    return " ".join(parts)


def contrast_table(view: TaskView) -> Table:
    """Every contrast with its tests and effect sizes."""
    frame, scale = shown_contrasts(view), view.scale
    digits = decimals(list((frame["high"] - frame["low"]) / 2), scale.most_decimals)
    header = (
        *("cell", "difference", f"{view.interval} interval", "word", "Holm p", "sign-flip p"),
        *("d_z", "g", "correlation", "detectable", "better on, %", "n"),
    )
    rows = tuple(_contrast_row(row, digits, view) for row in records(frame))
    return Table(
        caption=f"Differences from {view.baseline} on {view.name} ({_unit(scale.difference)})",
        header=header,
        rows=rows,
        numeric=frozenset({*header[1:3], *header[4:]}),
        note=" ".join(_contrast_notes(view, frame)),
    )


def _contrast_notes(view: TaskView, frame: pd.DataFrame) -> Iterator[str]:
    """The family and its tests, as far as there are any."""
    words, seeds = set(frame["word"]), seeds_text(frame["n"])
    if len(frame) < len(view.contrasts):
        yield chosen_words(view)
    if words <= {effects.UNTESTED}:
        yield f"{seeds}: nothing can be tested and no interval computed."
        return
    share = share_of(view.results)
    level = f".05 × {share:.2g}/m" if share < 1 else ".05/m"
    yield (
        f"One family of m = {len(view.contrasts)}: Holm-adjusted paired t p; intervals at "
        f"1 − {level}; {seeds}. Sign-flip p is exact up to 16 seeds; † at its floor, where it "
        f"could not reach {level}. Detectable: smallest difference found with power .8. Better on: "
        "share of the seeds on which the cell beats the baseline, ties one half, with Wilson's "
        f"interval at 1 − {level}; “better” where that lies above 50% and reaches 75%, "
        "“significant but not meaningful” where it stays below 75%."
    )
    if any(_word(row, view) == UNDERPOWERED for row in records(frame)):
        matters = f"{view.matters:.10g} {view.scale.difference}".strip()
        yield (
            "Underpowered: not resolved, and what these seeds find with power .8 is more than what "
            f"matters, {matters}."
        )
    if effects.EQUAL in words:
        margin = frame["equal_within"].iloc[0]
        yield f"Practically equal: the interval lies inside ±{margin:.10g}, which the study stated."
    if effects.SAME in words:
        yield (
            "Same on every seed: a difference without spread has no t interval and no t test, and "
            "no direction is claimed; its p is the sign flips' floor 2/2ⁿ, or 1 where it is zero."
        )


def _unit(difference: str) -> str:
    return difference or "in its own unit"


def improvement_of(row: dict[str, object], *, higher_is_better: bool) -> Estimate:
    """The share of seeds on which a cell beats the baseline, ties one half; Wilson's interval."""
    value, low, high = (float(str(row[f"above{side}"])) for side in ("", "_low", "_high"))
    if not higher_is_better:
        value, low, high = 1 - value, 1 - high, 1 - low
    return Estimate(value, low, high, int(str(row["n"])), str(row["interval"]))


def _improvement(row: dict[str, object], scale: Scale) -> str:
    """`90 (60 to 98), better`."""
    found = scaled(improvement_of(row, higher_is_better=scale.higher_is_better), 100)
    if not np.isfinite(found.value):
        return NOTHING
    word = improvement_word(scaled(found, 0.01))
    said = "" if word == "undecided" else f", {word}"
    return f"{number(found.value, 0)} ({bounds(found, 0)}){said}"


def _word(row: dict[str, object], view: TaskView) -> str:
    """What may be said of a contrast; as in sentences, few seeds are no evidence of no effect."""
    few = contrast_of(row, view.matters).underpowered
    return UNDERPOWERED if few and row["word"] == effects.UNRESOLVED else str(row["word"])


def _contrast_row(row: dict[str, object], digits: int, view: TaskView) -> tuple[str, ...]:
    def value(name: str) -> float:
        return float(str(row[name]))

    estimate = estimate_of(row, str(row["interval"]))
    clear = row["word"] in (effects.RAISES, effects.LOWERS)
    own = seen(estimate.value, digits) if clear else digits
    floor = " †" if row["at_floor"] else ""
    return (
        str(row["label"]),
        number(estimate.value, own, signed=True),
        bounds(estimate, digits, signed=True),
        _word(row, view),
        p_value(value("p_holm")),
        p_value(value("sign_flip_p")) + floor,
        *(number(value(name), 2) for name in ("d_z", "hedges_g", "correlation")),
        number(value("detectable"), digits),
        _improvement(row, view.scale),
        str(row["n"]),
    )


def pair_table(view: TaskView) -> Table | None:
    """How many of the other cells each is told from; None where that says no more than contrasts.

    Exploratory: pairs are told apart at a false-discovery rate of 5% (METHODS S7).
    """
    frame = spoken_pairs(view)
    if len(frame) < 3 or not np.isfinite(frame["p_bh"]).any():
        return None
    sign = 1.0 if view.scale.higher_is_better else -1.0
    ahead = frame["is_apart"] & (sign * frame["value"] > 0)
    behind = frame["is_apart"] & ~ahead
    rows = []
    for label in [str(label) for label in view.ranked["label"]]:
        first, second = frame["label"] == label, frame["against"] == label
        better = int((first & ahead).sum() + (second & behind).sum())
        worse = int((first & behind).sum() + (second & ahead).sum())
        others = int((first | second).sum())
        rows.append((label, *map(str, (better, worse, others - better - worse))))
    header = ("cell", "better than", "worse than", "not told from")
    return Table(
        caption=f"Every pair of cells on {view.name}, exploratory",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:]),
        strong=frozenset(i for i, row in enumerate(rows) if row[0] == view.baseline),
        note=(
            f"Of the other cells so many, in {view.scale.name}: paired t p of all m = {len(frame)} "
            f"pairs, adjusted by Benjamini and Hochberg, {seeds_text(frame['n'])}. Of the pairs "
            "told apart at most one in twenty is expected to be an accident; what is said in "
            "sentences rests on the contrasts. effects.csv has every pair."
        ),
    )


def spoken_pairs(view: TaskView) -> pd.DataFrame:
    """All pairs of a view's cells, by the names of the view."""
    frame = all_pairs(view.results, view.name)
    other = frame.assign(label=frame["against"])
    against = spoken(other, view.factors)["label"]
    return spoken(frame, view.factors).assign(against=against)
