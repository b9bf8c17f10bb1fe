"""The bytes of a trial are its own: company, order, memory and global generators change nothing."""

import json
import os
import random
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import stack_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ablations.design import objection
from ablations.evaluation import Sample
from ablations.layout import EXAMPLES
from ablations.levels import (
    ACTIVATIONS,
    CLASSIFICATION_LOSSES,
    OPTIMIZERS,
    REGRESSION_LOSSES,
    REGULARISERS,
)
from ablations.streams import Streams
from ablations.training import _prepare, train

SEEDS = range(8)
RATES = tuple(0.001 * 2**k for k in range(8))  # 8 seeds at 8 rates: 64 trials
SMALL = {"points": 17, "validation_points": 13, "test_points": 19}  # nothing divides by 8 or 16


def sixty_four(task="spiral", *, steps=5, **levels):
    data = {} if task == "digits" else {"settings": SMALL}
    return stack_of(task, seeds=SEEDS, rates=RATES, steps=steps, evaluations=2, **data, **levels)


def bytes_of(stack, members):
    """Row and curve of each trial as the text that a record holds, by the trial's name."""
    outcome = train(stack, members)
    kept = {row["trial"]: [row] for row in outcome.rows}
    for point in outcome.curves:
        kept[point["trial"]].append(point)
    return {name: json.dumps(lines) for name, lines in kept.items()}


def assert_company_changes_nothing(stack, sizes):
    """All together against one trial at every place, the reverse, and shuffled subsets."""
    members = list(stack.members)
    together = bytes_of(stack, members)
    assert len(set(together.values())) == len(members) > 1
    shuffle = random.Random(len(str(stack.cell)))
    companies = [[members[0]], [members[37]], [members[-1]], members[::-1]]
    companies += [shuffle.sample(members, size) for size in sizes]
    for company in companies:
        alone = bytes_of(stack, company)
        changed = [name for name in alone if alone[name] != together[name]]
        assert not changed, f"{len(changed)} of {len(company)} trials"


def some(names, every):
    """All of them in the slow matrix, one in `every` otherwise."""
    return [
        name if n % every == 0 else pytest.param(name, marks=pytest.mark.slow)
        for n, name in enumerate(names)
    ]


@pytest.mark.parametrize("activation", some(ACTIVATIONS, 4))
def test_activations_do_not_see_their_company(activation):
    assert_company_changes_nothing(sixty_four(activation=activation, width=7, depth=1), (2, 3, 29))


@pytest.mark.parametrize("optimizer", some(OPTIMIZERS, 3))
def test_optimizers_do_not_see_their_company(optimizer):
    levels = {"optimizer": {"name": optimizer, "weight_decay": 0.01}, "width": 5, "minibatch": 7}
    assert_company_changes_nothing(sixty_four("wave", **levels), (2, 3, 29))


@pytest.mark.parametrize("regularisation", some(REGULARISERS, 3))
def test_regularisers_do_not_see_their_company(regularisation):
    levels = {"regularisation": regularisation, "width": 9, "minibatch": 33, "activation": "tanh"}
    assert_company_changes_nothing(sixty_four(**levels), (2, 3, 29))


@pytest.mark.parametrize("task", ["spiral", "wave"])
@pytest.mark.parametrize("minibatch", some((7, 1, 33, 50, "full"), 2))
@pytest.mark.parametrize("width", some((3, 1, 7, 16, 33), 4))
def test_odd_shapes_do_not_see_their_company(width, minibatch, task):
    """Where a tensor does not fill a vector, torch takes another routine for what is left."""
    levels = {"width": width, "minibatch": minibatch, "activation": "gelu"}
    assert_company_changes_nothing(sixty_four(task, **levels), (2, 3, 29))


@pytest.mark.parametrize("norm", some(("batch", "layer", "none"), 2))
def test_cnns_do_not_see_their_company(norm):
    levels = {"network": "cnn", "width": 3, "depth": 2, "minibatch": 7, "train_size": 17}
    assert_company_changes_nothing(sixty_four("digits", steps=3, norm=norm, **levels), (2, 5))


@pytest.mark.parametrize("loss", some(("bce", "mse"), 1))
def test_losses_do_not_see_their_company(loss):
    assert_company_changes_nothing(sixty_four(loss=loss, width=7, activation="silu"), (2, 3))


