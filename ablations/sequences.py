"""Networks listed layer by layer: `conv 6@3 pad 1, pool 2, linear 64`.

Nothing here imports torch. Sizes follow the arithmetic of convolutions: an image of H rows,
after a kernel of F rows with padding P and stride S, has (H - F + 2P) / S + 1, rounded down
(Dumoulin and Visin, 2016).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ablations.levels import LevelError

CONVOLUTION = re.compile(r"conv (\d+)@(\d+)(?:x(\d+))?(?: pad (\d+))?(?: stride (\d+))?")
POOL = re.compile(r"pool (\d+)")
LINEAR = re.compile(r"linear (\d+)")
FORMS = "write 'conv 6@3 pad 1 stride 2', 'pool 2' or 'linear 64', with commas between"


@dataclass(frozen=True, slots=True)
class ListedLayer:
    """One layer of the list; the numbers that its kind does not have are as here."""

    kind: str  # conv, pool, linear
    units: int = 0  # channels or units
    kernel: int = 1
    padding: int = 0
    stride: int = 1


def listed_layers(text: str) -> tuple[ListedLayer, ...]:
    """Read the layers of a `sequential` network.

    Raises:
        LevelError: a layer cannot be read, is empty, or is an image's after a linear one.
    """
    layers = tuple(_listed_layer(" ".join(part.split())) for part in text.split(","))
    kinds = [layer.kind for layer in layers]
    if "linear" in kinds and set(kinds[kinds.index("linear") :]) != {"linear"}:
        raise LevelError(
            f"network layers {text!r} have an image again after a linear layer; "
            "put the linear layers last"
        )
    return layers


def _listed_layer(part: str) -> ListedLayer:
    layer = None
    if match := CONVOLUTION.fullmatch(part):
        units, kernel, columns, padding, stride = match.groups()
        if columns not in (None, kernel):
            raise LevelError(f"network layer {part!r} is not square; give one kernel size")
        layer = ListedLayer("conv", int(units), int(kernel), int(padding or 0), int(stride or 1))
    elif match := POOL.fullmatch(part):
        layer = ListedLayer("pool", kernel=int(match[1]), stride=int(match[1]))
    elif match := LINEAR.fullmatch(part):
        layer = ListedLayer("linear", int(match[1]))
    if layer is None:
        raise LevelError(f"network layer {part!r} is not known; {FORMS}")
    if 0 in (layer.kernel, layer.stride) or (layer.kind != "pool" and not layer.units):
        raise LevelError(f"network layer {part!r} has nothing in it; give numbers above 0")
    return layer


def convolved(size: int, kernel: int, padding: int = 0, stride: int = 1) -> int:
    """Rows or columns after a convolution or pooling; below 1 there is nothing left."""
    return (size - kernel + 2 * padding) // stride + 1


def images(layers: tuple[ListedLayer, ...], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes (C, H, W) after each layer before the linear ones, from an image of `shape`.

    Raises:
        LevelError: a layer leaves nothing of the image.
    """
    found = []
    for layer in layers:
        if layer.kind == "linear":
            break
        channels = layer.units or shape[0]
        sizes = [convolved(n, layer.kernel, layer.padding, layer.stride) for n in shape[1:]]
        if min(sizes) < 1 or (layer.kind == "pool" and min(shape[1:]) < layer.kernel):
            name = f"{layer.kind} with kernel {layer.kernel}"
            raise LevelError(
                f"network layer {name} leaves nothing of {shape[1]} x {shape[2]} pixels; "
                "give a smaller kernel or more padding"
            )
        shape = (channels, *sizes)
        found.append(shape)
    return found
