"""The report on time: what is compared with what, in which words, and what bounds the rest."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_results import BASELINE, plans, write_results

from report import bargains, speedups, timing_notes
from report.document import Answer, Details, Table, Text
from report.drawing import house_style
from report.input_section import input_section, ways_section
from report.scaling import saturations, scaling
from report.scaling_section import saturation_sentence
from report.speedup_section import limit_sentence, speedup_section
from report.tables import Results, read_results
from report.throughput import (
    AMBIGUOUS,
    FASTER,
    INPUT,
    LEVEL,
    SAME,
    SIZE,
    SLOWER,
    WAY,
    relative_times,
    word_of,
)
from report.throughput_section import throughput_section
from report.time_plots import time_ticks

NOISE = 0.01
ASKED = {"spiral": {("activation", "relu"), ("activation", "tanh"), ("width", "64")}}


def samples(name, seconds, *, mode="training step", task="spiral", n=30, seed=None, **columns):
    """The samples of one workload, with 1% of noise."""
    rng = np.random.default_rng(seed or abs(hash_of(f"{name}{mode}")))
    levels = {key: value for key, value in columns.items() if key in BASELINE}
    rest = {"device": "cpu", "threads": 1, "dtype": "float32"}
    rest |= {key: value for key, value in columns.items() if key not in BASELINE}
    row = {"workload": name, "task": task, **BASELINE, **levels, **rest, "mode": mode}
    return [
        row
        | {"process": k % 3, "round": k // 3, "order": k, "iterations": 10}
        | {"seconds": 10 * seconds * float(np.exp(NOISE * rng.normal()))}
        for k in range(n)
    ]


def hash_of(text):
    return sum(ord(letter) * 31**place for place, letter in enumerate(text)) % 2**31


def every_kind():
    """A baseline twice, levels of a study, a size beyond it, two ways, and the data of an epoch."""
    rows = samples("spiral/baseline", 1e-3) + samples("spiral/baseline (again)", 1e-3)
    rows += samples("spiral/activation=tanh", 1.5e-3, activation="tanh")
    rows += samples("spiral/width=64", 1.0e-3, width="64")
    rows += samples("spiral/width=512", 9e-3, width="512")
    rows += samples("spiral/threads=2", 0.5e-3, threads=2)
    rows += samples("spiral/dtype=bfloat16", 2e-3, dtype="bfloat16")
    for mode, seconds in (("input pipeline", 1e-4), ("epoch", 2e-3)):
        rows += samples("spiral/baseline", seconds, mode=mode)
        rows += samples("spiral/input=DataLoader", seconds + 1e-3, mode=mode)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def speeds():
    return relative_times(every_kind(), ASKED).set_index(["mode", "workload"])


@pytest.mark.parametrize(
    ("workload", "kind", "label"),
    [
        ("activation=tanh", LEVEL, "tanh"),
        ("width=64", LEVEL, "width 64"),
        ("width=512", SIZE, "width 512"),
        ("threads=2", WAY, "2 threads"),
        ("dtype=bfloat16", WAY, "bfloat16 autocast"),
    ],
)
def test_a_workload_is_a_level_of_a_study_a_size_beyond_or_a_way(speeds, workload, kind, label):
    row = speeds.loc["training step", f"spiral/{workload}"]
    assert (row["kind"], row["label"]) == (kind, label)


def test_the_data_of_an_epoch_are_compared_apart(speeds):
    assert set(speeds.loc[["input pipeline", "epoch"], "kind"]) == {INPUT}
    row = speeds.loc["epoch", "spiral/input=DataLoader"]
    assert row["label"] == "DataLoader"
    assert row["value"] == pytest.approx(1.5, rel=0.02)


def test_without_studies_every_size_is_a_level():
    frame = relative_times(every_kind()).set_index(["mode", "workload"])
    assert frame.loc["training step", "spiral/width=512"]["kind"] == LEVEL


@pytest.mark.parametrize(
    ("low", "high", "within", "word"),
    [
        (1.11, 1.3, 0.1, SLOWER),
        (0.5, 0.89, 0.1, FASTER),
        (0.95, 1.05, 0.1, SAME),
        (0.95, 1.12, 0.1, AMBIGUOUS),
        (1.11, 1.3, 0.2, AMBIGUOUS),  # beyond 10%, but not beyond the noise floor
        (1.05, 1.15, 0.2, AMBIGUOUS),  # inside the noise floor is not the same
        (math.nan, math.nan, 0.1, AMBIGUOUS),
    ],
)
def test_one_rule_decides_the_words(low, high, within, word):
    assert word_of(low, high, within, 0.1) == word


def test_a_quiet_machine_tells_smaller_differences_apart():
    rows = samples("spiral/baseline", 1e-3) + samples("spiral/baseline (again)", 1e-3)
    frame = pd.DataFrame(rows + samples("spiral/activation=tanh", 1.08e-3, activation="tanh"))
    words = [relative_times(frame, is_quiet=quiet)["word"].iloc[-1] for quiet in (True, False)]
    assert words == [SLOWER, SAME]


# Sizes


def minibatches(times):
    rows = []
    for size, seconds in times.items():
        name = "spiral/baseline" if size == 64 else f"spiral/minibatch={size}"
        rows += samples(name, seconds, minibatch=str(size), seed=size)
    again = samples("spiral/baseline (again)", times[64], minibatch="64")
    return pd.DataFrame(rows + again)


def test_the_saturation_point_is_the_first_that_no_larger_minibatch_beats():
    found = saturations(minibatches({16: 1e-3, 64: 1e-3, 256: 4e-3, 1024: 16e-3}), 0.1, 0.1)
    assert [each.saturated_at for each in found] == [64]
    assert found[0].gain.value == pytest.approx(4, rel=0.02)
    sentence = saturation_sentence(found[0], 0.1)
    assert "Training step of spiral on CPU saturates at a minibatch of 64: " in sentence


def test_a_minibatch_that_was_the_largest_is_not_called_saturated():
    found = saturations(minibatches({16: 1e-3, 64: 1e-3, 256: 1e-3}), 0.1, 0.1)
    assert found[0].saturated_at is None
    assert "is not saturated at 256" in saturation_sentence(found[0], 0.1)


def test_proportional_time_is_saturated_from_the_start():
    found = saturations(minibatches({16: 1e-3, 64: 4e-3, 256: 16e-3}), 0.1, 0.1)
    assert found[0].saturated_at == 16
    assert "is saturated from the start" in saturation_sentence(found[0], 0.1)


def test_a_line_of_sizes_holds_the_baseline_once_and_no_twin():
    lines = scaling(minibatches({16: 1e-3, 64: 2e-3, 256: 4e-3}))
    assert list(lines["size"]) == [16, 64, 256]
    assert list(lines["is_baseline"]) == [False, True, False]
    assert lines["seconds"].to_numpy() == pytest.approx([1e-3, 2e-3, 4e-3], rel=0.02)


def test_two_sizes_are_no_line():
    assert scaling(minibatches({16: 1e-3, 64: 2e-3})).empty


@pytest.mark.parametrize("high", [1.3, 2, 4, 30, 900, 1e5])
def test_an_axis_of_seconds_has_ticks_that_do_not_touch(high):
    ticks = time_ticks(1.7e-4, 1.7e-4 * high)
    places = np.log(ticks) / np.log(high)
    assert 1 <= len(ticks) <= 4
    assert (np.diff(places) >= 0.18 - 1e-9).all()


# Quality against time


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    chosen = [replace(plan, tasks=("spiral",)) for plan in plans() if plan.name == "activation"]
    return write_results(tmp_path_factory.mktemp("timed") / "r", studies=chosen)


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return read_results(folder)


def cells_of(results):
    timings = results.timings[results.timings["mode"] == "training step"]
    return bargains.timed_cells(
        results.studies[0], "spiral", relative_times(timings), timings, TWINS
    )


TWINS = {"spiral/activation=relu": "spiral/baseline"}


def test_a_cell_has_the_time_of_the_workload_with_the_same_factors(results):
    cells = cells_of(results).set_index("label")
    timings = results.timings
    own = timings[(timings["workload"] == "spiral/activation=gelu")]
    own = own[own["mode"] == "training step"]
    assert cells.loc["gelu", "seconds"] == pytest.approx((own["seconds"] / 20).median())
    assert {"relu", "gelu", "tanh"} <= set(cells.index)


def test_only_cells_that_no_other_beats_at_both_are_on_the_front(results):
    cells = cells_of(results)
    for _, cell in cells.iterrows():
        better = (cells["value"] >= cell["value"]) & (cells["seconds"] <= cell["seconds"])
        strictly = (cells["value"] > cell["value"]) | (cells["seconds"] < cell["seconds"])
        lost = cells["is_lost"].astype(bool)
        assert cell["on_front"] == (not (better & strictly & ~lost).any() and not cell["is_lost"])


def test_time_to_target_is_steps_times_seconds_and_misses_are_infinite(results):
    cells = cells_of(results)
    times = bargains.times_to_target(results.studies[0], "spiral", 0.6, cells)
    assert times["value"].to_numpy() == pytest.approx(
        (times["steps"] * times["seconds"]).to_numpy()
    )
    never = bargains.times_to_target(results.studies[0], "spiral", 2.0, cells)
    assert np.isinf(never["value"]).all()
    assert (never["reached"] == 0).all()


def test_the_target_lies_between_chance_and_the_baseline(results):
    target = bargains.target_of(results.studies[0], "spiral")
    assert 1 / 3 < target < 1


# What timings.json says

NOTES = {
    "profile": "quick",
    "rule": "The first that fit.",
    "flags": [
        {"workload": "spiral/baseline", "device": "cpu", "mode": "inference", "flags": ["busy"]}
    ],
    "meaning_of_flags": {"busy": "others were at work", "noisy": "samples differ"},
    "left_out": [{"workload": "wave/depth=8", "mode": "inference", "reason": "no time"}],
    "same_as": [
        {"workload": "spiral/activation=relu", "mode": "inference", "same_as": "spiral/baseline"}
    ],
    "passes": [{"device": "cpu", "throttled": False, "failed": []}],
    "peak_memory": [
        {"workload": "spiral/baseline", "device": "cuda", "mode": "epoch", "bytes": 2**21}
    ],
    "meaning_of_peak_memory": {"cpu": "not measured"},
}


def words_of(blocks):
    """Everything that blocks say."""
    found = []
    for block in blocks:
        match block:
            case Text():
                found += block.paragraphs
            case Answer():
                found += block.sentences
            case Table():
                found += [" | ".join(row) for row in block.rows]
            case Details():
                found += words_of(block.blocks)
    return found


def test_flags_gaps_and_memory_are_said_in_words():
    words = words_of(timing_notes.note_blocks(NOTES, 5))
    assert "busy | others were at work | 1 | spiral/baseline (inference)" in words
    assert "noisy | samples differ | 0 | " in words
    assert "no time | 1 | wave/depth=8 (inference)" in words
    assert "spiral/baseline | epoch | CUDA | 2.0" in words
    assert "Peak memory. CPU: not measured." in words
    assert any("The first that fit." in line for line in words)
    assert any(line.startswith("5 workloads were timed in 1 process (1 on CPU)") for line in words)


@pytest.mark.parametrize(
    "strange",
    [{"flags": 3}, {"flags": [1, {"workload": 2}]}, {"passes": {}, "left_out": [{"reason": 1}]}],
)
def test_notes_that_hold_something_else_are_passed_over(strange):
    assert isinstance(timing_notes.note_blocks(strange, 5), list)
    assert timing_notes.flags_by_workload(strange) == {}


def test_a_machine_is_quiet_only_if_the_notes_say_so():
    assert not timing_notes.is_quiet({})
    assert not timing_notes.is_quiet(NOTES)
    assert timing_notes.is_quiet({**NOTES, "flags": []})


def test_what_is_flagged_says_so_in_sentences_and_tables_of_other_ways():
    timings = pd.DataFrame(every_kind())
    speeds = relative_times(timings)
    flags = {
        ("cpu", "training step", "spiral/threads=2"): ["unusable", "no_steady_state"],
        ("cpu", "epoch", "spiral/input=DataLoader"): ["drift"],
    }
    answer, table = ways_section(speeds, flags).blocks
    assert [s.partition("pairs)")[2] for s in answer.sentences] == [
        "; flagged unusable and no steady state.",
        ".",
    ]
    assert table.header[-1] == "flags"
    doubts = {(row[1], row[3]): row[-1] for row in table.rows}
    assert doubts["training step", "2 threads"] == "unusable, no steady state"
    assert sum(text != "" for text in doubts.values()) == 1
    _, table = input_section(speeds, timings, flags).blocks
    assert [row[-1] for row in table.rows if row[-1]] == ["drift"]


# Stacks against other ways


def rounds(times, *, n=5, trials=4, compiling=0.0):
    """Samples of speedup.csv, one per way and round."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        [
            {
                **{"case": "c", "way": way, "round": k, "order": 0, "trials": trials, "steps": 10},
                "seconds": seconds * float(np.exp(NOISE * rng.normal())),
                "compile_seconds": compiling if way == "jax" else 0.0,
                "loss": 0.5,
            }
            for k in range(n)
            for way, seconds in times.items()
        ]
    )


