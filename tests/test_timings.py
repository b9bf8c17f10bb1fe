"""Timings: intervals and flags, passes, the files they leave, and how they are resumed."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from test_clock import Machine, always

import benchmarks.timings as module
from ablations.levels import FACTORS
from ablations.records import try_lock, unlock
from ablations.studyfile import find_studies, load_study
from benchmarks import budgeting, timing_files
from benchmarks.__main__ import devices_of, main, render
from benchmarks.budgeting import Settings, least_seconds, plan_timings, visible_cores
from benchmarks.catalogue import Place, workloads_of
from benchmarks.clock import LEAST_WARM_UP
from benchmarks.fresh import TimingError, in_fresh_process
from benchmarks.neighbours import Activity, cores_of_others, held_locks
from benchmarks.passes import Job, Pass, run_pass, warm_up_order
from benchmarks.reliability import (
    FLAGS,
    Interval,
    Samples,
    flags,
    median_interval,
    median_over_processes,
    median_rank,
    outliers,
    ratio_interval,
)
from benchmarks.sampling import EFFORTS
from benchmarks.series import flags_of, outliers_of, series_of
from benchmarks.show import show_interval, show_ratio
from benchmarks.timing_files import TIMINGS, fingerprint_of, read_timings
from benchmarks.timings import time_missing, wait_for_quiet
from benchmarks.ways import PLAIN, Way, has_compiler
from benchmarks.workloads import AGAIN

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Away from results/, where someone may be training: these tests would wait for that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


# Intervals


@pytest.mark.parametrize(
    ("n", "low", "high"), [(6, 1, 6), (20, 6, 15), (30, 10, 21), (100, 40, 61)]
)
def test_ranks_of_the_median_are_those_of_the_tables(n, low, high):
    values = np.random.default_rng(n).permutation(np.arange(1, n + 1))
    interval = median_interval(values)
    assert (interval.low, interval.high) == (low, high)
    assert interval.value == (n + 1) / 2


def test_ranks_of_the_median_are_those_of_scipy():
    assert [median_rank(n) for n in range(300)] == [
        int(stats.binom.ppf(0.025, n, 0.5)) if n else 0 for n in range(300)
    ]
    large = [1001, 2500, 9999]
    assert [median_rank(n) for n in large] == pytest.approx(
        [stats.binom.ppf(0.025, n, 0.5) for n in large], abs=1
    )


@pytest.mark.parametrize("n", range(6))
def test_fewer_than_six_values_have_no_interval(n):
    interval = median_interval(np.arange(n) + 1.0)
    assert np.isnan(interval.low)
    assert interval.half_width == np.inf


def samples_of(each, *, process=None, iterations=10):
    each = np.asarray(each, dtype=float)
    process = np.zeros(len(each), dtype=int) if process is None else np.asarray(process)
    round_ = np.concatenate([np.arange(n) for n in Counter(process.tolist()).values()])
    return Samples(process, round_, each, each * iterations)


def test_a_ratio_pairs_samples_of_the_same_round_and_process():
    """The machine slows down twofold from round to round; the ratio does not see it."""
    weather = 2.0 ** np.arange(10)
    control = samples_of(weather)
    treated = Samples(*(a[[7, *range(7), 8, 9]] for a in vars_of(samples_of(1.25 * weather))))
    interval = ratio_interval(treated, control)
    assert (interval.value, interval.low, interval.high) == pytest.approx((1.25, 1.25, 1.25))
    assert interval.n == 10


def vars_of(samples):
    return samples.process, samples.round, samples.each, samples.seconds


def test_a_ratio_leaves_out_rounds_that_only_one_of_them_has():
    control = samples_of([1.0] * 9 + [1.0] * 4, process=[0] * 9 + [1] * 4)
    treated = samples_of([2.0] * 6 + [2.0] * 8, process=[0] * 6 + [1] * 8)
    assert ratio_interval(treated, control).n == 6 + 4


def test_an_interval_over_processes_knows_that_processes_differ(rng):
    """Medians of 1.07, 1.32 and 1.20 ms: within a process all is quiet, between them it is not."""
    each = np.concatenate([m * (1 + 0.01 * rng.standard_normal(30)) for m in (1.07, 1.32, 1.2)])
    samples = samples_of(each, process=np.repeat([0, 1, 2], 30))
    within = median_interval(each[60:])
    over = median_over_processes(samples, rng=rng)
    assert over.low < 1.1
    assert over.high > 1.28
    assert over.half_width > 10 * within.half_width


def test_one_process_has_the_interval_within_it(rng):
    samples = samples_of(rng.lognormal(size=40))
    assert median_over_processes(samples, rng=rng) == median_interval(samples.each)


# Flags: for each, samples that raise it and samples that do not


def quiet(n=60, spread=0.01, seed=4):
    """Samples of one millisecond each iteration with a little noise."""
    noise = np.random.default_rng(seed).standard_normal(n)
    return 1e-3 * np.exp(spread * noise)


RAISING = {
    "noisy": (samples_of(quiet(spread=0.12)), {}),
    "unusable": (samples_of(quiet(spread=0.5)), {}),
    "drift": (samples_of(quiet() * np.linspace(1, 1.06, 60)), {}),
    "bimodal": (samples_of(quiet() * np.tile([1.0, 1.08, 1.08], 20)), {}),
    "few_samples": (samples_of(quiet(n=29)), {}),
    "no_steady_state": (samples_of(quiet()), {"unsteady": [True, True, False]}),
    "launch_bound": (samples_of(quiet()), {"launch_seconds": 60e-6}),
    "host_waits": (samples_of(quiet()), {"host_waits": True}),
    "busy": (samples_of(quiet()), {"busy": True}),
    "throttled": (samples_of(quiet()), {"throttled": True}),
}
QUIET = {
    "noisy": (samples_of(quiet(spread=0.05)), {}),
    "unusable": (samples_of(quiet(spread=0.15)), {}),
    "drift": (samples_of(quiet() * np.linspace(1, 1.02, 60)), {}),
    "bimodal": (samples_of(quiet() * np.tile([1.0, 1.03, 1.03], 20)), {}),
    "few_samples": (samples_of(quiet(n=30)), {}),
    "no_steady_state": (samples_of(quiet()), {"unsteady": [True, False, False]}),
    "launch_bound": (samples_of(quiet()), {"launch_seconds": 40e-6}),
    "host_waits": (samples_of(quiet()), {"host_waits": False}),
    "busy": (samples_of(quiet()), {"busy": False}),
    "throttled": (samples_of(quiet()), {"throttled": False}),
}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_is_raised_by_what_it_is_for(flag):
    samples, notes = RAISING[flag]
    assert flag in flags(samples, **notes)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_is_not_raised_just_before_that(flag):
    samples, notes = QUIET[flag]
    assert flag not in flags(samples, **notes)


def test_quiet_samples_have_no_flags():
    assert flags(samples_of(quiet())) == []


def test_noisy_and_unusable_are_steps_of_one_scale():
    assert "noisy" not in flags(samples_of(quiet(spread=0.5)))


def test_few_seconds_are_few_samples():
    samples = samples_of(quiet(n=100), iterations=1)
    assert samples.seconds.sum() < 0.15
    assert "few_samples" in flags(samples)


def test_a_drift_in_every_process_is_seen_though_each_starts_anew():
    wave = np.tile(np.linspace(1, 1.06, 20), 3)
    assert "drift" in flags(samples_of(quiet() * wave, process=np.repeat([0, 1, 2], 20)))


def test_processes_that_differ_are_no_drift():
    process = np.repeat([0, 1, 2], 20)
    assert "drift" not in flags(samples_of(quiet() * (1 + 0.1 * process), process=process))


def test_spikes_are_no_second_mode():
    """Every twentieth sample takes three times as long: outliers, not a mode."""
    each = quiet()
    each[::20] *= 3
    assert flags(samples_of(each)) == []


def test_spikes_do_not_hide_two_modes():
    each = quiet() * np.tile([1.0, 1.08, 1.08], 20)
    each[[1, 2]] *= 3
    assert "bimodal" in flags(samples_of(each))


def test_outliers_are_counted_by_process_and_nothing_is_dropped():
    """Two processes a tenth apart, three spikes: three, not half of all."""
    each = np.concatenate([quiet(), 1.1 * quiet(seed=5)])
    each[[3, 40, 70]] *= 3
    samples = samples_of(each, process=np.repeat([0, 1], 60))
    assert outliers(samples) == 3
    assert outliers(samples_of(quiet())) == 0
    assert outliers(samples_of([1.0, 1.0, 1.0])) == 0
    rows = [
        {"device": "cpu", "mode": "m", "workload": name, "process": 0, "round": k}
        | {"iterations": 10, "seconds": 10 * value}
        for name, values in (("a", each[:60]), ("b", quiet()))
        for k, value in enumerate(values)
    ]
    assert outliers_of(rows) == [
        {"workload": "a", "device": "cpu", "mode": "m", "samples": 60, "outliers": 2}
    ]


def test_independent_noise_seldom_raises_drift_or_bimodal():
    """At most 2% of 500 series without either, normal, skewed or uniform."""
    rng = np.random.default_rng(9)
    draws = [
        lambda: np.exp(0.05 * rng.standard_normal(90)),
        lambda: 1 + 0.1 * rng.exponential(size=90),
        lambda: rng.uniform(0.8, 1.2, size=90),
    ]
    raised = [flags(samples_of(1e-3 * draws[k % 3]())) for k in range(500)]
    assert sum("drift" in r for r in raised) <= 10
    assert sum("bimodal" in r for r in raised) <= 10


# A pass


STUDY = """
[study]
name = "mine"
question = "Which?"
tasks = ["spiral", "wave"]
[factors]
activation = ["relu", "tanh"]
[nuisance]
learning_rate = [0.01]
[fixed]
minibatch = 64
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(STUDY)
    return load_study(path)


