"""The networks of the baselines, layer by layer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from report.document import Section, Table
from report.numbers import listed
from report.schema import is_number
from report.tables import StudyResults

HEADER = ("layer", "module", "output shape", "parameters", "multiply-adds")
NOTE = (
    "One example's forward pass; what has no parameters and leaves the shape alone stands in the "
    "row of the layer before it. An image of H rows has (H − F + 2P) / S + 1 rows after a kernel "
    "of F rows with padding P and stride S, rounded down."
)
LONGEST_MODULE: Final = 60  # letters; more is cut
SIZES: Final = frozenset({"in_features", "out_features", "num_features", "kernel_size"})
TOLD: Final = {"stride": "1", "padding": "0", "p": "", "output_size": ""}  # and what is not told
_SETTING = re.compile(r"\s*(?:(\w{1,30})=)?(\([^()]*\)|[^,()]+)")
_MODULE = re.compile(r"(\w{1,40})\((.{0,300})\)")


@dataclass(frozen=True, slots=True)
class Layer:
    """One row: a layer, with what follows it and changes no shape."""

    name: str
    module: str
    shape: str
    parameters: int
    multiply_adds: int


def networks_section(studies: Sequence[StudyResults]) -> Section | None:
    """A table for every network that is the baseline of a study; nothing where none is told."""
    found: dict[tuple[Layer, ...], list[str]] = {}
    for results in studies:
        for task in results.study["tasks"]:
            layers = layers_of(task.get("network"))
            if layers:
                found.setdefault(layers, []).append(f"{results.study['name']} on {task['name']}")
    if not found:
        return None
    tables = [_table(layers, names) for layers, names in found.items()]
    tables[-1] = replace(tables[-1], note=NOTE)
    return Section(
        anchor="networks",
        title="Networks",
        question="What is trained where a study varies nothing?",
        blocks=tuple(tables),
    )


def _table(layers: Sequence[Layer], names: list[str]) -> Table:
    rows = [_row(layer) for layer in layers]
    total = (sum(x.parameters for x in layers), sum(x.multiply_adds for x in layers))
    return Table(
        caption=f"The baseline of {listed(names)}",
        header=HEADER,
        rows=(*rows, ("all", "", "", *(f"{number:,}" for number in total))),
        numeric=frozenset(HEADER[3:]),
        strong=frozenset({len(rows)}),
    )


def _row(layer: Layer) -> tuple[str, ...]:
    module = layer.module
    cut = module if len(module) <= LONGEST_MODULE else f"{module[: LONGEST_MODULE - 1]}…"
    return (layer.name, cut, layer.shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}")


def layers_of(given: object) -> tuple[Layer, ...]:
    """The layers of study.json; nothing if it does not hold such a table."""
    told = given if isinstance(given, list) else []
    if not told or not all(map(_is_layer, told)):
        return ()
    layers: list[Layer] = []
    for layer in map(_layer, told):
        last = layers[-1] if layers else None
        costs = layer.parameters or layer.multiply_adds
        if last is None or costs or layer.shape != last.shape:
            layers.append(layer)
        else:
            layers[-1] = replace(last, module=f"{last.module}, {layer.module}")
    return tuple(layers)


def _is_layer(layer: object) -> bool:
    return (
        isinstance(layer, Mapping)
        and isinstance(layer.get("shape"), list)
        and all(is_number(layer.get(key)) for key in ("parameters", "multiply_adds"))
    )


def _layer(layer: Mapping[str, Any]) -> Layer:
    return Layer(
        name=str(layer.get("layer", "")),
        module=brief(str(layer.get("module", ""))),
        shape=" × ".join(str(size) for size in layer["shape"]),
        parameters=int(layer["parameters"]),
        multiply_adds=int(layer["multiply_adds"]),
    )


def brief(module: str) -> str:
    """`Linear(64, 100)` of torch's longer name: sizes, and settings that are not the usual ones."""
    match = _MODULE.fullmatch(module)
    if not match:
        return module
    told = []
    for name, value in _SETTING.findall(match[2]):
        text = _square(value.strip())
        if (not name and text) or name in SIZES:
            told.append(text)
        elif name in TOLD and text != TOLD[name]:
            told.append(f"{name} {text}")
    return f"{match[1]}({', '.join(told)})" if told else match[1]


def _square(value: str) -> str:
    """`5` of `(5, 5)`."""
    sides = {side.strip() for side in value.strip("()").split(",")}
    return sides.pop() if value.startswith("(") and len(sides) == 1 else value
