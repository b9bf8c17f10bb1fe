"""The same trials as others would train them: in a notebook, with joblib, vmap or JAX.

Each way takes a `Case` with the very data, initial weights and minibatch orders of the
stacked trials, so that all ways can be held to the same final loss.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ablations.design import Cell, canonical
from ablations.losses import plain_loss
from ablations.network import describe, initial_values
from ablations.optimizers import plain_optimizer
from ablations.stacking import Stack
from ablations.streams import Streams
from ablations.tasks import load_task

READ_EVERY = 50  # steps between two looks at the loss in the notebook loop
PASS = 4000  # examples of one pass without gradients: images of all of them would fill the memory


@dataclass(frozen=True, slots=True)
class Case:
    """Trials of one stack, laid out one by one.

    Shapes: x (n, *input_shape), y (n,) or (n, 1), values by parameter name; one of each
    per trial. `orders` holds the permutation (n,) of every epoch, one list per trial. All of it
    lies in the memory of the CPU, from where each way takes it to `device`.
    """

    cell: Cell
    rate: float
    steps: int
    minibatch: int | None  # None: all examples in every step
    input_shape: tuple[int, ...]
    outputs: int
    x: list[Tensor]
    y: list[Tensor]
    values: list[dict[str, Tensor]]
    orders: list[list[Tensor]]
    device: str = "cpu"  # that trains


def lay_out(stack: Stack, trials: int, device: str = "cpu") -> Case:
    """The first `trials` trials of a stack as plain tensors."""
    seeds = [member.seed for member in stack.members[:trials]]
    streams = Streams(stack.study_seed, stack.task.name)
    task = load_task(stack.task, seeds, streams=streams)
    cell = canonical(stack.cell)
    rows = task.parts["train"]
    if cell.train_size != "all":
        rows = rows[:, : int(cell.train_size)]
    x, y = task.take(rows)
    network = describe(cell, task.input_shape, task.outputs)
    flat, _ = initial_values(network, cell, seeds, streams=streams)
    minibatch = None if cell.minibatch == "full" else int(cell.minibatch)
    count = rows.shape[1]
    per_epoch = 1 if minibatch is None else -(-count // minibatch)
    steps = stack.steps or (stack.epochs or 1) * per_epoch
    epochs = 0 if minibatch is None else -(-steps // per_epoch)
    shapes = {name: parameter.shape for name, parameter in network.parameters().items()}
    return Case(
        cell=cell,
        rate=stack.members[0].learning_rate,
        steps=steps,
        minibatch=minibatch,
        input_shape=task.input_shape,
        outputs=task.outputs,
        x=list(x),
        y=list(y),
        values=[_named(row, shapes) for row in flat],
        orders=[
            [torch.randperm(count, generator=g) for _ in range(epochs)]
            for g in (streams.generator("order", seed) for seed in seeds)
        ],
        device=device,
    )


def _named(row: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    sizes = [torch.Size(shape).numel() for shape in shapes.values()]
    parts = zip(shapes.items(), row.split(sizes), strict=True)
    return {name: part.view(shape).clone() for (name, shape), part in parts}


def notebook_network(case: Case, trial: int) -> nn.Module:
    """The network as a notebook spells it, with the weights of one trial."""
    cell = case.cell
    layers: list[nn.Module] = []
    if cell.network.name == "cnn":
        channels, height, width = case.input_shape
        kernel = int(cell.settings("network")["kernel"])
        for _ in range(cell.depth):
            layers += [
                nn.Conv2d(channels, cell.width, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(cell.width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels, height, width = cell.width, height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(channels * height * width, case.outputs)]
    else:
        inputs = torch.Size(case.input_shape).numel()
        layers.append(nn.Flatten())
        for _ in range(cell.depth):
            layers += [nn.Linear(inputs, cell.width), nn.ReLU()]
            inputs = cell.width
        layers.append(nn.Linear(inputs, case.outputs))
    network = nn.Sequential(*layers).to(case.device)
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), case.values[trial].values(), strict=True):
            parameter.copy_(value)
    return network


class Orders(torch.utils.data.Sampler[int]):
    """A sampler that goes through given permutations, one per epoch."""

    def __init__(self, orders: Sequence[Tensor]) -> None:
        self.epochs = iter(orders)
        self.count = len(orders[0])

    def __iter__(self) -> Iterator[int]:
        return iter(next(self.epochs).tolist())

    def __len__(self) -> int:
        return self.count


def notebook_trial(case: Case, trial: int) -> float:
    """One trial as a competent user writes it; returns its final training loss."""
    network = notebook_network(case, trial)
    optimizer = plain_optimizer(case.cell, network.parameters(), case.rate)
    loss_function = plain_loss(case.cell)
    history = []
    for step, (inputs, targets) in enumerate(batches(case, trial)):
        optimizer.zero_grad()
        loss = loss_function(network(inputs.to(case.device)), targets.to(case.device))
        loss.backward()
        optimizer.step()
        if step % READ_EVERY == 0:
            history.append(loss.item())
    network.eval()
    x, y = case.x[trial].to(case.device), case.y[trial].to(case.device)
    with torch.no_grad():
        parts = zip(x.split(PASS), y.split(PASS), strict=True)
        return sum(len(b) * float(loss_function(network(a), b)) for a, b in parts) / len(y)


def batches(case: Case, trial: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets of every step, by a `DataLoader` where there are minibatches."""
    x, y = case.x[trial], case.y[trial]
    if case.minibatch is None:
        x, y = x.to(case.device), y.to(case.device)
        for _ in range(case.steps):
            yield x, y
        return
    loader = DataLoader(
        TensorDataset(x, y), batch_size=case.minibatch, sampler=Orders(case.orders[trial])
    )
    left = case.steps
    while left:
        for batch in loader:
            yield batch[0], batch[1]
            left -= 1
            if not left:
                return