def settings_of(tmp_path, *, profile="standard", devices=("cpu",), **effort):
    effort = replace(EFFORTS[profile], **effort)
    return Settings(tmp_path / "results", devices, profile, effort)


def pretend_pass(
    job, tell=lambda line: None, *, cost=1_000_000, broken=(), name=None, start=0.0, **arguments
):
    """Run a job on a pretend machine, in next to no time, and say that it was some device."""
    machine = Machine()
    machine.time = int(start * 1e9)

    def build(workload, task):
        if workload.name in broken:
            raise MemoryError("no room")
        return machine.works(always(cost))

    settings = {"build": build, "now": lambda: machine.time * 1e-9, "tell": tell, **arguments}
    done = run_pass(job, clock=machine.clock(), **settings)
    device = {"device": name or job.device}
    return Pass([row | device for row in done.rows], done.notes | device)


def job_of(study, *, process=0, seconds=100.0, **effort):
    workloads = workloads_of([study]).workloads
    return Job("cpu", process, workloads, replace(EFFORTS["quick"], **effort), 1, seconds)


def test_a_pass_times_every_workload_alike(study):
    job = job_of(study)
    done = pretend_pass(job)
    counts = Counter((row["workload"], row["mode"]) for row in done.rows)
    assert counts.keys() == {(w.name, w.mode) for w in job.workloads}
    assert min(counts.values()) >= 30
    assert all(r["seconds"] / r["iterations"] == pytest.approx(1e-3, rel=1e-3) for r in done.rows)


