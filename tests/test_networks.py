"""The table of networks: shapes by hand, sums of what torch counts, names that fit."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import cell_of
from hypothesis import given
from hypothesis import strategies as st
from test_effects import study
from test_studyfile import small_study
from torch import nn

from ablations.anatomy import network_table
from ablations.design import canonical
from ablations.network import describe
from ablations.running import Settings, run
from report.networks import LONGEST_MODULE, brief, layers_of, networks_section

ONE = {"activation": ("relu", "identity")}


def told(layers, shape, outputs=2):
    """What study.json says of a network listed layer by layer, on images of a shape."""
    cell = canonical(cell_of("digits", network={"name": "sequential", "layers": layers}))
    return network_table(describe(cell, shape, outputs), shape)


def section(*networks):
    results = study(np.full((2, 3), 0.5), ONE)
    first = results.study["tasks"][0]
    tasks = [{**first, "name": f"t{i}", "network": net} for i, net in enumerate(networks)]
    return networks_section([replace(results, study={**results.study, "tasks": tasks})])


@pytest.mark.parametrize(
    ("layers", "size", "shape"),
    [
        ("conv 4@5 pad 1, linear 2", 32, "4 × 30 × 30"),
        ("conv 4@3 pad 1, linear 2", 32, "4 × 32 × 32"),
        ("pool 2, linear 2", 224, "1 × 112 × 112"),
    ],
)
def test_shapes_follow_the_published_arithmetic(layers, size, shape):
    """R14: kernel 5 with padding 1 makes 30 of 32, kernel 3 keeps 32, pooling halves 224."""
    [table] = section(told(layers, (1, size, size))).blocks
    assert shape in [row[2] for row in table.rows]


def test_multiplications_and_parameters_are_those_counted_by_hand():
    """Six kernels of 3 x 3 on 30 x 30 places; 5,400 numbers into two outputs."""
    [table] = section(told("conv 6@3", (1, 32, 32), 2)).blocks
    by_name = {row[1].partition("(")[0]: row[3:] for row in table.rows}
    assert by_name["Conv2d"] == ("60", "48,600")
    assert by_name["Linear"] == ("10,802", "10,800")
    assert table.rows[-1] == ("all", "", "", "10,862", "59,400")


def test_a_network_that_no_memory_holds_is_told_without_any():
    """Its trials end out of memory; what they would have been is in study.json."""
    wide = network_table(describe(canonical(cell_of(width=1_000_000, depth=3)), (2,), 3), (2,))
    assert sum(layer["parameters"] for layer in wide) == 2 * 10**12 + 8 * 10**6 + 3


def test_the_sum_is_the_parameters_of_the_baseline_in_trials_csv(tmp_path):
    run([small_study(tmp_path / "group")], Settings(tmp_path / "r", quiet=True, workers=0))
    [folder] = [path.parent for path in (tmp_path / "r").rglob("study.json")]
    content = json.loads((folder / "study.json").read_text())
    with (folder / "trials.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["activation"] == "relu"]
    assert {row["parameters"] for row in rows if row["parameters"]}
    [table] = section(content["tasks"][0]["network"]).blocks
    total = table.rows[-1][3].replace(",", "")
    assert {float(row["parameters"]) for row in rows if row["parameters"]} == {float(total)}


def test_what_has_no_parameters_and_keeps_the_shape_stands_in_the_row_before():
    given_layers = told("conv 4@3 pad 1, pool 2, linear 8", (1, 8, 8))
    layers = layers_of(given_layers)
    assert len(layers) < len(given_layers)
    assert any("ReLU" in layer.module and "," in layer.module for layer in layers)
    for key in ("parameters", "multiply_adds"):
        assert sum(getattr(x, key) for x in layers) == sum(x[key] for x in given_layers)
    shapes = {" × ".join(map(str, layer["shape"])) for layer in given_layers}
    assert {layer.shape for layer in layers} == shapes, "every shape has a row"


def test_equal_networks_have_one_table_that_names_both():
    network = told("linear 4", (1, 8, 8))
    [table] = section(network, network).blocks
    assert table.caption.endswith("t0 and trials on t1") or " t0 and " in table.caption
    assert len(section(network, told("linear 5", (1, 8, 8))).blocks) == 2


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Linear(64, 10), "Linear(64, 10)"),
        (nn.Conv2d(1, 6, 3), "Conv2d(1, 6, 3)"),
        (nn.Conv2d(1, 6, 5, stride=2, padding=2), "Conv2d(1, 6, 5, stride 2, padding 2)"),
        (nn.BatchNorm1d(32), "BatchNorm1d(32)"),
        (nn.MaxPool2d(2), "MaxPool2d(2, stride 2)"),
        (nn.Dropout(0.3), "Dropout(p 0.3)"),
        (nn.ReLU(), "ReLU"),
        (nn.Flatten(), "Flatten"),
    ],
)
def test_modules_are_named_by_their_sizes(module, said):
    assert brief(repr(module)) == said


@given(st.text(max_size=400))
def test_any_text_may_stand_for_a_module(text):
    layer = {"layer": "x", "module": text, "shape": [2], "parameters": 1, "multiply_adds": 2}
    [table] = section([layer]).blocks
    assert len(table.rows[0][1]) <= LONGEST_MODULE
    assert table.rows[-1][3:] == ("1", "2")


@pytest.mark.parametrize("network", [None, [], "x", [1], [{"shape": 3}], [{"shape": []}]])
def test_a_study_without_a_network_has_no_table(network):
    assert section(network) is None


def test_torch_counts_the_same_parameters():
    layers = told("conv 6@3, conv 16@3, linear 64", (1, 32, 32), 2)
    net = nn.Sequential(
        *[nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 16, 3), nn.ReLU(), nn.Flatten()],
        *[nn.Linear(16 * 28 * 28, 64), nn.ReLU(), nn.Linear(64, 2)],
    )
    assert net(torch.zeros(1, 1, 32, 32)).shape == (1, 2)
    counted = sum(parameter.numel() for parameter in net.parameters())
    assert sum(layer.parameters for layer in layers_of(layers)) == counted
