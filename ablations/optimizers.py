"""Update rules for M trials at once, each with hyperparameters of its own.

A rule is two functions. `coefficients` turns hyperparameters, (M,) each, and the learning
rates of T steps into every number that depends on the step alone, (T, M, 1), once and in
float64. `update` changes the flat parameters (M, P) in place. The formulas are those of
`torch.optim` (torch 2.13), which is the oracle of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ablations.design import Cell
from ablations.levels import Scalar

Hyper = dict[str, Tensor]
State = dict[str, Tensor]
Step = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Rule:
    """One optimizer.

    `coefficients(rate, hyper)`: rate (T, M), hyper (M,) each -> (T, M) tensors by name.
    `update(p, g, state, c)`: p and g (M, P), state (M, P) tensors that start at zero,
    c the coefficients of this step, (M, 1) each. It may overwrite g.
    """

    state: tuple[str, ...]
    coefficients: Callable[[Tensor, Hyper], Step]
    update: Callable[[Tensor, Tensor, State, Step], None] | None  # None: see `FusedAdam`


def _powers(beta: Tensor, count: int) -> Tensor:
    """beta^1 ... beta^count: (M,) to (T, M)."""
    return beta ** torch.arange(1, count + 1, dtype=torch.float64).unsqueeze(1)


def _constant(value: Tensor, rate: Tensor) -> Tensor:
    return value.expand_as(rate)


def _sgd(rate: Tensor, hyper: Hyper) -> Step:
    return {"rate": -rate}


def _sgd_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    p.addcmul_(g, c["rate"])


def _momentum(rate: Tensor, hyper: Hyper) -> Step:
    return {"rate": -rate, "momentum": _constant(hyper["momentum"], rate)}


def _momentum_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    velocity = state["velocity"].mul_(c["momentum"]).add_(g)
    p.addcmul_(velocity, c["rate"])


def _nesterov_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    velocity = state["velocity"].mul_(c["momentum"]).add_(g)
    p.addcmul_(g.addcmul_(velocity, c["momentum"]), c["rate"])


def _adagrad(rate: Tensor, hyper: Hyper) -> Step:
    return {"rate": -rate, "epsilon": _constant(hyper["epsilon"], rate)}


def _adagrad_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    total = state["total"].addcmul_(g, g)
    p.addcmul_(g.div_(total.sqrt().add_(c["epsilon"])), c["rate"])


def _adadelta(rate: Tensor, hyper: Hyper) -> Step:
    rho = _constant(hyper["rho"], rate)
    return {
        "rate": -rate,
        "rho": rho,
        "rest": 1 - rho,
        "epsilon": _constant(hyper["epsilon"], rate),
    }


def _adadelta_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    square = state["square"].mul_(c["rho"]).add_((g * g).mul_(c["rest"]))
    delta = (state["delta"] + c["epsilon"]).sqrt_().div_((square + c["epsilon"]).sqrt_()).mul_(g)
    state["delta"].mul_(c["rho"]).add_((delta * delta).mul_(c["rest"]))
    p.addcmul_(delta, c["rate"])


def _rmsprop(rate: Tensor, hyper: Hyper) -> Step:
    alpha = _constant(hyper["alpha"], rate)
    epsilon = _constant(hyper["epsilon"], rate)
    return {"rate": -rate, "alpha": alpha, "rest": 1 - alpha, "epsilon": epsilon}


def _rmsprop_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    square = state["square"].mul_(c["alpha"]).add_((g * g).mul_(c["rest"]))
    p.addcmul_(g.div_(square.sqrt().add_(c["epsilon"])), c["rate"])


def _adam(rate: Tensor, hyper: Hyper) -> Step:
    """Moments of Kingma and Ba (2015), with both bias corrections folded into two numbers.

    rate / bias1 * m / (sqrt(v) / sqrt(bias2) + epsilon) is
    rate sqrt(bias2) / bias1 * m / (sqrt(v) + epsilon sqrt(bias2)).
    """
    steps = len(rate)
    root2 = (1 - _powers(hyper["beta2"], steps)).sqrt()
    return {
        "rate": -rate * root2 / (1 - _powers(hyper["beta1"], steps)),
        "epsilon": hyper["epsilon"] * root2,
        "beta2": _constant(hyper["beta2"], rate),
        "rest1": _constant(1 - hyper["beta1"], rate),
        "rest2": _constant(1 - hyper["beta2"], rate),
    }


def _moments(g: Tensor, state: State, c: Step) -> tuple[Tensor, Tensor]:
    mean = state["mean"].lerp_(g, c["rest1"])
    square = state["square"].mul_(c["beta2"]).add_((g * g).mul_(c["rest2"]))
    return mean, square


def _nadam(rate: Tensor, hyper: Hyper) -> Step:
    """Dozat (2016): momentum that grows with the step, looked ahead by one."""
    steps = len(rate)
    times = torch.arange(1, steps + 2, dtype=torch.float64).unsqueeze(1)
    mu = hyper["beta1"] * (1 - 0.5 * 0.96 ** (times * hyper["momentum_decay"]))  # (T + 1, M)
    product = mu.cumprod(0)
    root2 = (1 - _powers(hyper["beta2"], steps)).sqrt()
    return _adam(rate, hyper) | {
        "rate": -rate * root2 * (1 - mu[:-1]) / (1 - product[:-1]),
        "ahead": -rate * root2 * mu[1:] / (1 - product[1:]),
    }


def _nadam_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    mean, square = _moments(g, state, c)
    root = square.sqrt().add_(c["epsilon"])
    p.addcmul_(g.div_(root), c["rate"])
    p.addcmul_(mean / root, c["ahead"])


def _radam(rate: Tensor, hyper: Hyper) -> Step:
    """Liu et al. (2020): the adaptive part waits until its variance can be told."""
    steps = len(rate)
    bias1, power2 = 1 - _powers(hyper["beta1"], steps), _powers(hyper["beta2"], steps)
    bias2 = 1 - power2
    times = torch.arange(1, steps + 1, dtype=torch.float64).unsqueeze(1)
    rho_end = 2 / (1 - hyper["beta2"]) - 1
    rho = rho_end - 2 * times * power2 / bias2
    ratio = (rho - 4) * (rho - 2) * rho_end / ((rho_end - 4) * (rho_end - 2) * rho)
    adaptive = rho > 5
    zero = torch.zeros_like(rate)
    return _adam(rate, hyper) | {
        "rate": torch.where(
            adaptive, -rate / bias1 * ratio.clamp(min=0).sqrt() * bias2.sqrt(), zero
        ),
        "plain": torch.where(adaptive, zero, -rate / bias1),
        "epsilon": _constant(hyper["epsilon"], rate),
    }


def _radam_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    mean, square = _moments(g, state, c)
    p.addcmul_(mean, c["plain"])
    p.addcmul_(mean / square.sqrt().add_(c["epsilon"]), c["rate"])


def _adamax(rate: Tensor, hyper: Hyper) -> Step:
    bias1 = 1 - _powers(hyper["beta1"], len(rate))
    return {
        "rate": -rate / bias1,
        "rest1": _constant(1 - hyper["beta1"], rate),
        "beta2": _constant(hyper["beta2"], rate),
        "epsilon": _constant(hyper["epsilon"], rate),
    }


def _adamax_update(p: Tensor, g: Tensor, state: State, c: Step) -> None:
    mean = state["mean"].lerp_(g, c["rest1"])
    largest = state["largest"].mul_(c["beta2"])
    torch.maximum(largest, g.abs().add_(c["epsilon"]), out=largest)
    p.addcmul_(mean / largest, c["rate"])


RULES: dict[str, Rule] = {
    "sgd": Rule((), _sgd, _sgd_update),
    "momentum": Rule(("velocity",), _momentum, _momentum_update),
    "nesterov": Rule(("velocity",), _momentum, _nesterov_update),
    "adagrad": Rule(("total",), _adagrad, _adagrad_update),
    "adadelta": Rule(("square", "delta"), _adadelta, _adadelta_update),
    "rmsprop": Rule(("square",), _rmsprop, _rmsprop_update),
    "adam": Rule(("mean", "square"), _adam, None),
    "adamw": Rule(("mean", "square"), _adam, None),
    "nadam": Rule(("mean", "square"), _nadam, _nadam_update),
    "radam": Rule(("mean", "square"), _radam, _radam_update),
    "adamax": Rule(("mean", "largest"), _adamax, _adamax_update),
}


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A rule with its state and the coefficients of every step, for M trials."""

    rule: Rule
    state: State
    coefficients: Step  # (T, M, 1) each

    def step(self, t: int | Tensor, p: Tensor, g: Tensor) -> None:
        """Update parameters p (M, P) by gradient g (M, P) in step t, counted from 0.

        Args:
            t: a number, or (1,) on the device of p, which a graph may replay.
        """
        c = {name: _at(values, t) for name, values in self.coefficients.items()}  # (M, 1) each
        if "decay" in c:
            g.addcmul_(p, c["decay"])
        assert self.rule.update is not None
        self.rule.update(p, g, self.state, c)


