"""Workers share the trials of a stack that pass one by one, and nothing else changes."""

import pandas as pd
import pytest
from conftest import stack_of

from ablations.__main__ import main
from ablations.costs import passes_alone

LARGE = {"network": "cnn", "depth": 1, "width": 128, "minibatch": 64}
STUDY = """
[study]
name     = "large"
question = "Who trains what?"
tasks    = ["digits"]
seeds    = 3

[factors]
network = ["cnn", "mlp"]

[nuisance]
learning_rate = [0.01]

[fixed]
depth     = 1
width     = 128
minibatch = 64
steps     = 3
evaluations = 1
"""


@pytest.mark.parametrize(
    ("levels", "alone"),
    [
        (LARGE, True),
        ({**LARGE, "width": 16}, False),
        ({**LARGE, "regularisation": "dropout"}, False),  # trials of one seed share their masks
        ({**LARGE, "network": "mlp"}, False),
    ],
)
def test_only_large_networks_pass_one_by_one(levels, alone):
    assert passes_alone(stack_of("digits", **levels)) is alone


@pytest.mark.slow
def test_a_shared_stack_has_the_bytes_of_one_that_is_not(tmp_path):
    study = tmp_path / "large.toml"
    study.write_text(STUDY)
    for workers in ("0", "2"):
        options = ["--results", str(tmp_path / workers), "--workers", workers]
        assert main(["run", "--quiet", "--study", str(study), *options]) == 0
    one, two = (tmp_path / workers / "large" for workers in ("0", "2"))
    for name in ("trials.csv", "curves.csv", "pictures.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    ways = [pd.read_csv(folder / "stacks.csv")["way"].tolist() for folder in (one, two)]
    assert ways == [["stacked", "compiled"], ["alone", "compiled"]]