def test_a_ratio_over_few_rounds_is_a_geometric_mean_with_student_t():
    found = speedups.ratios(rounds({"stacked": 1.0, "jax": 2.0}, compiling=1.0)).iloc[0]
    frame = rounds({"stacked": 1.0, "jax": 2.0}, compiling=1.0)
    wide = frame.pivot_table(index="round", columns="way", values="seconds")
    logs = np.log(wide["jax"] / wide["stacked"])
    assert found["value"] == pytest.approx(np.exp(logs.mean()))
    half = 2.776445 * logs.std() / math.sqrt(5)  # t of 4 degrees of freedom
    assert found["high"] == pytest.approx(np.exp(logs.mean() + half), rel=1e-6)
    assert (found["n"], found["interval"]) == (5, "95% t")
    assert found["with_value"] == pytest.approx(3, rel=0.02)


def test_from_six_rounds_on_a_ratio_is_a_median_with_order_statistics():
    found = speedups.ratios(rounds({"stacked": 1.0, "notebook": 4.0}, n=6)).iloc[0]
    assert found["interval"] == "95% order statistics"
    assert math.isnan(found["with_value"])


SPEED_NOTES = {
    "cases": {
        "c": {
            "cores": 2,
            "work": {"multiply_adds": 10**9, "evaluation_multiply_adds": 10**8, "bytes": 10**8},
            "rates": {
                "size": 1000,
                "multiply_adds": 10**9,
                "bytes": 10**9,
                "seconds": {"numpy": [0.1, 0.1], "torch": [0.2, 0.2], "copy": [0.1, 0.1]},
            },
        },
        "broken": {"cores": 2},
    }
}


