"""Devices next to each other: examples per second, launches, and where an accelerator pays."""

import numpy as np
import pandas as pd
import pytest
from test_throughput import samples

from report.devices import crossings, flat_until, launches, mean_ratios, rates
from report.devices_section import crossing_sentence, devices_section
from report.document import Answer, Figures, Table
from report.throughput import relative_times

SIZES = (16, 64, 256, 1024)
NOTES = {
    "passes": [
        {"device": "cpu", "launch_seconds": None},
        {"device": "cuda", "launch_seconds": 6e-6},
        {"device": "cuda", "launch_seconds": 5e-6},
    ]
}
LAUNCH, EXAMPLE = 200e-6, 1e-6  # of the pretend GPU, and of one example on the pretend CPU


def timed(*, launch=LAUNCH, example=EXAMPLE, slope=0.0, processes=3, sizes=SIZES):
    """A CPU whose time grows with the minibatch from 50 us on, a GPU that launches."""
    rows = []
    for size in sizes:
        name = "spiral/baseline" if size == 64 else f"spiral/minibatch={size}"
        for device, seconds in (
            ("cpu", 50e-6 + example * size),
            ("cuda", launch + slope * size),
        ):
            for again in ("", " (again)") if size == 64 else ("",):
                rows += samples(
                    name + again, seconds, device=device, minibatch=str(size), seed=len(rows)
                )
    frame = pd.DataFrame(rows)
    return frame.assign(process=frame["process"] % processes)


def crossing(**settings):
    (found,) = crossings(timed(**settings), rng=np.random.default_rng(0), is_quiet=True)
    return found


def test_the_crossover_lies_where_it_was_planted():
    """50 us + 1 us an example against 200 us: equal at 150, between 64 and 256."""
    found = crossing()
    assert found.sizes == SIZES
    assert (found.before, found.first_faster) == (64, 256)
    assert found.ratios == pytest.approx([66 / 200, 114 / 200, 306 / 200, 1074 / 200], rel=0.02)
    assert crossing_sentence(found) == (
        "Training step of spiral: CUDA overtakes CPU between minibatches of 64 and 256; it takes "
        "0.33 times as long on CPU at 16, 5.37 times at 1,024."
    ).replace("0.33", f"{found.ratios[0]:.2f}").replace("5.37", f"{found.ratios[-1]:.2f}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"launch": 20e-6}, "CUDA is faster at every minibatch from 16 on"),
        ({"launch": 5e-3}, "CPU is faster at every minibatch up to 1,024, so that a crossover"),
        ({"example": 1e-7, "launch": 50e-6}, "no minibatch up to 1,024"),
        ({"launch": 66e-6 * 1.01}, "between minibatches of 16 and 64, the comparison at the small"),
    ],
    ids=["from the start", "beyond", "never", "alike at the smaller"],
)
def test_what_is_said_follows_the_words_at_every_size(settings, said):
    if "no minibatch" in said:
        settings = settings | {"slope": 1.5e-7}
    assert said in crossing_sentence(crossing(**settings))


def test_one_process_on_a_device_allows_no_word():
    found = crossing(processes=1)
    assert set(found.words) == {"ambiguous"}
    assert found.first_faster is None


def test_two_sizes_or_one_device_are_no_crossing():
    rng = np.random.default_rng(0)
    assert crossings(timed(sizes=(16, 64)), rng=rng) == []
    both = timed()
    assert crossings(both[both["device"] == "cuda"], rng=rng) == []


def test_a_call_that_takes_as_long_whatever_the_minibatch_is_flat():
    settings = {"within": 0.05, "alike": 0.05}
    place = ("cuda", "training step", "spiral")
    assert flat_until(timed(), *place, **settings) == (16, 1024)
    assert flat_until(timed(slope=1e-7), *place, **settings) == (16, 64)
    assert flat_until(timed(), "cpu", *place[1:], **settings) == (16, 16)
    assert flat_until(timed(sizes=(16, 64)), *place, **settings) is None


def test_launches_are_counted_against_twenty_of_the_fastest():
    """A launch takes 5 us: 100 us are twenty, and nothing on the GPU takes less than 200."""
    (found,) = launches(timed(), NOTES)
    assert (found.device, found.seconds, found.bound, found.total) == ("cuda", 5e-6, 0, 5)
    (found,) = launches(timed(launch=90e-6, slope=1e-7), NOTES)
    assert found.bound == 3  # 16 and 64 twice: 92, 96, 96 us; 256 and 1,024 take more


def test_the_mean_ratio_is_geometric_over_what_both_were_timed_with():
    ((ratio, count),) = mean_ratios(timed(), "cuda", modes=("training step",)).values()
    each = np.array([50e-6 + EXAMPLE * s for s in (16, 64, 64, 256, 1024)]) / LAUNCH
    assert count == 5
    assert ratio == pytest.approx(np.exp(np.log(each).mean()), rel=0.01)


def test_examples_per_second_are_the_minibatch_over_the_median_time():
    timings = timed()
    found = rates(relative_times(timings), timings).set_index("device")
    assert found["rate"].to_dict() == pytest.approx(
        {"cpu": 64 / 114e-6, "cuda": 64 / LAUNCH}, rel=0.02
    )
    assert (found["rate_low"] < found["rate"]).all()
    assert (found["rate"] < found["rate_high"]).all()


def section(timings, notes=NOTES):
    speeds = relative_times(timings, is_quiet=True)
    withins = {(d, "training step"): 0.05 for d in ("cpu", "cuda")}
    return devices_section(timings, speeds, notes, withins, alike=0.05, is_quiet=True)


def test_a_processor_alone_has_its_throughput_and_no_paragraph():
    timings = timed()
    (table,) = section(timings[timings["device"] == "cpu"], {}).blocks
    assert isinstance(table, Table)
    assert [row[:4] for row in table.rows] == [("CPU", "training step", "spiral", "64")]


def test_a_full_minibatch_has_no_examples_per_second():
    timings = pd.DataFrame(
        samples("wave/baseline", 1e-3, task="wave", minibatch="full")
        + samples("wave/baseline (again)", 1e-3, task="wave", minibatch="full")
    )
    (table,) = section(timings, {}).blocks
    assert table.rows[0][-2:] == ("–", "–")
    assert "no fixed number of examples" in table.note


def test_the_paragraph_tells_launches_flatness_and_crossover_and_draws_both_devices():
    answer, figures, table = section(timed(launch=90e-6)).blocks
    assert isinstance(answer, Answer)
    assert isinstance(figures, Figures)
    assert len(table.rows) == 2
    said = " ".join(answer.sentences)
    assert "times as long on CPU as on CUDA (geometric mean of ratios of medians)" in said
    assert "a launch takes 5 µs; a call that takes less than 20 of them, 100 µs" in said
    assert "5 of 5 of training step workloads" in said
    assert "CUDA overtakes CPU between minibatches of 16 and 64" in said
    assert "takes no longer at a minibatch of 1,024, the largest timed, than at 16" in said
    (picture,) = figures.pictures
    texts = [t.get_text() for t in picture.drawing.figure.legends[0].get_texts()]
    assert texts == ["CPU", "CUDA"]
