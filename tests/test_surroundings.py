"""What stands around the timings is recorded, and is None where nobody says it."""

import json

import pytest
import torch

from benchmarks import surroundings as module
from benchmarks.surroundings import matrix_libraries, quota, surroundings

V1 = "2:cpu,cpuacct:/box\n"
V2 = "0::/box/inner\n"


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        (V2, {"box/cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"box/cpu.max": "max 100000\n"}, None),
        (V2, {"cpu.max": "400000 100000\n", "box/inner/cpu.max": "50000 100000\n"}, 0.5),
        (V1, {"cpu/box/cpu.cfs_quota_us": "200000", "cpu/box/cpu.cfs_period_us": "100000"}, 2.0),
        (V1, {"cpu/box/cpu.cfs_quota_us": "-1", "cpu/box/cpu.cfs_period_us": "100000"}, None),
        (V1, {"cpu/box/cpu.cfs_quota_us": "200000"}, None),
        (V2, {"box/cpu.max": "nonsense"}, None),
        (V2, {}, None),
    ],
)
def test_a_quota_is_the_tightest_limit_of_our_group_and_those_above(
    tmp_path, membership, files, cores
):
    (tmp_path / "cgroup").write_text(membership)
    for name, content in files.items():
        file = tmp_path / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert quota(tmp_path / "fs", tmp_path / "cgroup") == cores
    assert quota(tmp_path / "nowhere", tmp_path / "neither") is None


def test_libraries_that_multiply_are_named_with_their_version():
    assert any(name.startswith(("openblas", "mkl", "blis")) for name in matrix_libraries())


def test_everything_can_be_written_as_json_and_a_gpu_is_asked_only_where_there_is_one(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "_gpu_state", lambda: asked.append(1) or "H100, 700 W")
    found = surroundings(has_gpu=False)
    json.dumps(found, allow_nan=False)
    assert found["gpu_state"] is None
    assert not asked
    assert found["torch_build"]["git"] == torch.version.git_version
    assert surroundings(has_gpu=True)["gpu_state"] == "H100, 700 W"


def test_without_the_driver_s_tool_a_gpu_has_no_state(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert surroundings(has_gpu=True)["gpu_state"] is None
