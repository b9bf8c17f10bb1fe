"""The workflow file is valid, and names only what is there."""

import re
from pathlib import Path

import pytest

from benchmarks.compare import parser

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def workflow():
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the workflow")
    return yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(workflow):
    return "\n".join(step["run"] for step in steps(workflow) if "run" in step)


def test_it_runs_on_pull_requests_and_pushes(workflow):
    assert workflow[True].keys() == {"pull_request", "push"}  # YAML 1.1 reads `on` as true


def test_every_action_is_pinned_to_a_major_version(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)


def test_every_step_does_one_thing(workflow):
    assert all(("run" in step) != ("uses" in step) for step in steps(workflow))
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_every_target_of_make_is_one_of_the_makefile(workflow):
    targets = set(re.findall(r"^([a-z.][\w./]*):", (ROOT / "Makefile").read_text(), re.M))
    asked = [line.split()[1:] for line in re.findall(r"^make .*", commands(workflow), re.M)]
    names = {word for words in asked for word in words if "=" not in word}
    assert {"check", "test", "ablations", "report"} <= names
    assert names - {".venv/.ready"} <= targets


def test_every_file_it_names_is_there(workflow):
    named = re.findall(r"(?<=python )[.\w/]+\.py", commands(workflow))
    assert named
    assert all((ROOT / name).is_file() for name in named)


def test_the_gate_gets_both_commits_and_its_options_exist(workflow):
    line = next(x for x in commands(workflow).splitlines() if "benchmarks compare" in x)
    words = line.split("compare", 1)[1].split()
    options = parser().parse_args([word.strip('"') for word in words])
    assert (options.base, options.head) == ("$BASE", "HEAD")
    checkout = workflow["jobs"]["speed"]["steps"][0]
    assert checkout["with"]["fetch-depth"] == 0  # else the base is not there