FEW = {"points": 3, "validation_points": 2, "test_points": 5}
TINY = {
    "three examples in all": ("housing", FEW, {"norm": "layer", "loss": "huber", "depth": 1}),
    "two of two classes": (
        "spiral",
        {**FEW, "arms": 2, "points": 33},
        {"loss": "bce", "minibatch": 2, "width": 32, "depth": 1, "norm": "batch"},
    ),
    "one unit, three examples": ("spiral", SMALL, {"width": 1, "minibatch": 3, "depth": 3}),
    "one left over": ("wave", {**SMALL, "points": 8}, {"width": 2, "minibatch": 7, "depth": 1}),
    "one left over by the chunks of an evaluation": (
        "wave",
        {**SMALL, "validation_points": EXAMPLES + 1},
        {"width": 1, "depth": 1},
    ),
    "one to validate": ("spiral", {**SMALL, "validation_points": 1}, {"width": 1, "loss": "bce"}),
}


@pytest.mark.parametrize("activation", ["sigmoid", "silu"])
@pytest.mark.parametrize("name", TINY)
def test_tensors_smaller_than_a_vector_do_not_see_their_company(name, activation):
    """Here every number would be computed by the routine for what is left over, in a stack of one.

    With AVX-512 torch takes 32 float32 at once, so up to 31 elements are left over.
    """
    task, data, levels = TINY[name]
    shape = {"steps": 4, "evaluations": 2, "settings": data}
    stack = stack_of(task, seeds=SEEDS, rates=RATES, activation=activation, **shape, **levels)
    members = list(stack.members)
    together = bytes_of(stack, members)
    for size in (1, 2, 5):
        for start in range(0, 60, 7):
            alone = bytes_of(stack, members[start : start + size])
            assert all(alone[trial] == together[trial] for trial in alone)


@st.composite
def stacks(draw):
    """Any cell on generated data of any size that a study accepts, 64 trials."""
    task = draw(st.sampled_from(["spiral", "wave", "housing"]))
    data = {
        "points": draw(st.sampled_from([3, 7, 13, 33, 40])),
        "validation_points": draw(st.sampled_from([2, 5, 20, 33])),
        "test_points": draw(st.sampled_from([3, 30])),
    }
    losses = REGRESSION_LOSSES
    if task == "spiral":
        losses, data["arms"] = CLASSIFICATION_LOSSES, draw(st.sampled_from([2, 3, 5, 17]))
    levels = {
        "activation": draw(st.sampled_from(sorted(ACTIVATIONS))),
        "optimizer": draw(st.sampled_from(sorted(OPTIMIZERS))),
        "regularisation": draw(st.sampled_from(sorted(REGULARISERS))),
        "norm": draw(st.sampled_from(["default", "batch", "layer"])),
        "loss": draw(st.sampled_from(losses)),
        "width": draw(st.sampled_from([1, 2, 3, 7, 15, 16, 17, 33, 100])),
        "depth": draw(st.integers(0, 3)),
        "minibatch": draw(st.sampled_from(["full", 1, 2, 3, 7, 33, 50])),
        "residual": draw(st.booleans()),
    }
    shape = {"steps": 6, "evaluations": 3, "settings": data}
    stack = stack_of(task, seeds=SEEDS, rates=RATES, **shape, **levels)
    assume(objection(stack.cell) is None)
    return stack


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(stacks(), st.randoms(use_true_random=False))
def test_no_cell_sees_its_company(stack, shuffle):
    members = list(stack.members)
    together = bytes_of(stack, members)
    for size in (1, 1, 2, 3, shuffle.randrange(4, 64)):
        alone = bytes_of(stack, shuffle.sample(members, size))
        assert all(alone[name] == together[name] for name in alone)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [{"activation": "tanh"}, {"minibatch": 1, "width": 1}], ids=str)
def test_every_size_from_1_to_64_gives_the_same_bytes(levels):
    stack = sixty_four(**levels)
    assert_company_changes_nothing(stack, range(1, 65))