@dataclass(frozen=True, slots=True)
class FusedAdam:
    """Adam or AdamW by torch's fused routine, a third of the time of the update in parts.

    The routine takes one set of hyperparameters, so neighbouring trials that share theirs
    are updated in one call.
    """

    name: str
    state: State  # (M, P) each
    runs: list[tuple[slice, dict[str, float]]]
    rates: list[list[float]]  # of every step and run
    count: Tensor  # steps taken
    held: list[Any] = field(default_factory=list, init=False)  # p, g, and a routine for each run
    table: list[Tensor] = field(default_factory=list, init=False)  # the rates on the device, (T, R)

    def step(self, t: int | Tensor, p: Tensor, g: Tensor) -> None:
        """Update parameters p (M, P) by gradient g (M, P) in step t, counted from 0.

        Args:
            t: a number, or (1,) on the device of p, which a graph may replay.
        """
        if not self.held or self.held[0] is not p or self.held[1] is not g:
            self.held[:] = p, g, [self._routine(p, g, *run) for run in self.runs]
        rates: Iterable[float | Tensor]
        if isinstance(t, int):
            self.count.fill_(t + 1)
            rates = self.rates[t]
        else:
            self.count.copy_(t[0] + 1)
            self.table[:] = self.table or [torch.tensor(self.rates).to(p.device)]
            rates = _at(self.table[0], t).unbind()
        for routine, rate in zip(self.held[2], rates, strict=True):
            routine(lr=rate)

    def _routine(
        self, p: Tensor, g: Tensor, rows: slice, settings: dict[str, float]
    ) -> Callable[..., None]:
        """A step of some rows, at a rate that is still to be given."""
        moved = [[x[rows]] for x in (p, g, self.state["mean"], self.state["square"])]
        routine: Any = torch._fused_adamw_ if self.name == "adamw" else torch._fused_adam_
        return partial(routine, *moved, [], [self.count], amsgrad=False, maximize=False, **settings)


