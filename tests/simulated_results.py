"""A complete, plausible results folder made of numbers drawn from a seed, for tests of the report.

`python tests/simulated_results.py FOLDER` writes one; nothing is trained. Four studies ask one
question each, a fifth crosses five factors; a few trials diverge, one fails and one is missing.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BASELINE = {
    "activation": "relu",
    "optimizer": "adam",
    "depth": "2",
    "width": "32",
    "residual": "false",
    "network": "mlp",
    "pooling": "max",
    "init": "default",
    "norm": "none",
    "regularisation": "none",
    "loss": "default",
    "minibatch": "full",
    "train_size": "all",
    "schedule": "constant",
    "augmentation": "none",
}
RESPONSES = [
    f"{part}_{name}" for name in ("loss", "accuracy", "r2") for part in ("train", "val", "test")
]
TRIAL_COLUMNS = [
    *["trial", "study", "task", "stage", "seed"],
    *BASELINE,
    *["learning_rate", "status"],
    *RESPONSES,
    *["best_step", "steps", "parameters", "sparsity", "stack"],
]
CURVE_COLUMNS = [
    *["trial", "step", "epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy"],
    *["train_r2", "val_r2", "gradient_norm"],
]
PICTURE_COLUMNS = ["trial", "kind", "step", "shape", "range", "classes", "values"]
STACK_COLUMNS = [
    *["stack", "task", "stage", "cell", "trials", "way", "worker", "attempt", "seconds"]
]
TASKS: dict[str, dict[str, Any]] = {
    "spiral": {
        "family": "spiral",
        "kind": "classification",
        "settings": {"points": 100, "arms": 3, "noise": 0.2},
        "inputs": 2,
        "outputs": 3,
        "examples": {"train": 180, "val": 60, "test": 60},
        "response": "test_accuracy",
        "chance": 1 / 3,
    },
    "wave": {
        "family": "regression",
        "kind": "regression",
        "settings": {"points": 200, "noise": 0.1},
        "inputs": 1,
        "outputs": 1,
        "examples": {"train": 120, "val": 40, "test": 40},
        "response": "test_r2",
        "chance": 0.0,
    },
    "digits": {
        "family": "images",
        "kind": "classification",
        "settings": {"size": 8},
        "inputs": 64,
        "outputs": 10,
        "examples": {"train": 1078, "val": 359, "test": 360},
        "response": "test_accuracy",
        "chance": 0.1,
    },
    "diabetes": {
        "family": "regression",
        "kind": "regression",
        "settings": {},
        "inputs": 10,
        "outputs": 1,
        "examples": {"train": 265, "val": 88, "test": 89},
        "response": "test_r2",
        "chance": 0.0,
    },
}
CEILING = {"spiral": 0.96, "wave": 0.93, "digits": 0.972, "diabetes": 0.46}
SPREAD = {"spiral": 0.022, "wave": 0.018, "digits": 0.006, "diabetes": 0.05}
REACH = {"spiral": 0.42, "wave": 0.6, "digits": 0.05, "diabetes": 0.04}  # what a level can cost
LOSS_OF_LEVEL = {  # share of the reach that a level gives away
    "identity": 1.0,
    "sigmoid": 0.35,
    "hardshrink": 0.22,
    "prelu": 0.02,
    "elu": 0.06,
    "gelu": 0.03,
    "tanh": -0.06,
    "leaky_relu(negative_slope=0.2)": 0.0,
    "sgd": 0.30,
    "momentum": 0.06,
    "rmsprop": 0.04,
    "adamw": 0.0,
    "adagrad": 0.12,
    "l1": 0.05,
    "weight_decay": 0.0,
    "dropout(rate=0.3)": 0.13,
    "batch_norm": -0.02,
    "early_stopping": 0.04,
    "label_smoothing": 0.01,
}
BEST_RATE = {"sgd": 0.3, "momentum": 0.1, "adagrad": 0.1, "rmsprop": 0.003}
STEPS, EVALUATIONS = 400, 20


@dataclass(frozen=True, slots=True)
class Plan:
    """One simulated study: its question, factors and rates, before any number is drawn."""

    name: str
    question: str
    factors: dict[str, tuple[str, ...]]
    rates: dict[str, list[float]]
    by: str | None = None
    source: str | None = None
    design: str = "full-factorial"
    seeds: int = 10
    tasks: tuple[str, ...] = ("spiral", "wave", "digits")
    response: str | None = None
    claims: tuple[dict[str, Any], ...] = ()
    published: tuple[dict[str, Any], ...] = ()


LINEAR = {
    "statement": "Without an activation a network stays linear, however deep",
    "task": "spiral",
    "response": "test_accuracy",
    "better": {"activation": "relu"},
    "worse": {"activation": "identity"},
    "by": 0.1,
    "because": "a composition of affine maps is affine",
    "expected": "supported",
}
WIDER = {
    "statement": "The wider, the better",
    "trend": {"factor": "width", "direction": "rises"},
    "because": "more units draw more kinks",
}
LEARNED = {"id": "K1", "cell": {}, "task": "spiral", "response": "test_accuracy"}


def plans() -> tuple[Plan, ...]:
    """The five studies of the simulated core group."""
    adam = [0.0003, 0.001, 0.003, 0.01, 0.03]
    sgd = [0.01, 0.03, 0.1, 0.3, 1.0]
    rates = {"adam": adam, "sgd": sgd, "momentum": [rate / 10 for rate in sgd]}
    activations = ("identity", "sigmoid", "tanh", "elu", "gelu", "prelu", "hardshrink")
    penalties = ("l1", "weight_decay", "dropout(rate=0.3)", "batch_norm", "early_stopping")
    return (
        Plan(
            "activation",
            "Which activation function learns best, and does the answer depend on the task?",
            {"activation": ("relu", *activations, "leaky_relu(negative_slope=0.2)")},
            {"": adam},
            claims=(LINEAR,),
            published=({**LEARNED, "values": [0.96], "source": "the simulation's ceiling"},),
        ),
        Plan(
            "optimizer",
            "Which optimizer wins when each may choose its own learning rate?",
            {"optimizer": ("adam", "sgd", "momentum", "adagrad", "rmsprop", "adamw")},
            {**rates, "adagrad": sgd, "rmsprop": adam, "adamw": adam},
            by="optimizer",
            tasks=("spiral", "wave", "digits", "diabetes"),
        ),
        Plan(
            "depth-width",
            "How deep and how wide must a network be, and can one replace the other?",
            {"depth": ("2", "0", "1", "4"), "width": ("32", "4", "8", "128")},
            {"": adam[1:4]},
            claims=(WIDER,),
        ),
        Plan(
            "regularisation",
            "Does any regulariser help when data are few?",
            {"regularisation": ("none", *penalties, "label_smoothing")},
            {"": adam[1:4]},
            design="leave-one-out",
            tasks=("spiral", "digits", "diabetes"),
        ),
        Plan(
            "crossed",
            "Which factors matter, and which choices depend on one another?",
            {
                "activation": ("relu", "tanh", "gelu"),
                "optimizer": ("adam", "sgd"),
                "depth": ("2", "1"),
                "width": ("32", "8"),
                "regularisation": ("none", "weight_decay", "dropout(rate=0.3)", "batch_norm"),
            },
            {"adam": [0.003], "sgd": [0.3]},
            by="optimizer",
            source="optimizer",
            seeds=5,
        ),
    )


def loss_of(cell: dict[str, str], task: str) -> float:
    """How much of the ceiling a cell gives away before any noise."""
    share = sum(LOSS_OF_LEVEL.get(level, 0.0) for level in cell.values())
    depth, width = int(cell.get("depth", "2")), int(cell.get("width", "32"))
    share += {0: 1.0, 1: 0.18, 2: 0.0}.get(depth, 0.03)
    share += 0.0 if depth == 0 else 0.5 / (1 + width / 5) - 0.5 / (1 + 32 / 5)
    if cell.get("optimizer") == "sgd" and cell.get("activation") == "tanh":
        share -= 0.2  # an interaction to be found
    if task == "diabetes":
        share = 0.4 * share - (0.3 if cell.get("regularisation") in ("l1", "weight_decay") else 0)
    return REACH[task] * min(share, 1.1)


def penalty(rate: float, best: float, task: str) -> float:
    """What a learning rate away from its optimum costs; quadratic in decades."""
    return 0.25 * REACH[task] * float(np.log10(rate / best)) ** 2


def diverges(cell: dict[str, str], rate: float) -> bool:
    """Whether this rate blows the simulated cell up."""
    best = BEST_RATE.get(cell.get("optimizer", "adam"), 0.004)
    return rate > 2.9 * best and cell.get("optimizer") in ("sgd", "momentum", "rmsprop")


def cells_of(plan: Plan, task: str) -> list[dict[str, Any]]:
    """Every cell of a plan on one task; depth 0 is the same network at any width."""
    cells = []
    for levels in product(*plan.factors.values()):
        cell: dict[str, Any] = dict(zip(plan.factors, levels, strict=True))
        same = cell.get("depth") == "0" and cell["width"] != plan.factors["width"][0]
        first = {**cell, "width": plan.factors["width"][0]} if same else None
        cells.append({"task": task, **cell, "same_as": first})
    return cells


def trials_of(plan: Plan) -> Iterator[dict[str, Any]]:
    """Every trial expected, in the order of study.json."""
    for task in plan.tasks:
        for cell in cells_of(plan, task):
            if cell["same_as"]:
                continue
            levels = {name: cell[name] for name in plan.factors}
            rates = plan.rates[levels[plan.by] if plan.by else ""]
            path = "/".join([task, ",".join(f"{k}={v}" for k, v in levels.items())])
            base = {"task": task, **levels}
            if len(rates) > 1:
                for rate, seed in product(rates, range(2)):
                    name = f"{path}/tuning/learning_rate={rate}/seed={seed}"
                    yield {"trial": name, "stage": "tuning", "seed": seed, **base} | {
                        "learning_rate": rate
                    }
            for seed in range(2, 2 + plan.seeds):
                name = f"{path}/final/seed={seed}"
                yield {"trial": name, "stage": "final", "seed": seed, **base} | {
                    "learning_rate": None
                }


def simulate(plan: Plan, rng: np.random.Generator) -> pd.DataFrame:
    """One row per trial that left a record, with the columns of trials.csv."""
    blocks = {(t, s): rng.normal() for t in plan.tasks for s in range(40)}
    chosen: dict[tuple[str, ...], tuple[float, float]] = {}
    rows = []
    for trial in trials_of(plan):
        cell = {name: trial[name] for name in plan.factors}
        key = (trial["task"], *cell.values())
        best = BEST_RATE.get(cell.get("optimizer", "adam"), 0.004)
        rate = trial["learning_rate"] or chosen.get(key, (0.0, best))[1]
        if trial["stage"] == "final" and key not in chosen:
            rate = plan.rates[cell[plan.by] if plan.by else ""][0]
        score = score_of(cell, trial, rate, blocks=blocks, rng=rng)
        status = "diverged" if diverges(cell, rate) else "finished"
        if trial["stage"] == "tuning" and status == "finished":
            chosen[key] = max(chosen.get(key, (-9.0, rate)), (score, rate))
        rows.append(row_of(plan, trial, cell, rate=rate, score=score, status=status, rng=rng))
    return pd.DataFrame(rows, columns=TRIAL_COLUMNS)


def score_of(
    cell: dict[str, str],
    trial: dict[str, Any],
    rate: float,
    *,
    blocks: dict[tuple[str, int], float],
    rng: np.random.Generator,
) -> float:
    """The response of one trial: ceiling, less what its levels and rate cost, plus noise."""
    task = trial["task"]
    best = BEST_RATE.get(cell.get("optimizer", "adam"), 0.004)
    noise = 0.8 * blocks[task, trial["seed"]] + 0.6 * rng.normal()
    value = CEILING[task] - loss_of(cell, task) - penalty(rate, best, task) + SPREAD[task] * noise
    examples = TASKS[task]["examples"]["test"]
    if TASKS[task]["kind"] == "regression":
        return value
    return float(np.round(np.clip(value, TASKS[task]["chance"], 1.0) * examples) / examples)


def row_of(
    plan: Plan,
    trial: dict[str, Any],
    cell: dict[str, str],
    *,
    rate: float,
    score: float,
    status: str,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """One line of trials.csv."""
    task, stage = trial["task"], trial["stage"]
    name = "accuracy" if TASKS[task]["kind"] == "classification" else "r2"
    row = {**BASELINE, **cell, "trial": trial["trial"], "study": plan.name, "task": task}
    row |= {"stage": stage, "seed": trial["seed"], "learning_rate": rate, "status": status}
    row |= {"stack": f"{task}-{trial['seed'] % 2}", "parameters": 1200}
    if status != "finished":
        return row
    loss = float(max(0.02, 1.1 - score + 0.02 * rng.normal()))
    row |= {f"train_{name}": min(1.0, score + 0.01), f"val_{name}": score - 0.003}
    row |= {"train_loss": loss * 0.9, "val_loss": loss, "best_step": STEPS, "steps": STEPS}
    if stage == "final":
        row |= {f"test_{name}": score, "test_loss": loss * 1.02}
    return row


def curves_of(trials: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One row per trial and evaluation, falling towards the trial's last value."""
    steps = np.linspace(0, STEPS, EVALUATIONS + 1).astype(int)
    parts = []
    for row in trials.itertuples():
        classes = not np.isnan(row.val_accuracy) or row.task in ("spiral", "digits")
        final_loss = row.val_loss if row.status == "finished" else 2.0
        final = row.val_accuracy if classes else row.val_r2
        final = final if row.status == "finished" else TASKS[row.task]["chance"]
        start = TASKS[row.task]["chance"]
        progress = 1 - np.exp(-steps / (60 + 40 * (1 - final)))
        kept = len(steps) if row.status == "finished" else 4
        value = start + (final - start) * progress + 0.006 * rng.normal(size=len(steps))
        loss = 1.2 + (final_loss - 1.2) * progress
        name = "accuracy" if classes else "r2"
        part = pd.DataFrame({"step": steps, "epoch": steps / 1.0, "val_loss": loss})
        part["train_loss"] = 0.9 * loss
        part[f"val_{name}"], part[f"train_{name}"] = value, value + 0.005
        part["gradient_norm"] = np.where(steps == 0, np.nan, 2 * np.exp(-steps / 200))
        part.insert(0, "trial", row.trial)
        parts.append(part.iloc[:kept])
    return pd.concat(parts).reindex(columns=CURVE_COLUMNS)