def test_rows_of_a_pass_have_the_columns_of_timings_csv(study):
    row = pretend_pass(job_of(study, process=2)).rows[0]
    assert row.keys() == set(TIMINGS)
    assert row["process"] == 2
    assert {row[factor] for factor in ("activation",)} <= {"relu", "tanh"}
    assert (row["device"], row["threads"], row["dtype"]) == ("cpu", 1, "float32")


def in_another_way(job, way):
    """The job with its first workload run in another way."""
    first, *others = job.workloads
    return replace(job, workloads=(replace(first, way=way), *others))


def test_rows_name_the_threads_and_the_type_of_their_way(study):
    job = in_another_way(job_of(study), Way(threads=2))
    ways = {(w.name, w.mode): w.way for w in job.workloads}
    for row in pretend_pass(job).rows:
        way = ways[row["workload"], row["mode"]]
        assert (row["threads"], row["dtype"]) == (way.threads or 1, way.dtype)
    assert {way.threads for way in ways.values()} == {None, 2}
    assert {way.dtype for way in ways.values()} == {"float32", "bfloat16"}


def test_a_way_s_threads_are_used_to_build_warm_up_and_sample_and_nowhere_else(study):
    """Whatever the process has; here one more than that."""
    before = torch.get_num_threads()
    machine, seen = Machine(), {}

    def build(workload, task):
        work = machine.works(always(1_000_000))
        counts = seen.setdefault(workload.way, set())
        counts.add(torch.get_num_threads())
        return lambda: (counts.add(torch.get_num_threads()), work())

    job = in_another_way(job_of(study), Way(threads=before + 1))
    run_pass(job, clock=machine.clock(), build=build, now=lambda: machine.time * 1e-9)
    assert seen.pop(Way(threads=before + 1)) == {before + 1}
    assert all(counts == {before} for counts in seen.values())
    assert PLAIN in seen
    assert torch.get_num_threads() == before


def test_each_process_has_an_order_of_its_own(study):
    def order(process):
        rows = pretend_pass(job_of(study, process=process)).rows
        return [row["order"] for row in rows if row["round"] == 0]

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_a_workload_that_fails_costs_itself_alone(study):
    done = pretend_pass(job_of(study), broken={"spiral/activation=tanh"})
    assert done.notes["failed"] == [
        {"workload": "spiral/activation=tanh", "mode": mode, "reason": "MemoryError: no room"}
        for mode in sorted(
            ("training step", "inference"), key=[f["mode"] for f in done.notes["failed"]].index
        )
    ]
    assert "spiral/activation=tanh" not in {row["workload"] for row in done.rows}
    assert "wave/activation=tanh" in {row["workload"] for row in done.rows}


def test_a_workload_that_is_not_waited_for_becomes_a_failure_with_its_reason(study):
    machine = Machine()
    careless = replace(machine.clock(), wait=lambda: None)
    done = run_pass(
        job_of(study),
        clock=careless,
        build=lambda workload, task: machine.launches(200_000),
        now=lambda: machine.time * 1e-9,
    )
    assert not done.rows
    assert all("does not wait for" in failure["reason"] for failure in done.notes["failed"])


def test_a_pass_that_starts_too_late_still_times_the_most_important(study):
    """Its process took all of the time to start; what follows is not lost but not reached."""
    job = job_of(study, seconds=20.0)
    done = pretend_pass(job, start=60.0)
    counts = Counter((row["workload"], row["mode"]) for row in done.rows)
    late = [tuple(pair) for pair in done.notes["unreached"]]
    assert {w.name for w in job.workloads[:8]} == {
        "spiral/baseline", "spiral/baseline (again)", "wave/baseline", "wave/baseline (again)",
    }  # fmt: skip
    assert {(w.name, w.mode) for w in job.workloads[:8]} <= counts.keys()
    assert sorted([*counts, *late]) == sorted((w.name, w.mode) for w in job.workloads)
    assert late
    assert not done.notes["failed"]


def test_what_is_warmed_up_has_its_fewest_samples_however_slow_the_machine(study):
    """Steps of 30 ms, a hundred times what was planned: few workloads, each with 30 samples."""
    done = pretend_pass(job_of(study, seconds=20.0), cost=30_000_000)
    counts = Counter((row["workload"], row["mode"]) for row in done.rows)
    assert min(counts.values()) >= 10
    assert done.notes["unreached"]


def test_a_pass_on_a_machine_that_hardly_moves_still_times_one_pair(study):
    """A call of two seconds: warming up the pair takes ten times the time there was."""
    done = pretend_pass(job_of(study, seconds=5.0), cost=2_000_000_000, start=60.0)
    counts = Counter((row["workload"], row["mode"]) for row in done.rows)
    assert {("spiral/baseline", "training step"), (f"spiral/baseline{AGAIN}", "training step")} <= (
        counts.keys()
    )
    assert len(counts) <= 3
    assert done.notes["unreached"]


def test_workloads_are_warmed_up_in_random_order_the_most_important_block_first():
    order = warm_up_order(20, np.random.default_rng(1))
    assert order != sorted(order)
    assert [sorted(order[:8]), sorted(order[8:16]), sorted(order[16:])] == [
        list(range(8)), list(range(8, 16)), list(range(16, 20)),
    ]  # fmt: skip
    assert order != warm_up_order(20, np.random.default_rng(2))


def test_a_pass_keeps_within_its_time(study):
    machine = Machine()
    run_pass(
        job_of(study, seconds=9.0, cap=1e9, target=-1.0),  # never known well enough
        clock=machine.clock(),
        build=lambda workload, task: machine.works(always(100_000)),
        now=lambda: machine.time * 1e-9,
    )
    assert 8.9 < machine.time * 1e-9 < 9.01