def test_shares_are_of_the_better_rate_of_all_cores():
    found = speedups.shares(rounds({"stacked": 1.0}), SPEED_NOTES)
    row = found.iloc[0]
    assert list(found["case"]) == ["c"]
    assert (row["library"], row["peak"]) == ("numpy", pytest.approx(40))  # 2 cores x 2 x 1e10
    assert row["gflops"] == pytest.approx(8, rel=0.02)  # 4 trials x 2e9 in a second
    assert row["arithmetic"] == pytest.approx(0.2, rel=0.02)
    assert row["traffic"] == pytest.approx(0.04, rel=0.02)


@pytest.mark.parametrize(
    ("arithmetic", "traffic", "compiled", "words"),
    [
        (0.7, 0.1, False, "arithmetic bounds it"),
        (0.7, 1.4, True, "arithmetic bounds it"),
        (0.2, 1.4, False, "which only caches allow"),
        (0.2, 0.7, False, "which bounds it"),
        (0.2, 0.7, True, "stay in the cache of a core"),
        (0.2, 0.1, False, "neither rate bounds it"),
    ],
)
def test_a_sentence_says_what_bounds_the_rest(arithmetic, traffic, compiled, words):
    row = {"case": "c", "gflops": 8.0, "library": "numpy", "cores": 2, "compiled": compiled}
    row["device"] = "cpu"
    assert words in limit_sentence(row | {"arithmetic": arithmetic, "traffic": traffic})