def encode(values: np.ndarray) -> str:
    """Unsigned bytes as the text that pictures.csv holds."""
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def region(quality: float, size: int = 48) -> str:
    """Decision regions that lie between straight sectors (0) and spiral arms (1)."""
    axis = np.linspace(-1.2, 1.2, size)
    x, y = np.meshgrid(axis, axis)
    turn = np.arctan2(x, y) - quality * 4.2 * np.hypot(x, y)
    logits = np.stack([np.cos(turn - 2 * np.pi * c / 3 - 0.7) for c in range(3)])
    weights = np.exp(4 * quality * logits + 0.5 * logits)
    p = weights / weights.sum(axis=0)
    band = 256 // 3
    shade = (p.max(axis=0) - 1 / 3) / (2 / 3) * (band - 1)
    return encode(p.argmax(axis=0) * band + np.clip(shade, 0, band - 1))


def wave(x: np.ndarray) -> np.ndarray:
    """The function that the simulated regression task hides."""
    return np.asarray(np.sin(3 * x) + 0.4 * x)


def fitted_curve(quality: float) -> str:
    """A fit between a straight line (0) and the true wave (1), as bytes over -3..3."""
    x = np.linspace(-2, 2, 192)
    fit = quality * wave(x) + (1 - quality) * 0.4 * x
    return encode(np.clip((fit + 3) / 6 * 255, 0, 255))


