"""Who leads on one task, from its cells and contrasts."""

import numpy as np

from report import effects
from report.estimates import Estimate, paired_difference
from report.frames import records
from report.numbers import scaled
from report.prose import ALPHA
from report.rankings import Ranking
from report.sequential import share_of
from report.views import TaskView, contrasts_of, estimate_of, spoken


def ranking_of(view: TaskView) -> Ranking | None:
    """Who leads on this task; None where no cell has a value."""
    known = view.ranked[np.isfinite(view.ranked["value"])]
    if known.empty:
        return None
    leaders = known[~known["is_lost"]]
    names = [str(label) for label in leaders["label"]]
    best, runner_up = [*names, "", ""][:2]
    return Ranking(
        task=view.name,
        scale=view.scale,
        baseline=view.baseline,
        best=best,
        level=estimate_of(records(known)[0]),
        contrasts=contrasts_of(view),
        runner_up=runner_up,
        lead=_lead(view, best, runner_up) if runner_up else None,
        diverged=int(known["diverged"].sum()),
        trials=int(known["n"].sum()),
        lost=tuple(str(label) for label in view.cells.loc[view.cells["is_lost"], "label"]),
    )


def _lead(view: TaskView, best: str, runner_up: str) -> Estimate:
    """Best minus runner-up; Bonferroni over all rivals, because the best was chosen by looking."""
    scores = spoken(effects.scores(view.results, view.name), view.factors)
    level = ALPHA * share_of(view.results) / max(len(view.cells) - 1, 1)
    pair = [scores[scores["label"] == x].set_index("seed")["score"] for x in (best, runner_up)]
    first, second = pair[0].align(pair[1], join="inner")
    difference = paired_difference(
        first.to_numpy(dtype=float), second.to_numpy(dtype=float), confidence=1 - level
    )
    return scaled(difference, view.scale.factor)
