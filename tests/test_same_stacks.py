"""Two studies may hold the very same stack; each trains its own, whichever ends first."""

import pandas as pd
import pytest

from ablations.__main__ import main

STUDY = """
[study]
name = "{name}"
question = "Is deeper better?"
tasks = ["spiral"]
seeds = 2
[task.spiral]
points = 10
[factors]
depth = [1, 2]
[nuisance]
learning_rate = [0.01, 0.1]
[fixed]
steps = 5
evaluations = 2
"""


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_studies_with_the_same_stacks_are_both_complete(tmp_path, workers):
    folder = tmp_path / "both"
    folder.mkdir()
    for name in ("one", "other"):
        (folder / f"{name}.toml").write_text(STUDY.format(name=name))
    line = ["run", "--study", str(folder), "--results", str(tmp_path / "results"), "--quiet"]
    assert main([*line, "--workers", workers]) == 0
    tables = [pd.read_csv(tmp_path / "results" / n / "trials.csv") for n in ("one", "other")]
    assert len(tables[0]) == len(tables[1]) == 12
    pd.testing.assert_frame_equal(*(table.drop(columns="study") for table in tables))
    assert set(tables[0]["stack"]) == set(tables[1]["stack"])
