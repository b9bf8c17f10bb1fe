"""Any trial of a study as a competent user would write it in a notebook."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ablations.design import canonical
from ablations.levels import Level
from ablations.losses import plain_loss
from ablations.network import describe, plain_network
from ablations.optimizers import plain_optimizer
from ablations.regularisation import penalty_strengths
from ablations.stacking import Stack
from ablations.streams import Streams
from ablations.tasks import load_task
from benchmarks.peers import PASS, READ_EVERY, Case, batches, lay_out

DRAWN = frozenset({"dropout", "input_noise"})  # recipes whose random numbers are their own


@dataclass(frozen=True, slots=True)
class Recipe:
    """A few trials of one stack, laid out one by one."""

    stack: Stack
    case: Case
    validation: list[tuple[Tensor, Tensor]]  # of each trial

    @property
    def repeatable(self) -> bool:
        """Whether the notebook must come to the very loss of the stacks."""
        return self.case.cell.regularisation.name not in DRAWN


def recipe_of(stack: Stack, trials: int) -> Recipe:
    """The first trials of a stack.

    Raises:
        ValueError: it has an augmentation or pretraining, which no core study has.
    """
    cell = canonical(stack.cell)
    if cell.augmentation.name != "none" or cell.init.name == "autoencoder":
        raise ValueError(f"{stack.members[0].name}: has no notebook loop here; leave it out")
    seeds = [member.seed for member in stack.members[:trials]]
    task = load_task(stack.task, seeds, streams=Streams(stack.study_seed, stack.task.name))
    x, y = task.take(task.parts["val"])
    return Recipe(stack, lay_out(stack, trials), list(zip(x, y, strict=True)))


def recipe_trial(recipe: Recipe, trial: int) -> float:
    """One trial, its loss read every READ_EVERY steps; returns its final training loss."""
    case = recipe.case
    cell = case.cell
    network = plain_network(describe(cell, case.input_shape, case.outputs))
    network.load_state_dict(case.values[trial], strict=False)  # running statistics start as torch's
    optimizer = plain_optimizer(cell, network.parameters(), case.rate)
    scheduler = _scheduler(recipe, optimizer)
    loss_function = plain_loss(cell)
    l1, l2 = penalty_strengths(cell)
    weights = [p for p in network.parameters() if p.dim() > 1]
    settings = cell.settings("regularisation")
    noise = float(settings["deviation"]) if cell.regularisation.name == "input_noise" else 0.0
    patience = _Patience(recipe, trial) if cell.regularisation.name == "early_stopping" else None
    history = []
    network.train()
    for step, (inputs, targets) in enumerate(batches(case, trial)):
        if noise:
            inputs = inputs + noise * torch.randn_like(inputs)  # noqa: PLW2901, as one writes it
        optimizer.zero_grad()
        loss = loss_function(network(inputs), targets)
        total = loss
        if l1:
            total = total + l1 * sum(w.abs().sum() for w in weights)
        if l2:
            total = total + l2 / 2 * sum(w.square().sum() for w in weights)
        total.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if step % READ_EVERY == 0:
            history.append(loss.item())
        if patience is not None and patience.ends(network, step + 1):
            break
    if patience is not None:
        network.load_state_dict(patience.best)
    return final_loss(network, reported_loss(recipe), case.x[trial], case.y[trial])


def reported_loss(recipe: Recipe) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss that a row has: without smoothing."""
    function: nn.Module = plain_loss(replace(recipe.case.cell, regularisation=Level("none")))
    return function


def final_loss(
    network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
) -> float:
    """The loss of a trained network on all its examples."""
    network.eval()
    with torch.no_grad():
        parts = zip(x.split(PASS), y.split(PASS), strict=True)
        return sum(len(b) * float(loss(network(a), b)) for a, b in parts) / len(y)


def _scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler | None:
    cell, steps = recipe.case.cell, recipe.case.steps
    settings = cell.settings("schedule")
    if cell.schedule.name == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    if cell.schedule.name == "step":
        every = max(steps // (int(settings["drops"]) + 1), 1)
        return torch.optim.lr_scheduler.StepLR(optimizer, every, gamma=float(settings["gamma"]))
    return None


class _Patience:
    """Early stopping as one writes it: the validation loss now and then, the best weights kept."""

    def __init__(self, recipe: Recipe, trial: int) -> None:
        self.x, self.y = recipe.validation[trial]
        self.loss = reported_loss(recipe)
        self.every = max(recipe.case.steps // recipe.stack.evaluations, 1)
        self.left = self.patience = int(recipe.case.cell.settings("regularisation")["patience"])
        self.least = math.inf
        self.best: dict[str, Tensor] = {}

    def ends(self, network: nn.Module, step: int) -> bool:
        """Whether the loss has not fallen for so many looks."""
        if step % self.every:
            return False
        loss = final_loss(network, self.loss, self.x, self.y)
        network.train()
        if loss < self.least:
            self.least, self.left = loss, self.patience
            self.best = copy.deepcopy(network.state_dict())
            return False
        self.left -= 1
        return self.left <= 0


def recipe_losses(recipe: Recipe) -> list[float]:
    """One trial after the other, torch's own number of threads; global generators stay."""
    with torch.random.fork_rng():
        return [recipe_trial(recipe, trial) for trial in range(len(recipe.case.x))]
