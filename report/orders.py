"""The order of a study's cells, and which neighbours in it can be told apart."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from report import estimates
from report.effects import ALPHA
from report.estimates import interval_name
from report.grids import grid_of, lower_is_better
from report.numbers import decimals, margin, number, scale_of, scaled, seeds_text
from report.sequential import share_of
from report.tables import StudyResults


def order_sentence(results: StudyResults, task: Mapping[str, Any]) -> str:
    """`a (98.2%), b (96.8%) = c (95.1%)` from the best cell on; nothing without two of them.

    Neighbours are compared paired by seed, each at 1 - alpha/m, m being the pairs of neighbours,
    and alpha what the look may spend where seeds are sequential.
    """
    name, response = str(task["name"]), str(task["response"])
    grid, scale = grid_of(results, name, response), scale_of(response)
    means = estimates.moments(grid.scores)[1]
    known = [row for row in range(len(means)) if np.isfinite(means[row])]
    sign = 1 if lower_is_better(response) else -1
    order = sorted(known, key=lambda row: sign * means[row])
    if len(order) < 2:
        return ""
    level = 1 - ALPHA * share_of(results) / (len(order) - 1)
    steps = [
        estimates.paired_difference(grid.scores[a], grid.scores[b], confidence=level)
        for a, b in pairwise(order)
    ]
    told = [step.low > 0 or step.high < 0 for step in steps]
    spreads = [margin(scaled(estimates.mean_estimate(grid.scores[r]), scale.factor)) for r in order]
    digits = decimals(spreads, scale.most_decimals)
    text = ""
    for place, row in enumerate(order):
        between = "" if place == 0 else ", " if told[place - 1] else " = "
        value = f"{number(scale.factor * means[row], digits)}{scale.unit}"
        text += f"{between}{grid.labels[row]} ({value})"
    how = f"{interval_name(level)} intervals of the differences, {seeds_text(s.n for s in steps)}"
    apart = (
        "every step of this order is resolved" if all(told) else "= where a step is not resolved"
    )
    return f"On {name}, from the best {scale.name} on: {text}; {apart} ({how})."