def notebook(case: Case) -> list[float]:
    """One trial after the other, torch's own number of threads."""
    return [notebook_trial(case, trial) for trial in range(len(case.x))]


def with_joblib(case: Case, workers: int) -> list[float]:
    """The notebook loop under joblib, one process per core, one thread each."""
    from joblib import Parallel, delayed  # noqa: PLC0415, comes with scikit-learn

    trials = range(len(case.x))
    losses: list[float] = Parallel(n_jobs=workers)(
        delayed(_one_thread_trial)(case, trial) for trial in trials
    )
    return losses


def _one_thread_trial(case: Case, trial: int) -> float:
    torch.set_num_threads(1)
    return notebook_trial(case, trial)


def with_vmap(case: Case) -> list[float]:
    """All trials by `torch.func`: stacked modules, vmap over the gradient, one optimizer.

    The optimizers used here act elementwise, so one of them serves all trials.
    """
    from torch.func import functional_call, grad, stack_module_state, vmap  # noqa: PLC0415

    networks = [notebook_network(case, trial) for trial in range(len(case.x))]
    parameters, buffers = stack_module_state(networks)
    template = notebook_network(case, 0).to("meta")
    loss_function = plain_loss(case.cell)

    def loss(values: dict[str, Tensor], state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs: Tensor = functional_call(template, (values, state), (x,))
        result: Tensor = loss_function(outputs, y)
        return result

    gradients = vmap(grad(loss), randomness="error")
    optimizer = plain_optimizer(case.cell, parameters.values(), case.rate)
    x, y = torch.stack(case.x).to(case.device), torch.stack(case.y).to(case.device)
    detached = {name: parameter.detach() for name, parameter in parameters.items()}
    for inputs, targets in _stacked_batches(case, x, y):
        for name, gradient in gradients(detached, buffers, inputs, targets).items():
            parameters[name].grad = gradient
        optimizer.step()
    with torch.no_grad():
        parts = zip(x.split(PASS, 1), y.split(PASS, 1), strict=True)
        final = sum(b.shape[1] * vmap(loss)(detached, buffers, a, b) for a, b in parts)
    return [float(each) / y.shape[1] for each in final]


def _stacked_batches(case: Case, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    if case.minibatch is None:
        for _ in range(case.steps):
            yield x, y
        return
    trial = torch.arange(len(x), device=x.device).unsqueeze(1)
    left = case.steps
    for orders in zip(*case.orders, strict=True):
        order = torch.stack(orders).to(x.device)
        for rows in order.split(case.minibatch, dim=1):
            yield x[trial, rows], y[trial, rows]
            left -= 1
            if not left:
                return


def _jax_on(device: str) -> Any:
    """JAX, set to train on a device and, on a GPU, to multiply as torch does there.

    Raises:
        RuntimeError: it knows no such device.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave the stacks some memory
    import jax  # noqa: PLC0415, an optional extra

    config: Any = jax.config
    kind, _, index = device.partition(":")
    chosen = jax.devices("cpu" if kind == "cpu" else "gpu")[int(index or 0)]
    config.update("jax_default_device", chosen)
    if kind != "cpu":
        config.update("jax_default_matmul_precision", "highest")  # float32, not TF32
    return jax


def with_jax(case: Case) -> tuple[Callable[[], list[float]], float]:
    """All trials by JAX, `jit(vmap(scan))`: the compiled program, and seconds of compiling it.

    Fully connected ReLU networks with SGD or Adam, which is what is compared.
    """
    jax = _jax_on(case.device)
    import jax.numpy as jnp  # noqa: PLC0415

    adam = case.cell.optimizer.name == "adam"
    classify = case.y[0].dim() == 1
    steps, size = case.steps, case.minibatch
    x = jnp.asarray(torch.stack(case.x).flatten(2).numpy())
    y = jnp.asarray(torch.stack(case.y).numpy())
    values = [
        jnp.asarray(torch.stack([each[name] for each in case.values]).numpy())
        for name in case.values[0]
    ]
    orders = _jax_orders(case)

    def loss(p: list[Any], inputs: Any, targets: Any) -> Any:
        h = inputs
        for k in range(0, len(p) - 2, 2):
            h = jax.nn.relu(h @ p[k].T + p[k + 1])
        outputs = h @ p[-2].T + p[-1]
        if not classify:
            return jnp.mean((outputs - targets) ** 2)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], 1)
        return -jnp.mean(chosen)

    def update(p: list[Any], g: list[Any], m: list[Any], v: list[Any], t: Any) -> Any:
        if not adam:
            return [a - case.rate * b for a, b in zip(p, g, strict=True)], m, v
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
        one, two = 1 - 0.9**t, 1 - 0.999**t
        moved = [
            a - case.rate * (b / one) / (jnp.sqrt(c / two) + 1e-8)
            for a, b, c in zip(p, m, v, strict=True)
        ]
        return moved, m, v

    def train(p: list[Any], inputs: Any, targets: Any, rows: Any) -> Any:
        def step(carry: Any, t: Any) -> Any:
            p, m, v = carry
            batch = (inputs, targets) if size is None else (inputs[rows[t]], targets[rows[t]])
            g = jax.grad(loss)(p, *batch)
            return update(p, g, m, v, t + 1.0), None

        zeros = [jnp.zeros_like(a) for a in p]
        (p, _, _), _ = jax.lax.scan(step, (p, zeros, zeros), jnp.arange(steps))
        return loss(p, inputs, targets)

    start = time.perf_counter()
    program = jax.jit(jax.vmap(train)).lower(values, x, y, orders).compile()
    compiling = time.perf_counter() - start

    def run() -> list[float]:
        losses: list[float] = program(values, x, y, orders).block_until_ready().tolist()
        return losses

    return run, compiling


def _jax_orders(case: Case) -> Any:
    """Rows of every step, (M, T, N). A partial minibatch is dropped: scan needs equal shapes."""
    import jax.numpy as jnp  # noqa: PLC0415

    if case.minibatch is None:
        return jnp.zeros((len(case.x), case.steps, 1), dtype=jnp.int32)
    per_epoch = len(case.x[0]) // case.minibatch
    rows = [
        torch.cat([o[: per_epoch * case.minibatch].view(per_epoch, -1) for o in orders])
        for orders in case.orders
    ]
    short = case.steps - len(rows[0])
    rows = [torch.cat([r, r[:short]]) if short > 0 else r[: case.steps] for r in rows]
    return jnp.asarray(torch.stack(rows).numpy().astype("int32"))
