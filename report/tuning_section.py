"""What tuning bought on every task of a study, and optimizers worse than what they contain."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report import tuning
from report.across_plots import name_lines, plot_budgets
from report.axes import WIDE
from report.document import Answer, Details, Figures, Picture, Section, Table
from report.drawing import draw
from report.frames import records
from report.numbers import Scale, counted, listed, number, scale_of, scaled
from report.palette import CONTEXT
from report.prose import difference_phrase
from report.views import TaskView, estimate_of, in_units, spoken

MOST_GREY = 0  # lines without a name
MOST_ROWS, SHOWN = 14, 12  # of the table; of more cells so many, and the baseline


def tuning_topic(
    views: Sequence[TaskView], colours: Mapping[str, str], slug: str
) -> Section | None:
    """What the best of so many learning rates was worth; None where nothing was tuned."""
    found = [(view, best) for view in views if len(best := _best_of(view))]
    if not found:
        return None
    return Section(
        anchor=f"{slug}-tuning",
        title="What tuning bought",
        blocks=(
            Answer(
                sentences=(
                    *(_cost_sentence(view, best) for view, best in found),
                    *inclusion_sentences(views),
                )
            ),
            Figures(pictures=(_picture(found, colours, slug),)),
            Details(summary="Expected validation response in numbers", blocks=(_table(found),)),
        ),
    )


def _best_of(view: TaskView) -> pd.DataFrame:
    """`tuning.best_of_rates` in display units, with the names of the view."""
    frame = tuning.best_of_rates(view.results, view.name)
    return in_units(spoken(frame, view.factors), _scale(view))


def _scale(view: TaskView) -> Scale:
    return scale_of(tuning.tuning_response(view.task))


def _costs(view: TaskView, best: pd.DataFrame) -> "pd.Series[float]":
    """What drawing one rate at random costs each cell against the best of its rates."""
    table = best.pivot_table(index="label", columns="budget", values="value", sort=False)
    most = best.groupby("label", sort=False)["budget"].max()
    ends = pd.Series({label: table.loc[label, most[label]] for label in table.index})
    sign = 1.0 if _scale(view).higher_is_better else -1.0
    costs: pd.Series[float] = sign * (ends - table[1])
    return costs.sort_values(kind="stable")


def _ends(view: TaskView, best: pd.DataFrame) -> str:
    costs = _costs(view, best)
    return f"on {view.name} least for {costs.index[0]}, most for {costs.index[-1]}"


def _cost_sentence(view: TaskView, best: pd.DataFrame) -> str:
    """Which cell depends least on its learning rate, and which most."""
    costs, scale, n = _costs(view, best), _scale(view), int(best["n"].min())
    unit = f" {scale.difference}" if scale.difference else ""
    digits = 1 if scale.unit else 3
    ends = [
        f"{label} {word} ({number(costs[label], digits)}{unit})"
        for label, word in ((costs.index[0], "least"), (costs.index[-1], "most"))
    ]
    many = int(best["budget"].max())
    return (
        f"On {view.name}, one rate drawn at random instead of {many} costs {listed(ends)} of "
        f"expected {scale.name}; from n = {counted(n, 'tuning seed')}, without an interval."
    )


def inclusion_sentences(views: Sequence[TaskView]) -> tuple[str, ...]:
    """Each optimizer that is worse than one it contains, or that none is; nothing without pairs."""
    said, pairs = [], 0
    for view in views:
        frame = tuning.inclusions(view.results, view.name)
        pairs += len(frame)
        bad = in_units(frame[frame["violation"].astype(bool)], view.scale)
        said += [_violation(view, row) for row in records(bad)[:3]]
        if len(bad) > 3:
            said.append(f"On {view.name}, {len(bad) - 3} more such pairs.")
    if said or not pairs:
        return tuple(said)
    return (
        f"No optimizer is shown to be worse than one that it contains ({pairs} pairs over "
        f"{listed([view.name for view in views])}): nothing says that its settings were too few.",
    )


def _violation(view: TaskView, row: dict[str, object]) -> str:
    estimate = estimate_of(row, str(row["interval"]))
    at = f" at {row['at']}" if row["at"] else ""
    return (
        f"On {view.name}{at}, {row['general']} contains {row['special']}, yet is worse in "
        f"{view.scale.name}: {difference_phrase(scaled(estimate, 1.0), view.scale)}. So the "
        "settings it was given were measured, not its rule: tune more of them before ranking it."
    )


def _table(found: Sequence[tuple[TaskView, pd.DataFrame]]) -> Table:
    """Expected response with one rate drawn at random and with the best of as many as there are."""
    labels = _tabled(found)
    columns: dict[str, dict[str, str]] = {}
    for view, best in found:
        digits = 1 if _scale(view).unit else 3
        many = int(best["budget"].max())
        for budget in (1, many):
            own = best[best["budget"] == budget].set_index("label")["value"]
            columns[f"{view.name}, {budget}"] = {
                str(label): number(value, digits) for label, value in own.items()
            }
    base = found[0][0].baseline
    return Table(
        caption="Expected validation response of the best of so many rates",
        header=("cell", *columns),
        rows=tuple(
            (
                f"{label} (baseline)" if label == base else str(label),
                *(column.get(str(label), "–") for column in columns.values()),
            )
            for label in labels
        ),
        numeric=frozenset(columns),
        strong=frozenset(i for i, label in enumerate(labels) if label == base),
        note=_note(found, len(labels)),
    )


def _tabled(found: Sequence[tuple[TaskView, pd.DataFrame]]) -> list[str]:
    """The cells of the table in the order of the study: of many those that tuning helps most."""
    labels = [str(x) for x in dict.fromkeys(x for _, best in found for x in best["label"])]
    if len(labels) <= MOST_ROWS:
        return labels
    places = [_costs(view, best).rank() / len(best) for view, best in found]
    worth = pd.concat(places, axis=1).mean(axis=1).sort_values(ascending=False, kind="stable")
    kept = {*worth.index[:SHOWN], found[0][0].baseline}
    return [label for label in labels if label in kept]


def _note(found: Sequence[tuple[TaskView, pd.DataFrame]], shown: int) -> str:
    many = len({label for _, best in found for label in best["label"]})
    left = f" The {shown} cells that tuning helps most; {many - shown} are not shown."
    seeds = int(min(best["n"].min() for _, best in found))
    return (
        "Rates drawn with replacement from those of the study's grid, each worth its mean over "
        f"{counted(seeds, 'tuning seed')}; a diverged trial counts as the worst of the task, and "
        f"no rate as less than the constant predictor. A wider grid costs more."
        f"{left if many > shown else ''}"
    )


def _picture(
    found: Sequence[tuple[TaskView, pd.DataFrame]], colours: Mapping[str, str], slug: str
) -> Picture:
    """The expected best of b rates, a panel for each task."""
    first = found[0][0]
    labels = [str(x) for x in dict.fromkeys(x for _, best in found for x in best["label"])]
    grey = np.cumsum([colours.get(label, CONTEXT) == CONTEXT for label in labels])
    shown = {
        label: colours.get(label, CONTEXT)
        for label, count in zip(labels, grey, strict=True)
        if colours.get(label, CONTEXT) != CONTEXT or count <= MOST_GREY
    }
    names = {label: first.brief.get(label, label) for label in shown}
    figure = Figure(figsize=(WIDE, 2.7), layout="constrained")
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for ax, (view, best) in zip(axes, found, strict=True):
        own = best[best["label"].isin(list(shown))]
        drawn = own.assign(label=own["label"].map(names))
        plot_budgets(
            ax,
            drawn,
            colours={names[label]: colour for label, colour in shown.items()},
            response=_scale(view).axis,
        )
        ax.set_title(view.name)
    last = found[-1][1]
    order = last[last["budget"] == 1].set_index("label")["value"].reindex(list(shown))
    named = [x for x in order.sort_values().index if shown[x] != CONTEXT]
    name_lines(axes[-1], [names[x] for x in named], {names[x]: shown[x] for x in named})
    left = sum(colour == CONTEXT for colour in shown.values())
    seeds = int(min(best["n"].min() for _, best in found))
    return Picture(
        drawing=draw(figure, f"{slug}-budgets"),
        title="What the best of so many learning rates is worth",
        alt="Expected validation response against the number of rates tried; what tuning gains: "
        f"{'; '.join(_ends(view, best) for view, best in found)}.",
        caption=(
            "Expected validation response of the best of so many learning rates, drawn with "
            "replacement from the study's grid (Dodge et al. 2019), "
            f"n = {counted(seeds, 'tuning seed')}: a line that begins high needs "
            "little tuning. Names in the order in which lines begin on the last panel."
            + (f" Grey: {counted(left, 'cell')} more, for context." if left else "")
            + first.brief_words
        ),
        wide=True,
    )
