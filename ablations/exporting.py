"""A trained network as a file, and as a plain `nn.Module` again.

Records hold no weights: a trial's bytes do not depend on what it is trained beside, so it is
trained again alone, and must end where trials.csv says. The file is in the format of
`safetensors`, which holds tensors and text and runs nothing when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablations.design import Cell, DesignError, Study, canonical
from ablations.levels import FACTORS, suggest
from ablations.losses import accuracy, r2
from ablations.network import describe, plain_network
from ablations.records import RecordError
from ablations.running import at_their_looks, decided_stacks, find
from ablations.stacking import Member, Stack
from ablations.tasks import Task
from ablations.training import Trained, train_one

FORMAT = "1"
SAME = 1e-5  # of a score, or of 1 if that is more, between a stack and the plain module


class Standardised(nn.Module):
    """A network on raw inputs: scaled as its training data were, its outputs scaled back."""

    shift: Tensor
    scale: Tensor
    target_shift: Tensor
    target_scale: Tensor

    def __init__(self, network: nn.Module, channels: int, dimensions: int) -> None:
        super().__init__()
        self.network, self.dimensions = network, dimensions
        for name, size in (("shift", channels), ("scale", channels)):
            self.register_buffer(name, torch.ones(size))
        for name in ("target_shift", "target_scale"):
            self.register_buffer(name, torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Classes' scores or numbers of raw examples (N, *input_shape); pixels are from 0 to 1."""
        spread = (1, -1, *[1] * (self.dimensions - 1))
        outputs: Tensor = self.network((x - self.shift.view(spread)) / self.scale.view(spread))
        return outputs * self.target_scale + self.target_shift


def export(studies: Sequence[Study], results: Path, device: str, trial: str, file: Path) -> str:
    """Train a trial again, save its network, load it, and say how it scores on the test part.

    Raises:
        DesignError: there is no such finished trial.
        RecordError: it does not end where its record says, or the file cannot be written.
    """
    stack, member, row = _find(studies, results, device, trial)
    if stack.cell.network.name == "module":
        raise DesignError(
            f"{trial}: only its source can build a network of your own, no file; choose a trial "
            "of another network"
        )
    trained, task = train_one(stack, member, device=device)
    measure = "accuracy" if task.classes else "r2"
    part = "test" if f"test_{measure}" in trained.row else "train"
    column = f"{part}_{measure}"
    if device == "cpu" and trained.row[column] != row[column]:
        raise RecordError(
            f"{trial}: has {column} {trained.row[column]!r} when trained again, {row[column]!r} in "
            "its record; the results come from another version, run it again"
        )
    save(stack, trained, task, file)
    score = score_of(load(file), task, part)
    expected = float(trained.row[column])
    if abs(score - expected) > SAME * max(1.0, abs(expected)):
        file.unlink()
        raise RecordError(
            f"{file}: the saved network had {column} {score!r} when loaded, not {expected!r}, and "
            "was removed; its data may be too coarse for 32-bit numbers"
        )
    return f"{file}: {column} {score:.6g}, as in trials.csv; load it with ablations.exporting.load"


def _find(
    studies: Sequence[Study], results: Path, device: str, trial: str
) -> tuple[Stack, Member, dict[str, Any]]:
    found, names = find(studies, results, device), []
    for study in at_their_looks(found, studies):
        for stack in decided_stacks(found, study):
            payload = found[study.name].read(stack)
            rows = payload["outcome"]["rows"] if payload else []
            for member, row in zip(stack.members, rows, strict=False):
                if row["trial"] == trial and row["status"] == "finished":
                    return stack, member, row
                if row["trial"] == trial:
                    raise DesignError(
                        f"{trial}: its status is {row['status']!r}, so there is no network to "
                        "save; choose a trial that finished"
                    )
                names.append(row["trial"])
    if not names:
        raise DesignError(f"{results} holds no trials of this study; run it first")
    raise DesignError(f"no finished trial {trial!r} in {results}; {suggest(trial, tuple(names))}")


def save(stack: Stack, trained: Trained, task: Task, file: Path) -> None:
    """Write a trained network with all that is needed to build it again."""
    from safetensors import SafetensorError  # noqa: PLC0415, only this command needs it
    from safetensors.torch import save_file  # noqa: PLC0415

    tensors = {f"network.{name}": value.cpu() for name, value in trained.state.items()}
    tensors |= {"shift": trained.shift.cpu(), "scale": trained.scale.cpu()}
    tensors |= {
        "target_shift": torch.tensor(trained.target_shift),
        "target_scale": torch.tensor(trained.target_scale),
    }
    about = {
        "format": FORMAT,
        "trial": str(trained.row["trial"]),
        "study": stack.study,
        "task": stack.task.name,
        "cell": json.dumps(canonical(stack.cell).resolved(), sort_keys=True),
        "input_shape": json.dumps(task.input_shape),
        "outputs": json.dumps(task.outputs),
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, file, about)
    except (OSError, SafetensorError) as error:
        raise RecordError(f"{file}: cannot be written ({error}); choose another place") from error


def load(file: Path) -> Standardised:
    """The network of a file as a plain module that takes raw inputs, in evaluation mode.

    Raises:
        RecordError: the file cannot be read, or was written by another version.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(file, "pt") as content:
            about = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RecordError(f"{file}: is no saved network ({error})") from error
    if about.get("format") != FORMAT:
        raise RecordError(f"{file}: has format {about.get('format')!r}, not {FORMAT!r}")
    levels = json.loads(about["cell"])
    shape = tuple(json.loads(about["input_shape"]))
    parsed: dict[str, Any] = {name: FACTORS[name].parse(name, levels[name]) for name in FACTORS}
    cell = Cell(task=about["task"], **parsed)
    network = plain_network(describe(cell, shape, json.loads(about["outputs"])))
    module = Standardised(network, len(tensors["shift"]), len(shape))
    module.load_state_dict(tensors, strict=False)  # batch norms also count minibatches
    return module.eval()


def score_of(module: Standardised, task: Task, part: str) -> float:
    """Accuracy or R2 of a module on a part of its seed's data."""
    rows = task.parts[part][0]  # type: ignore[index]
    shape = (1, -1, *[1] * (len(task.input_shape) - 1))
    x, y = task.inputs_of(rows[None])[0].cpu(), task.targets_of(rows[None])[0].cpu()
    raw = x * task.scale[0].cpu().view(shape) + task.shift[0].cpu().view(shape)
    with torch.no_grad():
        outputs = torch.cat([module(piece) for piece in raw.split(500)])
    if task.classes:
        return float(accuracy(outputs.T[None], y[None]))
    y = y * task.target_scale[0].cpu() + task.target_shift[0].cpu()
    return float(r2(outputs.T[None], y.T[None]))