def confusion(quality: float, rng: np.random.Generator, classes: int = 10) -> str:
    """Row-normalised confusion: the diagonal holds the share that is right."""
    share = rng.gamma(0.25, size=(classes, classes)) + 0.01
    share[3, 8], share[1, 8], share[9, 4] = 4, 3, 2
    np.fill_diagonal(share, 0)
    share *= (1 - quality) / share.sum(axis=1, keepdims=True)
    np.fill_diagonal(share, quality)
    return encode(255 * share)


def pictures_of(trials: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """First seed of each cell at three moments; confusion only at the last step."""
    rows = []
    finals = trials[(trials["stage"] == "final") & (trials["status"] == "finished")]
    for row in finals[finals["seed"] == 2].itertuples():
        score = row.test_accuracy if row.task != "wave" else row.test_r2
        for step in (0, 100, STEPS):
            if row.task == "spiral":
                quality = max(0.0, (score - 0.5) / 0.46) * step / STEPS
                span = "-1.2,1.2,-1.2,1.2"
                rows.append([row.trial, "region", step, "48x48", span, 3, region(quality)])
            if row.task == "wave":
                quality = max(0.0, score) * step / STEPS
                rows.append(
                    [row.trial, "curve", step, "1x192", "-2,2,-3,3", "", fitted_curve(quality)]
                )
        if row.task == "digits":
            rows.append([row.trial, "confusion", STEPS, "10x10", "0,1", 10, confusion(score, rng)])
    return pd.DataFrame(rows, columns=PICTURE_COLUMNS)


def points_of(tasks: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    """Training points of the first seed, for the tasks that can be drawn."""
    parts = []
    if "spiral" in tasks:
        label, radius = np.repeat(np.arange(3), 60), np.tile(np.linspace(0.02, 1, 60), 3)
        angle = 2 * np.pi * label / 3 + 0.7 + 4.2 * radius + 0.2 * rng.normal(size=180)
        x, y = radius * np.sin(angle), radius * np.cos(angle)
        parts.append(pd.DataFrame({"task": "spiral", "x": x, "y": y, "label": label}))
    if "wave" in tasks:
        x = np.sort(rng.uniform(-2, 2, 120))
        y = wave(x) + 0.1 * rng.normal(size=120)
        parts.append(pd.DataFrame({"task": "wave", "x": x, "y": y}))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    return frame.reindex(columns=["task", "x", "y", "label"])


def stacks_of(trials: pd.DataFrame) -> pd.DataFrame:
    """What the clock said: one row per stack."""
    counts = trials.groupby(["stack", "task", "stage"]).size().reset_index(name="trials")
    counts["cell"], counts["way"], counts["worker"] = "", "stacked", 0
    counts["attempt"], counts["seconds"] = 1, 1.5
    return counts.reindex(columns=STACK_COLUMNS)


def study_json(plan: Plan, profile: str) -> dict[str, Any]:
    """The resolved study, as the contract has it."""
    tasks = []
    for name in plan.tasks:
        task = {"name": name, **TASKS[name], "input_shape": [TASKS[name]["inputs"]]}
        tasks.append(task | ({"response": plan.response} if plan.response else {}))
    factors = [{"name": name, "levels": list(levels)} for name, levels in plan.factors.items()]
    rates = {"by": plan.by, "values": plan.rates, "source": plan.source}
    first = {name: levels[0] for name, levels in plan.factors.items()}
    return {
        "schema": 1,
        "name": plan.name,
        "group": "core",
        "question": plan.question,
        "design": plan.design,
        "profile": profile,
        "device": "cpu",
        "dtype": "float32",
        "tasks": tasks,
        "factors": factors,
        "baseline": {**BASELINE, **first},
        "learning_rates": rates,
        "fixed": {"steps": STEPS, "evaluations": EVALUATIONS},
        "seeds": plan.seeds,
        "tuning_seeds": 2,
        "claims": list(plan.claims),
        "published": list(plan.published),
        "cells": [cell for task in plan.tasks for cell in cells_of(plan, task)],
        "trials": list(trials_of(plan)),
    }


def machine_json(names: Sequence[str], profile: str) -> dict[str, Any]:
    """Where it ran, as the contract has it."""
    return {
        "schema": 1,
        "created": "2026-11-21T10:00:00+00:00",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "python": "3.11.7",
        "torch": "2.13.0+cpu",
        "platform": "Linux-6.1-x86_64",
        "cpu": "AMD EPYC 7B13",
        "cores": 2,
        "gpu": None,
        "threads": 1,
        "packages": {"numpy": "2.4.6", "pandas": "3.1.0"},
        "command": "python -m ablations run --study core",
        "studies": {name: {"seconds": 31.2, "profile": profile} for name in names},
    }


def timings(rng: np.random.Generator, samples: int = 30) -> pd.DataFrame:
    """Samples of a training step for levels of three factors, and an A/A pair."""
    medians = {
        **{("activation", level): 1.0 for level in ("identity", "leaky_relu")},
        **{("activation", level): 1.0 + 0.1 * i for i, level in enumerate(("tanh", "gelu"), 1)},
        **{("optimizer", level): s for level, s in (("sgd", 0.82), ("momentum", 0.9))},
        **{("depth", level): s for level, s in (("0", 0.4), ("1", 0.7), ("4", 1.62))},
    }
    rows: list[dict[str, Any]] = []
    for task, mode in product(("spiral", "digits"), ("training step", "inference")):
        base = (0.0004 if task == "spiral" else 0.0011) * (1 if mode == "training step" else 0.2)
        named: list[tuple[str, dict[str, str], float]] = [(f"{task}/baseline", {}, 1.0)]
        named.append((f"{task}/baseline (again)", {}, 1.0))
        named += [(f"{task}/{f}={v}", {f: v}, scale) for (f, v), scale in medians.items()]
        for (name, levels, scale), k in product(named, range(samples)):
            seconds = 20 * base * scale * np.exp(0.04 * rng.normal())
            row = {"workload": name, "task": task, **BASELINE, **levels, "device": "cpu"}
            row |= {"mode": mode, "threads": 1, "dtype": "float32", "process": k % 3}
            rows.append(
                row | {"round": k // 3, "order": k, "iterations": 20, "seconds": float(seconds)}
            )
    return pd.DataFrame(rows)


def spoil(trials: pd.DataFrame) -> pd.DataFrame:
    """One failed trial and one that left no row, as any real folder has sooner or later."""
    finals = trials.index[trials["stage"] == "final"]
    failed, missing = finals[3], finals[-2]
    trials.loc[failed, "status"] = "failed"
    trials.loc[failed, [*RESPONSES, "best_step", "steps"]] = np.nan
    return trials.drop(index=missing)


def rename(plan: Plan, names: Callable[[str], str]) -> Plan:
    """The same plan with its levels renamed, for tests of hostile names."""
    factors = {f: tuple(names(level) for level in levels) for f, levels in plan.factors.items()}
    rates = {names(key) if plan.by else key: values for key, values in plan.rates.items()}
    return replace(plan, factors=factors, rates=rates)


def write_study(
    folder: Path, plan: Plan, *, rng: np.random.Generator, profile: str, spoiled: bool
) -> None:
    """Write one study's files below `folder`."""
    trials = simulate(plan, rng)
    trials = spoil(trials) if spoiled else trials
    target = folder / plan.name
    target.mkdir(parents=True, exist_ok=True)
    target.joinpath("study.json").write_text(json.dumps(study_json(plan, profile), indent=1))
    trials.to_csv(target / "trials.csv", index=False)
    curves_of(trials, rng).to_csv(target / "curves.csv", index=False)
    pictures_of(trials, rng).to_csv(target / "pictures.csv", index=False)
    points_of(plan.tasks, rng).to_csv(target / "points.csv", index=False)
    stacks_of(trials).to_csv(target / "stacks.csv", index=False)


def write_results(
    folder: Path,
    *,
    seed: int = 1,
    profile: str = "standard",
    spoiled: tuple[str, ...] = ("activation",),
    studies: Sequence[Plan] | None = None,
) -> Path:
    """Write a whole results folder and return it.

    Args:
        seed: the same seed gives the same bytes.
        spoiled: names of the studies with one failed and one missing trial.
        studies: defaults to all of `plans()`.
    """
    rng = np.random.default_rng(seed)
    chosen = plans() if studies is None else tuple(studies)
    folder.mkdir(parents=True, exist_ok=True)
    for plan in chosen:
        write_study(folder, plan, rng=rng, profile=profile, spoiled=plan.name in spoiled)
    timings(rng).to_csv(folder / "timings.csv", index=False)
    machine = machine_json([plan.name for plan in chosen], profile)
    folder.joinpath("machine.json").write_text(json.dumps(machine, indent=1))
    return folder


if __name__ == "__main__":
    print(write_results(Path(sys.argv[1])))
