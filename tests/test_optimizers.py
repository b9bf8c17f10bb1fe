"""Every update rule is that of torch.optim, for each trial with its own hyperparameters."""

from contextlib import contextmanager

import pytest
import torch
from conftest import assert_same_numbers, cell_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.levels import OPTIMIZERS
from ablations.optimizers import RULES, plain_optimizer, stacked_optimizer, weight_decay_of

M, P, STEPS = 4, 6, 50

# Four trials of one stack; each setting differs from trial to trial.
PER_TRIAL = {
    "weight_decay": (0.0, 0.3, 0.01, 0.1),
    "momentum": (0.9, 0.5, 0.99, 0.1),
    "epsilon": (1e-8, 1e-3, 1e-6, 1e-10),
    "rho": (0.9, 0.5, 0.99, 0.95),
    "alpha": (0.99, 0.9, 0.5, 0.999),
    "beta1": (0.9, 0.8, 0.0, 0.95),
    "beta2": (0.999, 0.99, 0.9, 0.95),
    "momentum_decay": (0.004, 0.0, 0.1, 0.01),
}
RATES = (0.01, 0.1, 0.003, 0.03)
STATE_OF_TORCH = {
    "velocity": "momentum_buffer",
    "total": "sum",
    "square": {"adadelta": "square_avg", "rmsprop": "square_avg"},
    "delta": "acc_delta",
    "mean": "exp_avg",
    "largest": "exp_inf",
}
optimizers = pytest.mark.parametrize("name", OPTIMIZERS)


def hyper_of(name, per_trial=None):
    """Settings of a rule for each trial, (M,) in float64, weight decay apart."""
    chosen = per_trial or {key: PER_TRIAL[key] for key in OPTIMIZERS[name]}
    hyper = {key: torch.tensor(values, dtype=torch.float64) for key, values in chosen.items()}
    return hyper, hyper.pop("weight_decay")


@contextmanager
def double_by_default():
    """torch.optim.NAdam keeps a product of its momenta in the default type, float32.

    Its formula is the oracle here, not that rounding, which is 1e-7.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Alone:
    """One trial trained by torch.optim, with a parameter that is a vector, (P,)."""

    def __init__(self, name, m, start, rate, per_trial=None):
        chosen = per_trial or {key: PER_TRIAL[key] for key in OPTIMIZERS[name]}
        level = {"name": name} | {key: values[m] for key, values in chosen.items()}
        self.name = name
        self.parameter = start.clone().requires_grad_()
        cell = cell_of("spiral", optimizer=level)
        self.optimizer = plain_optimizer(cell, [self.parameter], rate)

    def step(self, gradient):
        self.parameter.grad = gradient.clone()
        with double_by_default():
            self.optimizer.step()

    def state(self, key):
        """What torch calls the state `key` of a stack, (P,); zeros before the first step."""
        theirs = STATE_OF_TORCH[key]
        theirs = theirs.get(self.name, "exp_avg_sq") if isinstance(theirs, dict) else theirs
        kept = self.optimizer.state[self.parameter].get(theirs)
        return torch.zeros_like(self.parameter) if kept is None else kept


def slope(p, noise):
    """A smooth gradient that depends on where the parameters are, so that errors feed back."""
    return torch.sin(3 * p) + 0.3 * p.roll(1, -1) + noise


def draw(generator):
    start = torch.randn(M, P, generator=generator, dtype=torch.float64)
    return start, torch.randn(STEPS, M, P, generator=generator, dtype=torch.float64)


@optimizers
def test_each_of_fifty_steps_from_torchs_state_is_torchs(name, generator):
    """Parameters to 1e-12; their change, which is a hundred times smaller, to 1e-10."""
    start, noise = draw(generator)
    alone = [Alone(name, m, start[m], RATES[m]) for m in range(M)]
    hyper, decay = hyper_of(name)
    rates = torch.tensor(RATES, dtype=torch.float64).expand(STEPS, M)
    together = stacked_optimizer(name, rates, hyper, start, decay)
    for t in range(STEPS):
        p = torch.stack([trial.parameter.detach() for trial in alone])
        before = p.clone()
        for key in together.state:
            together.state[key].copy_(torch.stack([trial.state(key) for trial in alone]))
        gradient = slope(p, noise[t])
        together.step(t, p, gradient.clone())
        for m, trial in enumerate(alone):
            trial.step(gradient[m])
            after = trial.parameter.detach()
            assert_same_numbers(p[m], after)
            assert_same_numbers(p[m] - before[m], after - before[m], 1e-10)
            for key in together.state:
                assert_same_numbers(together.state[key][m], trial.state(key))


@optimizers
def test_fifty_free_steps_stay_with_torch(name, generator):
    """Rounding is fed back fifty times and may grow a thousandfold: 1e-9."""
    start, noise = draw(generator)
    alone = [Alone(name, m, start[m], RATES[m]) for m in range(M)]
    hyper, decay = hyper_of(name)
    rates = torch.tensor(RATES, dtype=torch.float64).expand(STEPS, M)
    p = start.clone()
    together = stacked_optimizer(name, rates, hyper, p, decay)
    for t in range(STEPS):
        together.step(t, p, slope(p, noise[t]))
        for m, trial in enumerate(alone):
            trial.step(slope(trial.parameter.detach(), noise[t, m]))
    for m, trial in enumerate(alone):
        assert_same_numbers(p[m], trial.parameter.detach(), 1e-9)
    assert not torch.isclose(p, start).all()


@st.composite
def rules_with_settings(draw):
    """An optimizer, a rate and every setting for each of two trials."""
    name = draw(st.sampled_from(sorted(OPTIMIZERS)))
    ranges = {
        "weight_decay": st.sampled_from([0.0, 1e-4, 0.1, 1.0]),
        "momentum": st.floats(0.01, 0.999),
        "epsilon": st.sampled_from([1e-10, 1e-8, 1e-4, 1.0]),
        "rho": st.floats(0, 1),
        "alpha": st.floats(0, 0.999),
        "beta1": st.floats(0, 0.999),
        "beta2": st.floats(0, 0.9999),
        "momentum_decay": st.floats(0, 1),
    }
    pairs = {key: (draw(ranges[key]), draw(ranges[key])) for key in OPTIMIZERS[name]}
    return name, pairs, (draw(st.floats(1e-4, 1.0)), draw(st.floats(1e-4, 1.0)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rules_with_settings())
def test_any_settings_give_torchs_parameters(drawn):
    """Gradients of about 1 that do not feed back, twelve steps; radam's switch lies within."""
    name, per_trial, rates = drawn
    generator = torch.Generator().manual_seed(4)
    start = torch.randn(2, P, generator=generator, dtype=torch.float64)
    alone = [Alone(name, m, start[m], rates[m], per_trial) for m in range(2)]
    hyper, decay = hyper_of(name, per_trial)
    p, steps = start.clone(), 12
    every = torch.tensor(rates, dtype=torch.float64).expand(steps, 2)
    together = stacked_optimizer(name, every, hyper, p, decay)
    for t in range(steps):
        gradient = torch.randn(2, P, generator=generator, dtype=torch.float64) + 0.5
        together.step(t, p, gradient.clone())
        for m, trial in enumerate(alone):
            trial.step(gradient[m])
    for m, trial in enumerate(alone):
        assert_same_numbers(
            p[m], trial.parameter.detach(), 1e-10
        )  # 12 steps, 1 - beta down to 1e-4