def test_a_pass_notes_which_warm_ups_were_unsteady(study):
    """Samples that differ by 3%, too much on an accelerator."""
    machine, costs = Machine(), cycle([1_000_000, 1_030_000])

    def build(workload, task):
        wavers = workload.name == "wave/baseline"
        return machine.works(costs.__next__ if wavers else always(1_000_000))

    job = job_of(study, sample=1e-4)
    job = replace(job, workloads=tuple(w for w in job.workloads if w.mode == "inference"))
    clock = replace(machine.clock(), kind="accelerator")
    notes = run_pass(job, clock=clock, build=build, now=lambda: machine.time * 1e-9).notes
    assert notes["unsteady"] == [["wave/baseline", "inference"]]
    assert notes["launch_seconds"] is not None


# What is planned


def core(profile):
    return [load_study(path, profile) for path in find_studies("core")]


@pytest.mark.parametrize("profile", ["quick", "standard", "full"])
def test_what_is_planned_fits_the_budget_at_its_least(tmp_path, profile):
    settings = settings_of(tmp_path, profile=profile)
    effort = settings.effort
    plan = plan_timings(core(profile), settings)
    warm_up = effort.processes * LEAST_WARM_UP["cpu"]
    assert len(plan.workloads) * (warm_up + 0.15) < effort.budget
    reasons = {left.reason for left in plan.left_out}
    others = {"CUDA graphs need a CUDA device", "there is one core"}
    assert all("budget" in r or "compil" in r or r in others for r in reasons)


def test_standard_leaves_no_level_of_the_core_studies_out(tmp_path):
    """What does not fit is how the other families scale, and the largest activations."""
    left = plan_timings(core("standard"), settings_of(tmp_path)).left_out
    cut = {(e.workload, e.mode) for e in left if "budget" in e.reason}
    everything = workloads_of(core("standard"), Place(cores=visible_cores())).workloads
    for workload in everything:
        if (workload.name, workload.mode) in cut:
            other = workload.group != "spiral" and (workload.repeats or workload.way != PLAIN)
            epoch = workload.mode in {"input pipeline", "epoch"} and workload.group != "spiral"
            assert other or epoch or workload.group in {"layer 1024x64", "layer 1024x1024"}
    plan = plan_timings(core("standard"), settings_of(tmp_path))
    timed = {(w.group, w.mode) for w in plan.workloads}
    assert {("layer 64x32", "forward+backward"), ("spiral", "optimizer step")} <= timed


def test_there_is_time_to_compile_in_the_full_profile_alone(tmp_path):
    compiled = {
        profile: [
            w.name
            for w in plan_timings(core(profile), settings_of(tmp_path, profile=profile)).workloads
            if w.way.run == "compiled"
        ]
        for profile in ("quick", "standard", "full")
    }
    assert not compiled["quick"]
    assert not compiled["standard"]
    if has_compiler():
        assert "spiral/run=compiled" in compiled["full"]


def test_compiling_is_part_of_what_a_workload_costs(tmp_path, study):
    """40 s in each of three processes, beyond what the plain step costs."""
    plain = workloads_of([study]).workloads[0]
    effort = EFFORTS["full"]
    compiled = replace(plain, way=Way(run="compiled"))
    extra = least_seconds(compiled, effort, "cpu") - least_seconds(plain, effort, "cpu")
    assert extra == pytest.approx(3 * 40)


def test_a_workload_is_given_time_on_the_devices_that_can_run_it(tmp_path, monkeypatch):
    """A graph costs nothing on the CPU, where there is none."""
    settings = settings_of(tmp_path, profile="full", devices=("cpu", "cuda"))
    plan = plan_timings(core("full"), settings)
    graphs = [w for w in plan.workloads if w.way.run == "graph"]
    assert graphs
    assert all(w.way.objection("cpu") for w in graphs)
    asked = []
    monkeypatch.setattr(
        budgeting, "least_seconds", lambda w, e, device: asked.append((w.way.run, device)) or 1
    )
    plan_timings(core("full"), settings)
    assert ("graph", "cuda") in asked
    assert ("graph", "cpu") not in asked


def test_quick_keeps_the_important_workloads_and_says_what_it_left_out(tmp_path):
    everything = workloads_of(core("quick"), Place(cores=visible_cores())).workloads
    plan = plan_timings(core("quick"), settings_of(tmp_path, profile="quick"))
    assert {w.name for w in everything[:12]} <= {w.name for w in plan.workloads}
    left = {(e.workload, e.mode) for e in plan.left_out if "budget" in e.reason}
    assert left | {(w.name, w.mode) for w in plan.workloads} == {
        (w.name, w.mode) for w in everything
    }
    assert left
    assert "in order of importance" in plan.rule
    assert "20 s" in plan.rule


def test_a_budget_for_nothing_still_times_one_pair(tmp_path, study):
    plan = plan_timings([study], settings_of(tmp_path, budget=1))
    assert [w.name for w in plan.workloads] == ["spiral/baseline", f"spiral/baseline{AGAIN}"]


CLAIM = """
[[claims]]
statement = "tanh costs more"
table = "timings"
{where}
better = {{ activation = "relu" }}
worse = {{ activation = "{worse}" }}
by = 0.1
"""


def claiming(tmp_path, where='task = "wave"', worse="tanh"):
    path = tmp_path / "claiming.toml"
    path.write_text(STUDY + CLAIM.format(where=where, worse=worse))
    return load_study(path)


