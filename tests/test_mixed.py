"""Products in bfloat16: torch's autocast is the oracle."""

from dataclasses import replace

import pytest
import torch
from conftest import stack_of
from test_studyfile import DIGITS, small_study, write_study

from ablations.design import DesignError
from ablations.losses import plain_loss
from ablations.minibatches import Minibatches
from ablations.network import plain_network
from ablations.products import product
from ablations.running import Settings, run
from ablations.stacking import final_stacks
from ablations.steps import Steps, add_up
from ablations.studyfile import load_study
from ablations.training import _prepare, train
from report.methods import methods_section, mixed_methods
from report.tables import read_results

NETWORKS = {
    "mlp": {"depth": 2, "width": 32, "activation": "tanh"},
    "cnn": {"network": {"name": "cnn", "kernel": 3}, "depth": 1, "width": 8},
    "batch": {"norm": "batch", "width": 16},
    "small": {"width": 8, "depth": 3, "activation": "tanh"},
}
ROUNDING = 2**-8  # of one bfloat16 number, relative


def mixed(stack):
    return replace(stack, dtype="bfloat16")


def first_gradient(stack):
    """The gradient of the first step, its examples, and what made it."""
    training, _ = _prepare(stack, stack.members, torch.device("cpu"), torch.float32)
    batches = Minibatches(training)
    x, y, count = batches.draw()
    with torch.no_grad():
        add_up(training, x, y, count, Steps(training, batches).context)
    return training, training.whole.gradient.flat[0, : training.parameters], x[0], y[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_that_of_autocast(name):
    stack = stack_of("digits", minibatch=64, **NETWORKS[name])
    training, found, x, y = first_gradient(mixed(stack))
    module = plain_network(training.network)
    own = dict(module.named_parameters())
    start = torch.zeros_like(found)
    start.copy_(training.values.flat[0, : training.parameters])
    sizes = [parameter.numel() for parameter in own.values()]
    for parameter, values in zip(own.values(), start.split(sizes), strict=True):
        parameter.data.copy_(values.view_as(parameter))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = module(x)
    plain_loss(stack.cell)(outputs.float(), y).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in own.values()])

    apart = torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)
    assert apart < 4 * ROUNDING
    _, exact, _, _ = first_gradient(stack)
    lost = torch.linalg.vector_norm(found - exact) / torch.linalg.vector_norm(exact)
    assert ROUNDING / 32 < lost < 16 * ROUNDING  # batch norm enlarges it


@pytest.mark.parametrize("name", NETWORKS)
def test_bytes_do_not_depend_on_company(name):
    stack = mixed(
        stack_of("digits", minibatch=64, steps=6, seeds=range(5), evaluations=2, **NETWORKS[name])
    )
    together = train(stack).rows
    alone = [train(stack, [member]).rows[0] for member in stack.members]
    assert together == alone
    assert together != train(replace(stack, dtype="float32")).rows


@pytest.mark.parametrize("shape", [(16, 16, 16), (8, 64, 8), (2, 64, 32), (50, 33, 1)])
def test_small_products_do_not_depend_on_company(shape, generator):
    """Torch takes another routine for them where the whole stack is small; few bits differ."""
    rows, inner, columns = shape
    a = torch.randn(1000, rows, inner, generator=generator, dtype=torch.float32)
    b = torch.randn(1000, inner, columns, generator=generator, dtype=torch.float32)
    together = product(a, b, mixed=True)
    exact = torch.bmm(a.bfloat16().double(), b.bfloat16().double())
    torch.testing.assert_close(together.double(), exact, rtol=ROUNDING, atol=1e-4)
    alone = [product(a[m : m + 1], b[m : m + 1], mixed=True) for m in range(1000)]
    assert torch.equal(torch.cat(alone), together)


def test_records_of_both_types_are_kept_apart(tmp_path):
    """A study that is run again in the other type is trained again."""
    changes = {"nuisance.learning_rate": [0.01]}
    losses = []
    for dtype in ("float32", "bfloat16", "float32"):
        study = small_study(tmp_path, changes | {"fixed.dtype": dtype})
        run([study], Settings(tmp_path / "results", quiet=True))
        results = read_results(tmp_path / "results")
        losses.append(results.studies[0].trials["test_loss"].tolist())
    assert losses[0] == losses[2]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_numbers_that_bfloat16_holds_are_multiplied_exactly():
    a, b = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[0.5], [0.25]]])
    out = torch.empty(1, 2, 1)
    assert product(a, b, out=out, mixed=True) is out
    assert out.flatten().tolist() == [1.0, 2.5]
    third = torch.full((1, 1, 1), 1 / 3)
    assert product(third, torch.ones(1, 1, 1), mixed=True).item() == 0.333984375


def test_the_loss_still_falls():
    stack = mixed(stack_of("digits", minibatch=64, steps=60))
    curve = [point["train_loss"] for point in train(stack).curves]
    assert curve[-1] < curve[0] / 3


def test_a_study_says_so_and_its_stacks_know(tmp_path):
    study = load_study(write_study(tmp_path, {**DIGITS, "fixed.dtype": "bfloat16"}))
    assert study.dtype == "bfloat16"
    cell = next(iter(study.tasks)), stack_of("digits").cell
    stack = next(final_stacks(study, *cell, 0.01))
    assert stack.config()["dtype"] == "bfloat16"
    assert replace(stack, dtype="float32").config() != stack.config()


def test_the_report_says_so(tmp_path):
    changes = {"fixed.dtype": "bfloat16", "nuisance.learning_rate": [0.01]}
    run([small_study(tmp_path, changes)], Settings(tmp_path / "results", quiet=True))
    results = read_results(tmp_path / "results")
    name = results.studies[0].study["name"]
    (sentence,) = mixed_methods(results)
    assert f"In the training steps of {name}, matrix products" in sentence
    assert sentence in methods_section(results).blocks[0].paragraphs
    results.studies[0].study["dtype"] = "float32"
    assert mixed_methods(results) == ()


@pytest.mark.parametrize("given", ["float16", 16, True])
def test_another_type_is_refused(tmp_path, given):
    with pytest.raises(DesignError) as error:
        load_study(write_study(tmp_path, {**DIGITS, "fixed.dtype": given}))
    assert f"[fixed] dtype is {given!r}; choose 'float32' or 'bfloat16'" in str(error.value)
