"""One study over all its tasks: a sentence, a table and figures, shown and never a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from report import across, profiles, ranks
from report.across import Pool, Race
from report.across_plots import plot_profiles, plot_ranks
from report.axes import HALF, sheet
from report.document import Answer, Figures, Picture, Section, Table
from report.drawing import Drawing, draw
from report.estimates import Estimate, Floats, interval_name
from report.frames import records
from report.numbers import bounds, counted, decimals, listed, margin, number, p_value
from report.palette import CONTEXT, INK, SERIES
from report.prose import ALPHA
from report.views import TaskView, spoken

MOST_ROWS = 14  # of a table or a figure; of more cells the best, and the baseline
SHOWN = 12  # of more
NAMED = 5  # lines of a profile with a colour, besides the baseline
FINE = 121  # places at which a profile is computed; only its steps are drawn
INTERVAL = interval_name(0.95, "stratified bootstrap")


def across_topic(
    views: Sequence[TaskView], colours: Mapping[str, str], slug: str
) -> Section | None:
    """What all tasks of a study say together; None where they cannot be put together."""
    results = views[0].results
    pool = across.pool_of(results)
    if pool is None:
        return None
    race = across.race_of(results, pool)
    labels = pd.DataFrame({"label": pool.labels})
    pool = replace(pool, labels=tuple(spoken(labels, views[0].factors)["label"]))
    summary = across.summary(pool)
    shown = summary
    if len(summary) > MOST_ROWS:
        shown = summary[(np.arange(len(summary)) < SHOWN) | summary["is_baseline"]]
    names = {label: views[0].brief.get(label, label) for label in pool.labels}
    colours = _colours(shown, colours)
    pictures = [
        _ranks_picture(pool, shown, names, slug),
        _scores_picture(pool, shown, names, colours, slug),
    ]
    if race is not None:
        pictures.append(_race_picture(race, shown, names, colours, slug))
    if names != {label: label for label in names}:
        pictures = [replace(p, caption=p.caption + views[0].brief_words) for p in pictures]
    return Section(
        anchor=f"{slug}-across-tasks",
        title="Across tasks",
        blocks=(
            Answer(sentences=sentences(pool, summary)),
            _table(pool, summary, shown, race),
            Figures(pictures=tuple(pictures)),
        ),
    )


def _colours(shown: pd.DataFrame, colours: Mapping[str, str]) -> dict[str, str]:
    """Ink for the baseline, and their colours of the study for the best cells that have one."""
    labels = [str(label) for label in shown.loc[~shown["is_baseline"].astype(bool), "label"]]
    known = {x: colours[x] for x in labels if colours.get(x, CONTEXT) != CONTEXT}
    own = dict(list((known or dict(zip(labels, SERIES, strict=False))).items())[:NAMED])
    own |= {str(label): INK for label in shown.loc[shown["is_baseline"].astype(bool), "label"]}
    return own


# Sentences


def sentences(pool: Pool, summary: pd.DataFrame) -> tuple[str, ...]:
    """Who scores best over all tasks, who ranks best, and whether the tasks agree."""
    found = records(summary)
    best = found[0]
    said = (
        f"Over {listed(pool.tasks)}, {best['label']} has the highest interquartile mean of the "
        f"normalised scores, {_level(best)}"
    )
    base = next((row for row in found if row["is_baseline"]), None)
    if base is best:
        said += "; it is the baseline"
    elif base is not None:
        said += f"; {base['label']}, the baseline, has {_level(base)}"
    return f"{said}.", _ranking_sentence(pool)


def _level(row: Mapping[str, object]) -> str:
    """`0.975 (95% stratified bootstrap interval 0.969 to 0.978, n = 30 scores)`."""
    estimate = _estimate(row)
    digits = decimals([margin(estimate)], 3)
    n = counted(estimate.n, "score")
    if not np.isfinite(estimate.low):
        return f"{number(estimate.value, 3)} (n = {n}, too few for a bootstrap interval)"
    interval = f"{INTERVAL} interval {bounds(estimate, digits)}"
    return f"{number(estimate.value, digits)} ({interval}, n = {n})"


def _estimate(row: Mapping[str, object]) -> Estimate:
    value, low, high = (float(str(row[name])) for name in ("value", "low", "high"))
    return Estimate(value, low, high, int(str(row["n"])), INTERVAL)


def _ranking_sentence(pool: Pool) -> str:
    """Whether the tasks order the cells alike, and what the first place hangs on."""
    agreed = ranks.agreement(ranks.ranks_of(pool.means))
    n = f"N = {len(pool.tasks)} tasks"
    if not np.isfinite(agreed.p):
        return f"On every task all cells score the same, so they have no order ({n})."
    p = p_value(agreed.p)
    test = f"Iman-Davenport p {p if p.startswith('<') else f'= {p}'}, {n}"
    if agreed.p > ALPHA:
        return (
            f"The tasks are not shown to order the cells alike ({test}), so the order on one is "
            "no guide to another."
        )
    return f"The tasks order the cells alike more than chance would ({test}); {_first(pool)}."


def _first(pool: Pool) -> str:
    """Who ranks first, and without which tasks it would be another."""
    found = across.leaders(pool)
    first = found.pop("")
    verb = "has" if len(first) == 1 else "share"
    said = f"{_names(first)} {verb} the best mean rank"
    other = {task: names for task, names in found.items() if names != first}
    if not found:
        return said
    if not other:
        return f"{said}, whichever task is left out"
    changes = [f"{_names(names)} without {task}" for task, names in other.items()]
    return f"{said}, but it would be {'; '.join(changes)}"


def _names(labels: Sequence[str]) -> str:
    """Names in a row; in quotes where a name has commas of its own, by number where many tie."""
    if len(labels) > 3:
        return f"{len(labels)} cells in a tie"
    return listed([f"“{label}”" if "," in label and len(labels) > 1 else label for label in labels])


# The table


def _table(pool: Pool, summary: pd.DataFrame, shown: pd.DataFrame, race: Race | None) -> Table:
    """Every cell with its interquartile mean, mean rank and time to target; best first."""
    digits = decimals(list((shown["high"] - shown["low"]) / 2), 3)
    scores = dict(zip(pool.labels, profiles.target_score(race.ratios), strict=True)) if race else {}
    reached = dict(zip(pool.labels, race.reached, strict=True)) if race else {}
    header = (
        *("cell", "interquartile mean", "95% bootstrap interval", "n", "mean rank"),
        *(["without one task"] if len(pool.tasks) > 2 else []),
        *(["time-to-target score", "reached, %"] if race else []),
    )
    rows = []
    for row in records(shown):
        label = str(row["label"])
        ranked = f"{number(row['rank_low'], 1)} to {number(row['rank_high'], 1)}"
        rows.append(
            (
                f"{label} (baseline)" if row["is_baseline"] else label,
                number(row["value"], digits),
                bounds(_estimate(row), digits),
                str(row["n"]),
                number(row["rank"], 1),
                *([ranked] if len(pool.tasks) > 2 else []),
                *([number(scores[label], 2), number(100 * reached[label], 0)] if race else []),
            )
        )
    some = (
        f"The {SHOWN} best of {len(summary)} cells, and the baseline,"
        if len(shown) < len(summary)
        else "Cells"
    )
    return Table(
        caption=f"{some} over {listed(pool.tasks)}, best interquartile mean first",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(header[1:]),
        strong=frozenset(i for i, row in enumerate(records(shown)) if row["is_baseline"]),
        note=" ".join(_notes(pool, summary, race)),
    )


def _notes(pool: Pool, summary: pd.DataFrame, race: Race | None) -> list[str]:
    """What the columns are, and what is left out."""
    found = [
        "Normalised score: 0 is the constant predictor, 1 an accuracy or an R² of 1. Interquartile "
        "mean: of the middle half of all scores, seeds resampled within each task"
        + ("." if summary["n"].min() >= 30 else "; fewer than 30 scores get no interval."),
        "Mean rank: over tasks, 1 is the best"
        + ("; its range when one task is left out." if len(pool.tasks) > 2 else "."),
    ]
    if race is not None:
        some = "" if len(race.tasks) == len(pool.tasks) else f" (on {listed(race.tasks)})"
        found.append(
            f"Time-to-target score{some}: 1 if every trial reaches nine tenths of the baseline's "
            "way on validation data in as few steps as the fastest cell's median, 0 if it takes "
            f"{profiles.R_MAX:g} times as many or never does (AlgoPerf)."
        )
    found.append("A display: what may be said of a difference is tested on each task.")
    if pool.left_out:
        found.append(f"Left out, because a loss has no reference: {listed(pool.left_out)}.")
    if pool.absent:
        found.append(f"Not on every task: {listed(pool.absent[:5])}{_more(len(pool.absent) - 5)}.")
    return found


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


# Figures


def _ranks_picture(pool: Pool, shown: pd.DataFrame, names: Mapping[str, str], slug: str) -> Picture:
    """Mean ranks with what one task does to them, and the critical difference."""
    table = ranks.ranks_of(pool.means)
    critical = ranks.critical_difference(len(pool.labels), len(pool.tasks))
    frame = shown.assign(
        label=shown["label"].map(names), ranks=[table[:, row].tolist() for row in shown["row"]]
    )
    figure, ax = sheet(HALF, max(2.6, 0.7 + 0.2 * len(frame)))
    plot_ranks(ax, frame, critical=critical)
    ordered = frame.sort_values("rank", kind="stable")
    ends = [f"{row['label']} {number(row['rank'], 1)}" for row in records(ordered.iloc[[0, 1, -1]])]
    bar = " Bar: its range when one task is left out." if len(pool.tasks) > 2 else ""
    return Picture(
        drawing=draw(figure, f"{slug}-ranks"),
        title=f"Mean rank over {counted(len(pool.tasks), 'task')}",
        alt=f"Mean ranks of {len(pool.labels)} cells over {listed(pool.tasks)}; "
        f"first, second and last of those shown: {', '.join(ends)}.",
        caption=(
            f"Dot: mean rank among {len(pool.labels)} cells. Tick: the rank on one task.{bar} "
            f"Shaded: within Nemenyi's critical difference of the first, {number(critical, 1)} "
            f"ranks at n = {len(pool.tasks)} tasks and level .05, so not told from it by ranks."
        ),
    )


def _scores_picture(
    pool: Pool, shown: pd.DataFrame, names: Mapping[str, str], colours: Mapping[str, str], slug: str
) -> Picture:
    """How many trials score above each value."""
    drawn = shown[shown["label"].isin(list(colours))]
    strata = [part[drawn["row"].to_numpy()] for part in pool.strata]
    known = np.concatenate([part[np.isfinite(part)] for part in strata])
    low = max(float(np.quantile(known, 0.1)), float(known.min()) - 0.01)
    at = np.linspace(min(low, 0.98), max(1.0, float(known.max())), FINE)
    shares = profiles.score_profile(strata, at)
    middle = shares[:, FINE // 2]
    least, most = (drawn["label"].iloc[int(i)] for i in (middle.argmin(), middle.argmax()))
    told = (
        f"most for {most} ({100 * middle.max():.0f}%), fewest for {least} "
        f"({100 * middle.min():.0f}%)"
        if middle.max() > middle.min()
        else f"as many for each ({100 * middle.max():.0f}%)"
    )
    words = ("normalised score", "share of trials above it")
    return Picture(
        drawing=_steps(_lines(drawn, at, shares), names, colours, words, f"{slug}-scores"),
        title=f"Score profile over {counted(len(pool.tasks), 'task')}",
        alt=f"Share of trials above each normalised score over {listed(pool.tasks)}; at "
        f"{at[FINE // 2]:.2f}, of the lines drawn, {told}.",
        caption=(
            "Share of the final trials that score above each value, averaged over tasks, n = "
            f"{_scores_text(shown)} each. The higher line is better; where lines cross, neither "
            f"is better everywhere. The axis begins where a tenth of the trials ends. {_WHICH}"
        ),
    )


def _race_picture(
    race: Race, shown: pd.DataFrame, names: Mapping[str, str], colours: Mapping[str, str], slug: str
) -> Picture:
    """How many trials reach the target within each multiple of the fastest cell's steps."""
    drawn = shown[shown["label"].isin(list(colours))]
    at = np.linspace(1, profiles.R_MAX, FINE)
    ratios = [part[drawn["row"].to_numpy()] for part in race.ratios]
    shares = profiles.target_profile(ratios, at)
    scores = profiles.target_score(ratios)
    first, last = (drawn["label"].iloc[int(i)] for i in (scores.argmax(), scores.argmin()))
    words = ("steps to target, as a multiple of the fastest cell's median", "share of trials")
    return Picture(
        drawing=_steps(_lines(drawn, at, shares), names, colours, words, f"{slug}-race"),
        title=f"Time to target over {counted(len(race.tasks), 'task')}",
        alt=f"Share of trials that reach the target within each multiple of the fastest; of the "
        f"lines drawn, the area is largest for {first} ({scores.max():.2f}) and least for {last} "
        f"({scores.min():.2f}).",
        caption=(
            "Target: nine tenths of the way from the constant predictor to the baseline's last "
            "validation score. Share of trials, averaged over tasks, that reach it within so many "
            "times the steps of the fastest cell; those that never do count as infinite. The area "
            f"is the table's score, n = {_scores_text(shown)} each. {_WHICH}"
        ),
    )


