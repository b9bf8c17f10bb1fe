"""Pictures of known functions: a separator, a curve, a confusion."""

from base64 import b64decode

import numpy as np
import pytest
import torch
from conftest import stack_of, task_spec

from ablations.pictures import (
    CURVE,
    GRID,
    confusion_picture,
    function_picture,
    training_points,
)
from ablations.streams import Streams
from ablations.tasks import load_task


def values_of(picture):
    """The bytes of a picture in its own shape."""
    rows, columns = (int(n) for n in picture["shape"].split("x"))
    flat = np.frombuffer(b64decode(picture["values"]), dtype=np.uint8)
    return flat.reshape(rows, columns).astype(int)


def task_of(name, **settings):
    spec = task_spec(name, settings=settings)
    return load_task(spec, [0], streams=Streams(0, name), dtype=torch.float64)


def raw_inputs(task):
    """Training inputs before they were standardised."""
    return task.inputs[task.parts["train"][0]] * task.scale[0] + task.shift[0]


@pytest.mark.parametrize("standardise", [True, False])
def test_a_vertical_separator_gives_a_left_and_a_right_half(standardise):
    """Class 1 wins where the raw first input is above 0.2; the logits are steep, so it is sure."""
    task = task_of("spiral", arms=2, standardise=standardise)

    def separator(x):
        raw = x * task.scale[0] + task.shift[0]
        logit = 1e4 * (raw[:, 0] - 0.2)
        return torch.stack([-logit, logit], 1)

    picture = function_picture(task, separator)
    x_low, x_high, _, _ = (float(number) for number in picture["range"].split(","))
    values = values_of(picture)
    right = np.linspace(x_low, x_high, GRID) > 0.2
    assert (picture["kind"], picture["classes"], picture["shape"]) == ("region", 2, "48x48")
    assert (values == np.where(right, 255, 127)).all()  # winner * 128 + a full shade of 127


def test_rows_of_a_region_rise_with_the_second_input():
    task = task_of("spiral", arms=2, standardise=False)
    picture = function_picture(task, lambda x: torch.stack([0 * x[:, 1], 1e4 * x[:, 1]], 1))
    values = values_of(picture)
    _, _, y_low, y_high = (float(number) for number in picture["range"].split(","))
    above = np.linspace(y_low, y_high, GRID) > 0
    assert (values == np.where(above, 255, 127)[:, None]).all()


def test_the_frame_is_the_data_and_eight_hundredths_around_it():
    task = task_of("spiral", arms=3)
    picture = function_picture(task, lambda x: torch.zeros(len(x), 3))
    raw = raw_inputs(task)
    low, high = raw.min(0).values, raw.max(0).values
    margin = 0.08 * (high - low)
    expected = [low[0] - margin[0], high[0] + margin[0], low[1] - margin[1], high[1] + margin[1]]
    limits = [float(number) for number in picture["range"].split(",")]
    assert limits == pytest.approx([value.item() for value in expected], abs=1e-6)


def test_doubt_is_shaded_from_chance_to_certainty():
    """Three classes have 85 shades each: probability 1/3 is 0, 2/3 is half way, 1 is 84."""
    task = task_of("spiral", arms=3)

    def shade_of(probability):
        rest = (1 - probability) / 2
        logits = torch.tensor([rest, probability, rest], dtype=torch.float64).log()
        return set(values_of(function_picture(task, lambda x: logits.expand(len(x), 3))).flat)

    assert shade_of(1 - 1e-9) == {85 + 84}
    assert shade_of(2 / 3) == {85 + 42}
    assert shade_of(1 / 3 + 1e-9) == {85}


@pytest.mark.parametrize("standardise", [True, False])
def test_a_parabola_is_drawn_as_a_parabola(standardise):
    """In raw units on both axes, whatever the network saw; a byte holds 1/255 of the range."""
    task = task_of("wave", standardise=standardise)

    def parabola(x):
        raw = x * task.scale[0] + task.shift[0]
        return (raw.square() * 3 + 1 - task.target_shift[0]) / task.target_scale[0]

    picture = function_picture(task, parabola)
    low, high, lo, hi = (float(number) for number in picture["range"].split(","))
    xs = np.linspace(low, high, CURVE)
    drawn = lo + values_of(picture)[0] / 255 * (hi - lo)
    assert (picture["kind"], picture["shape"]) == ("curve", "1x192")
    assert drawn == pytest.approx(3 * xs**2 + 1, abs=0.51 * (hi - lo) / 255)
    raw = raw_inputs(task)
    margin = 0.08 * (raw.max() - raw.min())
    assert [low, high] == pytest.approx(
        [(raw.min() - margin).item(), (raw.max() + margin).item()], abs=1e-6
    )


