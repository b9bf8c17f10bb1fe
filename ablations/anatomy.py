"""A network taken apart: the shape after every layer, its parameters and its multiplications."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ablations.foreign import Foreign
from ablations.layers import Convolution, Flatten, Layer, Linear, Pool
from ablations.network import Network
from ablations.sequences import convolved

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of a network, for one example."""

    name: str  # as in `nn.Module.named_modules`
    layer: Layer
    shape: Shape  # of its outputs: (D,), or (C, H, W)
    parameters: int
    multiply_adds: int  # of the forward pass

    @property
    def units(self) -> int:
        """Numbers that it puts out."""
        return math.prod(self.shape)


def parts_of(network: Network, input_shape: Shape) -> Iterator[Part]:
    """Every layer in the order of the forward pass, on examples of `input_shape`."""
    shape = input_shape
    for block in network.blocks:
        for name, layer in block.layers:
            shape = shape_after(layer, shape)
            parameters = sum(math.prod(p.shape) for p in layer.parameters().values())
            yield Part(
                f"{block.name}.{name}", layer, shape, parameters, _multiply_adds(layer, shape)
            )


def shape_after(layer: Layer, shape: Shape) -> Shape:
    """The shape of a layer's outputs; an image of H rows becomes (H - F + 2P) / S + 1 rows."""
    match layer:
        case Linear() | Foreign():
            return (layer.outputs,)
        case Flatten():
            return (math.prod(shape),)
        case Convolution():
            sizes = [convolved(n, layer.kernel, layer.padding, layer.stride) for n in shape[1:]]
            return (layer.outputs, *sizes)
        case Pool():
            return (shape[0], *[convolved(n, layer.size, 0, layer.size) for n in shape[1:]])
        case _:
            return shape


def _multiply_adds(layer: Layer, shape: Shape) -> int:
    match layer:
        case Linear():
            return layer.inputs * layer.outputs
        case Convolution():
            return layer.inputs * layer.kernel**2 * math.prod(shape)
        case Foreign():
            return layer.multiply_adds
        case _:
            return 0


def network_table(network: Network, input_shape: Shape) -> list[dict[str, Any]]:
    """The layers of a network as `print(net)` lists them, with what each costs; for study.json."""

    def module(layer: Layer) -> str:
        with nullcontext() if isinstance(layer, Foreign) else torch.device("meta"):  # no memory
            return repr(layer.module())

    return [
        {
            "layer": part.name,
            "module": module(part.layer),
            "shape": list(part.shape),
            "parameters": part.parameters,
            "multiply_adds": part.multiply_adds,
        }
        for part in parts_of(network, input_shape)
    ]