_WHICH = "Lines: the baseline, and the best of the cells that have a colour in this study."


def _lines(drawn: pd.DataFrame, at: Floats, shares: Floats) -> pd.DataFrame:
    """The ends of every line, and the places at which it steps."""
    steps = np.diff(shares, axis=1, prepend=np.nan) != 0
    steps[:, -1] = True
    line, place = np.nonzero(steps)
    labels = drawn["label"].to_numpy(object)
    return pd.DataFrame({"label": labels[line], "at": at[place], "value": shares[line, place]})


def _steps(
    lines: pd.DataFrame,
    names: Mapping[str, str],
    colours: Mapping[str, str],
    words: tuple[str, str],
    name: str,
) -> Drawing:
    """Profiles as steps, each line under the name that figures have for its cell.

    Args:
        words: printed along x and along y.
    """
    figure, ax = sheet(HALF, 3.1)
    across, up = words
    named = lines.assign(label=lines["label"].map(names))
    own = {names[label]: colours[label] for label in dict.fromkeys(lines["label"])}
    plot_profiles(ax, named, colours=own, across=across, up=up)
    return draw(figure, name)


def _scores_text(shown: pd.DataFrame) -> str:
    low, high = int(shown["n"].min()), int(shown["n"].max())
    return counted(high, "trial") if low == high else f"{low} to {high} trials"
