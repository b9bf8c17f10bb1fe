"""A frozen results folder and the report.md that it must give: `tests/golden/`.

    python tests/golden.py            writes report.md anew; read the diff before committing it
    python tests/golden.py results    draws the results folder anew too, after its format changed

The numbers are simulated (see simulated_results.py) and a few trials failed, diverged or are
missing, so that the report has every kind of sentence about them.
"""

import gzip
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from simulated_results import RESPONSES, plans, timings, write_results

from report.__main__ import main

GOLDEN = Path(__file__).parent / "golden"
RESULTS, REPORT = GOLDEN / "results", GOLDEN / "report.md"


def small_plans():
    """A study of one factor on two tasks, and three crossed factors on one."""
    of = {plan.name: plan for plan in plans()}
    activation = {"activation": ("relu", "identity", "tanh", "leaky_relu(negative_slope=0.2)")}
    crossed = {"activation": ("relu", "tanh"), "optimizer": ("adam", "sgd"), "width": ("32", "8")}
    return [
        replace(of["activation"], factors=activation, tasks=("spiral", "wave"), seeds=6),
        replace(of["crossed"], factors=crossed, tasks=("spiral",), source=None),
    ]


def draw_results():
    """Write the frozen folder: CSV files compressed, without dates, pictures of few moments."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    write_results(RESULTS, seed=6, studies=small_plans())
    timings(np.random.default_rng(6), samples=9).to_csv(RESULTS / "timings.csv", index=False)
    diverge(RESULTS / "activation" / "trials.csv")
    for path in sorted(RESULTS.rglob("*.csv")):
        if path.name == "pictures.csv":
            header, *rows = path.read_text().splitlines(keepends=True)
            path.write_text("".join([header, *rows[::11]]))
        if path.name == "curves.csv":
            frame = pd.read_csv(path, dtype={"trial": str})
            frame.to_csv(path, index=False, float_format="%.4g")
        with path.with_suffix(".csv.gz").open("wb") as stream:
            stream.write(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()


def diverge(path):
    """Let one final trial of tanh have diverged: its responses are empty."""
    trials = pd.read_csv(path, dtype=str, keep_default_na=False)
    chosen = trials.index[(trials["activation"] == "tanh") & (trials["stage"] == "final")][2]
    trials.loc[chosen, "status"] = "diverged"
    trials.loc[chosen, RESPONSES] = ""
    trials.to_csv(path, index=False)


def rendered():
    """The report.md of the frozen folder as this code writes it."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(shutil.copytree(RESULTS, Path(folder) / "results"))
        assert main(["--results", str(results)]) == 0
        return (results / "report" / "report.md").read_text()


if __name__ == "__main__":
    if sys.argv[1:] == ["results"] or not RESULTS.exists():
        draw_results()
    REPORT.write_text(rendered())
    print(REPORT)