def test_a_case_without_what_it_needs_has_no_shares():
    case = SPEED_NOTES["cases"]["c"]
    for name in case["rates"]:
        rates = {key: value for key, value in case["rates"].items() if key != name}
        notes = {"cases": {"c": case | {"rates": rates}}}
        assert speedups.shares(rounds({"stacked": 1.0}), notes).empty, name


def test_cases_of_older_files_are_not_compiled():
    assert not speedups.shares(rounds({"stacked": 1.0}), SPEED_NOTES)["compiled"].any()
    case = SPEED_NOTES["cases"]["c"]
    newer = {"cases": {"c": case | {"work": case["work"] | {"compiled": True}}}}
    assert speedups.shares(rounds({"stacked": 1.0}), newer)["compiled"].all()


def test_the_speed_of_training_has_a_table_per_way_and_a_finding():
    section, findings = speedup_section(
        rounds({"stacked": 1.0, "notebook": 4.0, "jax": 2.0}, compiling=1.0), SPEED_NOTES
    )
    words = words_of(section.blocks)
    assert any(line.startswith("c | a notebook's loop | ") for line in words)
    assert any("20% of what numpy multiplies on 2 cores" in line for line in words)
    assert "times as fast as a notebook's loop on c" in findings[0].lines[0]
    assert speedup_section(rounds({"stacked": 1.0}).head(0), {}) == (None, [])


