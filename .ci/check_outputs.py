"""Are the files of a finished quick run all there, and do they say what they should?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

STUDIES = ("activation", "optimizer", "depth-width", "regularisation", "crossed")


def main(results: Path) -> None:
    """Fail with an assertion that names what is missing."""
    for name in STUDIES:
        folder = results / name
        study = json.loads((folder / "study.json").read_text())
        trials = pd.read_csv(folder / "trials.csv")
        expected = [trial["trial"] for trial in study["trials"]]
        assert list(trials["trial"]) == expected, f"{name}: trials.csv is not the study's trials"
        assert set(trials["status"]) <= {"finished", "diverged"}, f"{name}: trials failed"
        curves = pd.read_csv(folder / "curves.csv")
        assert set(curves["trial"]) <= set(expected), f"{name}: curves of unknown trials"
        for extra in ("pictures.csv", "points.csv", "stacks.csv"):
            assert (folder / extra).stat().st_size > 0, f"{name}: {extra} is empty"
    timings = pd.read_csv(results / "timings.csv")
    assert len(timings) > 100, "timings.csv has too few samples"
    assert (timings["seconds"] > 0).all(), "timings.csv has a time that is not positive"
    machine = json.loads((results / "machine.json").read_text())
    assert machine["torch"], "machine.json names no torch"
    markdown = (results / "report" / "report.md").read_text()
    page = (results / "report" / "index.html").read_text()
    for name in STUDIES:
        assert name in markdown, f"report.md does not mention {name}"
        assert name in page, f"index.html does not mention {name}"
    assert "smoke test" in markdown[:1000].lower(), "the quick profile must say what it is"
    for figure in re.findall(r"\(figures/([^)]+)\)", markdown):
        assert (results / "report" / "figures" / figure).stat().st_size > 1000, figure
    summary = subprocess.run(
        [sys.executable, "-m", "report", "--results", str(results), "--summary"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 10 < len(summary.splitlines()) <= 60, "--summary must have at most 60 lines"
    assert "**Coverage.** Complete" in summary, "--summary must say that all is there"
    assert "<svg" in page, "index.html has no figures"
    assert not re.search(r"""(?:src|href)=["']https?://""", page), "index.html asks the network"
    print(f"{results}: {len(STUDIES)} studies, timings and the report are complete")


main(Path(sys.argv[1]))
