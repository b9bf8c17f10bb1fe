"""What the workloads compute: the calls that are timed.

Data lie on the device before anything is timed: a training step is `zero_grad`, forward,
loss, penalties, backward and the optimizer's update on one minibatch, and nothing else
(METHODS.md T4). Where the data of an epoch come from is timed as a workload of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ablations.design import Cell, canonical
from ablations.layers import Activation
from ablations.losses import plain_loss
from ablations.network import Network, describe, plain_network
from ablations.optimizers import plain_optimizer
from ablations.regularisation import augment, penalty_strengths
from ablations.tasks import Task
from benchmarks.epochs import Minibatches, minibatches, one_epoch
from benchmarks.ways import PLAIN, Way, captured, cast, compiled, make_capturable
from benchmarks.workloads import Workload

Call = Callable[[], Tensor]
Update = Callable[[Tensor, Tensor], Tensor]

LEARNING_RATE = 1e-6  # its value costs no time; so small that the weights stay as they are


def prepare(workload: Workload, task: Task) -> Call:
    """The call to be timed, with its network and data on the task's device."""
    cell, way, device = canonical(workload.cell), workload.way, task.inputs.device
    if workload.layer is not None:
        return activation(cell, workload.layer, device)
    if workload.mode == "input pipeline":
        return one_epoch(_epoch_of(cell, task, way), lambda x, y: x)
    network = describe(cell, task.input_shape, task.outputs)
    model = plain_network(network).to(device)
    if workload.mode == "optimizer step":
        return optimizer_step(cell, model)
    x, y = minibatch(cell, task, repeats=workload.repeats)
    if workload.mode == "inference":
        return _run(inference(model, x, way), way, device)
    black = -task.shift[0] / task.scale[0]  # what a raw zero has become
    generator = torch.Generator(device).manual_seed(0)
    update = update_of(cell, network, model, black=black, generator=generator, way=way)
    if workload.mode == "epoch":
        return one_epoch(_epoch_of(cell, task, way), update)
    return _run(lambda: update(x, y), way, device)


def _run(call: Call, way: Way, device: torch.device) -> Call:
    return captured(call, device) if way.run == "graph" else call


def _epoch_of(cell: Cell, task: Task, way: Way) -> Callable[[], Minibatches]:
    x, y = training_part(cell, task)
    size = len(x) if cell.minibatch == "full" else int(cell.minibatch)
    return minibatches(x, y, size, way.source)


def training_part(cell: Cell, task: Task) -> tuple[Tensor, Tensor]:
    """The first seed's training part.

    Shapes of the result: (n, *input_shape) and (n,) classes or (n, C) numbers.
    """
    rows = task.parts["train"][:1]  # (1, n)
    rows = rows if isinstance(cell.train_size, str) else rows[:, : cell.train_size]
    x, y = task.take(rows)
    return x[0].contiguous(), y[0].contiguous()


def minibatch(cell: Cell, task: Task, *, repeats: bool = False) -> tuple[Tensor, Tensor]:
    """The first minibatch of the first seed's training part.

    Args:
        repeats: whether examples are repeated where there are fewer than the minibatch holds;
            training then takes all there are.

    Shapes of the result: (N, *input_shape) and (N,) classes or (N, C) numbers.
    """
    x, y = training_part(cell, task)
    if isinstance(cell.minibatch, str):
        return x, y
    if not repeats:
        return x[: cell.minibatch].clone(), y[: cell.minibatch].clone()
    rows = torch.arange(cell.minibatch, device=x.device) % len(x)
    return x.index_select(0, rows), y.index_select(0, rows)


def inference(model: nn.Module, x: Tensor, way: Way = PLAIN) -> Call:
    """A forward pass in evaluation mode; x is (N, *input_shape)."""
    model.eval()
    forward = compiled(way, model)

    def call() -> Tensor:
        with torch.inference_mode(), cast(way, x.device):
            outputs: Tensor = forward(x)
        return outputs

    return call


def update_of(
    cell: Cell,
    network: Network,
    model: nn.Module,
    *,
    black: Tensor,
    generator: torch.Generator,
    learning_rate: float = LEARNING_RATE,
    way: Way = PLAIN,
) -> Update:
    """One update of a model on a minibatch, as a user would write it for this cell.

    Args:
        network: the description that the model was made from; says which parameters are weights.
        black: (C,) what augmentation fills in, per channel, on the device of the data.
        generator: of input noise, on the device of the data.

    Returns:
        From (N, *input_shape) and (N,) classes or (N, C) numbers to the loss, ().
    """
    model.train()
    forward = compiled(way, model)
    optimizer = plain_optimizer(cell, model.parameters(), learning_rate)
    if way.run == "graph":
        make_capturable(optimizer)
    loss_of = plain_loss(cell)
    l1, l2 = penalty_strengths(cell)
    roles = network.parameters()
    weights = [p for name, p in model.named_parameters() if roles[name].role == "weight"]
    noise = _noise_deviation(cell)
    shuffle = torch.Generator(black.device).manual_seed(0)
    augmented = cell.augmentation.name != "none"

    def update(x: Tensor, y: Tensor) -> Tensor:
        seen = augment(cell, x, black, generator=shuffle) if augmented else x
        if noise:
            drawn = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            seen = seen + noise * drawn
        optimizer.zero_grad(set_to_none=True)
        with cast(way, x.device):
            loss: Tensor = loss_of(forward(seen), y)
        if l1:
            loss = loss + l1 * torch.stack([w.abs().sum() for w in weights]).sum()
        if l2:
            loss = loss + l2 / 2 * torch.stack([w.square().sum() for w in weights]).sum()
        loss.backward()
        optimizer.step()
        return loss

    return update


def _noise_deviation(cell: Cell) -> float:
    if cell.regularisation.name != "input_noise":
        return 0.0
    return float(cell.settings("regularisation")["deviation"])


def optimizer_step(cell: Cell, model: nn.Module) -> Call:
    """The update alone, with gradients that stay as they are; the first parameter after it."""
    generator = torch.Generator().manual_seed(0)
    parameters = list(model.parameters())
    for parameter in parameters:
        drawn = torch.randn(parameter.shape, generator=generator)
        parameter.grad = 1e-3 * drawn.to(parameter.device)
    optimizer = plain_optimizer(cell, parameters, LEARNING_RATE)

    def step() -> Tensor:
        optimizer.step()
        return parameters[0].detach()

    return step


def activation(cell: Cell, size: tuple[int, int], device: torch.device) -> Call:
    """An activation and its gradient on a hidden layer's outputs, (N, H); the gradient, (N, H)."""
    settings = tuple(cell.settings("activation").items())
    module = Activation(cell.activation.name, settings).module().to(device)
    generator = torch.Generator().manual_seed(0)
    x, above = (torch.randn(size, generator=generator).to(device) for _ in range(2))
    wanted = [x.requires_grad_(), *module.parameters()]

    def step() -> Tensor:
        return torch.autograd.grad(module(x), wanted, above)[0]

    return step