@pytest.mark.parametrize("budget", [1, 20])
def test_what_claims_about_time_compare_is_timed_whatever_the_budget(tmp_path, budget):
    """Next to the base network of the claim's task, and its twin, on every device."""
    study = claiming(tmp_path)
    names = ["wave/baseline", f"wave/baseline{AGAIN}", "wave/activation=tanh"]
    plan = plan_timings([*core("quick"), study], settings_of(tmp_path, profile="quick"))
    assert [(w.name, w.mode) for w in plan.workloads[:3]] == [(n, "training step") for n in names]
    few = plan_timings([study], settings_of(tmp_path, profile="quick", budget=budget))
    assert [w.name for w in few.workloads[:3]] == names
    counts = Counter((w.name, w.mode) for w in few.workloads)
    assert set(counts.values()) == {1}
    left = {(e.workload, e.mode) for e in few.left_out}
    assert not left & counts.keys()
    assert "what claims about time compare" in few.rule


def test_a_claim_may_name_a_mode_and_may_be_about_every_task(tmp_path):
    study = claiming(tmp_path, where='response = "inference"')
    plan = plan_timings([study], settings_of(tmp_path, budget=1))
    assert {(w.name.removesuffix(AGAIN), w.mode) for w in plan.workloads} == {
        (f"{task}/{what}", "inference")
        for task in ("spiral", "wave")
        for what in ("baseline", "activation=tanh")
    }


def test_every_claim_about_time_in_the_studies_has_both_its_workloads(tmp_path):
    """Of the group `claims`, with 20 seconds on one device."""
    studies = [load_study(path, "quick") for path in find_studies("claims")]
    plan = plan_timings(studies, settings_of(tmp_path, profile="quick"))
    timed = {(w.task.name, w.mode, w.factors["activation"]) for w in plan.workloads}
    about = [c for s in studies for c in s.claims if c.get("table") == "timings"]
    assert len(about) >= 2
    for claim in about:
        for side in (claim["better"], claim["worse"]):
            assert (claim["task"], "training step", side["activation"]) in timed
    assert sum(least_seconds(w, EFFORTS["quick"], "cpu") for w in plan.workloads) < 20


def test_a_second_device_shares_the_budget(tmp_path):
    one = plan_timings(core("quick"), settings_of(tmp_path, profile="quick"))
    two = plan_timings(
        core("quick"), settings_of(tmp_path, profile="quick", devices=("cpu", "cuda"))
    )
    assert 2 <= len(two.workloads) < len(one.workloads)


# Files and resumption


class Passes:
    """Stands in for fresh processes: remembers which were started."""

    def __init__(self, interrupt_at=None):
        self.started, self.interrupt_at = [], interrupt_at

    def __call__(self, job, tell):
        if len(self.started) == self.interrupt_at:
            raise KeyboardInterrupt
        self.started.append((job.device, job.process))
        return pretend_pass(replace(job, end=100.0))


@pytest.fixture
def no_looks(monkeypatch):
    """The look at other processes takes no time."""
    monkeypatch.setattr(module, "LOOK", 0.0)
    monkeypatch.setattr(module, "cores_of_others", lambda before, after: 0.0)


@pytest.fixture
def timed(tmp_path, study, no_looks):
    """A finished run: its settings, plan and passes."""
    settings = settings_of(tmp_path)
    plan = plan_timings([study], settings)
    passes = Passes()
    time_missing(plan, settings, tell=lambda line: None, start=passes)
    return settings, plan, passes


def again(settings, plan, **arguments):
    """Run once more: what was started and said."""
    passes, said = Passes(**arguments), []
    time_missing(plan, settings, tell=said.append, start=passes)
    return passes.started, said


def test_a_run_starts_three_fresh_processes(timed):
    assert timed[2].started == [("cpu", 0), ("cpu", 1), ("cpu", 2)]


def test_devices_take_turns_process_by_process(tmp_path, study, no_looks):
    settings = settings_of(tmp_path, devices=("cpu", "meta"))
    plan = plan_timings([study], settings)
    started, _ = again(settings, plan)
    assert started == [(device, k) for k in range(3) for device in ("cpu", "meta")]


def test_a_device_is_asked_only_for_what_it_can_run(tmp_path, study, no_looks):
    settings = settings_of(tmp_path, devices=("cpu", "cuda"), processes=1)
    plan = plan_timings([study], settings)
    asked = {}

    def start(job, tell):
        asked[job.device] = {w.way for w in job.workloads}
        return pretend_pass(replace(job, device="cpu", end=100.0), name=job.device)

    time_missing(plan, settings, tell=lambda line: None, start=start)
    assert Way(run="graph") not in asked["cpu"]
    assert Way(run="graph") in asked["cuda"]
    assert not any(way.threads for way in asked["cuda"])


def test_timings_csv_has_the_columns_of_the_design_and_one_row_per_sample(timed):
    settings, plan, _ = timed
    table = pd.read_csv(settings.results / "timings.csv", dtype={"width": str})
    assert list(table.columns) == [
        "workload", "task", *FACTORS, "device", "mode", "threads", "dtype", "process", "round",
        "order", "iterations", "seconds",
    ]  # fmt: skip
    assert set(table["workload"]) == {w.name for w in plan.workloads}
    assert set(table["process"]) == {0, 1, 2}
    assert not table.duplicated(["workload", "mode", "process", "round"]).any()
    assert not table.duplicated(["process", "round", "order"]).any()
    assert (table["seconds"] > 0).all()