def test_a_gpu_is_held_to_what_torch_multiplies_on_it():
    case = SPEED_NOTES["cases"]["c"]
    rates = case["rates"] | {"size": 4096, "seconds": {"torch": [0.01, 0.01], "copy": [0.1, 0.1]}}
    gpu = {"cases": {"c": case | {"device": "cuda", "cores": 1, "rates": rates}}}
    section, _ = speedup_section(rounds({"stacked": 1.0, "notebook": 4.0}), gpu)
    words = words_of(section.blocks)
    assert any("4% of what torch multiplies on the GPU" in line for line in words)
    note = next(b.note for b in section.blocks if isinstance(b, Table) and "machine" in b.caption)
    assert "4096 × 4096 matrices in float32 by torch on the GPU" in note
    assert "core" not in note


# The whole section


def test_sizes_and_ways_do_not_stretch_the_axis_of_prices(results):
    timed = replace(results, timings=every_kind(), timing_notes=NOTES)
    with house_style():
        section, _ = throughput_section(timed)
    topics = {topic.anchor for topic in section.topics}
    assert {"throughput-ways", "throughput-input", "throughput-notes"} <= topics
    table = next(block for block in section.blocks if isinstance(block, Details)).blocks[0]
    assert not [row for row in table.rows if "512" in row[0] or "threads" in row[0]]


def test_speedups_alone_make_a_section():
    empty = Results(Path(), {}, (), every_kind().head(0), {}, rounds({"stacked": 1.0, "vmap": 2.0}))
    section, _ = throughput_section(empty)
    assert [topic.anchor for topic in section.topics] == ["throughput-speedup"]
