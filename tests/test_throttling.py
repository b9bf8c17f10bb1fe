"""What the machine held back is seen, noted, tried again and flagged."""

from dataclasses import replace
from time import sleep
from types import SimpleNamespace

import pytest
import torch
from test_timings import STUDY, Passes, job_of, pretend_pass, settings_of

import benchmarks.throttling as module_of_throttling
import benchmarks.timings as module
from ablations.studyfile import load_study
from benchmarks.budgeting import plan_timings
from benchmarks.series import flags_of
from benchmarks.throttling import (
    Throttling,
    driver_name,
    gpu_clock_share,
    query_clocks,
    share_of,
    throttled_periods,
)
from benchmarks.timings import time_missing


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(STUDY)
    return load_study(path)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "LOOK", 0.0)
    monkeypatch.setattr(module, "cores_of_others", lambda before, after: 0.0)


@pytest.mark.parametrize(
    ("seen", "throttled"),
    [
        (Throttling(0, None), False),
        (Throttling(1, None), True),
        (Throttling(None, 0.76), False),
        (Throttling(None, 0.74), True),
        (Throttling(0, 0.5), True),
        (Throttling(None, None), False),
    ],
)
def test_a_quota_used_up_or_a_low_clock_is_throttling(seen, throttled):
    assert seen.is_throttled is throttled


V1 = "9:name=systemd:/\n3:cpuset:/a\n2:cpu,cpuacct:/box/inner\n"
V2 = "0::/box/inner\n"


@pytest.mark.parametrize(
    ("membership", "folder"),
    [
        (V1, "cpu,cpuacct/box/inner"),
        (V1, "cpu/box/inner"),
        (V1, "cpu/box"),
        (V1, "cpu"),
        (V2, "box/inner"),
        (V2, "box"),
        (V2, ""),
        (V2, "unified/box/inner"),
    ],
)
def test_throttled_periods_are_read_from_our_group_or_one_above(tmp_path, membership, folder):
    """In a container the group's own path is often not there, and its root is."""
    (tmp_path / "cgroup").write_text(membership)
    (tmp_path / "fs" / folder).mkdir(parents=True)
    content = "nr_periods 40\nnr_throttled 7\nthrottled_time 123\n"
    (tmp_path / "fs" / folder / "cpu.stat").write_text(content)
    assert throttled_periods(tmp_path / "fs", tmp_path / "cgroup") == 7


def test_the_group_that_was_throttled_most_counts(tmp_path):
    (tmp_path / "cgroup").write_text(V2)
    for folder, count in (("fs/box/inner", 0), ("fs/box", 5), ("fs/other", 90)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "cpu.stat").write_text(f"nr_throttled {count}\n")
    assert throttled_periods(tmp_path / "fs", tmp_path / "cgroup") == 5


@pytest.mark.parametrize("content", [None, "usage_usec 12\n", ""])
def test_a_system_that_does_not_say_is_not_throttled(tmp_path, content):
    (tmp_path / "cgroup").write_text(V2)
    if content is not None:
        (tmp_path / "cpu.stat").write_text(content)
    assert throttled_periods(tmp_path, tmp_path / "cgroup") is None
    assert throttled_periods(tmp_path, tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("answer", "share"),
    [("990, 1980", 0.5), ("1980, 1980", 1.0), ("[N/A], 1980", None), ("", None), ("5, 0", None)],
)
def test_a_clock_is_a_share_of_its_maximum(answer, share):
    assert share_of(answer) == share


def test_a_gpu_is_asked_while_it_works(monkeypatch):
    """Not launched ahead once and asked when that may be over: steps go on until the answer."""
    steps, asked, waited = [], [], []
    monkeypatch.setattr(module_of_throttling, "driver_name", lambda device: f"GPU of {device}")

    def query(name):
        asked.append(name)
        before = len(steps)
        while len(steps) < before + 200:  # the answer takes as long as 200 steps
            sleep(0)
        return "1200, 1600"

    def share(device, query):
        return gpu_clock_share(device, lambda: steps.append(1), query, wait=waited.append)

    assert share("cuda:3", query) == 0.75
    assert asked == ["GPU of cuda:3"]
    assert len(steps) >= 200
    assert len(waited) == len(steps) / 50
    assert share("cuda", lambda name: None) is None
    assert gpu_clock_share("cpu", lambda: steps.append(1), query) is None
    assert len(asked) == 1


