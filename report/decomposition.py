"""Bias and variance of fitted functions, from what every seed made of the same function.

With f_s the function fitted from seed s, g the true one, and means over points x:

    variance  mean over x of the sample variance of f_s(x) over the seeds
    bias      mean over x of (mean of f_s(x) over the seeds - g(x))^2, less variance / S

(Geman, Bienenstock and Doursat, 1992; the last term takes away what the mean over S seeds
still varies by.) Each seed changes the data, their order and the initial weights. So that
contrasts and intervals can be taken over seeds as for any response, a trial is given the
jackknife's pseudo-value, S t - (S - 1) t_s, where t_s leaves seed s out (Tukey, 1958): their
mean is the estimate, and their spread that of independent contributions to it.
"""

from base64 import b64decode
from collections.abc import Sequence

import numpy as np
import pandas as pd

from report.estimates import Floats

LEAST = 3  # seeds: leaving one out must leave a variance
LEVELS = 65535


def with_decomposition(
    trials: pd.DataFrame, pictures: pd.DataFrame, factors: Sequence[str]
) -> pd.DataFrame:
    """The trials with the columns `bias` and `variance`; NaN where there are no probes.

    Args:
        pictures: of kind `probe`, one per final trial: the fitted and the true function.
        factors: of the study, whose levels make a cell.
    """
    columns = {name: np.full(len(trials), np.nan) for name in ("bias", "variance")}
    known = pictures["trial"].isin(trials["trial"])  # a deleted or cut trials.csv has fewer
    probes = pictures[(pictures["kind"] == "probe") & known]
    if not probes.empty:
        decoded = [decode(*row) for row in zip(probes["values"], probes["range"], strict=True)]
        place = dict(zip(trials["trial"], range(len(trials)), strict=True))
        where = np.array([place[name] for name in probes["trial"].astype(str)])
        cells = trials.iloc[where].reset_index(drop=True).groupby(["task", *factors], sort=False)
        for rows in cells.indices.values():
            if len(rows) >= LEAST:
                fitted = np.stack([decoded[k][0] for k in rows])
                bias, variance = pseudo_values(fitted, decoded[rows[0]][1])
                columns["bias"][where[rows]], columns["variance"][where[rows]] = bias, variance
    return trials.assign(**columns)


def decode(values: str, limits: str) -> Floats:
    """A probe's fitted and true function, (2, points)."""
    *_, low, high = map(float, limits.split(","))
    levels = np.frombuffer(b64decode(values), dtype="<u2").reshape(2, -1)
    return low + (high - low) * levels / LEVELS


def decompose(fitted: Floats, true: Floats) -> tuple[float, float]:
    """Squared bias and variance of functions (S, points) about the true one (points,)."""
    variance = float(fitted.var(0, ddof=1).mean())
    distance = float(((fitted.mean(0) - true) ** 2).mean())
    return distance - variance / len(fitted), variance


def pseudo_values(fitted: Floats, true: Floats) -> tuple[Floats, Floats]:
    """Jackknife pseudo-values of squared bias and variance, (S,) each."""
    count = len(fitted)
    whole = np.array(decompose(fitted, true))
    without = np.array([decompose(np.delete(fitted, s, 0), true) for s in range(count)])
    found = count * whole - (count - 1) * without  # (S, 2)
    return found[:, 0], found[:, 1]