def test_company_that_has_stopped_or_diverged_changes_nothing():
    """Early stopping ends some trials long before others; one rate diverges."""
    regularisation = {"name": "early_stopping", "patience": 1}
    stack = stack_of(
        "wave",
        seeds=(0, 1),
        rates=(0.001, 0.1, 1e38),
        steps=20,
        evaluations=10,
        settings=SMALL,
        regularisation=regularisation,
    )
    together = bytes_of(stack, stack.members)
    assert len({json.loads(text)[0].get("steps") for text in together.values()}) >= 3
    for member in stack.members:
        assert bytes_of(stack, [member])[member.name] == together[member.name]


def test_pictures_do_not_depend_on_company():
    stack = stack_of(seeds=(0, 1, 2), rates=(0.1,), pictures=True, settings=SMALL, width=7)
    assert train(stack).pictures == train(stack, stack.members[:1]).pictures


RANDOM_CELLS = {
    "everything drawn": (
        "digits",
        {
            "regularisation": "dropout",
            "augmentation": "shift",
            "minibatch": 33,
            "train_size": 70,
        },
    ),
    "noise": ("spiral", {"regularisation": "input_noise", "minibatch": 7}),
}


@pytest.mark.parametrize("name", RANDOM_CELLS)
def test_global_generators_neither_matter_nor_move(name):
    """Poisoned seeds before training; afterwards every generator is where it was."""
    task, levels = RANDOM_CELLS[name]
    data = {} if task == "digits" else {"settings": SMALL}
    stack = stack_of(task, seeds=(0, 1), steps=6, evaluations=2, **data, **levels)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    try:
        results = []
        for poison in (1, 2):
            torch.manual_seed(poison)
            random.seed(poison)
            np.random.seed(poison)  # noqa: NPY002, the global one is what must not matter
            state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
            results.append(bytes_of(stack, stack.members))
            assert torch.equal(torch.get_rng_state(), state[0])
            assert random.getstate() == state[1]
            assert np.random.get_state()[1].tolist() == state[2]  # noqa: NPY002
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
    assert results[0] == results[1]


def test_a_stream_is_keyed_by_study_name_task_and_seed():
    """Each of the four tells streams apart; asked for again, a stream starts again."""

    def drawn(study_seed, name, task, seed):
        stream = Streams(study_seed, task).generator(name, seed)
        return tuple(torch.rand(4, generator=stream).tolist())

    keys = list(product((0, 1), ("order", "split"), ("spiral", "digits"), (0, 1, 1000)))
    assert len({drawn(*key) for key in keys}) == len(keys) == 24
    assert drawn(0, "order", "spiral", 0) == drawn(0, "order", "spiral", 0)


def test_another_study_seed_is_another_study():
    """Data, start and order all change, so no loss stays what it was."""
    shape = {"settings": SMALL, "minibatch": 7}
    rows = [train(stack_of(study_seed=seed, **shape)).rows[0] for seed in (0, 1)]
    assert all(
        rows[0][f"{part}_loss"] != rows[1][f"{part}_loss"] for part in ("train", "val", "test")
    )


def test_where_memory_lies_does_not_matter():
    """MKL chooses its routine by alignment unless told not to; odd blocks are kept in between."""
    stack = sixty_four(width=33, activation="tanh")
    expected = bytes_of(stack, stack.members)
    kept = []
    for size in (1, 3, 17, 1001):
        kept.append(torch.empty(size, dtype=torch.uint8))
        assert bytes_of(stack, stack.members) == expected
    assert os.environ["MKL_CBWR"] == "AUTO,STRICT"


def test_another_process_gives_the_same_bytes():
    stack = stack_of(seeds=(0, 1), settings=SMALL, width=9, minibatch=7)
    program = (
        "import sys; sys.path.insert(0, 'tests'); from test_bytes import *;"
        "stack = stack_of(seeds=(0, 1), settings=SMALL, width=9, minibatch=7);"
        "print(json.dumps(bytes_of(stack, stack.members)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert json.loads(done.stdout) == bytes_of(stack, stack.members)


def test_which_inputs_are_kept_does_not_depend_on_company():
    """Kept ones lie in another order, in which the last bits of a product may differ."""
    for points, kept in ((1000, True), (30_000, False)):
        stack = stack_of("spiral", seeds=range(40), settings={"points": points}, split="none")
        few = []
        for members in (stack.members[:1], stack.members):
            training, _ = _prepare(stack, members, torch.device("cpu"), torch.float32)
            few.append(Sample(training, training.train_rows).few)
        assert few == [kept, kept]