def test_timings_json_says_what_was_left_out_and_by_which_rule(timed):
    settings, plan, _ = timed
    notes = json.loads((settings.results / "timings.json").read_text())
    assert notes["complete"] is True
    assert notes["rule"] == plan.rule
    assert {left["reason"] for left in notes["left_out"]} <= {
        "CUDA graphs need a CUDA device",
        "there is one core",
        "compiling takes most of a minute in every process; profile full does it",
    }
    peaks = {(peak["workload"], peak["mode"]) for peak in notes["peak_memory"]}
    assert peaks <= {(w.name, w.mode) for w in plan.workloads}
    assert bool(peaks) == ("VmHWM" in notes["meaning_of_peak_memory"]["cpu"])
    assert {
        "workload": "wave/activation=relu",
        "mode": "inference",
        "same_as": "wave/baseline",
    } in notes["same_as"]
    assert notes["flags"] == []
    assert notes["meaning_of_flags"] == FLAGS
    assert notes["outliers"] == []
    assert {"quota", "governor", "blas", "torch_build", "gpu_state"} <= notes["machine"].keys()
    assert notes["machine"]["command"] == "python -m benchmarks"
    assert [p["process"] for p in notes["passes"]] == [0, 1, 2]
    assert {"load_average", "others_before", "others_during"} <= notes["passes"][0].keys()


def test_machine_json_is_written_where_there_is_none_and_kept_where_there_is(
    tmp_path, study, no_looks
):
    settings = settings_of(tmp_path)
    settings.results.mkdir()
    (settings.results / "machine.json").write_text('{"studies": {}}')
    again(settings, plan_timings([study], settings))
    assert (settings.results / "machine.json").read_text() == '{"studies": {}}'


def test_a_folder_without_training_gets_a_machine_json(timed):
    content = json.loads((timed[0].results / "machine.json").read_text())
    assert content["torch"]


def test_a_second_run_times_nothing_and_touches_nothing(timed):
    settings, plan, _ = timed
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in settings.results.iterdir()}
    assert again(settings, plan) == ([], [])
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in settings.results.iterdir()}


def test_an_interrupt_keeps_the_processes_that_had_finished(tmp_path, study, no_looks):
    settings = settings_of(tmp_path)
    plan = plan_timings([study], settings)
    with pytest.raises(KeyboardInterrupt):
        again(settings, plan, interrupt_at=2)

    notes = json.loads((settings.results / "timings.json").read_text())
    assert notes["complete"] is False
    assert set(pd.read_csv(settings.results / "timings.csv")["process"]) == {0, 1}
    assert sorted(p.name for p in settings.results.iterdir()) == [
        "machine.json", "timings.csv", "timings.json",
    ]  # fmt: skip


def test_a_resumed_run_times_only_the_processes_that_are_missing(tmp_path, study, no_looks):
    """And leaves the same file as a run that was never interrupted."""
    whole = settings_of(tmp_path / "whole")
    plan = plan_timings([study], whole)
    again(whole, plan)
    settings = settings_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        again(settings, plan, interrupt_at=1)
    started, _ = again(settings, plan)
    assert started == [("cpu", 1), ("cpu", 2)]
    assert (settings.results / "timings.csv").read_bytes() == (
        whole.results / "timings.csv"
    ).read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "timings.csv").write_text("workload\n"), "not as it was written"),
        (lambda f: (f / "timings.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "timings.json").write_text("[]"), "cannot be read"),
        (lambda f: (f / "timings.csv").unlink(), ""),
    ],
    ids=["altered", "torn", "another shape", "missing"],
)
def test_files_that_cannot_be_trusted_are_timed_again(timed, change, said):
    settings, plan, _ = timed
    change(settings.results)
    started, lines = again(settings, plan)
    assert len(started) == 3
    assert said in " ".join(lines)


def test_changed_workloads_are_timed_again(timed):
    settings, plan, _ = timed
    started, lines = again(settings, replace(plan, workloads=plan.workloads[:2]))
    assert len(started) == 3
    assert "have changed" in lines[0]


def test_the_fingerprint_changes_with_what_can_change_times_and_nothing_else(
    tmp_path, study, monkeypatch
):
    settings = settings_of(tmp_path)
    plan = plan_timings([study], settings)
    first = fingerprint_of(plan, settings)
    assert fingerprint_of(plan, replace(settings, results=Path("elsewhere"))) == first
    otherwise = replace(plan.workloads[0], way=Way(dtype="bfloat16"))
    others = [
        fingerprint_of(replace(plan, workloads=plan.workloads[1:]), settings),
        fingerprint_of(plan, replace(settings, threads=2)),
        fingerprint_of(replace(plan, workloads=(otherwise, *plan.workloads[1:])), settings),
        fingerprint_of(plan, replace(settings, devices=("cpu", "cuda"))),
        fingerprint_of(plan, replace(settings, effort=EFFORTS["quick"])),
    ]
    monkeypatch.setattr(timing_files, "code_hash", lambda: "other code")
    others.append(fingerprint_of(plan, settings))
    assert len({first, *others}) == 7


def test_flags_of_a_run_name_the_workload(timed):
    settings, plan, _ = timed
    timings = read_timings(settings.results, fingerprint_of(plan, settings), lambda line: None)
    for note in timings.passes:
        note["unsteady"] = [["wave/baseline", "inference"]]
    assert flags_of(timings.rows, timings.passes) == [
        {
            "workload": "wave/baseline",
            "device": "cpu",
            "mode": "inference",
            "flags": ["no_steady_state"],
        }
    ]


def test_a_pass_beside_other_work_is_busy(timed, monkeypatch):
    settings, plan, _ = timed
    monkeypatch.setattr(module, "cores_of_others", lambda before, after: 0.8)
    (settings.results / "timings.csv").unlink()
    again(settings, plan)
    notes = json.loads((settings.results / "timings.json").read_text())
    assert len(notes["flags"]) == len(plan.workloads)
    assert all(entry["flags"] == ["busy"] for entry in notes["flags"])