@optimizers
def test_a_rate_that_changes_with_the_step_is_torchs(name, generator):
    """As under a scheduler: the rate of each step is written into torch's group."""
    start, noise = draw(generator)
    alone = [Alone(name, m, start[m], 1.0) for m in range(M)]
    hyper, decay = hyper_of(name)
    rates = 0.1 * torch.rand(10, M, generator=generator, dtype=torch.float64)
    p = start.clone()
    together = stacked_optimizer(name, rates, hyper, p, decay)
    for t in range(10):
        together.step(t, p, slope(p, noise[t]))
        for m, trial in enumerate(alone):
            trial.optimizer.param_groups[0]["lr"] = rates[t, m].item()
            trial.step(slope(trial.parameter.detach(), noise[t, m]))
    for m, trial in enumerate(alone):
        assert_same_numbers(p[m], trial.parameter.detach(), 1e-10)


CLASSES = {
    "sgd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "nesterov": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
}


@optimizers
def test_the_plain_optimizer_has_torchs_own_defaults(name):
    """Except weight decay, which is 0 everywhere, and the momentum that gives SGD its two names."""
    parameter = torch.zeros(1, requires_grad=True)
    ours = plain_optimizer(cell_of("spiral", optimizer=name), [parameter], 0.1)
    theirs = CLASSES[name]([parameter], lr=0.1)
    expected = theirs.defaults | {"weight_decay": 0.0}
    if name in {"momentum", "nesterov"}:
        expected |= {"momentum": 0.9, "nesterov": name == "nesterov"}
    assert type(ours) is CLASSES[name]
    assert ours.defaults == expected


def test_every_optimizer_of_the_list_has_a_rule():
    assert RULES.keys() | {"adam", "adamw"} == OPTIMIZERS.keys() == CLASSES.keys()


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({}, 0.0),
        ({"optimizer": {"name": "adamw", "weight_decay": 0.2}}, 0.2),
        ({"regularisation": {"name": "weight_decay", "strength": 0.3}}, 0.3),
        ({"regularisation": {"name": "l2", "strength": 0.3}}, 0.0),
    ],
    ids=str,
)
def test_weight_decay_comes_from_the_optimizer_or_the_regularisation(levels, expected):
    assert weight_decay_of(cell_of("spiral", **levels)) == expected


@optimizers
def test_a_trial_moves_alike_whatever_its_company(name, generator):
    """The bytes of one row of a stack, in float32, beside others and beside a copy of itself."""
    start, noise = (tensor.float() for tensor in draw(generator))
    hyper, decay = hyper_of(name)

    def run(trials):
        p = start[trials].clone()
        rates = torch.tensor(RATES, dtype=torch.float64)[trials].expand(STEPS, -1)
        chosen = {key: values[trials] for key, values in hyper.items()}
        together = stacked_optimizer(name, rates, chosen, p, decay[trials])
        for t in range(STEPS):
            together.step(t, p, slope(p, noise[t, trials]))
        return p

    assert torch.equal(run([0, 1, 2, 3])[[2, 1]], run([2, 1]))