def _at(values: Tensor, t: int | Tensor) -> Tensor:
    """Values of step t, (T, ...) to (...)."""
    return values[t] if isinstance(t, int) else values.index_select(0, t)[0]


def _fused_adam(
    name: str, rates: Tensor, hyper: Hyper, like: Tensor, weight_decay: Tensor
) -> FusedAdam:
    columns = [hyper["beta1"], hyper["beta2"], weight_decay, hyper["epsilon"]]
    kinds = torch.cat([rates, torch.stack(columns)])  # (T + 4, M) all that a trial has of its own
    changes = (kinds[:, 1:] != kinds[:, :-1]).any(0).nonzero().flatten() + 1
    starts = [0, *changes.tolist()]
    names = ("beta1", "beta2", "weight_decay", "eps")
    runs = [
        (slice(start, end), dict(zip(names, kinds[-4:, start].tolist(), strict=True)))
        for start, end in zip(starts, [*starts[1:], len(like)], strict=True)
    ]
    return FusedAdam(
        name=name,
        state={"mean": torch.zeros_like(like), "square": torch.zeros_like(like)},
        runs=runs,
        rates=rates[:, starts].tolist(),
        count=torch.zeros((), device=like.device),
    )


def stacked_optimizer(
    name: str,
    rates: Tensor,
    hyper: Hyper,
    like: Tensor,
    weight_decay: Tensor,
    *,
    fused: bool = True,
) -> Optimizer | FusedAdam:
    """An optimizer for the flat parameters `like` of M trials.

    Args:
        name: of the rule.
        rates: learning rate of every step and trial, float64, (T, M).
        hyper: the rule's settings, float64, (M,) each.
        like: the parameters, (M, P).
        weight_decay: float64, (M,); as in torch it acts on all parameters.
        fused: Adam and AdamW by torch's own routine; without it the kernels know the update.
    """
    if fused and name in {"adam", "adamw"}:
        return _fused_adam(name, rates, hyper, like, weight_decay)
    rule = RULES[name]
    coefficients = rule.coefficients(rates, hyper)
    if weight_decay.any() and name == "adamw":  # Loshchilov and Hutter (2019): decoupled
        coefficients["shrink"] = 1 - rates * weight_decay
    elif weight_decay.any():
        coefficients["decay"] = _constant(weight_decay, rates)
    coefficients = {key: _moved(c, like).unsqueeze(2) for key, c in coefficients.items()}
    state = {key: torch.zeros_like(like) for key in rule.state}
    return Optimizer(rule, state, coefficients)