@pytest.mark.parametrize(("device", "index"), [("cuda:3", 3), ("cuda", 1)])
def test_a_gpu_is_named_as_the_driver_names_it(monkeypatch, device, index):
    """Its number is torch's own where CUDA_VISIBLE_DEVICES hides others; its UUID is not."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda own: SimpleNamespace(uuid=f"ab-{own}")
    )
    assert driver_name(device) == f"GPU-ab-{index}"


def test_without_the_driver_s_tool_nobody_says(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert query_clocks("GPU-ab") is None


def test_a_pass_notes_periods_of_its_rounds_alone(study):
    """Seven before the first round, nine after the last: two in between."""
    counts = iter([7, 9])
    done = pretend_pass(job_of(study), periods=lambda: next(counts))
    assert done.notes["throttling"]["periods"] == 2
    assert done.notes["throttled"] is True
    steady = pretend_pass(job_of(study), periods=lambda: 7)
    assert steady.notes["throttled"] is False


class Throttled(Passes):
    """Fresh processes, of which the first few are throttled."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def __call__(self, job, tell):
        done = super().__call__(job, tell)
        self.count -= 1
        return replace(done, notes=done.notes | {"throttled": self.count >= 0})


def timed(tmp_path, study, count, **effort):
    settings = settings_of(tmp_path, processes=2, **effort)
    plan = plan_timings([study], settings)
    passes, said = Throttled(count), []
    timings = time_missing(plan, settings, tell=said.append, start=passes)
    return timings, passes.started, [line for line in said if "held this process back" in line]


def test_a_throttled_pass_is_timed_again_and_nothing_of_it_is_kept(tmp_path, study):
    timings, started, said = timed(tmp_path, study, 2)
    assert started == [("cpu", 0)] * 3 + [("cpu", 1)]
    assert len(said) == 2
    assert [note["throttled"] for note in timings.passes] == [False, False]
    assert flags_of(timings.rows, timings.passes) == []


def test_after_three_retries_it_is_kept_and_flagged(tmp_path, study):
    """Three in all: a machine that is always throttled would take all the time there is."""
    timings, started, said = timed(tmp_path, study, 99)
    assert started == [("cpu", 0)] * 4 + [("cpu", 1)]
    assert len(said) == 3
    found = flags_of(timings.rows, timings.passes)
    assert {flag for entry in found for flag in entry["flags"]} == {"throttled"}
    assert len(found) == len({(row["workload"], row["mode"]) for row in timings.rows})


def test_one_throttled_process_is_enough_to_flag_its_device(tmp_path, study):
    timings, _, _ = timed(tmp_path, study, 0)
    timings.passes[1]["throttled"] = True
    found = flags_of(timings.rows, timings.passes)
    assert {flag for entry in found for flag in entry["flags"]} == {"throttled"}


@pytest.mark.parametrize(("seconds", "retries"), [(20.0, 1), (60.0, 0)])
def test_there_is_no_retry_where_it_would_leave_less_than_half_the_time(
    tmp_path, study, monkeypatch, seconds, retries
):
    """Of 90 s a pass took 20, or 60; the two that are missing have 35 each, or 15."""
    clock = [0.0]

    class Slow(Throttled):
        def __call__(self, job, tell):
            clock[0] += seconds if not self.started else 1.0
            return super().__call__(job, tell)

    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    settings = settings_of(tmp_path, processes=2, budget=94)
    passes = Slow(1)
    time_missing(plan_timings([study], settings), settings, tell=lambda line: None, start=passes)
    assert passes.started == [("cpu", 0)] * (1 + retries) + [("cpu", 1)]


def test_a_pretend_pass_is_not_throttled_here(study):
    assert pretend_pass(job_of(study)).notes["throttling"]["gpu_clock"] is None
