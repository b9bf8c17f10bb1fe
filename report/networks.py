"""The networks of the baselines, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from report.document import Section, Table
from report.numbers import listed
from report.schema import is_number
from report.tables import StudyResults

HEADER = ("layer", "module", "output shape", "parameters", "multiply-adds")
NOTE = (
    "One example's forward pass. An image of H rows has (H − F + 2P) / S + 1 rows after a kernel "
    "of F rows with padding P and stride S, rounded down."
)


def networks_section(studies: Sequence[StudyResults]) -> Section | None:
    """A table for every network that is the baseline of a study; nothing where none is told."""
    found: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for results in studies:
        for task in results.study["tasks"]:
            rows = _rows(task.get("network"))
            if rows:
                found.setdefault(rows, []).append(f"{results.study['name']} on {task['name']}")
    if not found:
        return None
    tables = [_table(rows, names) for rows, names in found.items()]
    tables[-1] = replace(tables[-1], note=NOTE)
    return Section(
        anchor="networks",
        title="Networks",
        question="What is trained where a study varies nothing?",
        blocks=tuple(tables),
    )


def _table(rows: tuple[tuple[str, ...], ...], names: list[str]) -> Table:
    return Table(
        caption=f"The baseline of {listed(names)}",
        header=HEADER,
        rows=rows,
        numeric=frozenset(HEADER[3:]),
    )


def _rows(given: object) -> tuple[tuple[str, ...], ...]:
    """One row per layer, and their sum; nothing if study.json does not hold such a table."""
    layers = given if isinstance(given, list) else []
    if not layers or not all(map(_is_layer, layers)):
        return ()
    total = [sum(int(layer[key]) for layer in layers) for key in ("parameters", "multiply_adds")]
    return (*map(_row, layers), ("all", "", "", *(f"{number:,}" for number in total)))


def _is_layer(layer: object) -> bool:
    return (
        isinstance(layer, Mapping)
        and isinstance(layer.get("shape"), list)
        and all(is_number(layer.get(key)) for key in ("parameters", "multiply_adds"))
    )


def _row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    shape = " × ".join(str(size) for size in layer["shape"])
    counts = (f"{int(layer[key]):,}" for key in ("parameters", "multiply_adds"))
    return (str(layer.get("layer", "")), str(layer.get("module", "")), shape, *counts)