def test_a_constant_function_is_drawn_and_divides_by_nothing():
    task = task_of("line", standardise=False)
    picture = function_picture(task, lambda x: torch.full((len(x), 1), 7.0, dtype=torch.float64))
    assert (values_of(picture) == 0).all()
    assert picture["range"].endswith("7.0,7.0")


def test_tasks_of_many_inputs_have_no_picture_of_their_function():
    for name in ("housing", "diabetes", "digits"):
        assert function_picture(task_of(name), lambda x: x) is None


def test_a_known_confusion():
    """Class 0 is seen as 0 three times in four, class 1 always as 2; class 2 has no example."""
    targets = torch.tensor([0, 0, 0, 0, 1, 1])
    said = torch.tensor([0, 0, 0, 1, 2, 2])
    picture = confusion_picture(torch.eye(3)[said], targets)
    expected = [[191, 64, 0], [0, 0, 255], [0, 0, 0]]
    assert values_of(picture).tolist() == expected
    assert (picture["kind"], picture["classes"], picture["range"]) == ("confusion", 3, "0,1")


def test_points_of_a_spiral_are_the_raw_training_points():
    task = task_of("spiral", points=30)
    points = training_points(task, task.parts["train"])
    raw = raw_inputs(task).tolist()
    assert [[p["x"], p["y"]] for p in points] == raw
    assert [p["label"] for p in points] == task.targets[task.parts["train"][0]].tolist()


def test_points_of_a_line_carry_their_raw_target():
    """Unscaled they are the very numbers of the same task that was never standardised."""
    scaled, plain = (task_of("line", points=20, standardise=s) for s in (True, False))
    points = training_points(scaled, scaled.parts["train"])
    expected = training_points(plain, plain.parts["train"])
    assert [p["x"] for p in points] == pytest.approx([p["x"] for p in expected], abs=1e-12)
    assert [p["y"] for p in points] == pytest.approx([p["y"] for p in expected], abs=1e-12)
    assert {p["label"] for p in points} == {None}


def test_at_most_six_hundred_points_are_drawn_evenly():
    task = task_of("line", points=1500, standardise=False)
    points = training_points(task, task.parts["train"])
    every_third = task.inputs[task.parts["train"][0, ::3], 0].tolist()
    assert [p["x"] for p in points] == every_third
    assert training_points(task_of("housing"), task.parts["train"]) == []


def test_stacks_draw_twelve_moments_of_their_first_seed():
    from ablations.training import train  # noqa: PLC0415, the only training here

    small = {"points": 20, "validation_points": 10, "test_points": 10}
    shape = {"steps": 60, "evaluations": 30, "settings": small}
    outcome = train(stack_of(seeds=(0, 1), pictures=True, **shape))
    steps = [picture["step"] for picture in outcome.pictures]
    assert len(steps) == 12
    assert (steps[0], steps[-1]) == (0, 60)
    assert {picture["trial"] for picture in outcome.pictures} == {outcome.rows[0]["trial"]}
    assert train(stack_of(seeds=(1,), pictures=True, **shape)).pictures == []
    assert train(stack_of(seeds=(0,), **shape)).pictures == []


def test_images_leave_a_confusion_of_their_test_part():
    from ablations.training import train  # noqa: PLC0415, as above

    shape = {"pictures": True, "steps": 30, "rates": (0.01,), "minibatch": 64}
    outcome = train(stack_of("digits", **shape))
    *early, picture = outcome.pictures
    assert [each["step"] for each in early] == [0, 8, 15, 22]
    assert {each["kind"] for each in early} == {"confusion"}
    values = values_of(picture)
    assert (picture["kind"], picture["step"], values.shape) == ("confusion", 30, (10, 10))
    assert np.abs(values.sum(1) - 255).max() <= 5  # ten cells rounded to a byte
    task = task_of("digits")
    counts = np.bincount(task.targets[task.parts["test"][0]].numpy(), minlength=10)
    accuracy = (values.diagonal() / 255 * counts).sum() / counts.sum()
    assert accuracy == pytest.approx(outcome.rows[0]["test_accuracy"], abs=1 / 510)