def test_samples_read_back_are_the_samples_that_were_taken(timed):
    settings, plan, _ = timed
    timings = read_timings(settings.results, fingerprint_of(plan, settings), lambda line: None)
    with (settings.results / "timings.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["workload"] == "spiral/baseline"]
    own = series_of(timings.rows)["cpu", "inference", "spiral/baseline"]
    mine = [row for row in rows if row["mode"] == "inference"]
    np.testing.assert_array_equal(own.seconds, [float(row["seconds"]) for row in mine])
    np.testing.assert_array_equal(
        own.each, [float(row["seconds"]) / int(row["iterations"]) for row in mine]
    )


def test_the_order_of_rows_does_not_matter(timed, rng):
    rows = read_timings(timed[0].results, fingerprint_of(timed[1], timed[0]), print).rows
    shuffled = series_of([rows[i] for i in rng.permutation(len(rows))])
    for key, samples in series_of(rows).items():
        np.testing.assert_array_equal(shuffled[key].each, samples.each)
        np.testing.assert_array_equal(shuffled[key].round, samples.round)


# Never beside training


def hold(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return try_lock(path)


def test_a_stack_in_training_is_seen_and_one_left_behind_is_not(tmp_path):
    lock = tmp_path / "activation" / "records" / "ab" / "abc.lock"
    handle = hold(lock)
    assert held_locks(tmp_path) == [lock]
    os.close(handle)  # as when its holder dies
    assert lock.exists()
    assert held_locks(tmp_path) == []


def test_timing_waits_until_training_has_ended(tmp_path, monkeypatch):
    lock = tmp_path / "activation" / "records" / "ab" / "abc.lock"
    handle = hold(lock)
    said, slept = [], []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            unlock(lock, handle)

    monkeypatch.setattr(module, "sleep", sleep)
    assert wait_for_quiet(tmp_path, said.append) >= 0
    assert len(slept) == 3
    assert len(said) == 1
    assert said[0].startswith(f"waiting: something is trained or timed in {lock.parent}")


def test_a_process_beside_which_training_began_is_timed_again(
    tmp_path, study, no_looks, monkeypatch
):
    settings = settings_of(tmp_path, processes=1)
    plan = plan_timings([study], settings)
    lock = settings.results / "activation" / "records" / "ab" / "abc.lock"
    handles, started, said = [], [], []

    now, ends = [0.0], []

    def start(job, tell):
        started.append(job.process)
        ends.append(job.end)
        if len(started) == 1:
            handles.append(hold(lock))
            now[0] += 50.0
        return pretend_pass(replace(job, end=100.0))

    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "sleep", lambda seconds: seconds and unlock(lock, handles.pop()))
    timings = time_missing(plan, settings, tell=said.append, start=start)
    assert started == [0, 0]
    assert len(timings.passes) == 1
    assert any("training began meanwhile" in line for line in said)
    assert ends[1] == ends[0] + 50.0, "what is thrown away costs nothing of the budget"
    assert not timings.rows[0].keys() ^ set(TIMINGS)


def test_two_timings_in_one_folder_take_turns(tmp_path, study, no_looks, monkeypatch):
    settings = settings_of(tmp_path)
    plan = plan_timings([study], settings)
    lock = settings.results / "timings.lock"
    handle = hold(lock)
    monkeypatch.setattr(module, "sleep", lambda seconds: seconds and unlock(lock, handle))
    started, said = again(settings, plan)
    assert len(started) == 3
    assert said[0].startswith("waiting")
    assert not lock.exists()


def test_timing_in_another_folder_of_results_is_seen_before_but_not_after_the_start(
    tmp_path, study, no_looks, monkeypatch
):
    """Two that start one after the other take turns; neither waits for one that waits for it."""
    settings = replace(settings_of(tmp_path, processes=1), results=Path("results/standard"))
    plan = plan_timings([study], settings)
    other = tmp_path / "results" / "quick" / "timings.lock"
    handles = [hold(other)]
    monkeypatch.setattr(module, "sleep", lambda seconds: seconds and unlock(other, handles.pop()))
    started = []

    def start(job, tell):
        started.append(job.process)
        handles.append(hold(other))
        return pretend_pass(replace(job, end=100.0))

    said = []
    time_missing(plan, settings, tell=said.append, start=start)
    assert started == [0]
    assert [line for line in said if line.startswith("waiting")] == [
        f"waiting: something is trained or timed in {other.parent.resolve()}; Ctrl-C gives up"
    ]
    unlock(other, handles.pop())


def test_cores_of_others_are_all_work_but_ours():
    before, after = Activity(10, 100, 5), Activity(20, 118, 14)
    assert cores_of_others(before, after) == pytest.approx(0.9)
    assert cores_of_others(before, Activity(20, 105, 11)) == 0
    unknown = Activity(20, None, 14)
    assert cores_of_others(before, unknown) == pytest.approx(os.getloadavg()[0], abs=0.5)


# The command


def test_auto_is_the_cpu_and_every_accelerator(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: gpu)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert devices_of("auto", "cuda") == ("cpu", "cuda:0", "cuda:1")
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert devices_of("auto", "cuda") == ("cpu", "cuda")
    assert devices_of("cpu", "cpu") == ("cpu",)
    assert devices_of("cuda", "cuda") == ("cuda",)


def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    assert devices_of("auto", "cpu") == ("cpu",)


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        (Interval(345.2e-6, 341e-6, 350e-6, 30), ("345.2 µs", "341.0 to 350.0")),
        (Interval(345.2e-6, 300e-6, 390e-6, 30), ("345 µs", "300 to 390")),
        (Interval(2.3456e-3, 2.3e-3, 2.4e-3, 30), ("2.346 ms", "2.300 to 2.400")),
        (Interval(1.5, 1.2, 1.8, 30), ("1.50 s", "1.20 to 1.80")),
    ],
)
def test_digits_are_those_that_the_interval_supports(interval, shown):
    assert show_interval(interval) == shown