def _moved(coefficient: Tensor, like: Tensor) -> Tensor:
    """(T, M) in the type and on the device of `like`; one that never changes is kept once."""
    if coefficient.stride(0) == 0:
        return coefficient[:1].to(like).expand_as(coefficient)
    return coefficient.to(like)


def weight_decay_of(cell: Cell) -> float:
    """From the optimizer's setting or from the regularisation; a study sets one of them."""
    if cell.regularisation.name == "weight_decay":
        return float(cell.settings("regularisation")["strength"])
    return float(cell.settings("optimizer")["weight_decay"])


def plain_optimizer(
    cell: Cell, parameters: Iterable[Tensor], learning_rate: float
) -> torch.optim.Optimizer:
    """The optimizer a user would write: the one of `torch.optim`, with the cell's settings."""
    settings: dict[str, Scalar] = cell.settings("optimizer")
    common: dict[str, Any] = {"lr": learning_rate, "weight_decay": weight_decay_of(cell)}
    betas = (float(settings.get("beta1", 0)), float(settings.get("beta2", 0)))
    epsilon = float(settings.get("epsilon", 0))
    optim = torch.optim
    match cell.optimizer.name:
        case "sgd":
            return optim.SGD(parameters, **common)
        case "momentum" | "nesterov" as name:
            momentum = float(settings["momentum"])
            return optim.SGD(parameters, momentum=momentum, nesterov=name == "nesterov", **common)
        case "adagrad":
            return optim.Adagrad(parameters, eps=epsilon, **common)
        case "adadelta":
            return optim.Adadelta(parameters, rho=float(settings["rho"]), eps=epsilon, **common)
        case "rmsprop":
            return optim.RMSprop(parameters, alpha=float(settings["alpha"]), eps=epsilon, **common)
        case "nadam":
            decay = float(settings["momentum_decay"])
            return optim.NAdam(parameters, betas=betas, eps=epsilon, momentum_decay=decay, **common)
        case name:
            classes: dict[str, type[torch.optim.Optimizer]] = {
                "adam": optim.Adam,
                "adamw": optim.AdamW,
                "radam": optim.RAdam,
                "adamax": optim.Adamax,
            }
            return classes[name](parameters, betas=betas, eps=epsilon, **common)  # type: ignore[call-arg]
