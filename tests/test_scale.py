"""A large study, 100,000 trials and 1,000,000 curve rows: every estimate in 20 s and 1 GB."""

import resource
import subprocess
import sys
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest

from report import across, effects, factors, tuning
from report.bargains import target_of
from report.claims import judge
from report.curves import learning_curves, rate_sensitivity, steps_to_target
from report.schema import CURVES, FACTORS, PICTURES, POINTS, STACKS, TRIALS
from report.tables import StudyResults

CLAIM = {
    "statement": "s",
    "better": {"activation": "a1"},
    "worse": {"activation": "a0"},
    "by": 0.01,
}
LEVELS = {
    "activation": [f"a{i}" for i in range(5)],
    "optimizer": ["sgd", "momentum", "adam", "rmsprop", "adagrad"],
    "width": [str(2**i) for i in range(10)],
}
TASKS, FINAL, RATES, TUNING, EVALUATIONS = 4, 80, 5, 4, 10


def large_study():
    """4 tasks x 250 cells x (80 final trials + 5 rates x 4 tuning seeds), 10 evaluations each."""
    rng = np.random.default_rng(1)
    cells = [dict(zip(LEVELS, levels, strict=True)) for levels in product(*LEVELS.values())]
    stages = [("final", s, None) for s in range(FINAL)]
    stages += [("tuning", s, r) for r in np.geomspace(1e-3, 0.1, RATES) for s in range(TUNING)]
    asked = [
        {"trial": f"{task}/{index}/{stage}/{rate}/{seed}", "task": f"task{task}", "stage": stage}
        | {"seed": seed, "learning_rate": rate, **cell}
        for task in range(TASKS)
        for index, cell in enumerate(cells)
        for stage, seed, rate in stages
    ]
    n = len(asked)
    columns = dict.fromkeys(TRIALS, np.nan) | dict.fromkeys(FACTORS, "x")
    table = pd.DataFrame(asked)
    trials = pd.DataFrame(columns, index=range(n)).astype(dict.fromkeys(FACTORS, object))
    trials[list(table.columns)] = table
    trials["learning_rate"] = table["learning_rate"].astype(float).fillna(0.01)
    trials = trials.assign(study="large", status="finished", stack="")
    for name in ("val_accuracy", "test_accuracy", "val_loss", "train_accuracy"):
        trials[name] = rng.uniform(0.5, 0.9, n)
    curves = pd.DataFrame(dict.fromkeys(CURVES, np.nan), index=range(n * EVALUATIONS))
    steps = np.tile(np.arange(EVALUATIONS) * 10, n)
    codes = np.repeat(np.arange(n), EVALUATIONS)
    curves["trial"] = pd.Categorical.from_codes(codes, categories=table["trial"])
    curves = curves.assign(step=steps, epoch=steps / 10)
    curves["val_accuracy"] = rng.uniform(0.3, 0.4, len(curves)) + steps / 200
    empty = [pd.DataFrame(columns=list(c)) for c in (PICTURES, POINTS, STACKS)]
    tasks = [
        {"name": f"task{t}", "kind": "classification", "response": "test_accuracy", "chance": 0.25}
        for t in range(TASKS)
    ]
    study = {
        "name": "large",
        "tasks": tasks,
        "factors": [{"name": name, "levels": levels} for name, levels in LEVELS.items()],
        "baseline": {name: levels[0] for name, levels in LEVELS.items()},
        "learning_rates": {"by": None, "values": {"": []}, "source": None},
        "cells": [
            {"task": task["name"], **cell, "same_as": None} for task in tasks for cell in cells
        ],
        "trials": asked,
        "claims": [CLAIM],
    }
    return StudyResults(study, trials, curves, *empty)


def every_estimate(results):
    """Seconds that each of them takes over all tasks."""
    taken = {}

    def timed(name, function, *rest):
        start = perf_counter()
        result = function(*rest)
        taken[name] = taken.get(name, 0.0) + perf_counter() - start
        return result

    for task in (task["name"] for task in results.study["tasks"]):
        for function in (
            *(effects.cell_table, effects.contrasts, effects.simple_effects, factors.main_effects),
            *(factors.marginal_means, factors.interaction_effects, factors.anova),
            *(factors.depends_on, rate_sensitivity, tuning.best_of_rates, tuning.inclusions),
        ):
            timed(function.__name__, function, results, task)
        timed("learning_curves", learning_curves, results, task, "val_accuracy")
        target = timed("target_of", target_of, results, task)
        timed("steps_to_target", steps_to_target, results, task, target)
    pool = timed("pool_of", across.pool_of, results)
    timed("summary", across.summary, pool)
    timed("race_of", across.race_of, results, pool)
    timed("judge", judge, results)
    return taken


@pytest.mark.slow
def test_every_estimate_of_a_large_study_takes_20_seconds_and_1_gigabyte():
    """In a process of its own, so that its peak memory is its own."""
    found = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=True, timeout=300
    )
    seconds, megabytes = map(float, found.stdout.split()[-2:])
    assert seconds <= 20, found.stdout
    assert megabytes <= 1000, found.stdout


def peak_kilobytes():
    """Of this program; where there is no /proc, perhaps that of the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(status.read_text().split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    large = large_study()
    assert (len(large.trials), len(large.curves)) == (100_000, 1_000_000)
    spent = every_estimate(large)
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{name:20} {seconds:6.2f} s")
    peak = peak_kilobytes() / 1e3
    print(f"{sum(spent.values()):.2f} {peak:.0f}")
