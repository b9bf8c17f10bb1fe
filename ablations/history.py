"""What the evaluations of a stack have shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ablations.columns import MEASURES
from ablations.compaction import compacted
from ablations.evaluation import Sample, by_block
from ablations.layers import EVALUATION
from ablations.measures import curve_area, curve_noise, parameter_error
from ablations.network import stacked_forward, view_values
from ablations.outcome import Outcome, Row
from ablations.pictures import (
    PROBES,
    confusion_picture,
    function_picture,
    probe_picture,
    training_points,
)
from ablations.regularisation import penalty_strengths
from ablations.stacking import Member, Stack
from ablations.state import CURVE_EXAMPLES, Training, curve_stride, whole_vectors
from ablations.tasks.generated import TRUTHS
from ablations.tasks.task import Part

MOMENTS = 12  # pictures of one trial
SMALL_WEIGHT = 1e-3  # below this a weight counts as sparse


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """Steps after which a stack is evaluated: evenly spaced, the last one included."""
    return sorted({round(steps * k / evaluations) for k in range(1, evaluations + 1)} - {0})


class History:
    """What the evaluations of a stack have shown, trial by trial."""

    def __init__(
        self, training: Training, stack: Stack, members: Sequence[Member], steps: list[int]
    ) -> None:
        self.training, self.stack, self.members, self.steps = training, stack, members, steps
        count = len(members)  # the spare copies at the end of the stack have no history
        self.current = training  # the stack of those that are still trained
        self.watched = _watched(training)
        self.places = list(range(count))  # which trial each of its rows is, its spares aside
        self.classify = training.task.classes > 0
        self.measure = "accuracy" if self.classify else "r2"
        self.gradient_norm: Tensor | None = None
        self.gradients: tuple[Tensor, Tensor] | None = None  # of the first and last layer, at once
        self.curves: list[list[Row]] = [[] for _ in range(count)]
        self.diverged = [False] * count
        self.stopped_at: list[int | None] = [None] * count
        self.best_loss = [math.inf] * count
        self.best_step = [0] * count
        self.waited = [0] * count
        self.pictures: list[Row] = []
        self.evaluated = 0  # the last step after which there was an evaluation
        moments = min(MOMENTS, len(steps) + 1)
        every = [0, *steps]
        self.moments = {every[round(k * len(steps) / max(moments - 1, 1))] for k in range(moments)}
        stopping = training.cell.regularisation.name == "early_stopping"
        settings = training.cell.settings("regularisation")
        self.patience = int(settings["patience"]) if stopping else None
        self.best = training.values.flat.clone(), training.values.buffers.clone()

    def evaluate(self, step: int) -> bool:
        """Record one point of every curve; False when no trial is left to train."""
        training, watched = self.current, self.watched
        with torch.no_grad():
            columns = [
                *watched["train"].measure(),
                *watched["val"].measure(),
                (training.trained * 0).sum(1).isfinite().double(),  # infinity * 0 is NaN
            ]
            if self.gradient_norm is not None:
                columns.append(self.gradient_norm.double())
                if training.running is not None:
                    columns.append(training.running / (step - self.evaluated))
                    training.running.zero_()
            self.evaluated = step
            numbers = torch.stack(columns).tolist()  # the one moment that waits for the device
        has_val = watched["val"].rows.shape[1] > 0
        train_loss, train_score, val_loss, val_score, sound, *norm = numbers
        for k, m in enumerate(self.places):
            if self._has_ended(m):
                continue
            finite = sound[k] == 1 and math.isfinite(train_loss[k])
            if not finite or (has_val and not math.isfinite(val_loss[k])):
                self.diverged[m] = True
                continue
            self.curves[m].append(
                {
                    "trial": self.members[m].name,
                    "step": step,
                    "epoch": self._epoch(step),
                    "train_loss": train_loss[k],
                    "val_loss": val_loss[k] if has_val else None,
                    f"train_{self.measure}": _finite(train_score[k]),
                    f"val_{self.measure}": _finite(val_score[k]) if has_val else None,
                    "gradient_norm": _finite(norm[0][k]) if norm else None,
                }
            )
            if len(norm) > 1:
                self.curves[m][-1]["running_loss"] = _finite(norm[1][k])
            if m == 0 and self.stack.pictures and step in self.moments:
                self._draw(step)  # while it is trained, so that company changes nothing
            if self.patience is not None:
                self._watch(m, k, step, val_loss[k])
        return not all(map(self._has_ended, self.places))

    def _has_ended(self, m: int) -> bool:
        return self.diverged[m] or self.stopped_at[m] is not None

    def left(self) -> Tensor:
        """The rows of the stack whose trials have not ended, and its spares, (K,)."""
        rows = [k for k, m in enumerate(self.places) if not self._has_ended(m)]
        spares = range(len(self.places), len(self.current.seed_of))
        return torch.tensor([*rows, *spares], device=self.current.seed_of.device)

    def compact(self, rows: Tensor) -> Training:
        """Go on with some rows of the stack; what the others have come to is kept."""
        self._keep()
        self.current = compacted(self.current, rows)
        self.watched = _watched(self.current)
        spares = self.training.layout.spares
        self.places = [self.places[k] for k in rows[: len(rows) - spares].tolist()]
        return self.current

    def _keep(self) -> None:
        """Copy the values of a smaller stack to their places in the whole one."""
        if self.current is not self.training:
            values, count = self.current.values, len(self.places)
            self.training.values.flat[self.places] = values.flat[:count]
            self.training.values.buffers[self.places] = values.buffers[:count]

    def _epoch(self, step: int) -> float:
        size = self.training.minibatch
        count = self.training.train_rows.shape[1]
        return float(step) if size is None else step / -(-count // size)

    def _watch(self, m: int, k: int, step: int, loss: float) -> None:
        """Early stopping: remember the best weights, stop after `patience` worse evaluations."""
        values = self.current.values
        if loss < self.best_loss[m]:
            self.best_loss[m], self.best_step[m], self.waited[m] = loss, step, 0
            self.best[0][m], self.best[1][m] = values.flat[k].detach(), values.buffers[k]
            return
        self.waited[m] += 1
        if self.waited[m] >= (self.patience or 0):
            self.stopped_at[m] = step

    def _draw(self, step: int) -> None:
        if self.members[0].seed != 0:
            return
        picture = function_picture(self.training.task, self._first_outputs)
        if step < self.steps[-1]:  # at the end it is drawn from all examples, and the best weights
            picture = picture or self._confusion_picture(CURVE_EXAMPLES)
        if picture:
            self.pictures.append({"trial": self.members[0].name, "step": step, **picture})

    def _first_outputs(self, x: Tensor) -> Tensor:
        """Outputs (N, C) of the first trial, while it has not ended, on (N, *input_shape)."""
        values = self.current.values
        first = view_values(self.training.network, values.flat[:1], values.buffers[:1])
        with torch.no_grad():
            return stacked_forward(self.training.network, first, x.unsqueeze(0), EVALUATION)[0].T

    def outcome(self, steps: int) -> Outcome:
        """The rows of the stack, described at the last step or, with early stopping, the best."""
        training = self.training
        self._keep()
        self.current = training
        if self.patience is not None:
            with torch.no_grad():
                training.values.flat.copy_(self.best[0])
                training.values.buffers.copy_(self.best[1])
        final = self.stack.stage == "final"
        parts: dict[str, Tensor] = {"train": training.train_rows, "val": training.task.parts["val"]}
        if final:
            parts["test"] = training.task.parts["test"]
        columns: dict[str, list[float]] = {}
        with torch.no_grad():
            for part, rows in parts.items():
                if rows.shape[1]:
                    loss, score = Sample(training, rows).measure()
                    columns[f"{part}_loss"] = loss.tolist()
                    columns[f"{part}_{self.measure}"] = score.tolist()
            weights = training.mask.sum()
            small = (training.values.flat.abs() < SMALL_WEIGHT) & (training.mask > 0)
            columns["sparsity"] = (small.sum(1).double() / weights).tolist()
            if final:
                self._describe(columns)
        rows_out = [self._row(m, columns, steps) for m in range(len(self.members))]
        outcome = Outcome(rows_out, [row for curve in self.curves for row in curve], self.pictures)
        if final:
            self._probe(outcome, steps)
        if self.stack.pictures and self.members[0].seed == 0:
            self._confusion(outcome, steps)
            outcome.points = training_points(training.task, training.train_rows)
        return outcome

    def _describe(self, columns: dict[str, list[float]]) -> None:
        """What else can be said of the trained networks: see `measures`."""
        training = self.training
        stride = curve_stride(training.train_rows.shape[1])
        rows = whole_vectors(training.train_rows[:, ::stride])[training.seed_of]
        x = training.task.inputs_of(rows, training.seed_of)
        found = by_block(training, x)
        if self.gradients is not None:
            found["first_gradient"], found["last_gradient"] = self.gradients
        if training.truth is not None:
            found["parameter_error"] = parameter_error(
                training.task, training.truth, training.values, training.seed_of
            )
        columns |= {name: found[name].tolist() for name in MEASURES if name in found}
        l1, l2 = penalty_strengths(training.cell)
        if l1 or l2:
            penalty = (l1 * found["weight_sum"] + l2 / 2 * found["weight_norm"].square()).tolist()
            added = zip(columns["train_loss"], penalty, strict=True)
            columns["penalised_loss"] = [loss + more for loss, more in added]
        if f"test_{self.measure}" in columns:
            scores = zip(
                columns[f"train_{self.measure}"], columns[f"test_{self.measure}"], strict=True
            )
            columns["gap"] = [train - test for train, test in scores]

    def _row(self, m: int, columns: dict[str, list[float]], steps: int) -> Row:
        member = self.members[m]
        row: Row = {
            "trial": member.name,
            "seed": member.seed,
            "learning_rate": member.learning_rate,
            "status": "diverged" if self.diverged[m] else "finished",
            "parameters": self.training.parameters,
        }
        if self.diverged[m]:
            return row
        last = self.stopped_at[m] or steps
        row |= {name: _finite(values[m]) for name, values in columns.items()}
        if self.stack.stage == "final":
            losses = [point["train_loss"] for point in self.curves[m]]
            area = curve_area([point["step"] for point in self.curves[m]], losses)
            row |= {"curve_area": area, "curve_noise": curve_noise(losses)}
        row |= {"steps": last, "best_step": self.best_step[m] if self.patience else last}
        return row

    def _probe(self, outcome: Outcome, steps: int) -> None:
        """What every trial has made of a function that is known."""
        training, task = self.training, self.training.task
        truth = TRUTHS.get(task.name)
        if truth is None:
            return
        x = torch.linspace(-1, 1, PROBES, dtype=task.inputs.dtype, device=task.inputs.device)
        shift, scale = (t[training.seed_of] for t in (task.shift, task.scale))  # (M, 1)
        with torch.no_grad():
            inputs = ((x - shift) / scale).unsqueeze(2)  # (M, N, 1)
            outputs = stacked_forward(training.network, training.values, inputs, EVALUATION)[:, 0]
        unit, middle = (t[training.seed_of] for t in (task.target_scale, task.target_shift))
        fitted, true = (outputs * unit.unsqueeze(1) + middle.unsqueeze(1)).cpu(), truth(x).cpu()
        for m, member in enumerate(self.members):
            if not self.diverged[m]:
                picture = probe_picture(fitted[m], true)
                outcome.pictures.append({"trial": member.name, "step": steps, **picture})

    def _confusion(self, outcome: Outcome, steps: int) -> None:
        picture = None if self.diverged[0] else self._confusion_picture()
        if picture is not None:
            outcome.pictures.append({"trial": self.members[0].name, "step": steps, **picture})

    def _confusion_picture(self, most: int | None = None) -> Row | None:
        """Which images of the test part the first trial takes for which, of `most` at most."""
        task = self.training.task
        rows = task.parts["test"][:1]
        if not (self.classify and len(task.input_shape) == 3 and rows.shape[1]):
            return None
        x, y = task.take(rows[:, :: -(-rows.shape[1] // (most or rows.shape[1]))])
        return confusion_picture(self._first_outputs(x[0]), y[0])


def _watched(training: Training) -> dict[Part, Sample]:
    """What learning curves are measured on."""
    rows = training.train_rows[:, :: curve_stride(training.train_rows.shape[1])]
    return {"train": Sample(training, rows), "val": Sample(training, training.task.parts["val"])}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