def test_a_ratio_is_shown_with_its_interval():
    assert show_ratio(Interval(1.00312, 0.9811, 1.0214, 40)) == "1.003 (0.981 to 1.021)"


def test_the_table_has_each_base_once_with_its_noise_floor(timed):
    settings, plan, _ = timed
    timings = read_timings(settings.results, fingerprint_of(plan, settings), lambda line: None)
    lines = render(timings, plan, settings).splitlines()
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["cpu", "training", "step", "spiral/baseline"],
        ["cpu", "inference", "spiral/baseline", lines[2].split()[3]],
    ]
    bases = [w for w in plan.workloads if w.is_base and not w.name.endswith(AGAIN)]
    assert len([line for line in lines if line.startswith("cpu ")]) == len(bases)
    floor, flagged, left = lines[len(bases) + 1 :]
    assert "noise floor, the widest A/A interval: 0.0% (training step, cpu)" in floor
    assert flagged == f"flags over {len(plan.workloads)} workloads: none"
    assert left.startswith("left out: 0 by the budget, ")
    assert " that cannot be timed here, " in left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--study", "activaton"], "did you mean 'activation'?"),
        (["--device", "tpu"], "choose auto, cpu or cuda"),
        (["--threads", "0"], "give at least 1"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1


def test_an_unknown_option_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as error:
        main(["--profil", "fast"])
    assert error.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def pass_by(start, monkeypatch):
    """Let the command run its passes by `start` instead of in fresh processes."""
    keywords = {**time_missing.__kwdefaults__, "start": start}
    monkeypatch.setattr(time_missing, "__kwdefaults__", keywords)


def test_a_workload_that_fails_makes_the_exit_code_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.toml").write_text(STUDY)

    def start(job, tell):
        return pretend_pass(replace(job, end=100.0), broken={"wave/baseline"})

    pass_by(start, monkeypatch)
    where = ["--study", str(tmp_path / "mine.toml"), "--results", str(tmp_path / "r")]
    assert main([*where, "--profile", "quick", "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert "failed on cpu: wave/baseline (training step): MemoryError: no room" in out


def test_what_was_not_reached_in_time_is_said_and_is_no_failure(tmp_path, monkeypatch, capsys):
    """A busy machine must not make a run fail: it has less, and says so."""
    (tmp_path / "mine.toml").write_text(STUDY)

    def start(job, tell):
        return pretend_pass(replace(job, end=20.0), start=60.0, cost=30_000_000)

    pass_by(start, monkeypatch)
    where = ["--study", str(tmp_path / "mine.toml"), "--results", str(tmp_path / "r")]
    assert main([*where, "--profile", "quick", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "not reached by every process, the machine being slower than planned: " in out
    assert " more; a larger --budget gives them time" in out
    assert "failed on" not in out


def test_a_full_disk_is_one_line_and_nothing_is_half_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.toml").write_text(STUDY)
    pass_by(Passes(), monkeypatch)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    where = ["--study", str(tmp_path / "mine.toml"), "--results", str(tmp_path / "r")]
    assert main([*where, "--device", "cpu", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert said.count("\n") == 1
    assert not [p for p in (tmp_path / "r").iterdir() if p.suffix in {".csv", ".json"}]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line_and_exit_code_2(capsys):
    assert main(["--device", "cuda"]) == 2
    said = capsys.readouterr().err
    assert "cuda" in said
    assert said.count("\n") == 1


def test_an_interrupt_says_how_to_go_on_and_exits_130(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.toml").write_text(STUDY)
    pass_by(Passes(interrupt_at=0), monkeypatch)
    where = ["--study", str(tmp_path / "mine.toml"), "--results", str(tmp_path / "r")]
    assert main([*where, "--device", "cpu"]) == 130
    assert "To go on: python -m benchmarks --study" in capsys.readouterr().err


def command(tmp_path, *arguments):
    (tmp_path / "mine.toml").write_text(STUDY)
    words = ["-m", "benchmarks", "--study", str(tmp_path / "mine.toml"), *arguments]
    return [sys.executable, *words, "--results", str(tmp_path / "r"), "--device", "cpu"]


@pytest.mark.slow
def test_the_command_times_real_workloads_once_within_its_budget(tmp_path):
    line = command(tmp_path, "--profile", "quick", "--budget", "15s")
    start = time.monotonic()
    first = subprocess.run(line, check=False, capture_output=True, text=True, timeout=120)
    seconds = time.monotonic() - start
    assert first.returncode == 0, first.stderr
    assert seconds < 25
    assert "noise floor" in first.stdout
    table = pd.read_csv(tmp_path / "r" / "timings.csv")
    assert table.groupby(["workload", "mode"]).size().min() >= 6
    assert table["seconds"].median() >= 1e-3

    second = subprocess.run(line, check=False, capture_output=True, text=True, timeout=120)
    assert second.returncode == 0
    assert second.stdout.startswith("nothing to time; remove")


def ends_within(seconds, group):
    """Whether every process of a group is gone in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_timing_process_that_dies_says_so(study):
    job = replace(job_of(study), device="nonsense", end=time.monotonic() + 60)
    with pytest.raises(TimingError, match="on nonsense ended with exit code 1; what earlier"):
        in_fresh_process(job, lambda line: None)


@pytest.mark.slow
def test_ctrl_c_ends_the_timing_process_too(tmp_path):
    line = command(tmp_path, "--profile", "full")
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert any("process 1 of 3" in said for said in process.stderr)
    time.sleep(6)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert "interrupted; finished processes are kept" in rest
    assert "Traceback" not in rest
    assert ends_within(5, process.pid)
    assert not list((tmp_path / "r").glob("*.csv"))
