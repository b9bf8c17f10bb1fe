"""Peak memory is that of one workload, and is not claimed where nobody counts it."""

import pytest
import torch
from test_timings import STUDY, job_of, pretend_pass

from ablations.studyfile import load_study
from benchmarks import memory, passes
from benchmarks.memory import CLEAR, memory_note, peak_since, start_peak
from benchmarks.timing_files import peak_memory


class Counters:
    """The counters of a pretend GPU, on which something lies already."""

    def __init__(self, monkeypatch):
        self.now, self.most, self.waited = 500, 9000, 0
        for name in ("synchronize", "reset_peak_memory_stats"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: self.now)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.most)

    def synchronize(self, device):
        self.waited += 1

    def reset_peak_memory_stats(self, device):
        self.most = self.now

    def allocate(self, count):
        self.now += count
        self.most = max(self.most, self.now)


def test_a_peak_is_what_a_workload_adds_and_not_what_was_there(monkeypatch):
    """Peaks of earlier workloads are forgotten, and their tensors are not counted."""
    gpu = Counters(monkeypatch)
    before = start_peak("cuda")
    gpu.allocate(300)
    gpu.allocate(-200)
    assert peak_since("cuda", before) == 300
    assert gpu.waited == 1


@pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux's /proc/self/clear_refs")
@pytest.mark.parametrize("megabytes", [200, 20, 50])
def test_on_a_processor_a_peak_is_what_became_resident(megabytes):
    """A larger tensor that came and went before is not counted, nor one that is still there."""
    kept = torch.ones(30 << 18)
    before = start_peak("cpu")
    torch.ones(megabytes << 18).sum()
    assert peak_since("cpu", before) == pytest.approx(megabytes << 20, rel=0.05)
    assert len(kept) == 30 << 18
    assert "VmHWM" in memory_note("cpu")


def test_where_nobody_counts_there_is_no_peak_and_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "absent" / "clear_refs")
    assert start_peak("cpu") is None
    assert peak_since("cpu", None) is None
    assert memory_note("cpu").startswith("not measured")
    assert memory_note("mps").startswith("not measured")
    assert start_peak("mps") is None
    assert "max_memory_allocated" in memory_note("cuda:1")


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(STUDY)
    return load_study(path)


def test_a_pass_notes_the_peak_of_every_workload(study, monkeypatch):
    counts = iter(range(1000))
    monkeypatch.setattr(passes, "start_peak", lambda device: 7)
    monkeypatch.setattr(passes, "peak_since", lambda device, before: before + next(counts))
    job = job_of(study)
    notes = pretend_pass(job).notes["peak_memory"]
    assert {(name, mode) for name, mode, _ in notes} == {(w.name, w.mode) for w in job.workloads}
    assert sorted(count for *_, count in notes) == list(range(7, 7 + len(notes)))


def test_a_pass_notes_none_where_nobody_counts(study, monkeypatch):
    monkeypatch.setattr(passes, "start_peak", lambda device: None)
    assert pretend_pass(job_of(study)).notes["peak_memory"] == []


def test_the_least_peak_over_processes_is_the_workload_s():
    passes_ = [
        {"device": "cuda", "peak_memory": [["a", "inference", 5], ["b", "inference", 2]]},
        {"device": "cuda", "peak_memory": [["a", "inference", 4], ["b", "inference", 3]]},
        {"device": "cpu", "peak_memory": []},
    ]
    assert peak_memory(passes_) == [
        {"workload": "a", "device": "cuda", "mode": "inference", "bytes": 4},
        {"workload": "b", "device": "cuda", "mode": "inference", "bytes": 2},
    ]
